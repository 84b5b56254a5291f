//! What ran, what was skipped, the figures that were measured, and the count.
#![expect(clippy::print_stdout, reason = "the report is for a person")]

use std::future::Future;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Error, Result};

/// The count so far. Every line is printed as it comes.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
    figures: Vec<(String, String)>,
    tables: Vec<(String, Vec<String>)>,
}

// === impl Report ===

impl Report {
    /// A part that runs.
    pub(crate) fn part(&self, part: &str) {
        println!("\nrun: {part}");
    }

    /// A part that does not, and why.
    pub(crate) fn skip(&mut self, part: &str, reason: &str) {
        self.skipped += 1;
        println!("\nskipped: {part}: {reason}");
    }

    /// A check that passed.
    pub(crate) fn pass(&mut self, check: &str) {
        self.passed += 1;
        println!("  passed  {check}");
    }

    /// A check that failed.
    pub(crate) fn fail(&mut self, check: &str, why: &Error) {
        self.failed += 1;
        println!("  FAILED  {check}: {why:#}");
    }

    /// Whether a check failed.
    pub(crate) fn failed(&self) -> bool {
        self.failed > 0
    }

    /// Counts a check by its result.
    pub(crate) fn count(&mut self, check: &str, result: Result<()>) {
        match result {
            Ok(()) => self.pass(check),
            Err(why) => self.fail(check, &why),
        }
    }

    /// Does something, says how long it took, and counts it; what came of it, unless it failed.
    pub(crate) async fn step<T>(&mut self, check: &str, step: impl Future<Output = Result<T>>) -> Option<T> {
        let start = Instant::now();
        match step.await {
            Ok(value) => {
                self.pass(&format!("{check} ({:.1} s)", start.elapsed().as_secs_f64()));
                Some(value)
            }
            Err(why) => {
                self.fail(check, &why);
                None
            }
        }
    }

    /// Something that was measured. The table of all stands at the end.
    pub(crate) fn figure(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.figures.push((what.into(), value.into()));
    }

    /// A table of its own, which stands there, too.
    pub(crate) fn table(&mut self, title: impl Into<String>, rows: Vec<String>) {
        self.tables.push((title.into(), rows));
    }

    /// Prints the tables, the figures and the count.
    pub(crate) fn finish(self) -> ExitCode {
        for (title, rows) in &self.tables {
            println!("\n{title}");
            rows.iter().for_each(|row| println!("  {row}"));
        }
        let width = self.figures.iter().map(|(what, _)| what.chars().count()).max().unwrap_or_default();
        if width > 0 {
            println!("\nfigures");
        }
        for (what, value) in &self.figures {
            println!("  {what:<width$}  {value}");
        }
        println!("\n{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

//! What came of all tests, for people and for programs.

use std::path::Path;

use serde_json::{Value, json};

use super::super::{Exit, counted, one_line};
use super::coverage::Coverage;
use super::suite::{Outcome, Suite};

/// What came of all tests.
#[derive(Default)]
pub(super) struct Report {
    pub(super) suites: Vec<Suite>,
    /// What cannot be read, with the reason.
    pub(super) unreadable: Vec<Unreadable>,
    /// How many files of directories hold no tests.
    pub(super) without_tests: usize,
}

/// A file or directory that cannot be read.
pub(super) struct Unreadable {
    pub(super) path: String,
    /// What is wrong: file, field and cure.
    pub(super) message: String,
}

impl Report {
    pub(super) fn unreadable(&mut self, path: &Path, message: String) {
        self.unreadable.push(Unreadable { path: path.display().to_string(), message });
    }

    pub(super) fn exit(&self) -> Exit {
        if !self.unreadable.is_empty() || self.suites.iter().any(Suite::has_invalid_objects) {
            Exit::Invalid
        } else if self.suites.iter().all(Suite::holds) {
            Exit::Success
        } else {
            Exit::Failure
        }
    }

    fn cases(&self) -> usize {
        self.suites.iter().map(|suite| suite.cases.len()).sum()
    }

    fn failed_cases(&self) -> usize {
        self.suites.iter().map(Suite::failed_cases).sum()
    }

    pub(super) fn to_text(&self, coverage: Option<&Coverage>) -> String {
        let mut lines = Vec::new();
        for suite in &self.suites {
            suite_lines(suite, &mut lines);
        }
        lines.extend(self.unreadable.iter().map(|unreadable| format!("error {}", unreadable.message)));
        if let Some(coverage) = coverage {
            let undecided = coverage.undecided();
            let (all, decided) = (coverage.statements(), coverage.statements() - undecided.len());
            lines.push(format!(
                "coverage: cases rest on {decided} of {}",
                counted(all, "statement", "statements")
            ));
            for statement in undecided {
                let (origin, policy, sid) = (&statement.origin, &statement.policy, &statement.sid);
                lines.push(format!("  no case rests on {sid} of Policy {policy}, at {origin}"));
            }
        }
        let (cases, failed) = (self.cases(), self.failed_cases());
        let mut summary = format!(
            "{}, {}: {} {}, {failed} {}",
            counted(self.suites.len(), "file", "files"),
            counted(cases, "case", "cases"),
            cases - failed,
            if cases - failed == 1 { "holds" } else { "hold" },
            if failed == 1 { "fails" } else { "fail" },
        );
        let objects = self.suites.iter().filter(|suite| suite.failed_cases() == 0 && !suite.holds()).count();
        for (count, told) in [
            (objects, "with other problems of objects than expected"),
            (self.unreadable.len(), "cannot be read"),
            (self.without_tests, "without tests"),
        ] {
            if count > 0 {
                summary.push_str(&format!("; {} {told}", counted(count, "file", "files")));
            }
        }
        lines.push(summary);
        lines.iter().map(|line| one_line(line) + "\n").collect()
    }

    pub(super) fn to_json(&self, coverage: Option<&Coverage>) -> Value {
        let suites = self.suites.iter().map(|suite| {
            json!({
                "file": suite.name,
                "holds": suite.holds(),
                "settings": suite.settings,
                "unexpectedDiagnostics": suite.unexpected.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "missingDiagnostics": suite.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "cases": suite.cases.iter().map(case_json).collect::<Vec<_>>(),
            })
        });
        let errors = self.unreadable.iter().map(|unreadable| &unreadable.message);
        let mut report = json!({
            "files": suites.collect::<Vec<_>>(),
            "errors": errors.collect::<Vec<_>>(),
            "filesWithoutTests": self.without_tests,
            "cases": self.cases(),
            "failed": self.failed_cases(),
        });
        if let (Some(coverage), Some(report)) = (coverage, report.as_object_mut()) {
            let undecided = coverage.undecided();
            let coverage = json!({"statements": coverage.statements(), "undecided": undecided});
            report.insert("coverage".to_owned(), coverage);
        }
        report
    }
}

fn suite_lines(suite: &Suite, lines: &mut Vec<String>) {
    let (word, failed) = (if suite.holds() { "ok   " } else { "FAIL " }, suite.failed_cases());
    let count = counted(suite.cases.len(), "case", "cases");
    let failures = if failed == 0 { String::new() } else { format!(", {failed} failed") };
    lines.push(format!("{word} {}: {count}{failures}", suite.name));
    for case in suite.cases.iter().filter(|case| !case.holds()) {
        lines.push(format!("  {}: case `{}`", suite.name, case.name));
        lines.extend(case.explain().into_iter().map(|line| format!("    {line}")));
    }
    lines.extend(problems(suite).into_iter().map(|problem| format!("  {problem}")));
}

/// What is wrong with the objects, or not wrong that should be.
pub(super) fn problems(suite: &Suite) -> Vec<String> {
    let unexpected = suite.unexpected.iter().map(|diagnostic| format!("unexpected {diagnostic}"));
    unexpected.chain(suite.missing.iter().map(|expected| format!("missing    {expected}"))).collect()
}

fn case_json(case: &Outcome) -> Value {
    let decided = case.decided.iter().map(|(statement, at)| json!({"statement": statement, "at": at}));
    json!({
        "name": case.name,
        "holds": case.holds(),
        "claims": case.claims,
        "request": case.request,
        "expected": case.expected,
        "answered": case.answer,
        "message": case.message,
        "decided": decided.collect::<Vec<_>>(),
    })
}

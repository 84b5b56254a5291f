//! # `serve --kubernetes` against the real Kubernetes API server
//!
//! Each part is a module with a function `run`, which counts its checks in the report, and a line in
//! [`PARTS`]. Parts run one after another, since an API server is heavy on a small machine, and share
//! the servers of the [`Stage`], each in namespaces of its own. `cargo test --test cluster -- NAME...`
//! runs some of them. What was measured stands in a table at the end.
//!
//! The API server is built by `make apiserver`, which `make test` does first. Where there is none and
//! no Go to build it with, every part is printed and counted as skipped.
#![expect(clippy::print_stderr, reason = "the report is for a person")]

mod access;
mod account;
mod api_server;
mod bad_input;
mod churn;
mod definitions;
mod enforced;
mod events;
mod figures;
mod functions;
mod invalid;
mod manifests;
mod many;
mod namespace;
mod outage;
mod permissions;
mod service;
mod stage;
mod tenants;
mod tokens;

#[path = "../support/mod.rs"]
mod support;

use std::pin::Pin;
use std::process::ExitCode;

use anyhow::Result;

use stage::Stage;
use support::report::Report;

/// Runs a part. What every check of it needs is its error.
type Part = for<'a> fn(&'a mut Stage, &'a mut Report) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// All parts, in the order in which they run.
const PARTS: &[(&str, Part)] = &[
    ("api-server", |stage, report| Box::pin(api_server::run(stage, report))),
    ("definitions", |stage, report| Box::pin(definitions::run(stage, report))),
    ("enforced", |stage, report| Box::pin(enforced::run(stage, report))),
    ("access", |stage, report| Box::pin(access::run(stage, report))),
    ("tokens", |stage, report| Box::pin(tokens::run(stage, report))),
    ("bad-input", |stage, report| Box::pin(bad_input::run(stage, report))),
    ("invalid", |stage, report| Box::pin(invalid::run(stage, report))),
    ("functions", |stage, report| Box::pin(functions::run(stage, report))),
    ("events", |stage, report| Box::pin(events::run(stage, report))),
    ("tenants", |stage, report| Box::pin(tenants::run(stage, report))),
    ("churn", |stage, report| Box::pin(churn::run(stage, report))),
    ("outage", |stage, report| Box::pin(outage::run(stage, report))),
    ("many", |stage, report| Box::pin(many::run(stage, report))),
    ("manifests", |stage, report| Box::pin(manifests::run(stage, report))),
];

#[tokio::main]
async fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let wanted = |part: &str| names.is_empty() || names.iter().any(|name| part.contains(name.as_str()));
    let mut report = Report::default();
    let parts = PARTS.iter().filter(|(part, _)| wanted(part));
    match stage::without_api_server() {
        Some(reason) => parts.for_each(|(part, _)| report.skip(part, &reason)),
        None => {
            if let Err(error) = run(parts, &mut report).await {
                report.fail("what every part needs", &error);
            }
        }
    }
    report.finish()
}

async fn run(parts: impl Iterator<Item = &(&'static str, Part)>, report: &mut Report) -> Result<()> {
    let mut stage = Stage::new()?;
    for (name, part) in parts {
        report.part(name);
        if let Err(error) = part(&mut stage, report).await {
            report.fail("what its checks need", &error);
        }
    }
    if report.failed() {
        eprintln!("logs are in {}", stage.keep_files().display());
    }
    Ok(())
}

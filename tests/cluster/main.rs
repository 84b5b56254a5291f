//! # Against the real Kubernetes API server
//!
//! The API server and `kubectl` are built by `make apiserver`. Where there is none and no Go to build it
//! with, every part is printed and counted as skipped.
#![expect(clippy::print_stderr, reason = "the report is for a person")]

mod manifests;
mod stage;

#[path = "../interop/report.rs"]
#[expect(clippy::print_stdout, reason = "the report is for a person")]
mod report;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use report::Report;
use stage::Stage;

#[tokio::main]
async fn main() -> ExitCode {
    let mut report = Report::default();
    match stage::without_api_server() {
        Some(reason) => report.skip("manifests", &reason),
        None => run(&mut report).await,
    }
    report.finish()
}

async fn run(report: &mut Report) {
    report.part("manifests");
    let mut stage = match Stage::new() {
        Ok(stage) => stage,
        Err(error) => return report.fail("a folder for its files", &error),
    };
    if let Err(error) = manifests::run(&mut stage, report).await {
        report.fail("what its checks need", &error);
    }
    if report.failed() {
        eprintln!("logs are in {}", stage.keep_files().display());
    }
}

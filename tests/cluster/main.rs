//! # Against the real Kubernetes API server
//!
//! `cargo test --test cluster`. Without the API server that `make apiserver` builds, the part is
//! printed and counted as skipped.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report is for a person")]

mod definitions;

#[path = "../interop/report.rs"]
#[expect(dead_code, reason = "shared with the interop tests")]
mod report;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use report::Report;
use support::api_server;

#[tokio::main]
async fn main() -> ExitCode {
    let mut report = Report::default();
    if let Err(reason) = api_server::binary() {
        report.skip(definitions::PART, &reason.to_string());
        return report.finish();
    }
    report.part(definitions::PART);
    match tempfile::Builder::new().prefix("faas-iam-definitions-").tempdir() {
        Ok(files) => {
            if let Err(error) = definitions::run(files.path(), &mut report).await {
                report.fail("what its checks need", &error);
            }
            if report.failed() {
                eprintln!("its log is in {}", files.keep().display());
            }
        }
        Err(error) => report.fail("a folder for its files", &error.into()),
    }
    report.finish()
}

//! # The other real parts: `make interop`
//!
//! `make test` has the real Envoy and the real Kubernetes API server. Here are the programs that people use around it, unchanged, each
//! against the real `faas-iam` behind the real Envoy:
//!
//! - Dex, where people and machines sign in,
//! - an OpenID client library, which verifies our tokens by our public documents,
//! - the OpenFaaS Go SDK,
//! - `faas-cli`,
//! - `istioctl`, for the manifests of a mesh,
//! - the JWT middleware of the OpenFaaS watchdogs.
//!
//! And a million generated requests are read by us and by the libraries that the gateway and the
//! providers read with ([`oracle`]), and fifty thousand go through all parts to the end ([`rig`]).
//!
//! They are built from their Go modules with a few small programs of our own (`go/`). Each part is
//! printed as `run`, or as `skipped` with its reason, and the last line counts: the checks of the
//! parts that ran, and the parts that were skipped.
#![expect(clippy::print_stderr, reason = "the report is for a person")]

mod dex;
mod faas_cli;
mod istio;
mod openid;
mod oracle;
mod rig;
mod sdk;
mod stage;
mod toolchain;
mod watchdog;

#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use anyhow::Result;

use stage::Stage;
use support::report::Report;
use toolchain::Toolchain;

/// Whose reading of requests counts. Every client call is made for each.
const PROVIDERS: [&str; 3] = ["any", "faas-netes", "faasd"];

#[tokio::main]
async fn main() -> ExitCode {
    let mut report = Report::default();
    if let Err(error) = run(&mut report).await {
        report.fail("the parts that every check needs", &error);
    }
    report.finish()
}

async fn run(report: &mut Report) -> Result<()> {
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(reason) => {
            for part in [
                dex::PART,
                openid::PART,
                sdk::PART,
                faas_cli::PART,
                watchdog::PART,
                oracle::PART,
                istio::PART,
                rig::PART,
            ] {
                report.skip(part, &reason);
            }
            return Ok(());
        }
    };
    // `cargo test --test interop -- oracle`, or `rig` or `clients`, with GO set.
    let only = |part: &str| std::env::args().skip(1).any(|arg| arg == part);
    if only("oracle") {
        let built = toolchain.build(report, |program| program == "oracle").await?;
        oracle::run(report, &built).await;
        return Ok(());
    }
    if only("istio") {
        let built = toolchain.build(report, istio::needs).await?;
        istio::run(report, &built).await;
        return Ok(());
    }
    if only("rig") {
        let built = toolchain.build(report, |program| program == "rig").await?;
        rig::run(report, &built).await;
        return Ok(());
    }
    if only("clients") {
        let built = toolchain
            .build(report, |program| !["oracle", "rig"].contains(&program) && !istio::needs(program))
            .await?;
        return clients(report, &built).await;
    }
    let built = toolchain.build(report, |_| true).await?;
    oracle::run(report, &built).await;
    rig::run(report, &built).await;
    istio::run(report, &built).await;
    clients(report, &built).await
}

/// The programs that people use, for each of the providers.
async fn clients(report: &mut Report, built: &toolchain::Built) -> Result<()> {
    for provider in PROVIDERS {
        let mut stage = Stage::build(built, provider).await?;
        let checked = parts(report, &stage, built, provider).await;
        if checked.is_err() || report.failed() {
            eprintln!("logs are in {}", stage.keep_files().display());
        }
        checked?;
    }
    Ok(())
}

/// With `--provider any` everything; with the others, what official clients send.
async fn parts(
    report: &mut Report,
    stage: &Stage,
    built: &toolchain::Built,
    provider: &'static str,
) -> Result<()> {
    report.part(&format!("--provider {provider}"));
    let tokens = dex::run(report, stage, built).await?;
    sdk::run(report, stage, built, &tokens).await;
    faas_cli::run(report, stage, built, &tokens, provider).await;
    if provider == "any" {
        openid::run(report, stage, built, &tokens).await;
        watchdog::run(report, stage, built, &tokens).await;
    }
    report.part("what all of them logged");
    report.count("no log holds a token, a password or a key", stage.logs_hold_no_secret());
    Ok(())
}

//! # See it work: `make demo`
//!
//! `make demo` needs a Rust toolchain and Python 3 (for the Envoy binary); no cluster, no container.
//! It starts, on loopback ports only and as ordinary processes,
//!
//! - Envoy with the shipped `envoy/envoy.yaml`,
//! - `faas-iam serve` with the policies of `examples/demo/policies`,
//! - an OpenFaaS API in memory, with the namespaces `dev` and `prod`,
//! - a small OpenID provider where `alice` (a developer) and `bob` (an operator) can sign in,
//!
//! and then walks through what faas-iam does: alice signs in and exchanges her ID token, lists and
//! deploys functions in `dev`, and is refused when she deletes one in `prod`. A policy file that
//! appears while all runs changes that within moments, for the token she already has. Each request
//! is shown as a `curl` command that you can paste into a terminal.
//!
//! Everything stays up until Ctrl-C, for you to try more. `make demo ONCE=1` checks each answer,
//! stops everything, and fails if one was not as it should be.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a demo talks to a person")]

mod call;
mod stage;
mod walk;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use stage::Stage;

#[tokio::main]
async fn main() -> ExitCode {
    let once = match arguments() {
        Ok(once) => once,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(64);
        }
    };
    match perform(once).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether `--once` was given.
fn arguments() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(false),
        ["--once"] => Ok(true),
        _ => bail!("usage: demo [--once]"),
    }
}

async fn perform(once: bool) -> Result<()> {
    let mut stop = std::pin::pin!(stop_signal());
    let mut stage = tokio::select! {
        stage = Stage::build() => stage?,
        () = &mut stop => return Ok(()),
    };
    let walked = tokio::select! {
        walked = walk::walk(&stage) => walked,
        () = &mut stop => return Ok(()),
    };
    if let Err(error) = walked {
        let logs = stage.keep_files();
        return Err(error.context(format!("logs are in {}", logs.display())));
    }
    if once {
        stage.say("every answer was as it should be");
        return Ok(());
    }
    stage.describe();
    tokio::select! {
        () = stop => stage.say("stopping"),
        ended = stage.watch() => return Err(ended),
    }
    Ok(())
}

/// Ends with Ctrl-C or SIGTERM.
async fn stop_signal() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate => {}
    }
}

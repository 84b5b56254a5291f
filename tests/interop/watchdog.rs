//! The JWT middleware of the watchdogs, which functions with `jwt_auth` have in front of them.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;

use crate::dex::Tokens;
use crate::stage::Stage;
use crate::support::http;
use crate::support::process::{Process, free_port, loopback, wait_for_port};
use crate::support::report::Report;
use crate::toolchain::Built;

/// The name in the report.
pub(crate) const PART: &str = "the watchdogs' JWT middleware";

/// Functions behind the middleware.
#[derive(Debug)]
struct Functions {
    hello: SocketAddr,
    other: SocketAddr,
    checkout: SocketAddr,
    _watchdog: Process,
}

/// Runs the part.
pub(crate) async fn run(report: &mut Report, stage: &Stage, built: &Built, tokens: &Tokens) {
    report.part(PART);
    let check = "it starts with our discovery document and key set";
    let Some(functions) = report.step(check, start(stage, built)).await else { return };

    let checks = [
        (
            "a function token reaches its function, by way of Envoy",
            named(stage, &functions, &tokens.api).await,
        ),
        ("it reaches no other function", another(stage, &functions, &tokens.api).await),
        (
            "one without an audience reaches what the policies allow",
            any(stage, &functions, &tokens.api).await,
        ),
        ("a token for the API reaches no function", refused(functions.hello, &tokens.api, 403).await),
        ("a token of the provider neither", refused(functions.hello, &tokens.id_token, 401).await),
    ];
    for (check, result) in checks {
        report.count(check, result);
    }
}

async fn start(stage: &Stage, built: &Built) -> Result<Functions> {
    let (hello, other, checkout) = (loopback(free_port()?), loopback(free_port()?), loopback(free_port()?));
    let mut command = Command::new(built.program("watchdog")?);
    command
        .arg(format!("-gateway={}", stage.envoy.addresses.listener))
        .arg(format!("-function=dev:hello={hello}"))
        .arg(format!("-function=dev:other={other}"))
        .arg(format!("-function=prod:checkout={checkout}"));
    let mut watchdog = Process::start("watchdog", command, &stage.file(""))?;
    for address in [hello, other, checkout] {
        wait_for_port(&mut watchdog, address, Duration::from_secs(20)).await?;
    }
    Ok(Functions { hello, other, checkout, _watchdog: watchdog })
}

/// The function gets the token as Envoy passed it on.
async fn named(stage: &Stage, functions: &Functions, api: &str) -> Result<()> {
    let token = stage.function_token(api, &["dev:hello"]).await?;
    stage.gateway.reset();
    let answer = stage.call(Method::POST, "/function/hello.dev", &token, None).await?;
    ensure!(answer.status() == 200, "{} at Envoy", answer.status());
    let passed_on = stage.gateway.recorded();
    let header = passed_on.first().and_then(|request| request.header("authorization"));
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).context("no token was passed on")?;
    reached(functions.hello, token, "dev:hello").await
}

async fn another(stage: &Stage, functions: &Functions, api: &str) -> Result<()> {
    let token = stage.function_token(api, &["dev:hello"]).await?;
    refused(functions.other, &token, 403).await
}

async fn any(stage: &Stage, functions: &Functions, api: &str) -> Result<()> {
    let token = stage.function_token(api, &[]).await?;
    reached(functions.hello, &token, "dev:hello").await?;
    reached(functions.other, &token, "dev:other").await?;
    refused(functions.checkout, &token, 403).await
}

async fn reached(address: SocketAddr, token: &str, function: &str) -> Result<()> {
    let answer = http::client()?.get(format!("http://{address}/")).bearer_auth(token).send().await?;
    let (status, body) = (answer.status(), answer.text().await?);
    ensure!(status == 200 && body == format!("{function} was reached"), "{status} {body}");
    Ok(())
}

async fn refused(address: SocketAddr, token: &str, expected: u16) -> Result<()> {
    let answer = http::client()?.get(format!("http://{address}/")).bearer_auth(token).send().await?;
    ensure!(answer.status() == expected, "{} instead of {expected}", answer.status());
    Ok(())
}

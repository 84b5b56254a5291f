//! What identity providers in trouble cost: figures, printed as one table.
//!
//! The latency of another provider's tokens is measured at two services by turns: one that the
//! provider in trouble is registered at, and one that has never heard of it. Whatever else the
//! machine does then slows both. Only counts and outcomes are asserted.

mod load;
mod rotation;

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use axum::http::StatusCode;
use serde_json::json;

use crate::stack::{CLIENT_ID, eventually};
use crate::support::identity_provider::{IdentityProvider, Trouble};
use load::Service;

/// How many tokens of the other provider are exchanged and used in each row, at each service.
const TOKENS: usize = 600;

/// The shortest wait between two fetches from a provider whose keys are not held.
const SHORTEST_WAIT: f64 = 0.75;

/// What one kind of trouble cost.
struct Cost {
    /// How often the provider in trouble was asked.
    fetches: usize,
    /// For how long it was in trouble.
    seconds: f64,
    /// Until a token under a new key was accepted.
    new_key_after: Duration,
    /// Of the other provider's tokens.
    beside: Latency,
    /// The same without the provider in trouble.
    without: Latency,
}

#[derive(Default)]
struct Latency {
    exchange: Vec<Duration>,
    check: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_in_trouble_cost_others_nothing() -> Result<()> {
    let elsewhere = IdentityProvider::start().await?;
    let redirect = format!("{}/.well-known/openid-configuration", elsewhere.issuer);
    let mut table = heading()?;
    for (name, trouble) in [
        ("hangs", Some(Trouble::Hangs)),
        ("answers 500", Some(Trouble::Status(StatusCode::INTERNAL_SERVER_ERROR))),
        ("serves 10 MB", Some(Trouble::Long(10_000_000))),
        ("redirects away", Some(Trouble::Redirect(redirect))),
        ("rotates its keys", None),
    ] {
        row(&mut table, name, &cost(trouble).await?)?;
    }
    ensure!(elsewhere.counts().discovery == 0, "a redirect to another host was followed");
    let (kids, rotation) = tokio::try_join!(load::random_kids(), rotation::our_keys_rotate())?;
    writeln!(table, "  {kids}\n  {rotation}")?;
    // Past the capture of the test's output, so that it is seen where the test passes.
    Ok(stdout().write_all(table.as_bytes())?)
}

/// Measures beside a provider in trouble, or beside one that changes its keys.
async fn cost(trouble: Option<Trouble>) -> Result<Cost> {
    let (good, other) = (IdentityProvider::start().await?, IdentityProvider::start().await?);
    let rotates = trouble.is_none();
    other.set_trouble(trouble);
    let mut start = Instant::now();
    let beside = Service::start(&[&good, &other]).await?;
    let without = Service::start(&[&good]).await?;
    for service in [&beside, &without] {
        service.until_known(&good).await?;
    }
    let mut before = 0;
    if rotates {
        beside.until_known(&other).await?;
        (start, before) = (Instant::now(), other.counts().discovery);
    }
    let mut cost = Cost {
        fetches: 0,
        seconds: 0.0,
        new_key_after: Duration::ZERO,
        beside: Latency::default(),
        without: Latency::default(),
    };
    if rotates {
        cost.new_key_after = until_new_key(&beside, &other).await?;
    }
    for i in 0..TOKENS {
        // Alternately, so that neither is always the first after a wait.
        let mut turns = [(&beside, &mut cost.beside), (&without, &mut cost.without)];
        turns.rotate_left(i % 2);
        for (service, latency) in turns {
            let (exchange, check) = service.use_token(&good).await?;
            latency.exchange.push(exchange);
            latency.check.push(check);
        }
        let accepted = beside.exchange(&other.id_token("alice", CLIENT_ID, &json!({}))?).await?.is_some();
        ensure!(accepted == rotates, "a token of the provider in trouble: {accepted}");
    }
    (cost.fetches, cost.seconds) = (other.counts().discovery - before, start.elapsed().as_secs_f64());
    if !rotates {
        let most = cost.seconds / SHORTEST_WAIT + 2.0;
        ensure!(cost.fetches as f64 <= most, "{} fetches in {:.1} s", cost.fetches, cost.seconds);
        other.set_trouble(None);
        cost.new_key_after = until_new_key(&beside, &other).await?;
    }
    ensure!(good.counts().discovery == 2, "one fetch for each service: {:?}", good.counts());
    Ok(cost)
}

/// From the first token under a new key until one is accepted. The older key stays published.
async fn until_new_key(service: &Service, provider: &IdentityProvider) -> Result<Duration> {
    provider.add_key()?;
    let token = provider.id_token("alice", CLIENT_ID, &json!({}))?;
    let start = Instant::now();
    eventually("a token under a new key is accepted", async || {
        let accepted = service.exchange(&token).await?.is_some();
        Ok(if accepted { Ok(start.elapsed()) } else { Err("not yet".to_owned()) })
    })
    .await
}

fn heading() -> Result<String> {
    let mut table = String::new();
    writeln!(
        table,
        "\nidentity providers in trouble, and {TOKENS} tokens of another meanwhile, one at a time;"
    )?;
    writeln!(
        table,
        "in brackets the same without the provider in trouble; no token of the other was refused\n"
    )?;
    writeln!(
        table,
        "  {:<17} {:>14} {:>11}   {:<31}   {:<31}",
        "", "", "new key", "exchange, ms", "check, ms"
    )?;
    writeln!(
        table,
        "  {:<17} {:>14} {:>11}   {:<15} {:<15}   {:<15} {:<15}",
        "the provider", "fetches", "accepted", "median", "p99", "median", "p99"
    )?;
    Ok(table)
}

fn row(table: &mut String, name: &str, cost: &Cost) -> Result<()> {
    let fetches = format!("{} in {:.1} s", cost.fetches, cost.seconds);
    let after = format!("{:.2} s", cost.new_key_after.as_secs_f64());
    let pair = |of: fn(&Latency) -> &[Duration], share: f64| {
        format!("{:.2} ({:.2})", quantile(of(&cost.beside), share), quantile(of(&cost.without), share))
    };
    Ok(writeln!(
        table,
        "  {name:<17} {fetches:>14} {after:>11}   {:<15} {:<15}   {:<15} {:<15}",
        pair(|latency| &latency.exchange, 0.5),
        pair(|latency| &latency.exchange, 0.99),
        pair(|latency| &latency.check, 0.5),
        pair(|latency| &latency.check, 0.99),
    )?)
}

/// In milliseconds.
fn quantile(times: &[Duration], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = (times.len() as f64 * share) as usize;
    times.get(at.min(times.len() - 1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

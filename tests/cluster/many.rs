//! Ten thousand Policies and as many Roles: the first start, the memory, and what an edit costs those
//! who ask meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use crate::figures::{Times, shown};
use crate::namespace::{CLIENT_ID, Namespace};
use crate::service::{LIST, Service};
use crate::stage::Stage;
use crate::support::identity_provider::IdentityProvider;
use crate::support::objects::{policy, role};
use crate::support::patience::PATIENCE;
use crate::support::report::Report;

const NAMESPACE: &str = "many";

/// How many of each kind.
const OBJECTS: usize = 10_000;

/// How many are made at once.
const AT_ONCE: usize = 16;

/// How many edits are made while decisions are measured, and how long decisions are measured without.
const EDITS: usize = 20;
const QUIET: Duration = Duration::from_secs(3);

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let (dir, one_dir) = (stage.folder(NAMESPACE)?, stage.folder("many/one")?);
    let server = &*stage.shared().await?;
    let namespace = Namespace::make(server, NAMESPACE).await?;
    let provider = IdentityProvider::start().await?;
    namespace.trust(&provider).await?;
    namespace.grant("alice", "Function:List", "dev:*").await?;
    let one = Service::start(&server.kubeconfig(), NAMESPACE, &[], &one_dir).await?;
    let least = one.memory()?;
    drop(one);
    report.step("10,000 Policies and 10,000 Roles are made", fill(namespace)).await;

    let began = Instant::now();
    let service = Service::start(&server.kubeconfig(), NAMESPACE, &[], &dir).await?;
    let build = if cfg!(debug_assertions) { "unoptimised build" } else { "optimised build" };
    report.figure(format!("10,000 Policies and Roles ({build}): first ready after"), shown(began.elapsed()));
    let (all, mib) = (service.memory()?, 1024);
    report.figure("  memory (RSS), and with one of each", format!("{} MiB, {} MiB", all / mib, least / mib));

    let token = service.exchange(&provider.id_token("alice", CLIENT_ID, &json!({}))?).await?;
    let bench = Bench { namespace, service, token };
    if let Some(times) = report.step("decisions while nothing changes", bench.quiet()).await {
        report.figure("  a decision (Check) while nothing changes", times.summary());
    }
    if let Some((checks, edits)) = report.step("decisions while objects are edited", bench.edited()).await {
        report.figure("  a decision (Check) during edits", checks.summary());
        report.figure("  an edit in force", edits.summary());
    }
    report.figure("  memory (RSS) after the edits", format!("{} MiB", bench.service.memory()? / mib));
    Ok(())
}

async fn fill(namespace: Namespace<'_>) -> Result<()> {
    let writes = stream::iter(0..OBJECTS).map(|index| async move {
        let name = format!("n{index}");
        let resource = format!("ns{}:*", index % 100);
        namespace.apply("policies", &name, &policy(&name, "Function:List", &resource)).await?;
        namespace.apply("roles", &name, &role(&name, &format!("user-{index}"), &name)).await
    });
    writes.buffer_unordered(AT_ONCE).try_collect::<()>().await
}

struct Bench<'a> {
    namespace: Namespace<'a>,
    service: Service,
    token: String,
}

// === impl Bench ===

impl Bench<'_> {
    async fn check(&self, times: &mut Times) -> Result<u16> {
        let began = Instant::now();
        let status = self.service.check(&self.token, "GET", LIST).await?;
        times.add(began.elapsed());
        ensure!(matches!(status, 200 | 403), "a decision became {status}");
        Ok(status)
    }

    async fn quiet(&self) -> Result<Times> {
        let (mut times, began) = (Times::default(), Instant::now());
        while began.elapsed() < QUIET {
            self.check(&mut times).await?;
        }
        Ok(times)
    }

    /// The times of decisions, one after another, while edits are made; and of the edits.
    async fn edited(&self) -> Result<(Times, Times)> {
        let (mut checks, mut edits) = (Times::default(), Times::default());
        for edit in 0..EDITS {
            let (resource, expected) = if edit % 2 == 0 { ("prod:*", 403) } else { ("dev:*", 200) };
            let began = Instant::now();
            self.namespace.apply("policies", "alice", &policy("alice", "Function:List", resource)).await?;
            while self.check(&mut checks).await? != expected {
                ensure!(began.elapsed() < PATIENCE, "edit {edit} is not in force");
            }
            edits.add(began.elapsed());
        }
        Ok((checks, edits))
    }
}

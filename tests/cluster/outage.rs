//! The API server is away for more than a minute: decisions go on, the age of what is known grows, and
//! with `--max-staleness` nothing is in force beyond it; when it is back, all is caught up with.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::figures::shown;
use crate::namespace::{CLIENT_ID, Namespace};
use crate::service::{LIST, Service};
use crate::stage::Stage;
use crate::support::api_server::ApiServer;
use crate::support::identity_provider::IdentityProvider;
use crate::support::objects::role;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::report::Report;

const NAMESPACE: &str = "outage";

/// How long the API server is away, and how old what is known may become for the one that has a limit.
const AWAY: Duration = Duration::from_secs(70);
const LIMIT: Duration = Duration::from_secs(60);

const AGE: &str = "faas_iam_source_age_seconds";
const TOO_OLD: &str = "the policies were not confirmed for ";

/// Two services, and a token that both accept.
struct Bench {
    patient: Service,
    limited: Service,
    token: String,
}

/// What was seen while the API server was away.
#[derive(Debug, Default)]
struct Seen {
    decisions: usize,
    first_age: f64,
    last_age: f64,
    /// When the one with the limit stopped to decide.
    closed_after: Option<Duration>,
}

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let (dir, limited_dir) = (stage.folder(NAMESPACE)?, stage.folder("outage/limited")?);
    let server = stage.killable().await?;
    let namespace = Namespace::make(server, NAMESPACE).await?;
    let provider = IdentityProvider::start().await?;
    namespace.trust(&provider).await?;
    namespace.grant("alice", "Function:List", "dev:*").await?;
    let kubeconfig = server.kubeconfig();
    let patient = Service::start(&kubeconfig, NAMESPACE, &[], &dir).await?;
    std::fs::copy(dir.join("issuer.key"), limited_dir.join("issuer.key"))?;
    let flags = [format!("--max-staleness={}s", LIMIT.as_secs())];
    let limited = Service::start(&kubeconfig, NAMESPACE, &flags, &limited_dir).await?;
    let token = patient.exchange(&provider.id_token("alice", CLIENT_ID, &json!({}))?).await?;
    limited.until_status(&token, LIST, 200).await?;

    let mut bench = Bench { patient, limited, token };
    server.kill();
    let away = report.step("decisions go on without it, up to --max-staleness", bench.goes_on()).await;
    if let Some(seen) = away {
        let ages = format!("{:.0} s to {:.0} s", seen.first_age, seen.last_age);
        report.figure(
            format!("API server away for {}: decisions, age", shown(AWAY)),
            format!("{}, {ages}", seen.decisions),
        );
        let closed = seen.closed_after.map_or_else(|| "never".to_owned(), shown);
        report.figure("  with --max-staleness=60s: closed after", closed);
    }
    server.restart().await?;
    if let Some((open, known)) =
        report.step("it is back: all is caught up with", bench.catches_up(server)).await
    {
        report.figure(
            "  back: ready again, an edit in force after",
            format!("{}, {}", shown(open), shown(known)),
        );
    }
    Ok(())
}

// === impl Bench ===

impl Bench {
    async fn goes_on(&mut self) -> Result<Seen> {
        let began = Instant::now();
        let mut seen = Seen { first_age: age(&self.patient).await?, ..Seen::default() };
        while began.elapsed() < AWAY {
            let status = self.patient.check(&self.token, "GET", LIST).await?;
            ensure!(status == 200, "a decision became {status} after {:?}", began.elapsed());
            seen.decisions += 1;
            self.limited_decides(&mut seen, began).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        seen.last_age = age(&self.patient).await?;
        // It had been confirmed at most a watch's length before.
        let grown = seen.last_age - seen.first_age;
        ensure!(grown > AWAY.as_secs_f64() - 5.0, "the age grew by {grown} s only");
        ensure!(self.patient.ready().await?.status == 200, "it is not ready");
        ensure!(self.patient.metric("faas_iam_source_up").await?.iter().all(|up| *up == 0.0));
        ensure!(seen.closed_after.is_some(), "--max-staleness closed nothing");
        let ready = self.limited.ready().await?;
        ensure!(ready.status == 503 && ready.text.contains(TOO_OLD), "{ready:?}");
        for service in [&mut self.patient, &mut self.limited] {
            service.faas_iam.process.check_running()?;
        }
        Ok(seen)
    }

    /// It decides as long as what is known is not too old, and then never.
    async fn limited_decides(&self, seen: &mut Seen, began: Instant) -> Result<()> {
        let status = self.limited.check(&self.token, "GET", LIST).await?;
        let age = age(&self.limited).await?;
        let (limit, slack) = (LIMIT.as_secs_f64(), 5.0);
        match status {
            200 => ensure!(age < limit + slack && seen.closed_after.is_none(), "it decides at {age} s"),
            503 => {
                ensure!(age > limit - slack, "it is closed at {age} s");
                seen.closed_after.get_or_insert(began.elapsed());
            }
            other => anyhow::bail!("a decision became {other}"),
        }
        Ok(())
    }

    /// How long it takes until the one with the limit is ready again, and until an edit is in force.
    async fn catches_up(&mut self, server: &ApiServer) -> Result<(Duration, Duration)> {
        let began = Instant::now();
        let namespace = Namespace { server, name: NAMESPACE };
        namespace.apply("roles", "alice", &role("alice", "bob", "alice")).await?;
        while self.limited.ready().await?.status != 200 {
            ensure!(began.elapsed() < PATIENCE, "it is not ready again: {:?}", self.limited.ready().await?);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let open = began.elapsed();
        self.patient.until_status(&self.token, LIST, 403).await?;
        self.limited.until_status(&self.token, LIST, 403).await?;
        let known = began.elapsed();
        eventually("every kind is confirmed again", async || {
            for service in [&self.patient, &self.limited] {
                let (age, up) = (age(service).await?, service.metric("faas_iam_source_up").await?);
                if age > AWAY.as_secs_f64() / 2.0 || up.contains(&0.0) {
                    return Ok(Err(format!("age {age} s, {up:?}")));
                }
            }
            Ok(Ok(()))
        })
        .await?;
        for service in [&mut self.patient, &mut self.limited] {
            service.faas_iam.process.check_running()?;
        }
        Ok((open, known))
    }
}

/// The age of the kind that was confirmed the longest time ago.
async fn age(service: &Service) -> Result<f64> {
    Ok(service.metric(AGE).await?.into_iter().fold(0.0, f64::max))
}

//! Random creates, edits, deletions and renamings, while the API server is killed and forgets old
//! versions, and while the service hears nothing: what is in force in the end is what a service sees
//! that has just been started, and what the compiler makes of the objects that should be there.

mod model;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use crate::figures::shown;
use crate::namespace::{CLIENT_ID, Namespace};
use crate::service::Service;
use crate::stage::Stage;
use crate::support::api_server::ApiServer;
use crate::support::identity_provider::IdentityProvider;
use crate::support::objects::{issuer, policy};
use crate::support::patience::eventually;
use crate::support::report::Report;
use model::{Change, Model, PLACES, SUBJECTS};

const NAMESPACE: &str = "churn";
const SEED: u64 = 0x5eed;

/// How many steps there are, and after which of them something happens.
const STEPS: usize = 500;
const KILLED_AFTER: [usize; 3] = [97, 211, 402];
const COMPACTED_AFTER: [usize; 4] = [50, 150, 333, 450];

/// While these go on, the service stands still; in the middle for so long that the API server ends its
/// watches, so that what comes then is told by none.
const UNHEARD: std::ops::Range<usize> = 240..320;
const MIDDLE: usize = 280;
const WATCH: Duration = Duration::from_secs(31);

/// What a version that was forgotten looks like.
const GONE: &str = "fell too far behind (410)";

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let (dir, fresh_dir) = (stage.folder(NAMESPACE)?, stage.folder("churn/fresh")?);
    let server = stage.killable().await?;
    let provider = IdentityProvider::start().await?;
    let mut model = Model::new(NAMESPACE, SEED);
    begin(server, &mut model, &provider).await?;
    let mut service = Service::start(&server.kubeconfig(), NAMESPACE, &[], &dir).await?;

    let check = format!("{STEPS} steps, with 3 kills and 5 compactions");
    if report.step(&check, churn(server, &mut model, &mut service)).await.is_none() {
        return Ok(());
    }
    let changed = Instant::now();
    let known = report.step("the service knows all of it", knows(&service, &model)).await;
    if known.is_some() {
        report.figure("churn: all known after the last of 500 steps", shown(changed.elapsed()));
    }
    fs::copy(dir.join("issuer.key"), fresh_dir.join("issuer.key"))?;
    let fresh = Service::start(&server.kubeconfig(), NAMESPACE, &[], &fresh_dir).await?;
    report.step("its snapshot is that of a fresh start", same_snapshot(&service, &fresh)).await;
    let decisions = same_decisions(&service, &fresh, &provider).await;
    if let Some((allowed, denied)) = report.step("and so are its decisions", async { decisions }).await {
        let gone = service.log().matches(GONE).count();
        let value = format!("{} objects; {gone} times 410; {allowed} allows, {denied} denials", model.len());
        report.figure("churn: equal to a fresh start", value);
    }
    Ok(())
}

/// The provider, and a Role for everybody, so that tokens are given out.
async fn begin(server: &ApiServer, model: &mut Model, provider: &IdentityProvider) -> Result<()> {
    let namespace = Namespace::make(server, NAMESPACE).await?;
    let everybody = json!({
        "apiVersion": "iam.openfaas.com/v1", "kind": "Role", "metadata": {"name": "everybody"},
        "spec": {"policy": ["info"], "condition": {"StringLike": {"jwt:sub": ["*"]}}},
    });
    let objects = [
        ("jwtissuers", "provider", issuer(&provider.issuer, CLIENT_ID)),
        ("policies", "info", policy("info", "System:Info", "*")),
        ("roles", "everybody", everybody.to_string()),
    ];
    for (kind, name, text) in objects {
        namespace.apply(kind, name, &text).await?;
        let mut object: serde_json::Value = serde_saphyr::from_str(&text)?;
        if let Some(metadata) = object.pointer_mut("/metadata").and_then(|metadata| metadata.as_object_mut())
        {
            metadata.insert("namespace".to_owned(), NAMESPACE.into());
        }
        model.note(((kind, name.to_owned()), Some(object)));
    }
    Ok(())
}

async fn churn(server: &mut ApiServer, model: &mut Model, service: &mut Service) -> Result<()> {
    let mut stopped = Instant::now();
    for step in 0..STEPS {
        if step == UNHEARD.start {
            knows(service, model).await?;
            all_watched(service).await?;
            service.faas_iam.process.signal(Signal::STOP)?;
            stopped = Instant::now();
        }
        for change in model.step() {
            make(server, change).await.with_context(|| format!("step {step}"))?;
        }
        if KILLED_AFTER.contains(&step) {
            server.kill();
            server.restart().await?;
        }
        if COMPACTED_AFTER.contains(&step) {
            server.compact().await?;
        }
        if step == MIDDLE {
            tokio::time::sleep(WATCH.saturating_sub(stopped.elapsed())).await;
        }
        if step == UNHEARD.end {
            server.compact().await?;
            service.faas_iam.process.signal(Signal::CONT)?;
        }
    }
    eventually("a version was forgotten", async || {
        let log = service.log();
        Ok(if log.contains(GONE) { Ok(()) } else { Err(format!("the log does not say `{GONE}`")) })
    })
    .await?;
    service.faas_iam.process.check_running()
}

async fn make(server: &ApiServer, ((kind, name), object): Change) -> Result<()> {
    let namespace = Namespace { server, name: NAMESPACE };
    match object {
        Some(object) => namespace.apply(kind, &name, &object.to_string()).await,
        None => namespace.delete(kind, &name).await?.expect(200).map(drop),
    }
}

async fn knows(service: &Service, model: &Model) -> Result<()> {
    let expected = model.revision();
    eventually("the revision is that of the objects", async || {
        let seen = service.snapshot().await?.revision;
        Ok(if seen == expected { Ok(()) } else { Err(format!("{seen} instead of {expected}")) })
    })
    .await
}

/// Only then the API server ends its watches, and not the service its tries.
async fn all_watched(service: &Service) -> Result<()> {
    eventually("every kind is watched", async || {
        let up = service.metric("faas_iam_source_up").await?;
        Ok(if up.contains(&0.0) { Err(format!("{up:?}")) } else { Ok(()) })
    })
    .await
}

async fn same_snapshot(service: &Service, fresh: &Service) -> Result<()> {
    let (one, other) = (service.snapshot().await?, fresh.snapshot().await?);
    ensure!(one == other, "{one:?}\n{other:?}");
    ensure!(!one.diagnostics.is_empty(), "nothing is invalid, which makes for a weak comparison");
    Ok(())
}

/// Every subject, at every place, by both. How many were allowed and denied.
async fn same_decisions(
    service: &Service,
    fresh: &Service,
    provider: &IdentityProvider,
) -> Result<(usize, usize)> {
    let (mut allowed, mut denied) = (0, 0);
    for subject in 0..SUBJECTS {
        let id_token = provider.id_token(&format!("u{subject}"), CLIENT_ID, &json!({}))?;
        let token = service.exchange(&id_token).await?;
        for place in 0..PLACES {
            let target = format!("/system/functions?namespace=n{place}");
            let seen = service.check(&token, "GET", &target).await?;
            let expected = fresh.check(&token, "GET", &target).await?;
            ensure!(seen == expected, "u{subject} on n{place}: {seen}, but {expected} by a fresh start");
            ensure!(matches!(seen, 200 | 403), "u{subject} on n{place}: {seen}");
            if seen == 200 { allowed += 1 } else { denied += 1 }
        }
    }
    ensure!(allowed > 0 && denied > 0, "{allowed} allowed and {denied} denied: the seed is a poor one");
    Ok((allowed, denied))
}

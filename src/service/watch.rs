//! Keeps what is in force up to date with the disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tonic_health::server::HealthReporter;

use super::load_signing_keys;
use crate::compile::{Bundle, Code, Diagnostic, Severity};
use crate::crd::Defaults;
use crate::source::files;
use crate::source::kubernetes::{self, Cluster, Status};
use crate::state::{State, aside};
use crate::telemetry::Metrics;
use crate::transport::gateway_credentials::GatewayCredentials;
use crate::transport::grpc;
use crate::transport::tls::Tls;

/// How often keys and credentials are read again. A mounted Secret changes far less often.
const REREAD: Duration = Duration::from_secs(5);

/// How often the age of what is known is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Puts objects in force. After the first time the service is ready.
pub(super) struct Publisher {
    state: Arc<State>,
    /// Used once: a service that has begun to stop does not come back because an object is edited.
    health: Option<HealthReporter>,
    /// What was wrong with the objects before, sorted: each problem is logged once.
    known: Vec<Diagnostic>,
}

// === impl Publisher ===

impl Publisher {
    pub(super) fn new(state: Arc<State>, health: HealthReporter) -> Self {
        Self { state, health: Some(health), known: Vec::new() }
    }

    fn publish(&mut self, bundle: Bundle) {
        if self.state.publish_objects(bundle) {
            aside(|| self.report());
        }
        if let Some(health) = self.health.take() {
            tokio::spawn(async move { grpc::set_health(&health, true).await });
        }
    }

    fn report(&mut self) {
        let Some(loaded) = self.state.current() else { return };
        let counts = loaded.snapshot.counts;
        tracing::info!(
            revision = %loaded.snapshot.revision,
            issuers = counts.issuers,
            policies = counts.policies,
            roles = counts.roles,
            "a new snapshot is in force"
        );
        for diagnostic in &loaded.diagnostics {
            if self.known.binary_search(diagnostic).is_err() {
                tracing::warn!("{diagnostic}");
            }
        }
        self.known.clone_from(&loaded.diagnostics);
    }
}

/// Publishes the objects of a directory, now and whenever they change.
pub(super) async fn directory(
    directory: PathBuf,
    defaults: Defaults,
    mut publisher: Publisher,
) -> anyhow::Result<()> {
    let shown = directory.display().to_string();
    let publish = |loaded: std::io::Result<Bundle>| {
        publisher.publish(loaded.unwrap_or_else(|error| gone(&shown, &error)));
    };
    files::watch(directory, defaults, publish)
        .await
        .with_context(|| format!("--policy-dir {shown}: cannot be watched"))
}

/// Publishes the objects of a cluster, when all are known and whenever they change.
pub(super) async fn cluster(
    cluster: Cluster,
    defaults: Defaults,
    status: Status,
    mut publisher: Publisher,
) -> anyhow::Result<()> {
    kubernetes::watch(cluster, defaults, status, |bundle| {
        if bundle.issuers.is_empty() && bundle.policies.is_empty() && bundle.roles.is_empty() {
            tracing::warn!("the namespace holds no JwtIssuer, Policy or Role: nobody is allowed anything");
        }
        publisher.publish(bundle);
    })
    .await
}

/// Takes what is in force out of it while the cluster has not confirmed it for longer than `limit`.
pub(super) async fn age(status: Status, limit: Option<Duration>, state: Arc<State>) -> anyhow::Result<()> {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let too_old = status.age().is_some_and(|age| age > limit);
        if state.set_too_old(too_old) {
            match too_old {
                true => tracing::error!(
                    ?limit,
                    "the objects were not confirmed for longer than --max-staleness: nothing is in force"
                ),
                false => tracing::info!("the objects are confirmed again: they are in force"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A directory that cannot be read any more holds nothing that allows.
fn gone(directory: &str, error: &std::io::Error) -> Bundle {
    let diagnostic = Diagnostic {
        origin: directory.to_owned(),
        object: None,
        field: String::new(),
        severity: Severity::Error,
        code: Code::UnreadableFile,
        message: format!("cannot be read: {error}"),
    };
    Bundle { diagnostics: vec![diagnostic], unreadable_part: true, ..Bundle::default() }
}

/// Publishes signing keys and gateway credentials whenever their files change. What was read before
/// stays in force while a file cannot be read, and that is said once. `current` is what was in the keys'
/// files before they were loaded.
pub(super) async fn files(
    signing_keys: Vec<PathBuf>,
    mut current: Vec<Vec<u8>>,
    state: Arc<State>,
    gateway: Option<Arc<GatewayCredentials>>,
) -> anyhow::Result<()> {
    let mut last_problem = String::new();
    loop {
        tokio::time::sleep(REREAD).await;
        let mut problem = String::new();
        if let Some(Err(error)) = gateway.as_ref().map(|gateway| gateway.reload()) {
            problem = format!("--gateway-credentials: {error}");
        }
        let now = contents(&signing_keys);
        if now != current {
            match load_signing_keys(&signing_keys) {
                Ok(keys) => {
                    tracing::info!(kid = keys.kid(), "the signing keys have changed");
                    state.publish_signing(Arc::new(keys));
                    current = now;
                }
                Err(error) => problem = format!("{error:#}"),
            }
        }
        if problem != last_problem && !problem.is_empty() {
            tracing::warn!("{problem}: what was read before stays in force");
        }
        last_problem = problem;
    }
}

/// Puts certificates in force whenever their files change. What was read before stays in force while
/// they cannot be used, and that is said once.
pub(super) async fn certificates(tls: Arc<Tls>, metrics: Arc<Metrics>) -> anyhow::Result<()> {
    let mut last_problem = String::new();
    loop {
        tokio::time::sleep(REREAD).await;
        let problem = match tls.reload() {
            Ok(false) => {
                metrics.set_certificates_stale(false);
                String::new()
            }
            Ok(true) => {
                tracing::info!("the certificates of --grpc-listen have changed");
                metrics.count_certificates(true);
                String::new()
            }
            Err(error) => format!("{error:#}"),
        };
        if problem != last_problem && !problem.is_empty() {
            tracing::error!("{problem}: the certificates that were read before stay in force");
            metrics.count_certificates(false);
        }
        last_problem = problem;
    }
}

/// What is in the files, to tell a change; absent ones are empty.
pub(super) fn contents(paths: &[PathBuf]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| std::fs::read(path).unwrap_or_default()).collect()
}

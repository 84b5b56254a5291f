//! Keeps what is in force up to date with the disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use tonic_health::server::HealthReporter;

use super::load_signing_keys;
use crate::compile::{Bundle, Code, Diagnostic, Severity};
use crate::crd::Defaults;
use crate::source::files;
use crate::state::State;
use crate::transport::ext_authz::ExtAuthz;
use crate::transport::gateway_credentials::GatewayCredentials;

/// How often keys and credentials are read again. A mounted Secret changes far less often.
const REREAD: Duration = Duration::from_secs(5);

/// Publishes the objects of a directory, now and whenever they change. After the first time the
/// service is ready.
pub(super) async fn objects(
    directory: PathBuf,
    defaults: Defaults,
    state: Arc<State>,
    health: HealthReporter,
) -> anyhow::Result<()> {
    let mut starting = Some(health);
    let shown = directory.display().to_string();
    let publish = |loaded: std::io::Result<Bundle>| {
        let bundle = loaded.unwrap_or_else(|error| gone(&shown, &error));
        if state.publish_objects(bundle) {
            report(&state);
        }
        if let Some(health) = starting.take() {
            tokio::spawn(async move { health.set_serving::<AuthorizationServer<ExtAuthz>>().await });
        }
    };
    files::watch(directory, defaults, publish)
        .await
        .with_context(|| format!("--policy-dir {shown}: cannot be watched"))
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

fn report(state: &State) {
    let Some(loaded) = state.current() else { return };
    let counts = loaded.snapshot.counts;
    tracing::info!(
        revision = %loaded.snapshot.revision,
        issuers = counts.issuers,
        policies = counts.policies,
        roles = counts.roles,
        "a new snapshot is in force"
    );
    for diagnostic in &loaded.diagnostics {
        tracing::warn!("{diagnostic}");
    }
}

/// Publishes signing keys and gateway credentials whenever their files change. What was read before
/// stays in force while a file cannot be read, and that is said once.
pub(super) async fn files(
    signing_keys: Vec<PathBuf>,
    state: Arc<State>,
    gateway: Option<Arc<GatewayCredentials>>,
) -> anyhow::Result<()> {
    let mut last_problem = String::new();
    let mut current = contents(&signing_keys);
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

/// What is in the files, to tell a change; absent ones are empty.
fn contents(paths: &[PathBuf]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| std::fs::read(path).unwrap_or_default()).collect()
}

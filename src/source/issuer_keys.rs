//! The keys of the registered issuers, fetched and refreshed in the background.
//!
//! Every issuer has a task of its own, which is the only one that fetches for it: there is never
//! more than one fetch in flight for an issuer, however many registrations, requests or unknown key
//! ids there are, and a slow or broken issuer delays no other. Nothing waits for a fetch.

mod fetch;
mod keeper;
mod service_account;
mod status;
#[cfg(test)]
pub(crate) mod test_provider;
mod trust;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use fetch::{Fetch, Fetcher};
use keeper::Keeper;
pub(super) use keeper::jittered;
pub use service_account::{SERVICE_ACCOUNT_DIR, ServiceAccount};
use status::Entries;
pub use status::IssuerStatus;
pub use trust::InvalidCertificates;

use crate::identity::{KeySet, WantedIssuer};

/// How keys are fetched.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// The longest that one fetch may take: both documents with their bodies.
    pub timeout: Duration,
    /// The longest document that is read, in bytes.
    pub max_body: usize,
    /// The wait after a first failure; it doubles with each further one.
    pub backoff_min: Duration,
    /// The longest wait after a failure while there are keys in use.
    pub backoff_max: Duration,
    /// The longest wait after a failure while there are none: nobody of the issuer can sign in.
    pub backoff_max_without_keys: Duration,
    /// The wait after a success, if the issuer states no `max-age`.
    pub refresh: Duration,
    /// The bounds within which a stated `max-age` is obeyed.
    pub refresh_bounds: (Duration, Duration),
    /// The shortest time between two fetches that unknown key ids ask for.
    pub cooldown: Duration,
    /// How long keys that cannot be refreshed stay in use.
    pub max_stale: Duration,
    /// A file of certificates, as PEM, that are trusted beside those of the system. It is looked at
    /// before every fetch.
    pub ca_bundle: Option<PathBuf>,
    /// What the cluster's own issuer is asked with, inside of a cluster.
    pub service_account: Option<ServiceAccount>,
}

/// A handle on the background tasks. They end with the cancellation token, not with the handle.
#[derive(Debug, Clone)]
pub struct IssuerKeys {
    entries: Arc<Entries>,
}

/// What every task needs.
struct Shared<F, P> {
    config: FetchConfig,
    fetcher: F,
    publish: P,
    entries: Arc<Entries>,
}

// === impl FetchConfig ===

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            max_body: 1024 * 1024,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            backoff_max_without_keys: Duration::from_secs(4),
            refresh: Duration::from_secs(5 * 60),
            refresh_bounds: (Duration::from_secs(60), Duration::from_secs(60 * 60)),
            cooldown: Duration::from_secs(30),
            max_stale: Duration::from_secs(24 * 60 * 60),
            ca_bundle: None,
            service_account: None,
        }
    }
}

/// Starts to keep the keys of the issuers that `wanted` holds, now and after each change, until
/// `shutdown`.
///
/// `publish` is told of every change: keys that are new or differ, or `None` when they went out of
/// use or the issuer is no longer wanted. It must return at once.
///
/// # Errors
/// Certificates that cannot be read.
pub fn spawn(
    config: FetchConfig,
    wanted: watch::Receiver<Vec<WantedIssuer>>,
    publish: impl Fn(String, Option<Arc<KeySet>>) + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> Result<IssuerKeys, InvalidCertificates> {
    let fetcher = Fetcher::new(&config)?;
    Ok(spawn_with(fetcher, config, wanted, publish, shutdown))
}

fn spawn_with<F: Fetch, P: Fn(String, Option<Arc<KeySet>>) + Send + Sync + 'static>(
    fetcher: F,
    config: FetchConfig,
    wanted: watch::Receiver<Vec<WantedIssuer>>,
    publish: P,
    shutdown: CancellationToken,
) -> IssuerKeys {
    let entries = Arc::new(Entries::default());
    let keys = IssuerKeys { entries: entries.clone() };
    tokio::spawn(supervise(Arc::new(Shared { config, fetcher, publish, entries }), wanted, shutdown));
    keys
}

/// Keeps one task for each wanted issuer.
async fn supervise<F: Fetch, P: Fn(String, Option<Arc<KeySet>>) + Send + Sync + 'static>(
    shared: Arc<Shared<F, P>>,
    mut wanted: watch::Receiver<Vec<WantedIssuer>>,
    shutdown: CancellationToken,
) {
    let mut tasks = BTreeMap::<WantedIssuer, JoinHandle<()>>::new();
    loop {
        let now_wanted = wanted.borrow_and_update().clone();
        let gone: Vec<_> = tasks.keys().filter(|issuer| !now_wanted.contains(issuer)).cloned().collect();
        for issuer in gone {
            if let Some(task) = tasks.remove(&issuer) {
                stop(task).await;
            }
            shared.entries.lock().remove(&issuer.iss);
            keeper::withdraw(&shared.publish, issuer.iss);
        }
        for issuer in now_wanted {
            if shared.entries.lock().contains_key(&issuer.iss) {
                continue;
            }
            let hint = shared.entries.add(&issuer.iss);
            let keeper = Keeper::new(issuer.clone(), Arc::clone(&shared), hint);
            tasks.insert(issuer, tokio::spawn(keeper.run()));
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = wanted.changed() => if changed.is_err() {
                // Nobody can change the list any more: it stays in force.
                shutdown.cancelled().await;
                break;
            },
        }
    }
    for task in tasks.into_values() {
        stop(task).await;
    }
}

/// Ends a task, and returns when it can publish nothing more.
async fn stop(task: JoinHandle<()>) {
    task.abort();
    if let Err(error) = task.await
        && error.is_panic()
    {
        warn!("a task that kept an issuer's keys had failed");
    }
}

// === impl IssuerKeys ===

impl IssuerKeys {
    /// Says that a token asked for a key of `iss` that is not held. Cheap, and waits for nothing.
    /// The issuer is fetched soon, at most once in a cooldown; one that is not wanted never is.
    pub fn refetch(&self, iss: &str) {
        if let Some(entry) = self.entries.lock().get(iss) {
            entry.hint.notify_one();
        }
    }

    /// What is known of each wanted issuer, sorted.
    pub fn status(&self) -> Vec<IssuerStatus> {
        self.entries.lock().values().map(|entry| entry.status.clone()).collect()
    }
}

#[cfg(test)]
mod tests;

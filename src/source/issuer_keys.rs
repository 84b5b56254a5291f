//! The keys of the registered issuers, fetched and refreshed in the background.
//!
//! Every issuer has a task of its own, which is the only one that fetches for it: there is never
//! more than one fetch in flight for an issuer, however many registrations, requests or unknown key
//! ids there are, and a slow or broken issuer delays no other. Nothing waits for a fetch.

mod fetch;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use fetch::ClusterIssuer;
use fetch::{FetchError, Fetched, Fetcher};

use crate::identity::{KeySet, WantedIssuer};

/// How keys are fetched.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// The longest that one request may take, its body included.
    pub timeout: Duration,
    /// The longest document that is read, in bytes.
    pub max_body: usize,
    /// The wait after a first failure; it doubles with each further one.
    pub backoff_min: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// The wait after a success, if the issuer states no `max-age`.
    pub refresh: Duration,
    /// The bounds within which a stated `max-age` is obeyed.
    pub refresh_bounds: (Duration, Duration),
    /// The shortest time between two fetches that unknown key ids ask for.
    pub cooldown: Duration,
    /// How long keys that cannot be refreshed stay in use.
    pub max_stale: Duration,
    /// Certificates, as PEM, that are trusted beside those of the system.
    pub ca_bundle_pem: Option<Vec<u8>>,
    /// The cluster's own issuer, if it is registered.
    pub cluster: Option<ClusterIssuer>,
}

/// The certificates of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the CA bundle for identity providers cannot be used")]
pub struct InvalidFetchConfig(#[from] reqwest::Error);

/// A handle on the background tasks. They end with the cancellation token, not with the handle.
#[derive(Debug, Clone)]
pub struct IssuerKeys {
    entries: Arc<Entries>,
}

/// What is known of the keys of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// The issuer.
    pub iss: String,
    /// The ids of the keys in use; `None` if there are no keys. A key without an id is not shown.
    pub keys: Option<Vec<String>>,
    /// When the keys in use were last confirmed.
    pub fetched_at: Option<Timestamp>,
    /// When the next fetch is planned.
    pub next_refresh: Option<Timestamp>,
    /// What the last fetch failed with, if it failed.
    pub last_error: Option<String>,
}

#[derive(Debug, Default)]
struct Entries(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    status: IssuerStatus,
    hint: Arc<Notify>,
}

/// The task of one issuer.
struct Keeper<P> {
    wanted: WantedIssuer,
    config: Arc<FetchConfig>,
    fetcher: Arc<Fetcher>,
    publish: Arc<P>,
    entries: Arc<Entries>,
    hint: Arc<Notify>,
    /// The keys in use and when they go out of use.
    held: Option<(Arc<KeySet>, Instant)>,
    failures: u32,
}

// === impl FetchConfig ===

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            max_body: 1024 * 1024,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            refresh: Duration::from_secs(5 * 60),
            refresh_bounds: (Duration::from_secs(60), Duration::from_secs(60 * 60)),
            cooldown: Duration::from_secs(30),
            max_stale: Duration::from_secs(24 * 60 * 60),
            ca_bundle_pem: None,
            cluster: None,
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
) -> Result<IssuerKeys, InvalidFetchConfig> {
    let fetcher = Arc::new(Fetcher::new(&config)?);
    let entries = Arc::new(Entries::default());
    let keys = IssuerKeys { entries: entries.clone() };
    tokio::spawn(supervise(Arc::new(config), fetcher, entries, wanted, Arc::new(publish), shutdown));
    Ok(keys)
}

/// Keeps one task for each wanted issuer.
async fn supervise<P: Fn(String, Option<Arc<KeySet>>) + Send + Sync + 'static>(
    config: Arc<FetchConfig>,
    fetcher: Arc<Fetcher>,
    entries: Arc<Entries>,
    mut wanted: watch::Receiver<Vec<WantedIssuer>>,
    publish: Arc<P>,
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
            entries.lock().remove(&issuer.iss);
            publish(issuer.iss, None);
        }
        for issuer in now_wanted {
            if entries.lock().contains_key(&issuer.iss) {
                continue;
            }
            let hint = entries.add(&issuer.iss);
            let keeper = Keeper {
                wanted: issuer.clone(),
                config: config.clone(),
                fetcher: fetcher.clone(),
                publish: publish.clone(),
                entries: entries.clone(),
                hint,
                held: None,
                failures: 0,
            };
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

// === impl Keeper ===

impl<P: Fn(String, Option<Arc<KeySet>>)> Keeper<P> {
    async fn run(mut self) {
        let mut next_hinted = Instant::now();
        loop {
            let outcome = self.fetcher.fetch(&self.wanted).await;
            let delay = match outcome {
                Ok(fetched) => self.succeeded(fetched),
                Err(error) => self.failed(&error),
            };
            let mut next = Instant::now() + delay;
            self.report_next(delay);
            loop {
                let stale_at = self.held.as_ref().map(|(_, until)| *until);
                tokio::select! {
                    () = sleep_until(next) => break,
                    () = self.hint.notified() => {
                        // A hint moves the next fetch forward, at most once in a cooldown.
                        next = next.min(next_hinted.max(Instant::now()));
                        next_hinted = next + self.config.cooldown;
                        self.report_next(next.saturating_duration_since(Instant::now()));
                    }
                    () = sleep_until(stale_at.unwrap_or(next)), if stale_at.is_some() => self.expire(),
                }
            }
        }
    }

    /// Takes fetched keys into use, and says when to fetch again.
    fn succeeded(&mut self, fetched: Fetched) -> Duration {
        let Fetched { keys, skipped, max_age } = fetched;
        let keys = Arc::new(keys);
        let changed = self.held.as_ref().is_none_or(|(held, _)| held.fingerprint() != keys.fingerprint());
        self.failures = 0;
        self.held = Some((keys.clone(), Instant::now() + self.config.max_stale));
        self.entries.update(&self.wanted.iss, |status| {
            status.keys = Some(keys.kids().map(str::to_owned).collect());
            status.fetched_at = Some(Timestamp::now());
            status.last_error = None;
        });
        if changed {
            info!(iss = %self.wanted.iss, keys = keys.len(), "the issuer's keys are in use");
            for why in skipped {
                info!(iss = %self.wanted.iss, "a key of the issuer is not used: {why}");
            }
            (self.publish)(self.wanted.iss.clone(), Some(keys));
        }
        let (least, most) = self.config.refresh_bounds;
        jittered(max_age.map_or(self.config.refresh, |max_age| max_age.clamp(least, most)))
    }

    /// Notes a failure, and says when to try again. Keys in use stay so.
    fn failed(&mut self, error: &FetchError) -> Duration {
        let doubled = self.config.backoff_min.saturating_mul(1 << self.failures.min(16));
        let delay = jittered(doubled.min(self.config.backoff_max));
        self.failures = self.failures.saturating_add(1);
        let error = error.to_string();
        warn!(iss = %self.wanted.iss, failures = self.failures, retry_in = ?delay, "the issuer's keys: {error}");
        self.entries.update(&self.wanted.iss, |status| status.last_error = Some(error));
        delay
    }

    fn expire(&mut self) {
        self.held = None;
        warn!(iss = %self.wanted.iss, "the issuer's keys could not be refreshed for too long and are out of use");
        self.entries.update(&self.wanted.iss, |status| status.keys = None);
        (self.publish)(self.wanted.iss.clone(), None);
    }

    fn report_next(&self, delay: Duration) {
        let next = Timestamp::now().checked_add(delay).ok();
        self.entries.update(&self.wanted.iss, |status| status.next_refresh = next);
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

// === impl Entries ===

impl Entries {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, iss: &str) -> Arc<Notify> {
        let hint = Arc::new(Notify::new());
        let status = IssuerStatus {
            iss: iss.to_owned(),
            keys: None,
            fetched_at: None,
            next_refresh: None,
            last_error: None,
        };
        self.lock().insert(iss.to_owned(), Entry { status, hint: hint.clone() });
        hint
    }

    fn update(&self, iss: &str, change: impl FnOnce(&mut IssuerStatus)) {
        if let Some(entry) = self.lock().get_mut(iss) {
            change(&mut entry.status);
        }
    }
}

/// A duration between three quarters of `duration` and all of it, so that many issuers, and many
/// copies of this service, do not fetch at one moment.
fn jittered(duration: Duration) -> Duration {
    // Every `RandomState` has keys of its own, so that the hash of nothing is a random number.
    let random = RandomState::new().hash_one(()) as u32;
    duration.mul_f64(0.75 + 0.25 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;

//! The task that keeps the keys of one issuer.

use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info, warn};

use super::Shared;
use super::fetch::{Fetch, FetchError, Fetched};
use crate::identity::{KeySet, WantedIssuer};

/// The task of one issuer.
pub(super) struct Keeper<F, P> {
    pub(super) wanted: WantedIssuer,
    pub(super) shared: Arc<Shared<F, P>>,
    pub(super) hint: Arc<Notify>,
    /// The keys in use and when they go out of use.
    pub(super) held: Option<(Arc<KeySet>, Instant)>,
    pub(super) failures: u32,
}

// === impl Keeper ===

impl<F: Fetch, P: Fn(String, Option<Arc<KeySet>>)> Keeper<F, P> {
    pub(super) fn new(wanted: WantedIssuer, shared: Arc<Shared<F, P>>, hint: Arc<Notify>) -> Self {
        Self { wanted, shared, hint, held: None, failures: 0 }
    }

    /// Runs for ever. A panic is a defect of ours; it costs the issuer one round and not its keys.
    pub(super) async fn run(mut self) {
        loop {
            let Err(_) = AssertUnwindSafe(self.fetch_for_ever()).catch_unwind().await;
            error!(iss = %self.wanted.iss, "the task that keeps the issuer's keys failed and starts anew");
            // What was published last is not certain, so the next keys are published in any case.
            self.held = None;
            self.shared.entries.update(&self.wanted.iss, |status| {
                status.last_error = Some("an internal failure; see the log".to_owned());
            });
            let delay = jittered(self.shared.config.backoff_max_without_keys);
            self.report_next(Instant::now() + delay);
            sleep(delay).await;
        }
    }

    async fn fetch_for_ever(&mut self) -> std::convert::Infallible {
        let mut next_hinted = Instant::now();
        loop {
            let began = Instant::now();
            let outcome = self.shared.fetcher.fetch(&self.wanted).await;
            // Whatever was asked for meanwhile, this fetch is the answer.
            let _answered = self.hint.notified().now_or_never();
            let mut next = match outcome {
                Ok(fetched) => Instant::now() + self.succeeded(fetched),
                Err(error) => self.after_failure(began, &error),
            };
            self.report_next(next);
            loop {
                let stale_at = self.held.as_ref().map(|(_, until)| *until);
                tokio::select! {
                    () = sleep_until(next) => break,
                    () = self.hint.notified() => {
                        // A hint moves the next fetch forward, at most once in a cooldown.
                        next = next.min(next_hinted.max(Instant::now()));
                        next_hinted = next + self.shared.config.cooldown;
                        self.report_next(next);
                    }
                    () = sleep_until(stale_at.unwrap_or(next)), if stale_at.is_some() => {
                        self.expire();
                        next = next.min(Instant::now() + self.shared.config.backoff_max_without_keys);
                        self.report_next(next);
                    }
                }
            }
        }
    }

    /// Takes fetched keys into use, and says when to fetch again.
    pub(super) fn succeeded(&mut self, fetched: Fetched) -> Duration {
        let Fetched { keys, skipped, max_age } = fetched;
        let keys = Arc::new(keys);
        let config = &self.shared.config;
        let changed = self.held.as_ref().is_none_or(|(held, _)| held.fingerprint() != keys.fingerprint());
        self.failures = 0;
        self.held = Some((keys.clone(), Instant::now() + config.max_stale));
        self.shared.entries.update(&self.wanted.iss, |status| {
            status.keys = Some(keys.kids().map(str::to_owned).collect());
            status.usable = keys.len();
            status.fetched_at = Some(Timestamp::now());
            status.last_error = None;
            status.fetches += 1;
        });
        if changed {
            info!(iss = %self.wanted.iss, keys = keys.len(), "the issuer's keys are in use");
            for why in skipped {
                info!(iss = %self.wanted.iss, "a key of the issuer is not used: {why}");
            }
            (self.shared.publish)(self.wanted.iss.clone(), Some(keys));
        }
        let (least, most) = config.refresh_bounds;
        jittered(max_age.map_or(config.refresh, |max_age| max_age.clamp(least, most)))
    }

    /// Notes a failure, and says when to try again. While there are no keys, the time that the fetch
    /// took is part of the wait: an issuer that hung is then found again when the fetch is given up.
    fn after_failure(&mut self, began: Instant, error: &FetchError) -> Instant {
        let delay = self.failed(error);
        match self.held {
            Some(_) => Instant::now() + delay,
            None => (began + delay).max(Instant::now()),
        }
    }

    /// Notes a failure, and says how long to wait. Keys in use stay so.
    pub(super) fn failed(&mut self, error: &FetchError) -> Duration {
        let config = &self.shared.config;
        let most = if self.held.is_some() { config.backoff_max } else { config.backoff_max_without_keys };
        let doubled = config.backoff_min.saturating_mul(1 << self.failures.min(16));
        let delay = jittered(doubled.min(most));
        self.failures = self.failures.saturating_add(1);
        let error = error.to_string();
        warn!(iss = %self.wanted.iss, failures = self.failures, retry_in = ?delay, "the issuer's keys: {error}");
        self.shared.entries.update(&self.wanted.iss, |status| {
            status.last_error = Some(error);
            status.fetches += 1;
            status.failed_fetches += 1;
        });
        delay
    }

    fn expire(&mut self) {
        self.held = None;
        warn!(iss = %self.wanted.iss, "the issuer's keys could not be refreshed for too long and are out of use");
        self.shared.entries.update(&self.wanted.iss, |status| {
            status.keys = None;
            status.usable = 0;
        });
        (self.shared.publish)(self.wanted.iss.clone(), None);
    }

    fn report_next(&self, next: Instant) {
        let delay = next.saturating_duration_since(Instant::now());
        let next = Timestamp::now().checked_add(delay).ok();
        self.shared.entries.update(&self.wanted.iss, |status| status.next_refresh = next);
    }
}

/// Takes an issuer out of use. A panic is a defect of ours that must not cost the other issuers.
pub(super) fn withdraw(publish: impl Fn(String, Option<Arc<KeySet>>), iss: String) {
    if catch_unwind(AssertUnwindSafe(|| publish(iss, None))).is_err() {
        error!("an issuer's keys could not be withdrawn");
    }
}

/// A duration between three quarters of `duration` and all of it, so that many issuers, and many
/// copies of this service, do not fetch at one moment.
pub(in crate::source) fn jittered(duration: Duration) -> Duration {
    // Every `RandomState` has keys of its own, so that the hash of nothing is a random number.
    let random = RandomState::new().hash_one(()) as u32;
    duration.mul_f64(0.75 + 0.25 * f64::from(random) / f64::from(u32::MAX))
}

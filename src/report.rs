//! Tells people in the cluster what is wrong with their objects: as Events, which `kubectl describe`
//! shows with the object.
//!
//! One replica at a time does so, the one that holds a Lease. Nothing else depends on either: a
//! replica that does not hold it, or cannot write, decides all the same.

mod api;
mod event;
mod ledger;
mod lease;
mod problem;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::source::issuer_keys::IssuerKeys;
use crate::source::kubernetes::{Cluster, Trouble};
use crate::state::State;
use api::Api;
use lease::Lease;
use ledger::{Ledger, Work};
use problem::{Problem, ProblemId, problems};

/// How often it is looked whether there is something to tell, and how long a batch of Events is apart
/// from the next: the API server has other things to do.
const LOOK: Duration = Duration::from_millis(500);
/// How many Events are written in a row; then the Lease is looked after.
const BATCH: usize = 20;
/// The wait after a first failure; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often the same failure is said.
const SAY_AGAIN: Duration = Duration::from_secs(600);
/// How long giving the Lease back may take when the service ends.
const RELEASE: Duration = Duration::from_secs(2);

/// What is told about, and by whom.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// Where the objects are.
    pub cluster: Cluster,
    /// What is in force, with its diagnostics.
    pub state: Arc<State>,
    /// Whether the keys of issuers can be fetched.
    pub issuers: IssuerKeys,
    /// Who tells: the name of the pod.
    pub instance: String,
    /// Counts.
    pub figures: Figures,
}

/// What became of Events so far.
#[derive(Debug, Clone, Default)]
pub struct Figures(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    failed: AtomicU64,
    leads: AtomicBool,
}

// === impl Figures ===

impl Figures {
    /// Events that were written.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// How often writing one, or the Lease, failed.
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Whether this replica writes them.
    pub fn leads(&self) -> bool {
        self.0.leads.load(Ordering::Relaxed)
    }
}

/// Tells what is wrong until the service stops, and then gives the Lease back.
///
/// # Errors
/// Never: failures are said, counted and tried again.
pub async fn run(reporter: Reporter, stop: CancellationToken) -> anyhow::Result<()> {
    let mut lease = Lease::new(&reporter.cluster.namespace, &reporter.instance);
    stop.run_until_cancelled(reporter.work(&mut lease)).await;
    reporter.figures.0.leads.store(false, Ordering::Relaxed);
    if lease.is_held() {
        let release = async { lease.release(&Api::connect(&reporter.cluster).await?).await };
        // Where it fails, it expires.
        let _released = timeout(RELEASE, release).await;
    }
    Ok(())
}

// === impl Reporter ===

impl Reporter {
    async fn work(&self, lease: &mut Lease) {
        let (mut ledger, mut wait) = (Ledger::default(), BACKOFF_MIN);
        let mut said: Option<(String, Instant)> = None;
        loop {
            let Err(trouble) = self.tell(lease, &mut ledger, &mut wait).await;
            self.figures.0.failed.fetch_add(1, Ordering::Relaxed);
            let trouble = trouble.to_string();
            if said.as_ref().is_none_or(|(last, at)| *last != trouble || at.elapsed() > SAY_AGAIN) {
                tracing::warn!("diagnostics do not become Events: {trouble}");
                said = Some((trouble, Instant::now()));
            }
            self.figures.0.leads.store(lease.is_held(), Ordering::Relaxed);
            sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    /// Tells whatever is to be told, over one connection.
    ///
    /// # Errors
    /// Always, in the end: what went wrong.
    async fn tell(
        &self,
        lease: &mut Lease,
        ledger: &mut Ledger,
        wait: &mut Duration,
    ) -> Result<std::convert::Infallible, Trouble> {
        let api = Api::connect(&self.cluster).await?;
        loop {
            let held = lease.look_after(&api).await?;
            if self.figures.0.leads.swap(held, Ordering::Relaxed) != held {
                tracing::info!(held, "the Lease of those who write Events");
            }
            if !held {
                ledger.forget();
            } else if let Some(present) = self.present() {
                let due = ledger.due(&present, Instant::now());
                for work in due.into_iter().take(BATCH) {
                    self.write(&api, &work).await?;
                    ledger.done(work, Instant::now());
                }
            }
            *wait = BACKOFF_MIN;
            sleep(LOOK).await;
        }
    }

    /// What is wrong now; none where that is not known.
    fn present(&self) -> Option<BTreeMap<ProblemId, Problem>> {
        let loaded = self.state.current()?;
        Some(problems(&loaded, &self.issuers.status(), &self.cluster.namespace))
    }

    async fn write(&self, api: &Api, work: &Work) -> Result<(), Trouble> {
        // An object that is gone is not told about.
        let Some(uid) = api.uid(work.object()).await? else { return Ok(()) };
        let event = event::of(work, &uid, &self.instance, jiff::Timestamp::now());
        api.write_event(&event).await?;
        self.figures.0.written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

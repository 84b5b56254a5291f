//! How well the cluster is followed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::store::Watched;
use super::trouble::Trouble;

/// How well one kind is followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindStatus {
    /// The kind.
    pub kind: &'static str,
    /// How long ago the API server last confirmed that what is known is all; none before the first
    /// complete list.
    pub age: Option<Duration>,
    /// What is wrong at the moment.
    pub trouble: Option<String>,
    /// How often something went wrong.
    pub failures: u64,
}

/// A handle on what is known of all kinds.
#[derive(Debug, Clone, Default)]
pub struct Status(Arc<Mutex<BTreeMap<Watched, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    confirmed: Option<Instant>,
    trouble: Option<String>,
    failures: u64,
}

// === impl Status ===

impl Status {
    /// Every kind.
    pub fn kinds(&self) -> Vec<KindStatus> {
        let mut entries = self.entries();
        let mut of = |kind: Watched| {
            let entry = entries.entry(kind).or_default();
            KindStatus {
                kind: kind.kind(),
                age: entry.confirmed.map(|at| at.elapsed()),
                trouble: entry.trouble.clone(),
                failures: entry.failures,
            }
        };
        Watched::ALL.into_iter().map(&mut of).collect()
    }

    /// For how long what is known was not confirmed: that of the kind with the greatest age. None
    /// before all were listed.
    pub fn age(&self) -> Option<Duration> {
        let ages: Option<Vec<_>> = self.kinds().iter().map(|kind| kind.age).collect();
        ages?.into_iter().max()
    }

    /// What is wrong, once for each thing; empty if nothing is.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles: Vec<_> = self.kinds().into_iter().filter_map(|kind| kind.trouble).collect();
        troubles.dedup();
        troubles
    }

    pub(super) fn is_listed(&self, kind: Watched) -> bool {
        self.entries().get(&kind).is_some_and(|entry| entry.confirmed.is_some())
    }

    /// A complete list is in force.
    pub(super) fn listed(&self, kind: Watched) {
        self.entries().entry(kind).or_default().confirmed = Some(Instant::now());
    }

    /// A watch is open, or says something. Only now it is over with what was wrong: a list that
    /// succeeds without a watch goes out of date at once.
    pub(super) fn confirmed(&self, kind: Watched) {
        let mut entries = self.entries();
        let entry = entries.entry(kind).or_default();
        entry.confirmed = Some(Instant::now());
        if entry.trouble.take().is_some() {
            tracing::info!(kind = kind.kind(), "the cluster is followed again");
        }
    }

    /// Says what is wrong, once.
    pub(super) fn failed(&self, kind: Watched, trouble: &Trouble) {
        let (trouble, mut entries) = (trouble.to_string(), self.entries());
        let entry = entries.entry(kind).or_default();
        entry.failures += 1;
        if entry.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(kind = kind.kind(), "{trouble}");
        }
        entry.trouble = Some(trouble);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Watched, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

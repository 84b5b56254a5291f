//! How well the cluster is followed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::trouble::Trouble;
use super::watched::{Scope, Watched};

/// How well one kind is followed, in all namespaces in which it is.
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
pub struct Status(Arc<Mutex<BTreeMap<Scope, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    confirmed: Option<Instant>,
    trouble: Option<String>,
    failures: u64,
}

// === impl Status ===

impl Status {
    /// Our own kinds, and those others that are followed.
    pub fn kinds(&self) -> Vec<KindStatus> {
        let entries = self.entries();
        let of = |kind: Watched| {
            let all: Vec<_> =
                entries.iter().filter(|(scope, _)| scope.kind == kind).map(|(_, e)| e).collect();
            let ages: Option<Vec<_>> =
                all.iter().map(|entry| entry.confirmed.map(|at| at.elapsed())).collect();
            let status = KindStatus {
                kind: kind.kind(),
                age: ages.and_then(|ages| ages.into_iter().max()),
                trouble: all.iter().find_map(|entry| entry.trouble.clone()),
                failures: all.iter().map(|entry| entry.failures).sum(),
            };
            (Watched::IAM.contains(&kind) || !all.is_empty()).then_some(status)
        };
        Watched::ALL.into_iter().filter_map(of).collect()
    }

    /// For how long what is known of our own kinds was not confirmed: that of the kind with the
    /// greatest age. None before all were listed.
    pub fn age(&self) -> Option<Duration> {
        let own = self.kinds().into_iter().take(Watched::IAM.len());
        let ages: Option<Vec<_>> = own.map(|kind| kind.age).collect();
        ages?.into_iter().max()
    }

    /// What is wrong, once for each thing; empty if nothing is.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        for trouble in self.entries().values().filter_map(|entry| entry.trouble.as_ref()) {
            if !troubles.contains(trouble) {
                troubles.push(trouble.clone());
            }
        }
        troubles
    }

    pub(super) fn is_listed(&self, scope: &Scope) -> bool {
        self.age_of(scope).is_some()
    }

    pub(super) fn age_of(&self, scope: &Scope) -> Option<Duration> {
        self.entries().get(scope)?.confirmed.map(|at| at.elapsed())
    }

    /// It is followed from now on. What comes of others is not taken note of.
    pub(super) fn follow(&self, scope: &Scope) {
        self.entries().entry(scope.clone()).or_default();
    }

    /// A complete list is in force.
    pub(super) fn listed(&self, scope: &Scope) {
        if let Some(entry) = self.entries().get_mut(scope) {
            entry.confirmed = Some(Instant::now());
        }
    }

    /// A watch is open, or says something. Only now it is over with what was wrong: a list that
    /// succeeds without a watch goes out of date at once.
    pub(super) fn confirmed(&self, scope: &Scope) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(scope) else { return };
        entry.confirmed = Some(Instant::now());
        if entry.trouble.take().is_some() {
            tracing::info!("the cluster is followed again: {}", scope.shown());
        }
    }

    /// Says what is wrong, once.
    pub(super) fn failed(&self, scope: &Scope, trouble: &Trouble) {
        let (trouble, mut entries) = (trouble.to_string(), self.entries());
        let Some(entry) = entries.get_mut(scope) else { return };
        entry.failures += 1;
        if entry.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(kind = scope.kind.kind(), "{trouble}");
        }
        entry.trouble = Some(trouble);
    }

    /// It is not followed any more.
    pub(super) fn forget(&self, scope: &Scope) {
        self.entries().remove(scope);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Scope, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

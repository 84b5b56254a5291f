//! What was told already: the pure part.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::problem::{Problem, ProblemId};
use crate::compile::ObjectRef;

/// What is still wrong is told again after this time: API servers keep Events for an hour.
pub(super) const TELL_AGAIN: Duration = Duration::from_secs(20 * 60);

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// This is wrong.
    Wrong(ProblemId, Problem),
    /// Nothing is wrong any more with an object.
    Mended(ObjectRef),
}

/// What was told by this replica, and when.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<ProblemId, Instant>);

// === impl Work ===

impl Work {
    pub(super) const fn object(&self) -> &ObjectRef {
        match self {
            Self::Wrong(id, _) => &id.object,
            Self::Mended(object) => object,
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// What is to be told now. Problems that are gone are forgotten, the last one of an object when
    /// that was told.
    pub(super) fn due(&mut self, present: &BTreeMap<ProblemId, Problem>, now: Instant) -> Vec<Work> {
        let broken: BTreeSet<_> = present.keys().map(|id| &id.object).collect();
        self.0.retain(|id, _| present.contains_key(id) || !broken.contains(&id.object));
        let is_due = |id: &ProblemId| self.0.get(id).is_none_or(|&at| now.duration_since(at) >= TELL_AGAIN);
        let wrong = present.iter().filter(|(id, _)| is_due(id));
        let wrong = wrong.map(|(id, problem)| Work::Wrong(id.clone(), problem.clone()));
        let told: BTreeSet<_> = self.0.keys().map(|id| &id.object).collect();
        let mended = told.difference(&broken).map(|&object| Work::Mended(object.clone()));
        wrong.chain(mended).collect()
    }

    /// It was told.
    pub(super) fn done(&mut self, work: Work, now: Instant) {
        match work {
            Work::Wrong(id, _) => drop(self.0.insert(id, now)),
            Work::Mended(object) => self.0.retain(|id, _| id.object != object),
        }
    }

    /// Another replica tells from now on.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

//! The tasks that follow kinds, one for each kind in each namespace.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc::Sender;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::follow::follow;
use super::store::Event;
use super::watched::Scope;
use super::{Cluster, Status};
use crate::source::issuer_keys::jittered;

/// The running tasks. They end with it.
pub(super) struct Followers {
    cluster: Cluster,
    status: Status,
    events: Sender<(Scope, Event)>,
    tasks: JoinSet<()>,
    running: BTreeMap<Scope, AbortHandle>,
}

// === impl Followers ===

impl Followers {
    pub(super) fn new(cluster: Cluster, status: Status, events: Sender<(Scope, Event)>) -> Self {
        Self { cluster, status, events, tasks: JoinSet::new(), running: BTreeMap::new() }
    }

    /// Follows these from now on, and no others.
    pub(super) fn set(&mut self, wanted: &BTreeSet<Scope>) {
        self.running.retain(|scope, task| {
            let stays = wanted.contains(scope);
            if !stays {
                task.abort();
                self.status.forget(scope);
            }
            stays
        });
        for scope in wanted {
            if !self.running.contains_key(scope) {
                self.status.follow(scope);
                let (cluster, status) = (self.cluster.clone(), self.status.clone());
                let task = self.tasks.spawn(keep(scope.clone(), cluster, status, self.events.clone()));
                self.running.insert(scope.clone(), task);
            }
        }
    }

    /// Ends when a task panics; otherwise never.
    ///
    /// # Errors
    /// The panic.
    pub(super) async fn fail(&mut self) -> anyhow::Result<()> {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) if error.is_panic() => return Err(error.into()),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// Follows a kind for ever. A failure is told, and after a while all begins anew.
async fn keep(scope: Scope, cluster: Cluster, status: Status, events: Sender<(Scope, Event)>) {
    let mut wait = cluster.timing.backoff_min;
    loop {
        let began = Instant::now();
        let Err(trouble) = follow(&scope, &cluster, &status, &events).await;
        if began.elapsed() > cluster.timing.watch {
            wait = cluster.timing.backoff_min;
        }
        status.failed(&scope, &trouble);
        let age = status.age_of(&scope);
        let too_old = cluster.max_staleness.is_some_and(|limit| age.is_some_and(|age| age > limit));
        let event = if too_old { Event::Expired } else { Event::Lost };
        // Nobody listens any more when the service ends, and this task with it.
        let _ended = events.send((scope.clone(), event)).await;
        sleep(jittered(wait)).await;
        wait = (wait * 2).min(cluster.timing.backoff_max);
    }
}

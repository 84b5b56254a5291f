//! Objects of a Kubernetes cluster, as a [`Bundle`].
//!
//! Each kind in each namespace is followed by a task of its own: a complete list, then a watch from
//! there on. Whatever
//! goes wrong, an expired version (410) included, is said, and then the kind is listed anew, so that
//! nothing that happened meanwhile is missed. What is known of it stays in force until then. The
//! bundle is made of all that is there, never patched, and there is none before every kind was
//! listed once and is watched.
//!
//! Functions declare in their Deployments, and in `Function` objects where that kind exists, that
//! they want tokens. A function that is not known does not want any, but only while all functions of
//! its namespace are known: from the first complete list on, and not while something is wrong with
//! following them. What a known function declared holds until it is told anew or is too old.

mod follow;
mod followers;
mod reduce;
mod status;
mod store;
mod trouble;
mod watched;

#[cfg(test)]
pub(crate) mod test_api_server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kube::Client;
use kube::config::Config;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, timeout_at};

use followers::Followers;
pub use status::{KindStatus, Status};
use store::{Event, Store};
pub use trouble::Trouble;
use watched::Scope;
pub use watched::{Functions, Watched};

use crate::compile::Bundle;
use crate::crd::Defaults;
use crate::state::aside;

/// A burst of events gives one bundle: it waits this long for more of them.
const BURST: Duration = Duration::from_millis(20);
/// Events that may wait. Whoever follows a kind waits with the next one.
const WAITING: usize = 64;

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Timing {
    /// An answer to a request, its body included where it has an end.
    pub answer: Duration,
    /// One watch. The API server ends it in good order then, and the next one begins where it ended:
    /// so that a quiet watch is known to be alive.
    pub watch: Duration,
    /// How long after its end a watch that says nothing counts as lost.
    pub grace: Duration,
    /// The wait after a first failure; it doubles with each further one.
    pub backoff_min: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// How often it is looked whether a kind that a cluster may not have is there by now.
    pub absent: Duration,
}

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The namespace of the objects.
    pub namespace: String,
    /// Where functions are, if their declarations are wanted.
    pub functions: Option<Functions>,
    /// How old what is known of functions may become; then all of them ask for tokens.
    pub max_staleness: Option<Duration>,
    /// How long things may take.
    pub timing: Timing,
    /// A kubeconfig file that takes the place of the environment's: for tests.
    pub kubeconfig: Option<std::path::PathBuf>,
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(30),
            watch: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(4),
            absent: Duration::from_secs(10),
        }
    }
}

// === impl Cluster ===

impl Cluster {
    /// The objects of a namespace, with the usual patience.
    pub fn new(namespace: String) -> Self {
        Self { namespace, functions: None, max_staleness: None, timing: Timing::default(), kubeconfig: None }
    }

    /// A connection, with credentials as they are now: `KUBECONFIG`, `~/.kube/config`, or the pod's
    /// service account.
    ///
    /// # Errors
    /// No cluster is configured, or not so that it can be asked.
    pub async fn connect(&self) -> Result<Client, Trouble> {
        let mut config = match &self.kubeconfig {
            None => Config::infer().await.map_err(|error| Trouble::no_cluster(&error))?,
            Some(path) => {
                let read = kube::config::Kubeconfig::read_from(path);
                let kubeconfig = read.map_err(|error| Trouble::no_cluster(&error))?;
                let made = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await;
                made.map_err(|error| Trouble::no_cluster(&error))?
            }
        };
        // Failures are ours to tell and to retry.
        config.default_retry = false;
        config.connect_timeout = Some(self.timing.answer);
        Client::try_from(config).map_err(|error| Trouble::no_cluster(&error))
    }
}

/// Calls `changed` with all objects, when every kind was listed once and then whenever one of them
/// changes, until it is dropped. Tells `status` how it goes.
///
/// # Errors
/// A task that follows a kind ended, which none does by itself.
pub async fn watch(
    cluster: Cluster,
    defaults: Defaults,
    status: Status,
    mut changed: impl FnMut(Bundle) + Send,
) -> anyhow::Result<()> {
    let (sender, mut events) = mpsc::channel(WAITING);
    let mut store = Store::new(cluster.namespace.clone(), cluster.functions.clone());
    let mut followers = Followers::new(cluster, status, sender);
    let mut begun = false;
    loop {
        followers.set(&store.wanted());
        tokio::select! {
            more = burst(&mut events, &mut store) => {
                begun |= store.has_heard_of_all();
                let bundle = if more && begun { aside(|| store.bundle(&defaults)) } else { None };
                if let Some(bundle) = bundle {
                    changed(bundle);
                }
            }
            failed = followers.fail() => failed?,
        }
    }
}

/// Waits for an event and takes those that follow closely. True if anything changed.
async fn burst(events: &mut Receiver<(Scope, Event)>, store: &mut Store) -> bool {
    let Some((scope, event)) = events.recv().await else { return std::future::pending().await };
    let mut changed = store.apply(&scope, event);
    let end = Instant::now() + BURST;
    while let Ok(Some((scope, event))) = timeout_at(end, events.recv()).await {
        changed |= store.apply(&scope, event);
    }
    changed
}

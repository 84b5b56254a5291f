//! One kind: a complete list, then a watch from there on, until something goes wrong.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;

use futures_util::StreamExt as _;
use kube::Client;
use kube::core::params::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::store::{Event, Watched};
use super::trouble::{Step, Trouble};
use super::{Cluster, Status};

/// Objects that are listed at once.
const PAGE: u32 = 500;

/// A part of a list. Objects stay as they are: one that cannot be read must not hide the others.
#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    /// Go programs write an empty list as `null`.
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

/// Following one kind, over one connection.
struct Follower<'a> {
    kind: Watched,
    cluster: &'a Cluster,
    status: &'a Status,
    events: &'a Sender<(Watched, Event)>,
    client: Client,
}

/// Lists the objects of a kind and watches them.
///
/// # Errors
/// Always, in the end: what the list or the watch ended with.
pub(super) async fn follow(
    kind: Watched,
    cluster: &Cluster,
    status: &Status,
    events: &Sender<(Watched, Event)>,
) -> Result<Infallible, Trouble> {
    // A new connection each time: certificates and credentials may have been replaced.
    let client = cluster.connect().await?;
    let follower = Follower { kind, cluster, status, events, client };
    let (objects, version) = follower.list().await?;
    // The first list is in force with its watch only: a service that may not watch is not ready, since
    // it would be out of date at once.
    let mut unwatched = Some(objects);
    if status.is_listed(kind) {
        follower.tell_all(unwatched.take()).await;
    }
    follower.watch(version, unwatched).await
}

// === impl Follower ===

impl Follower<'_> {
    /// Lists all, from etcd, with the version that the list is of.
    async fn list(&self) -> Result<(Vec<Value>, String), Trouble> {
        let mut objects = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        let version = loop {
            let request = Request::new(self.path()).list(&params).map_err(Trouble::request)?;
            let page = self.answer(Step::List, self.client.request_text(request)).await?;
            let page: Page = serde_json::from_str(&page).map_err(|error| Trouble::answer(&error))?;
            objects.extend(page.items.unwrap_or_default());
            if page.metadata.next.is_empty() {
                break page.metadata.resource_version;
            }
            params = params.continue_token(&page.metadata.next);
        };
        if objects.is_empty() && !self.status.is_listed(self.kind) {
            self.namespace_exists().await?;
        }
        Ok((objects, version))
    }

    async fn tell_all(&self, objects: Option<Vec<Value>>) {
        if let Some(objects) = objects {
            self.tell(Event::Listed(objects)).await;
            self.status.listed(self.kind);
        }
    }

    /// A namespace that does not exist lists like an empty one. Who may not ask is not held up.
    async fn namespace_exists(&self) -> Result<(), Trouble> {
        let path = format!("/api/v1/namespaces/{}", self.cluster.namespace);
        let request = http::Request::get(path).body(Vec::new()).map_err(Trouble::request)?;
        match timeout(self.cluster.timing.answer, self.client.request_text(request)).await {
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                Err(Trouble::no_namespace(&self.cluster.namespace))
            }
            _ => Ok(()),
        }
    }

    /// Watches from a version on, and tells what was listed once it does. A watch that ends in good
    /// order goes on where it ended.
    async fn watch(
        &self,
        mut version: String,
        mut unwatched: Option<Vec<Value>>,
    ) -> Result<Infallible, Trouble> {
        let timing = &self.cluster.timing;
        let seconds = u32::try_from(timing.watch.as_secs()).unwrap_or(u32::MAX).max(1);
        let params = WatchParams::default().timeout(seconds);
        let silence = timing.watch + timing.grace;
        loop {
            let request = Request::new(self.path()).watch(&params, &version).map_err(Trouble::request)?;
            let began = tokio::time::Instant::now();
            let opened = self.answer(Step::Watch, self.client.request_events::<Value>(request)).await?;
            let mut stream = pin!(opened);
            self.tell_all(unwatched.take()).await;
            self.status.confirmed(self.kind);
            loop {
                let event = match timeout(silence, stream.next()).await {
                    Err(_) => return Err(Trouble::silent(self.kind, silence)),
                    Ok(None) => break,
                    Ok(Some(event)) => event.map_err(|error| self.trouble(Step::Watch, &error))?,
                };
                self.hear(event, &mut version).await?;
                self.status.confirmed(self.kind);
            }
            // A server that closes every watch at once is not asked in a tight loop.
            tokio::time::sleep_until(began + timing.backoff_min).await;
        }
    }

    async fn hear(&self, event: WatchEvent<Value>, version: &mut String) -> Result<(), Trouble> {
        let (object, deleted) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                return Ok(());
            }
            WatchEvent::Error(status) => return Err(self.trouble(Step::Watch, &kube::Error::Api(status))),
        };
        let Some(reached) = object.pointer("/metadata/resourceVersion").and_then(Value::as_str) else {
            return Err(Trouble::no_version(self.kind));
        };
        reached.clone_into(version);
        self.tell(if deleted { Event::Deleted(object) } else { Event::Put(object) }).await;
        Ok(())
    }

    async fn tell(&self, event: Event) {
        // Nobody listens any more when the service ends, and this task with it.
        let _ended = self.events.send((self.kind, event)).await;
    }

    async fn answer<T>(
        &self,
        step: Step,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Trouble> {
        match timeout(self.cluster.timing.answer, request).await {
            Ok(answer) => answer.map_err(|error| self.trouble(step, &error)),
            Err(_) => Err(Trouble::silent(self.kind, self.cluster.timing.answer)),
        }
    }

    fn trouble(&self, step: Step, error: &kube::Error) -> Trouble {
        Trouble::new(step, self.kind, &self.cluster.namespace, error)
    }

    fn path(&self) -> String {
        let (namespace, plural) = (&self.cluster.namespace, self.kind.plural());
        format!("/apis/iam.openfaas.com/v1/namespaces/{namespace}/{plural}")
    }
}

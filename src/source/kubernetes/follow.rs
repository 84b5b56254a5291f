//! One kind: a complete list, then a watch from there on, until something goes wrong.

use std::collections::BTreeMap;
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
use tokio::time::{sleep, timeout};

use super::reduce::{Kept, Key, kept};
use super::store::Event;
use super::trouble::{Step, Trouble};
use super::watched::Scope;
use super::{Cluster, Status};

/// Objects that are listed at once.
const PAGE: u32 = 500;
/// The same, of objects that may be large.
const LARGE_PAGE: u32 = 50;

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
    scope: &'a Scope,
    cluster: &'a Cluster,
    status: &'a Status,
    events: &'a Sender<(Scope, Event)>,
    client: Client,
}

/// Lists the objects of a kind and watches them.
///
/// # Errors
/// Always, in the end: what the list or the watch ended with.
pub(super) async fn follow(
    scope: &Scope,
    cluster: &Cluster,
    status: &Status,
    events: &Sender<(Scope, Event)>,
) -> Result<Infallible, Trouble> {
    // A new connection each time: certificates and credentials may have been replaced.
    let client = cluster.connect().await?;
    let follower = Follower { scope, cluster, status, events, client };
    if scope.kind.may_be_absent() {
        follower.until_served().await?;
    }
    let (objects, version) = follower.list().await?;
    if status.is_listed(scope) {
        follower.tell_all(objects).await;
        follower.watch(version, None).await
    } else {
        // For the first time it counts only with a watch: whoever may list but not watch must learn of
        // it before anything depends on it.
        follower.watch(version, Some(objects)).await
    }
}

// === impl Follower ===

impl Follower<'_> {
    /// Waits until the kind is defined. Until then there are no objects of it.
    async fn until_served(&self) -> Result<(), Trouble> {
        while !self.is_served().await? {
            self.tell_all(BTreeMap::new()).await;
            self.status.confirmed(self.scope);
            sleep(self.cluster.timing.absent).await;
        }
        Ok(())
    }

    async fn is_served(&self) -> Result<bool, Trouble> {
        let request = http::Request::get(self.scope.group_path()).body(Vec::new());
        let request = request.map_err(Trouble::request)?;
        let answer = match timeout(self.cluster.timing.answer, self.client.request_text(request)).await {
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Ok(false),
            Ok(answer) => answer.map_err(|error| self.trouble(Step::Discover, &error))?,
            Err(_) => return Err(Trouble::silent(self.scope, self.cluster.timing.answer)),
        };
        let group: Value = serde_json::from_str(&answer).map_err(|error| Trouble::answer(&error))?;
        let kinds = group.get("resources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let plural = self.scope.kind.plural();
        Ok(kinds.iter().any(|kind| kind.get("name").and_then(Value::as_str) == Some(plural)))
    }

    /// Lists all, from etcd. Returns them with the version that the list is of.
    async fn list(&self) -> Result<(BTreeMap<Key, Kept>, String), Trouble> {
        let mut objects = BTreeMap::new();
        let mut params =
            ListParams::default().limit(if self.scope.kind.is_of_functions() { LARGE_PAGE } else { PAGE });
        if let Some(labels) = self.scope.kind.labels() {
            params = params.labels(labels);
        }
        let version = loop {
            let request = Request::new(self.scope.path());
            let metadata = self.scope.kind.is_metadata();
            let request = if metadata { request.list_metadata(&params) } else { request.list(&params) };
            let request = request.map_err(Trouble::request)?;
            let page = self.answer(Step::List, self.client.request_text(request)).await?;
            let page: Page = serde_json::from_str(&page).map_err(|error| Trouble::answer(&error))?;
            // Each page by itself: all of the objects whole could be more than there is memory.
            let items = page.items.unwrap_or_default().into_iter();
            objects.extend(items.filter_map(|object| kept(self.scope.kind, object)));
            if page.metadata.next.is_empty() {
                break page.metadata.resource_version;
            }
            params = params.continue_token(&page.metadata.next);
        };
        if objects.is_empty() && !self.status.is_listed(self.scope) {
            self.namespace_exists().await?;
        }
        Ok((objects, version))
    }

    async fn tell_all(&self, objects: BTreeMap<Key, Kept>) {
        self.tell(Event::Listed(objects)).await;
        self.status.listed(self.scope);
    }

    /// A namespace that does not exist lists like an empty one. Who may not ask is not held up.
    async fn namespace_exists(&self) -> Result<(), Trouble> {
        let namespace = &self.cluster.namespace;
        if self.scope.namespace != *namespace {
            return Ok(());
        }
        let path = format!("/api/v1/namespaces/{namespace}");
        let request = http::Request::get(path).body(Vec::new()).map_err(Trouble::request)?;
        match timeout(self.cluster.timing.answer, self.client.request_text(request)).await {
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Trouble::no_namespace(namespace)),
            _ => Ok(()),
        }
    }

    /// Watches from a version on. A watch that ends in good order goes on where it ended. What was
    /// listed is told as soon as there is a watch, if it was not told before.
    async fn watch(
        &self,
        mut version: String,
        mut listed: Option<BTreeMap<Key, Kept>>,
    ) -> Result<Infallible, Trouble> {
        let timing = &self.cluster.timing;
        let seconds = u32::try_from(timing.watch.as_secs()).unwrap_or(u32::MAX).max(1);
        let mut params = WatchParams::default().timeout(seconds);
        if let Some(labels) = self.scope.kind.labels() {
            params = params.labels(labels);
        }
        let silence = timing.watch + timing.grace;
        loop {
            let request = Request::new(self.scope.path());
            let request = match self.scope.kind.is_metadata() {
                true => request.watch_metadata(&params, &version),
                false => request.watch(&params, &version),
            };
            let request = request.map_err(Trouble::request)?;
            let began = tokio::time::Instant::now();
            let opened = self.answer(Step::Watch, self.client.request_events::<Value>(request)).await?;
            let mut stream = pin!(opened);
            if let Some(objects) = listed.take() {
                self.tell_all(objects).await;
            }
            self.status.confirmed(self.scope);
            loop {
                let event = match timeout(silence, stream.next()).await {
                    Err(_) => return Err(Trouble::silent(self.scope, silence)),
                    Ok(None) => break,
                    Ok(Some(event)) => event.map_err(|error| self.trouble(Step::Watch, &error))?,
                };
                self.hear(event, &mut version).await?;
                self.status.confirmed(self.scope);
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
            return Err(Trouble::no_version(self.scope));
        };
        reached.clone_into(version);
        self.tell(if deleted { Event::Deleted(object) } else { Event::Put(object) }).await;
        Ok(())
    }

    async fn tell(&self, event: Event) {
        // Nobody listens any more when the service ends, and this task with it.
        let _ended = self.events.send((self.scope.clone(), event)).await;
    }

    async fn answer<T>(
        &self,
        step: Step,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Trouble> {
        match timeout(self.cluster.timing.answer, request).await {
            Ok(answer) => answer.map_err(|error| self.trouble(step, &error)),
            Err(_) => Err(Trouble::silent(self.scope, self.cluster.timing.answer)),
        }
    }

    fn trouble(&self, step: Step, error: &kube::Error) -> Trouble {
        Trouble::new(step, self.scope, error)
    }
}

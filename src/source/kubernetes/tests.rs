//! The pure part with events as they may come, and the whole with an API server that has mishaps.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

mod functions;

use super::store::Event;
use super::test_api_server::{ApiServer, NAMESPACE};
use super::watched::Scope;
use super::*;

fn object(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": NAMESPACE, "uid": "u"}, "spec": spec})
}

fn own(kind: Watched) -> Scope {
    Scope::new(kind, NAMESPACE)
}

fn store() -> Store {
    Store::new(NAMESPACE.to_owned(), None)
}

fn policy(resource: &str) -> Value {
    json!({"statement": [{"sid": "a", "effect": "Allow", "action": ["Function:*"], "resource": [resource]}]})
}

fn names(bundle: &Bundle) -> Vec<&str> {
    bundle.policies.iter().map(|policy| policy.reference.name.as_str()).collect()
}

#[test]
fn there_is_no_bundle_before_every_kind_was_listed() {
    let mut store = store();
    let defaults = Defaults::default();
    assert!(!store.apply(&own(Watched::Role), Event::Put(object("early", &json!({})))));
    for kind in Watched::IAM {
        assert_eq!(store.bundle(&defaults), None);
        assert!(store.apply(&own(kind), Event::listed(kind, [])));
    }
    assert_eq!(store.bundle(&defaults), Some(Bundle::default()));
}

#[test]
fn what_cannot_be_read_closes_itself_and_hides_nothing() {
    let mut store = store();
    for kind in Watched::IAM {
        store.apply(&own(kind), Event::listed(kind, []));
    }
    let bad =
        [json!("text"), json!({"metadata": 7}), object("odd", &json!([1])), object("good", &policy("a:*"))];
    store.apply(&own(Watched::Policy), Event::listed(Watched::Policy, bad.to_vec()));
    let bundle = store.bundle(&Defaults::default()).unwrap();
    assert_eq!(names(&bundle), ["good", "odd"]);
    assert!(bundle.unreadable_part && bundle.diagnostics.iter().all(|d| d.origin == "cluster"));
    assert!(!store.apply(&own(Watched::Policy), Event::listed(Watched::Policy, bad.into_iter().rev())));
}

proptest! {
    /// Whatever happened before and in whatever order, the bundle is that of a fresh list.
    #[test]
    fn the_bundle_is_a_function_of_what_is_there(
        edits in proptest::collection::vec((0..3usize, 0..4usize, proptest::option::of(0..3usize)), 0..40),
        shuffled in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let (mut store, mut there) = (store(), std::collections::BTreeMap::new());
        for kind in Watched::IAM {
            store.apply(&own(kind), Event::listed(kind, []));
        }
        for (kind, name, spec) in edits {
            let made = |spec: usize| object(&format!("n{name}"), &policy(&format!("s{spec}:*")));
            let event = match spec {
                Some(spec) => { there.insert((kind, name), made(spec)); Event::Put(made(spec)) }
                None => { there.remove(&(kind, name)); Event::Deleted(made(0)) }
            };
            store.apply(&own(Watched::IAM[kind]), event);
        }
        let mut fresh = self::store();
        for (k, kind) in Watched::IAM.into_iter().enumerate().rev() {
            let of = |i: &usize| there.get(&(k, i % 4)).filter(|_| i / 4 == k).cloned();
            fresh.apply(&own(kind), Event::listed(kind, shuffled.iter().filter_map(of)));
        }
        prop_assert_eq!(store.bundle(&Defaults::default()), fresh.bundle(&Defaults::default()));
    }
}

/// The source, following an API server.
struct Bed {
    server: Arc<ApiServer>,
    status: Status,
    bundles: Arc<Mutex<Vec<Bundle>>>,
    task: JoinHandle<anyhow::Result<()>>,
}

async fn bed(prepare: impl FnOnce(&ApiServer)) -> Bed {
    bed_of(Cluster::new(NAMESPACE.to_owned()), prepare).await
}

async fn bed_of(cluster: Cluster, prepare: impl FnOnce(&ApiServer)) -> Bed {
    let server = ApiServer::start().await;
    server.put("policies", "a", policy("a:*"));
    prepare(&server);
    let (status, bundles) = (Status::default(), Arc::new(Mutex::new(Vec::new())));
    let ms = Duration::from_millis;
    let timing = Timing { backoff_min: ms(10), backoff_max: ms(50), absent: ms(20), ..Timing::default() };
    let kubeconfig = Some(server.kubeconfig.clone());
    let cluster = Cluster { timing, kubeconfig, ..cluster };
    let seen = Arc::clone(&bundles);
    let changed = move |bundle| seen.lock().unwrap().push(bundle);
    let task = tokio::spawn(watch(cluster, Defaults::default(), status.clone(), changed));
    Bed { server, status, bundles, task }
}

impl Bed {
    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..2000 {
            if holds() {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("{what}: {:?} {:?}", self.status.kinds(), self.policies());
    }

    /// The names of the Policies in the last bundle.
    fn policies(&self) -> Option<Vec<String>> {
        let bundles = self.bundles.lock().unwrap();
        bundles.last().map(|bundle| names(bundle).iter().map(|&name| name.to_owned()).collect())
    }

    async fn until_policies(&self, expected: &[&str]) {
        let holds = || self.policies().is_some_and(|policies| policies == expected);
        self.until(&format!("{expected:?}"), holds).await;
    }

    async fn until_trouble(&self, part: &str) {
        self.until(part, || self.status.troubles().iter().any(|trouble| trouble.contains(part))).await;
    }

    async fn until_well(&self) {
        self.until("well", || self.status.troubles().is_empty() && self.status.age().is_some()).await;
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn one_slow_list_keeps_everything_back() {
    let bed = bed(|server| server.hold_lists(&["roles"])).await;
    bed.until("two lists", || bed.status.kinds().iter().filter(|kind| kind.age.is_some()).count() == 2).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!((bed.policies(), bed.status.age()), (None, None));
    bed.server.hold_lists(&[]);
    bed.until_policies(&["a"]).await;
}

#[tokio::test]
async fn without_a_watch_a_first_list_is_not_in_force() {
    let bed = bed(|server| server.refuse_watches(Some(403))).await;
    bed.until_trouble("no permission to watch policies.iam.openfaas.com").await;
    assert_eq!((bed.policies(), bed.status.age()), (None, None));
    bed.server.refuse_watches(None);
    bed.until_policies(&["a"]).await;
    bed.until_well().await;
}

#[tokio::test]
async fn events_are_in_force_one_by_one_and_a_bad_object_hides_no_other() {
    let bed = bed(|server| server.put("policies", "odd", json!({"statement": 7, "x": []}))).await;
    bed.until_policies(&["a", "odd"]).await;
    bed.server.put("policies", "b", policy("b:*"));
    bed.until_policies(&["a", "b", "odd"]).await;
    bed.server.delete("policies", "a");
    bed.server.put("policies", "odd", policy("b:*"));
    let sound = || bed.bundles.lock().unwrap().last().is_some_and(|bundle| bundle.diagnostics.is_empty());
    bed.until("mended", sound).await;
    bed.until_policies(&["b", "odd"]).await;
    assert_eq!(bed.server.lists.load(Ordering::SeqCst), 3, "once for each kind");
}

#[tokio::test]
async fn refusals_are_told_and_retried() {
    let bed = bed(|server| server.refuse_lists("roles", Some(403))).await;
    bed.until_trouble("no permission to list roles.iam.openfaas.com in the namespace `openfaas` (403)").await;
    bed.server.refuse_lists("roles", Some(404));
    bed.until_trouble("install the CustomResourceDefinitions").await;
    bed.server.refuse_lists("roles", Some(401));
    bed.until_trouble("does not accept the credentials (401)").await;
    assert_eq!(bed.policies(), None);
    bed.server.refuse_lists("roles", None);
    bed.until_policies(&["a"]).await;
    bed.until_well().await;
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_not_an_empty_one() {
    let bed = bed(|server| {
        server.delete("policies", "a");
        server.namespace_is_missing(true);
    })
    .await;
    bed.until_trouble("the namespace `openfaas` does not exist").await;
    assert_eq!(bed.policies(), None);
    bed.server.namespace_is_missing(false);
    bed.until_policies(&[]).await;
}

#[tokio::test]
async fn an_expired_version_is_listed_anew_wherever_it_is_told() {
    let bed = bed(|_| {}).await;
    bed.until_policies(&["a"]).await;
    bed.until_well().await;
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}});
    bed.server.end_watches(Some(gone));
    bed.until("relisted", || bed.server.lists.load(Ordering::SeqCst) == 6).await;
    bed.until_well().await;
    // Now as the answer to the watch itself, with a deletion and a creation that no watch tells.
    bed.server.refuse_watches(Some(500));
    bed.server.end_watches(None);
    bed.until_trouble("says 500").await;
    bed.server.refuse_lists("policies", Some(500));
    bed.until("list refused", || bed.status.troubles().iter().any(|t| t.contains("list policies"))).await;
    bed.server.delete("policies", "a");
    bed.server.put("policies", "z", policy("z:*"));
    bed.server.forget();
    assert_eq!(bed.policies().unwrap(), ["a"], "the last that is known stays in force");
    bed.server.refuse_lists("policies", None);
    bed.server.refuse_watches(None);
    bed.until_policies(&["z"]).await;
    bed.until_well().await;
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_ended() {
    let bed = bed(|_| {}).await;
    bed.until_policies(&["a"]).await;
    bed.until_well().await;
    for round in 0..3 {
        bed.server.end_watches(None);
        bed.server.put("policies", &format!("b{round}"), policy("b:*"));
    }
    bed.until_policies(&["a", "b0", "b1", "b2"]).await;
    bed.server.end_watches(None);
    bed.server.delete("policies", "b1");
    bed.until_policies(&["a", "b0", "b2"]).await;
    assert_eq!(bed.server.lists.load(Ordering::SeqCst), 3);
    assert_eq!(bed.status.kinds().iter().map(|kind| kind.failures).sum::<u64>(), 0);
}

#[tokio::test]
async fn without_a_cluster_there_is_a_reason() {
    let cluster = Cluster { kubeconfig: Some("/nowhere/config".into()), ..Cluster::new(NAMESPACE.into()) };
    let trouble = cluster.connect().await.err().unwrap().to_string();
    assert!(trouble.starts_with("no cluster can be asked"), "{trouble}");
}

//! Functions that declare that they want tokens.

use super::*;
use crate::compile::{IssuerKeys, compile};
use crate::identity::OwnIssuer;

const NAMESPACES: &str = "/api/v1/namespaces";

/// A change of a Deployment: in a namespace, its name, and whether it asks.
fn put(server: &ApiServer, namespace: &str, name: &str, asks: bool) {
    server.change_in(&deployments(namespace), deployment(namespace, name, asks), false);
}

fn deployments(namespace: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/deployments")
}

fn functions(namespace: &str) -> String {
    format!("/apis/openfaas.com/v1/namespaces/{namespace}/functions")
}

fn deployment(namespace: &str, name: &str, asks: bool) -> Value {
    let env = json!([
        {"name": "password", "value": "a-secret-of-the-function"},
        {"name": "jwt_auth", "value": asks.to_string()},
    ]);
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"faas_function": name}},
        "spec": {"replicas": 1, "template": {
            "metadata": {"labels": {"faas_function": name}},
            "spec": {"containers": [{"name": name, "image": "x", "env": env}]},
        }},
    })
}

fn annotate(server: &ApiServer, namespace: &str, annotations: &Value) {
    let object = json!({"metadata": {"name": namespace, "annotations": annotations}});
    server.change_in(NAMESPACES, object, false);
}

fn declared() -> Cluster {
    let functions = Functions {
        default_namespace: "fn".to_owned(),
        system_namespaces: ["kube-system".to_owned()].into(),
    };
    Cluster { functions: Some(functions), ..Cluster::new(NAMESPACE.to_owned()) }
}

impl Bed {
    /// Whether a function asks for tokens, in what is in force now.
    fn asks(&self, namespace: &str, name: &str) -> Option<bool> {
        let bundles = self.bundles.lock().unwrap();
        let own = OwnIssuer::new("https://gateway.example.com", Arc::default());
        let (snapshot, _) = compile(bundles.last()?, &IssuerKeys::new(), &own);
        Some(snapshot.asks_for_token(namespace, name))
    }

    async fn until_asks(&self, namespace: &str, name: &str, asks: bool) {
        let what = format!("{namespace}/{name} asks: {asks}");
        self.until(&what, || self.asks(namespace, name) == Some(asks)).await;
    }
}

#[tokio::test]
async fn a_deployment_declares_and_what_it_holds_beside_is_not_kept() {
    let bed = bed_of(declared(), |server| put(server, "fn", "open", false)).await;
    bed.until_asks("fn", "open", false).await;
    bed.until_well().await;
    put(&bed.server, "fn", "closed", true);
    bed.until_asks("fn", "closed", true).await;
    assert_eq!(bed.asks("fn", "nowhere"), Some(false), "all are known");
    assert_eq!(bed.asks("elsewhere", "x"), Some(true), "nothing is known of another namespace");
    put(&bed.server, "fn", "closed", false);
    bed.until_asks("fn", "closed", false).await;
    put(&bed.server, "fn", "closed", true);
    bed.until_asks("fn", "closed", true).await;
    bed.server.change_in(&deployments("fn"), deployment("fn", "closed", true), true);
    bed.until_asks("fn", "closed", false).await;

    let mut store = Store::new(NAMESPACE.to_owned(), declared().functions);
    store.apply(
        &Scope::new(Watched::Deployment, "fn"),
        Event::listed(Watched::Deployment, [deployment("fn", "a", true)]),
    );
    let kept = format!("{store:?}");
    assert!(kept.contains("jwt_auth") && !kept.contains("a-secret") && !kept.contains("replicas"), "{kept}");
}

#[tokio::test]
async fn nothing_is_in_force_before_the_functions_of_the_default_namespace_are_known() {
    let bed = bed_of(declared(), |server| server.refuse_lists(&deployments("fn"), Some(403))).await;
    bed.until_trouble("no permission to list deployments.apps in the namespace `fn` (403)").await;
    bed.server.refuse_lists(NAMESPACES, Some(403));
    assert_eq!(bed.policies(), None);
    bed.server.refuse_lists(&deployments("fn"), None);
    bed.server.refuse_lists(NAMESPACES, None);
    bed.until_asks("fn", "x", false).await;
    bed.until_well().await;
}

#[tokio::test]
async fn while_functions_are_not_followed_those_that_are_not_known_ask() {
    let bed = bed_of(declared(), |server| put(server, "fn", "open", false)).await;
    bed.until_asks("fn", "new", false).await;
    bed.server.refuse_watches(Some(500));
    bed.server.refuse_lists(&deployments("fn"), Some(500));
    bed.server.end_watches(None);
    bed.until_asks("fn", "new", true).await;
    assert_eq!(bed.asks("fn", "open"), Some(false), "what it declared holds");
    bed.server.refuse_watches(None);
    bed.server.refuse_lists(&deployments("fn"), None);
    bed.until_asks("fn", "new", false).await;
}

#[tokio::test]
async fn declarations_that_are_too_old_are_not_used() {
    let cluster = Cluster { max_staleness: Some(Duration::from_millis(100)), ..declared() };
    let bed = bed_of(cluster, |server| put(server, "fn", "open", false)).await;
    bed.until_asks("fn", "open", false).await;
    bed.until_well().await;
    bed.server.refuse_lists(&deployments("fn"), Some(500));
    bed.server.end_watches(Some(json!({"type": "ERROR", "object": {"kind": "Status", "code": 410}})));
    bed.until_asks("fn", "open", true).await;
    bed.server.refuse_lists(&deployments("fn"), None);
    bed.until_asks("fn", "open", false).await;
}

#[tokio::test]
async fn namespaces_come_and_go_with_their_annotation() {
    let bed = bed_of(declared(), |server| {
        put(server, "tenant", "open", false);
        annotate(server, "kube-system", &json!({"openfaas": "1"}));
    })
    .await;
    bed.until_asks("fn", "x", false).await;
    assert_eq!(bed.asks("tenant", "open"), Some(true), "not annotated");
    let bundles = bed.bundles.lock().unwrap().len();
    assert_eq!(bundles, 1, "nothing is in force before all was heard of");
    annotate(&bed.server, "tenant", &json!({"openfaas": "1", "other": "x"}));
    bed.until_asks("tenant", "open", false).await;
    put(&bed.server, "tenant", "closed", true);
    bed.until_asks("tenant", "closed", true).await;

    annotate(&bed.server, "tenant", &json!({"other": "x"}));
    bed.until_asks("tenant", "open", true).await;
    assert_eq!(bed.asks("kube-system", "x"), Some(true));
    // One whose functions may not be read is closed by itself.
    bed.server.refuse_lists(&deployments("tenant"), Some(403));
    annotate(&bed.server, "tenant", &json!({"openfaas": ""}));
    bed.until_trouble("no permission to list deployments.apps in the namespace `tenant` (403)").await;
    assert_eq!((bed.asks("tenant", "open"), bed.asks("fn", "x")), (Some(true), Some(false)));
    annotate(&bed.server, "tenant", &json!({}));
    bed.until_well().await;
}

#[tokio::test]
async fn the_kind_function_may_be_absent_and_appear_later() {
    let bed = bed_of(declared(), |_| {}).await;
    bed.until_asks("fn", "declared", false).await;
    bed.until_well().await;
    let object = json!({
        "metadata": {"name": "declared", "namespace": "fn"},
        "spec": {"name": "declared", "image": "x", "environment": {"jwt_auth": "true"}},
    });
    bed.server.change_in(&functions("fn"), object.clone(), false);
    bed.server.has_functions(true);
    bed.until_asks("fn", "declared", true).await;
    put(&bed.server, "fn", "declared", false);
    bed.server.change_in(&functions("fn"), object, true);
    bed.until_asks("fn", "declared", false).await;
    bed.server.has_functions(false);
    bed.server.refuse_watches(Some(404));
    bed.server.end_watches(None);
    bed.until_asks("fn", "new", true).await;
    bed.server.refuse_watches(None);
    bed.until_asks("fn", "new", false).await;
}

//! The service with the permissions of the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::installed::Service;
use super::may;
use super::rendered::{Rendered, list, texts};
use crate::support::api_server::ApiServer;
use crate::support::json::text;

/// Every permission of `base`: who needs which, and what for.
const BASE: [(&str, &str, &str); 16] = [
    // To decide.
    ("faas-iam", "list", "jwtissuers.iam.openfaas.com"),
    ("faas-iam", "watch", "jwtissuers.iam.openfaas.com"),
    ("faas-iam", "list", "policies.iam.openfaas.com"),
    ("faas-iam", "watch", "policies.iam.openfaas.com"),
    ("faas-iam", "list", "roles.iam.openfaas.com"),
    ("faas-iam", "watch", "roles.iam.openfaas.com"),
    // The uid of an object that an Event is about.
    ("faas-iam", "get", "jwtissuers.iam.openfaas.com"),
    ("faas-iam", "get", "policies.iam.openfaas.com"),
    ("faas-iam", "get", "roles.iam.openfaas.com"),
    // Events, and the Lease of the replica that writes them.
    ("faas-iam", "get", "events.events.k8s.io"),
    ("faas-iam", "create", "events.events.k8s.io"),
    ("faas-iam", "patch", "events.events.k8s.io"),
    ("faas-iam", "create", "leases.coordination.k8s.io"),
    ("faas-iam", "get", "leases.coordination.k8s.io/faas-iam-events"),
    ("faas-iam", "update", "leases.coordination.k8s.io/faas-iam-events"),
    // To tell a namespace that is missing from one that is empty.
    ("faas-iam-namespace", "get", "namespaces./openfaas"),
];

/// What `declared` adds.
const DECLARED: [(&str, &str, &str); 6] = [
    // Which namespaces have functions.
    ("faas-iam-namespaces", "list", "namespaces."),
    ("faas-iam-namespaces", "watch", "namespaces."),
    // Which functions ask for a token.
    ("faas-iam-functions", "list", "deployments.apps"),
    ("faas-iam-functions", "watch", "deployments.apps"),
    ("faas-iam-functions", "list", "functions.openfaas.com"),
    ("faas-iam-functions", "watch", "functions.openfaas.com"),
];

/// All that `base` and `declared` grant together.
pub(crate) fn permissions() -> BTreeSet<(String, String)> {
    let all = BASE.iter().chain(&DECLARED);
    all.map(|(_, verb, what)| ((*verb).to_owned(), (*what).to_owned())).collect()
}

/// The rules of the rendered sets are exactly those, and each is bound to the service's account alone.
pub(crate) fn rules(sets: &BTreeMap<&str, Rendered>) -> Result<()> {
    let owned =
        |(role, verb, what): &(&str, &str, &str)| (role.to_string(), verb.to_string(), what.to_string());
    let base: BTreeSet<_> = BASE.iter().map(owned).collect();
    let with_declared: BTreeSet<_> = base.iter().cloned().chain(DECLARED.iter().map(owned)).collect();
    for (name, set) in sets {
        let expected = match *name {
            "manifests/crds" | "manifests/admission" | "manifests/network-policy" | "manifests/examples" => {
                &BTreeSet::new()
            }
            "manifests/installation" => &with_declared,
            _ => &base,
        };
        let granted = granted(set)?;
        let (more, less) = (granted.difference(expected), expected.difference(&granted));
        let (more, less) = (more.collect::<Vec<_>>(), less.collect::<Vec<_>>());
        ensure!(more.is_empty() && less.is_empty(), "{name}: too much: {more:?}, missing: {less:?}");
        let account = json!([{"kind": "ServiceAccount", "name": "faas-iam", "namespace": "openfaas"}]);
        for binding in set.all("RoleBinding").chain(set.all("ClusterRoleBinding")) {
            ensure!(binding.get("subjects") == Some(&account), "{name}: {binding}");
        }
    }
    Ok(())
}

/// All permissions of a set, by the role that grants them.
fn granted(set: &Rendered) -> Result<BTreeSet<(String, String, String)>> {
    let mut granted = BTreeSet::new();
    for role in set.all("Role").filter(|role| is_rbac(role)).chain(set.all("ClusterRole")) {
        for rule in list(role, "/rules") {
            let names = texts(rule, "/resourceNames");
            let names = if names.is_empty() {
                vec![String::new()]
            } else {
                names.iter().map(|n| format!("/{n}")).collect()
            };
            for group in texts(rule, "/apiGroups") {
                for resource in texts(rule, "/resources") {
                    for verb in texts(rule, "/verbs") {
                        granted.extend(names.iter().map(|name| {
                            let role = text(role, "/metadata/name").unwrap_or_default().to_owned();
                            (role, verb.to_owned(), format!("{resource}.{group}{name}"))
                        }));
                    }
                }
            }
        }
    }
    Ok(granted)
}

/// Ours has the same kind.
fn is_rbac(role: &Value) -> bool {
    text(role, "/apiVersion").is_ok_and(|version| version.starts_with("rbac."))
}

/// With its arguments, its variables and a token of its account, the container becomes ready: it has
/// listed all. What it has no business with, it may not touch.
pub(crate) async fn syncs(server: &ApiServer, base: &Rendered, dir: &Path) -> Result<()> {
    let mut service = Service::start(server, base, &dir.join("account")).await?;
    service.wait_until_ready().await?;
    let log = service.process.output();
    ensure!(!log.contains("no permission"), "{log}");
    for (verb, group, resource, name) in [
        ("list", "", "secrets", ""),
        ("list", "", "pods", ""),
        ("list", "", "namespaces", ""),
        ("create", "iam.openfaas.com", "roles", ""),
        ("list", "rbac.authorization.k8s.io", "roles", ""),
        ("update", "coordination.k8s.io", "leases", "somebody-elses"),
    ] {
        let asked = json!({"verb": verb, "group": group, "resource": resource, "name": name, "namespace": "openfaas"});
        ensure!(!may(server, "faas-iam", asked.clone()).await?, "it may {asked}");
    }
    let elsewhere =
        json!({"verb": "list", "group": "iam.openfaas.com", "resource": "roles", "namespace": "openfaas-fn"});
    ensure!(!may(server, "faas-iam", elsewhere).await?, "it may read other namespaces");
    Ok(())
}

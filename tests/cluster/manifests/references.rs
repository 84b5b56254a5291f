//! What the API server does not look at: whether names, labels and ports in one object are those of
//! another.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::rendered::{Rendered, list};
use crate::support::json::text;

/// The value of the label `app` of the pods that the OpenFaaS chart makes.
const OF_OPENFAAS: [&str; 5] = ["gateway", "nats", "queue-worker", "prometheus", "alertmanager"];

/// Checks every set. Network policies are for pods of whatever set.
pub(crate) fn check(sets: &BTreeMap<&str, Rendered>) -> Result<()> {
    let all: Vec<&Value> = sets.values().flat_map(|set| set.all("Deployment")).collect();
    for (name, set) in sets {
        let own: Vec<&Value> = set.all("Deployment").collect();
        services(set, &own).with_context(|| (*name).to_owned())?;
        budgets_and_scalers(set, &own).with_context(|| (*name).to_owned())?;
        network_policies(set, &all).with_context(|| (*name).to_owned())?;
        images(&own).with_context(|| (*name).to_owned())?;
    }
    Ok(())
}

/// A Service finds pods, and they have its port.
fn services(set: &Rendered, deployments: &[&Value]) -> Result<()> {
    for service in set.all("Service") {
        let selector = service.pointer("/spec/selector").context("no selector")?;
        if of_openfaas(selector) {
            continue;
        }
        let pods = selected(selector, deployments);
        ensure!(!pods.is_empty(), "no pod for {service}");
        for port in list(service, "/spec/ports") {
            let target = text(port, "/targetPort")?;
            ensure!(pods.iter().all(|pod| port_names(pod).contains(target)), "no port {target}: {service}");
        }
    }
    Ok(())
}

fn budgets_and_scalers(set: &Rendered, deployments: &[&Value]) -> Result<()> {
    for budget in set.all("PodDisruptionBudget") {
        let selector = budget.pointer("/spec/selector/matchLabels").context("no selector")?;
        ensure!(selected(selector, deployments).len() == 1, "{budget}");
    }
    for scaler in set.all("HorizontalPodAutoscaler") {
        let deployment = set.get("Deployment", text(scaler, "/spec/scaleTargetRef/name")?)?;
        ensure!(deployment.pointer("/spec/replicas").is_none(), "two say how many there are: {deployment}");
        ensure!(scaler.pointer("/spec/minReplicas").and_then(Value::as_u64) == Some(2), "{scaler}");
    }
    ensure!(
        set.all("HorizontalPodAutoscaler").count() == deployments.len(),
        "not every Deployment is scaled"
    );
    ensure!(set.all("PodDisruptionBudget").count() == deployments.len(), "not every Deployment has a budget");
    Ok(())
}

/// A policy selects pods that there are, ours or those of OpenFaaS, and lets pods in that there are; a
/// port with a name is one of theirs.
fn network_policies(set: &Rendered, deployments: &[&Value]) -> Result<()> {
    for policy in
        set.all("NetworkPolicy").filter(|p| text(p, "/metadata/namespace").is_ok_and(|n| n == "openfaas"))
    {
        let selector = policy.pointer("/spec/podSelector/matchLabels").context("no selector")?;
        ensure!(of_openfaas(selector) || !selected(selector, deployments).is_empty(), "{policy}");
        for rule in list(policy, "/spec/ingress") {
            for peer in list(rule, "/from") {
                let labels = peer.pointer("/podSelector/matchLabels").cloned().unwrap_or_default();
                let known = of_openfaas(&labels) || !selected(&labels, deployments).is_empty();
                let listed = list(peer, "/podSelector/matchExpressions").all(|expression| {
                    list(expression, "/values")
                        .all(|value| value.as_str().is_some_and(|v| OF_OPENFAAS.contains(&v)))
                });
                ensure!(if labels.is_null() { listed } else { known }, "nobody is let in: {peer}");
            }
            for port in list(rule, "/ports").filter_map(|port| port.get("port")?.as_str()) {
                let pods = selected(selector, deployments);
                ensure!(pods.iter().any(|pod| port_names(pod).contains(port)), "no port {port}: {policy}");
            }
        }
    }
    Ok(())
}

/// The image is of this version.
fn images(deployments: &[&Value]) -> Result<()> {
    let own = concat!("faas-iam:", env!("CARGO_PKG_VERSION"));
    for container in deployments.iter().flat_map(|pod| list(pod, "/spec/template/spec/containers")) {
        let image = text(container, "/image")?;
        ensure!(image.ends_with(own) || image.ends_with("envoy:distroless-v1.40.0"), "{image}");
    }
    Ok(())
}

fn of_openfaas(selector: &Value) -> bool {
    let app = selector.get("app").and_then(Value::as_str);
    app.is_some_and(|app| OF_OPENFAAS.contains(&app))
        && selector.as_object().is_some_and(|all| all.len() == 1)
}

/// The Deployments whose pods have all of these labels.
fn selected<'a>(selector: &Value, deployments: &[&'a Value]) -> Vec<&'a Value> {
    let Some(wanted) = selector.as_object().filter(|wanted| !wanted.is_empty()) else { return Vec::new() };
    let has_all = |deployment: &&&Value| {
        let labels = deployment.pointer("/spec/template/metadata/labels");
        wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    deployments.iter().filter(has_all).copied().collect()
}

fn port_names(deployment: &Value) -> BTreeSet<&str> {
    let containers = list(deployment, "/spec/template/spec/containers");
    containers
        .flat_map(|container| list(container, "/ports"))
        .filter_map(|port| port.get("name")?.as_str())
        .collect()
}

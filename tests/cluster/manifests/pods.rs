//! What the pods are allowed, and where their secrets are.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::make;
use super::rendered::{Rendered, list};
use crate::support::api_server::{Answer, ApiServer};
use crate::support::json::text;

/// A namespace where the API server holds pods to the strictest of the Pod Security Standards.
const NAMESPACE: &str = "restricted";

/// No variable comes from a Secret, and every Secret is mounted so that none but the pod's user reads it
/// and that a change arrives.
pub(crate) fn no_secret_in_variables(sets: &BTreeMap<&str, Rendered>) -> Result<()> {
    let mut mounts = 0;
    for (name, set) in sets {
        for deployment in set.all("Deployment") {
            ensure!(!deployment.to_string().contains("secretKeyRef"), "{name}: a variable from a Secret");
            ensure!(!deployment.to_string().contains("secretRef"), "{name}: variables from a Secret");
            ensure!(!deployment.to_string().contains("subPath"), "{name}: a change would not arrive");
            for volume in list(deployment, "/spec/template/spec/volumes") {
                let Some(secret) = volume.get("secret") else { continue };
                let mode = secret.get("defaultMode").and_then(Value::as_u64);
                ensure!(mode == Some(0o440), "{name}: {volume}");
                mounts += 1;
            }
        }
    }
    ensure!(mounts > 0, "no Secret is mounted");
    Ok(())
}

/// The API server takes every pod in a namespace with `enforce: restricted`, and would have refused one
/// that asks for more.
pub(crate) async fn are_restricted(server: &ApiServer, sets: &BTreeMap<&str, Rendered>) -> Result<()> {
    let level = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = json!({"metadata": {"name": NAMESPACE, "labels": level}});
    make(server, "/api/v1/namespaces", &namespace).await?;
    for account in ["default", "faas-iam"] {
        let target = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        make(server, &target, &json!({"metadata": {"name": account}})).await?;
    }
    let mut checked = 0;
    for (name, set) in sets {
        for deployment in set.all("Deployment") {
            let what = || format!("{name}: {}", text(deployment, "/metadata/name").unwrap_or_default());
            let template = deployment.pointer("/spec/template").context("no template")?;
            create_pod(server, template).await?.expect(201).with_context(what)?;
            let mut greedy = template.clone();
            let context = greedy.pointer_mut("/spec/containers/0/securityContext");
            let context = context.and_then(Value::as_object_mut).with_context(what)?;
            context.insert("allowPrivilegeEscalation".to_owned(), json!(true));
            let refused = create_pod(server, &greedy).await?.expect(403)?;
            ensure!(refused.to_string().contains("violates PodSecurity"), "{refused}");
            checked += 1;
        }
    }
    ensure!(checked > 0, "no pod was checked");
    Ok(())
}

/// Asks for a pod without making it.
async fn create_pod(server: &ApiServer, template: &Value) -> Result<Answer> {
    let mut pod = template.clone();
    let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut).context("no metadata")?;
    metadata.insert("name".to_owned(), json!("pod"));
    let target = format!("/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All&fieldValidation=Strict");
    let body = ("application/json", pod.to_string());
    server.call(Method::POST, &target, Some(&server.admin_token()?), Some(body)).await
}

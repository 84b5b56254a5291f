//! What the service really asks the API server for, by the latter's audit log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::account::permissions;
use super::installed::Service;
use super::rendered::{Rendered, list};
use crate::support::api_server::ApiServer;
use crate::support::json::text;
use crate::support::patience::eventually;

const ACCOUNT: &str = "system:serviceaccount:openfaas:faas-iam";

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/openfaas/events";

/// One object of each kind with something to tell of.
const WRONG: [(&str, &str, &str); 3] = [
    ("jwtissuers", "JwtIssuer", r#"{"iss": "http://idp.example.com", "aud": ["openfaas"]}"#),
    (
        "policies",
        "Policy",
        r#"{"statement": [{"sid": "s", "effect": "Allow", "action": [], "resource": ["*"]}]}"#,
    ),
    ("roles", "Role", r#"{"policy": ["nowhere"], "principal": {"jwt:sub": ["a"]}}"#),
];

/// In all that it has done so far, and here with something to tell and functions to know, the service's
/// account used each of its permissions, and asked for nothing that it may not have.
pub(crate) async fn check(
    server: &ApiServer,
    base: &Rendered,
    declared: &Rendered,
    dir: &Path,
) -> Result<()> {
    for (plural, kind, spec) in WRONG {
        let object = json!({
            "apiVersion": "iam.openfaas.com/v1",
            "kind": kind,
            "metadata": {"name": "wrong"},
            "spec": serde_json::from_str::<Value>(spec)?,
        });
        let target = format!("/apis/iam.openfaas.com/v1/namespaces/openfaas/{plural}/wrong");
        server.apply(&target, &object.to_string()).await?.expect(201)?;
    }
    tell(server, base, &dir.join("told-once")).await?;
    // Told again by another, an Event is counted once more.
    tell(server, base, &dir.join("told-again")).await?;
    define_functions(server).await?;
    let mut service = Service::start(server, declared, &dir.join("declared")).await?;
    service.wait_until_ready().await?;

    let expected = permissions();
    eventually("every permission is used", async || {
        let missing: Vec<_> = expected.difference(&used(dir)?).cloned().collect();
        Ok(if missing.is_empty() { Ok(()) } else { Err(format!("not used: {missing:?}")) })
    })
    .await?;
    let more: Vec<_> = used(dir)?.difference(&expected).cloned().collect();
    ensure!(more.is_empty(), "this was asked for, and is not granted by a rule of its own: {more:?}");
    Ok(())
}

/// Runs the service until all three have their Event, or one more in its series, and it has given its
/// Lease back.
async fn tell(server: &ApiServer, base: &Rendered, dir: &Path) -> Result<()> {
    let before = told(server).await?;
    let mut service = Service::start(server, base, dir).await?;
    eventually("three Events", async || {
        service.process.check_running()?;
        let now = told(server).await?;
        Ok(if now >= before + WRONG.len() as u64 { Ok(()) } else { Err(service.process.output()) })
    })
    .await?;
    service.process.stop();
    Ok(())
}

/// How often it was told of them.
async fn told(server: &ApiServer) -> Result<u64> {
    let events = server.get(EVENTS).await?.expect(200)?;
    let about = |event: &&Value| text(event, "/regarding/name").is_ok_and(|name| name == "wrong");
    let times = |event: &Value| event.pointer("/series/count").and_then(Value::as_u64).unwrap_or(1);
    Ok(list(&events, "/items").filter(about).map(times).sum())
}

/// The kind of the OpenFaaS operator.
async fn define_functions(server: &ApiServer) -> Result<()> {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "functions.openfaas.com"},
        "spec": {
            "group": "openfaas.com",
            "scope": "Namespaced",
            "names": {"kind": "Function", "plural": "functions", "singular": "function"},
            "versions": [version],
        },
    });
    let target = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/functions.openfaas.com";
    server.apply(target, &definition.to_string()).await?.expect(201)?;
    eventually("Functions are served", async || {
        let answer = server.get("/apis/openfaas.com/v1/functions").await?;
        Ok(if answer.status == 200 { Ok(()) } else { Err(answer.body.to_string()) })
    })
    .await
}

/// Every verb on every resource that the account has asked for, whatever the answer. A request for an
/// object by its name counts by that only where a rule has names.
fn used(dir: &Path) -> Result<BTreeSet<(String, String)>> {
    let log = fs::read_to_string(dir.join("apiserver/audit.log"))?;
    let mut used = BTreeSet::new();
    // The last line may not be whole yet.
    for entry in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if text(&entry, "/user/username").ok() != Some(ACCOUNT) || entry.get("objectRef").is_none() {
            continue;
        }
        let part = |name: &str| text(&entry, &format!("/objectRef/{name}")).unwrap_or_default();
        let (verb, resource, group) = (text(&entry, "/verb")?, part("resource"), part("apiGroup"));
        let by_name = matches!(resource, "leases" | "namespaces") && matches!(verb, "get" | "update");
        let name = if by_name { format!("/{}", part("name")) } else { String::new() };
        used.insert((verb.to_owned(), format!("{resource}.{group}{name}")));
    }
    Ok(used)
}

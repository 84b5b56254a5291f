//! The manifests, as `kubectl` renders and applies them, and what runs in their pods.

mod account;
mod envoy_files;
mod installed;
mod kubectl;
mod pods;
mod references;
mod rendered;
mod used;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::api_server::{ApiServer, Watches};
use crate::support::json::text;
use crate::support::patience::eventually;
use crate::support::report::Report;
use kubectl::Kubectl;
use rendered::Rendered;

/// What can be applied to this cluster, in this order. `istio` needs the kinds of Istio: `make interop`
/// validates it.
const APPLIED: [&str; 9] = [
    "manifests/crds",
    "manifests/admission",
    "manifests/base",
    "manifests/sidecar",
    "manifests/envoy",
    "manifests/network-policy",
    "manifests/front",
    "manifests/examples",
    "manifests/installation",
];

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let dir = stage.folder("manifests")?;
    // One of its own: the manifests have fixed names.
    let server = &ApiServer::start(Watches::FromMemory, &dir).await?;
    let kubectl = Kubectl::find(server, &dir)?;
    prepare(server).await?;

    let Some(sets) = report.step("every set renders", render(&kubectl)).await else { return Ok(()) };
    let set = |name: &str| sets.get(name).with_context(|| format!("{name} was not rendered"));
    report.count("names, labels and ports lead somewhere", references::check(&sets));
    report.count("secrets are mounted, and never in variables", pods::no_secret_in_variables(&sets));
    report.count("every variable is a flag's", installed::every_variable_is_a_flag(&sets));
    report.count("the files of Envoy are one file but for listed lines", envoy_files::check(&sets));
    report.step("Envoy takes its files with the pods' arguments", envoy_files::validate(&sets, &dir)).await;
    let base = set("manifests/base")?;
    report.step("a field that does not exist is refused", strict(&kubectl, base)).await;
    report.step("the pods keep to `restricted`", pods::are_restricted(server, &sets)).await;
    report.count("the rules are exactly these", account::rules(&sets));
    for name in APPLIED {
        report.step(&format!("{name} is applied, and again"), apply_twice(server, &kubectl, name)).await;
        if name == "manifests/base" {
            report
                .step("as its service account, the service is ready", account::syncs(server, base, &dir))
                .await;
        }
    }
    report.step("the kinds are deleted, for others", without_kinds(server, &kubectl)).await;
    let declared = set("manifests/installation")?;
    report
        .step("each permission is used, and no other asked for", used::check(server, base, declared, &dir))
        .await;
    let sidecar = set("manifests/sidecar")?;
    report.step("beside Envoy, over a Unix socket", installed::sidecar(server, sidecar, &dir)).await;
    let front = set("manifests/front")?;
    report.step("in front of everybody in the cluster", installed::front(server, front, &dir)).await;
    Ok(())
}

/// What the charts of OpenFaaS have made before: namespaces, and the Service that Envoy takes over.
async fn prepare(server: &ApiServer) -> Result<()> {
    for name in ["openfaas", "openfaas-fn"] {
        make(server, "/api/v1/namespaces", &json!({"metadata": {"name": name}})).await?;
    }
    let gateway = json!({
        "metadata": {"name": "gateway"},
        "spec": {
            "type": "ClusterIP",
            "selector": {"app": "gateway"},
            "ports": [{"name": "http", "port": 8080, "targetPort": 8080, "protocol": "TCP"}],
        },
    });
    make(server, "/api/v1/namespaces/openfaas/services?fieldManager=helm", &gateway).await
}

/// Creates something that may be there already.
async fn make(server: &ApiServer, target: &str, object: &Value) -> Result<()> {
    let answer = server.create(target, object).await?;
    ensure!(matches!(answer.status, 201 | 409), "{target}: {} {}", answer.status, answer.body);
    Ok(())
}

async fn render(kubectl: &Kubectl) -> Result<BTreeMap<&'static str, Rendered>> {
    let mut sets = BTreeMap::new();
    for name in APPLIED.into_iter().chain(["manifests/istio"]) {
        sets.insert(name, Rendered::parse(&kubectl.run(&["kustomize", name]).await?)?);
    }
    Ok(sets)
}

/// Applied again, nothing changes. The Service `gateway` belongs to the chart, and is not taken from it
/// without force.
async fn apply_twice(server: &ApiServer, kubectl: &Kubectl, name: &str) -> Result<()> {
    let apply = ["apply", "-k", name, "--server-side", "--validate=strict"];
    let force: &[&str] = if kubectl.run(&apply).await.is_ok() {
        &[]
    } else {
        let refused = kubectl.run(&apply).await.err().context("applied at the second try")?.to_string();
        ensure!(refused.contains("with \"helm\""), "{refused}");
        ensure!(["manifests/front", "manifests/installation"].contains(&name), "{refused}");
        &["--force-conflicts"]
    };
    let apply: Vec<&str> = apply.iter().chain(force).copied().collect();
    kubectl.run(&apply).await?;
    let before = versions(kubectl, name).await?;
    kubectl.run(&apply).await?;
    let after = versions(kubectl, name).await?;
    ensure!(before == after, "applied again, this changed: {before:?} {after:?}");
    ensure!(server.get("/readyz").await?.status == 200);
    Ok(())
}

/// Defines the kinds anew so that wrong objects are taken, and has the tenants in them.
async fn without_kinds(server: &ApiServer, kubectl: &Kubectl) -> Result<()> {
    for name in ["manifests/admission", "manifests/crds"] {
        kubectl.run(&["delete", "-k", name]).await?;
    }
    server.define_loosely().await?;
    let wrong = json!({
        "apiVersion": "iam.openfaas.com/v1",
        "kind": "Policy",
        "metadata": {"name": "tried"},
        "spec": {"statement": [{"sid": "s", "effect": "Allow", "action": [], "resource": ["*"]}]},
    });
    eventually("wrong objects are taken", async || {
        let tried = "/apis/iam.openfaas.com/v1/namespaces/openfaas/policies?dryRun=All";
        let answer = server.create(tried, &wrong).await?;
        Ok(if answer.status == 201 { Ok(()) } else { Err(answer.body.to_string()) })
    })
    .await?;
    kubectl.run(&["apply", "-k", "manifests/examples", "--server-side"]).await?;
    Ok(())
}

async fn versions(kubectl: &Kubectl, name: &str) -> Result<Vec<String>> {
    let listed: Value = serde_json::from_str(&kubectl.run(&["get", "-k", name, "-o", "json"]).await?)?;
    let items = listed.get("items").and_then(Value::as_array).context("no items")?;
    let version = |item: &Value| {
        let part = |pointer: &str| text(item, pointer).map(str::to_owned);
        Ok(format!("{} {} {}", part("/kind")?, part("/metadata/name")?, part("/metadata/resourceVersion")?))
    };
    items.iter().map(version).collect()
}

/// That `--validate=strict` would have told.
async fn strict(kubectl: &Kubectl, base: &Rendered) -> Result<()> {
    let mut deployment = base.get("Deployment", "faas-iam")?.clone();
    let pod = deployment.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut);
    pod.context("no pod")?.insert("automountServiceAccountTokens".to_owned(), json!(false));
    let apply = ["apply", "--server-side", "--validate=strict", "-f", "-"];
    let refused = kubectl.run_with(&apply, &deployment.to_string()).await.err().context("it was taken")?;
    ensure!(refused.to_string().contains("automountServiceAccountTokens"), "{refused}");
    Ok(())
}

/// Whether somebody may do something, by the API server itself.
async fn may(server: &ApiServer, account: &str, attributes: Value) -> Result<bool> {
    let review = json!({"spec": {
        "user": format!("system:serviceaccount:openfaas:{account}"),
        "resourceAttributes": attributes,
    }});
    let target = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let token = server.admin_token()?;
    let body = ("application/json", review.to_string());
    let answer = server.call(Method::POST, target, Some(&token), Some(body)).await?.expect(201)?;
    Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or_default())
}

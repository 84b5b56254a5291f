//! The Kubernetes API server: that it starts, keeps its state, and does what tests will ask of it.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::stage::Stage;
use crate::support::api_server::ApiServer;
use crate::support::json::member;
use crate::support::report::Report;

/// Where the Policy is.
const POLICY: &str = "/apis/iam.openfaas.com/v1/namespaces/openfaas/policies/readers";

const AUDIENCE: &str = "https://gateway.example.com";

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let server = stage.killable().await?;
    report.step("it keeps a Policy that is applied", keeps_policy(server)).await;
    report.step("it refuses a Policy that its definition does not allow", refuses_policy(server)).await;
    report.step("it shows its keys once everybody may read them", shows_keys(server)).await;
    report.step("it gives tokens of service accounts for an audience", gives_tokens(server)).await;
    report.step("an old watch is gone after a compaction", forgets(server)).await;
    report.step("killed and started again, it has the Policy", survives(server)).await;
    Ok(())
}

async fn keeps_policy(server: &ApiServer) -> Result<()> {
    Namespace::make(server, "openfaas").await?;
    server.apply(POLICY, &policy("readers", &json!(["Function:List"])).to_string()).await?.expect(201)?;
    has_policy(server).await
}

async fn has_policy(server: &ApiServer) -> Result<()> {
    let read = server.get(POLICY).await?.expect(200)?;
    let action = read.pointer("/spec/statement/0/action/0").and_then(Value::as_str);
    ensure!(action == Some("Function:List"), "the action is {action:?}");
    Ok(())
}

async fn refuses_policy(server: &ApiServer) -> Result<()> {
    let (policies, _) = POLICY.rsplit_once('/').context("no folder of policies")?;
    let answer = server.create(policies, &policy("writers", &json!("Function:List"))).await?.expect(422)?;
    ensure!(member(&answer, "message").contains("spec.statement[0].action"), "{answer}");
    server.get(&format!("{policies}/writers")).await?.expect(404)?;
    Ok(())
}

async fn shows_keys(server: &ApiServer) -> Result<()> {
    const DISCOVERY: &str = "/.well-known/openid-configuration";
    server.call(Method::GET, DISCOVERY, None, None).await?.expect(403)?;
    server.publish_issuer().await?;
    let document = server.call(Method::GET, DISCOVERY, None, None).await?.expect(200)?;
    ensure!(member(&document, "issuer") == server.url, "the issuer is {document}");
    let keys = member(&document, "jwks_uri").strip_prefix(&server.url).context("the keys are elsewhere")?;
    let keys = server.call(Method::GET, keys, None, None).await?.expect(200)?;
    let count = keys.get("keys").and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(count == 1, "it shows {count} keys instead of one");
    Ok(())
}

async fn gives_tokens(server: &ApiServer) -> Result<()> {
    let account = json!({"metadata": {"name": "nightly-job"}});
    server.create("/api/v1/namespaces/openfaas/serviceaccounts", &account).await?.expect(201)?;
    let token = server.service_account_token("openfaas", "nightly-job", AUDIENCE).await?;
    let claims = token.split('.').nth(1).context("it has no claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    ensure!(member(&claims, "iss") == server.url, "{claims}");
    ensure!(member(&claims, "sub") == "system:serviceaccount:openfaas:nightly-job", "{claims}");
    ensure!(claims.get("aud") == Some(&json!([AUDIENCE])), "{claims}");
    Ok(())
}

async fn forgets(server: &mut ApiServer) -> Result<()> {
    let policies = "/apis/iam.openfaas.com/v1/policies";
    let list = server.get(policies).await?.expect(200)?;
    let version = list.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    let watch =
        format!("{policies}?watch=1&timeoutSeconds=1&resourceVersion={}", version.context("no version")?);
    server.get(&watch).await?.expect(200)?;

    // So that the present revision is not the one of the list.
    for name in ["one", "two", "three"] {
        let map = json!({"metadata": {"name": name}});
        server.create("/api/v1/namespaces/openfaas/configmaps", &map).await?.expect(201)?;
    }
    server.compact().await?;
    let answer = server.get(&watch).await?;
    let code = answer.body.pointer("/object/code").and_then(Value::as_u64);
    ensure!(answer.status == 410 || code == Some(410), "{} {}", answer.status, answer.body);
    Ok(())
}

async fn survives(server: &mut ApiServer) -> Result<()> {
    server.kill();
    server.restart().await?;
    has_policy(server).await
}

fn policy(name: &str, action: &Value) -> Value {
    json!({
        "apiVersion": "iam.openfaas.com/v1",
        "kind": "Policy",
        "metadata": {"name": name},
        "spec": {"statement": [
            {"sid": "list", "effect": "Allow", "action": action, "resource": ["dev:*"]},
        ]},
    })
}

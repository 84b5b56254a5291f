//! As a service account with the permissions that it needs and no others; without one of them; and
//! with credentials that have expired.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;

use crate::account::{self, NAMESPACE};
use crate::namespace::{CLIENT_ID, Namespace};
use crate::service::{LIST, Service};
use crate::stage::Stage;
use crate::support::api_server::ApiServer;
use crate::support::identity_provider::IdentityProvider;
use crate::support::objects::{policy, role};
use crate::support::patience::eventually;
use crate::support::report::Report;

const EXPIRED: &str = "does not accept the credentials (401)";

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let dir = stage.folder("access")?;
    let server = &*stage.shared().await?;
    let namespace = Namespace::make(server, NAMESPACE).await?;
    account::apply(server, None).await?;
    let provider = IdentityProvider::start().await?;
    namespace.trust(&provider).await?;
    namespace.grant("alice", "Function:List", "dev:*").await?;
    let alice = provider.id_token("alice", CLIENT_ID, &json!({}))?;

    let token = account::token(server).await?;
    let kubeconfig = account::kubeconfig(server, &token, &dir)?;
    report.step("with its permissions it follows edits", follows(namespace, &kubeconfig, &alice, &dir)).await;
    for kind in ["jwtissuers", "policies", "roles"] {
        for verb in ["list", "watch"] {
            let check = format!("without `{verb}` on {kind} it says so, and is ready once it has it");
            report.step(&check, needs(server, verb, kind, &token, &kubeconfig, &dir)).await;
        }
    }
    let dir = stage.folder("access/expired")?;
    report.step("with a token that has expired it says so", expired(server, &token, &dir)).await;
    let dir = stage.folder("access/expires")?;
    report.step("a token expires while it runs", expires(namespace, &token, &alice, &dir)).await;
    Ok(())
}

async fn follows(namespace: Namespace<'_>, kubeconfig: &Path, alice: &str, dir: &Path) -> Result<()> {
    let service = Service::start(kubeconfig, NAMESPACE, &[], dir).await?;
    let token = service.exchange(alice).await?;
    service.until_status(&token, LIST, 200).await?;
    namespace.apply("policies", "alice", &policy("alice", "Function:List", "prod:*")).await?;
    service.until_status(&token, LIST, 403).await?;
    namespace.apply("policies", "alice", &policy("alice", "Function:List", "dev:*")).await?;
    service.until_status(&token, LIST, 200).await
}

/// Without a permission the service never becomes ready, and names it.
async fn needs(
    server: &ApiServer,
    verb: &str,
    kind: &str,
    token: &str,
    kubeconfig: &Path,
    dir: &Path,
) -> Result<()> {
    account::apply(server, Some((verb, kind))).await?;
    let watch = if verb == "watch" { "?watch=1&timeoutSeconds=1" } else { "" };
    let asked = format!("/apis/iam.openfaas.com/v1/namespaces/{NAMESPACE}/{kind}{watch}");
    eventually("the permission is gone", async || {
        let status = server.call(Method::GET, &asked, Some(token), None).await?.status;
        Ok(if status == 403 { Ok(()) } else { Err(status.to_string()) })
    })
    .await?;
    let mut service = Service::spawn(kubeconfig, NAMESPACE, &[], dir)?;
    let why = format!("no permission to {verb} {kind}.iam.openfaas.com in the namespace `{NAMESPACE}` (403)");
    service.until_unready(&why).await?;
    let status = service.check("any", "GET", LIST).await?;
    ensure!(status == 503, "a decision was made: {status}");
    account::apply(server, None).await?;
    service.faas_iam.wait_until_ready().await?;
    keeps_secret(&service, token)
}

async fn expired(server: &ApiServer, token: &str, dir: &Path) -> Result<()> {
    let old = account::at_another_time(server, token, -7200, 3600)?;
    let kubeconfig = account::kubeconfig(server, &old, dir)?;
    let mut service = Service::spawn(&kubeconfig, NAMESPACE, &[], dir)?;
    service.until_unready(EXPIRED).await?;
    account::replace_token(token, dir)?;
    service.faas_iam.wait_until_ready().await?;
    keeps_secret(&service, &old)
}

/// An open watch outlives the token; the next one is refused. What is known stays in force, and a new
/// token brings what happened meanwhile.
async fn expires(namespace: Namespace<'_>, token: &str, alice: &str, dir: &Path) -> Result<()> {
    // The API server accepts a token for a minute after its end.
    let short = account::at_another_time(namespace.server, token, -3600, 3600 - 45)?;
    let kubeconfig = account::kubeconfig(namespace.server, &short, dir)?;
    let mut service = Service::start(&kubeconfig, NAMESPACE, &[], dir).await?;
    let alice = service.exchange(alice).await?;
    service.until_status(&alice, LIST, 200).await?;
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    eventually("every kind is refused", async || {
        let up = service.metric("faas_iam_source_up").await?;
        Ok(if up.iter().all(|up| *up == 0.0) { Ok(()) } else { Err(format!("{up:?}")) })
    })
    .await?;
    ensure!(service.log().contains(EXPIRED), "the log does not say `{EXPIRED}`:\n{}", service.log());
    namespace.apply("roles", "alice", &role("alice", "bob", "alice")).await?;
    ensure!(service.check(&alice, "GET", LIST).await? == 200, "what is known is not in force");
    ensure!(service.ready().await?.status == 200, "it is not ready");
    account::replace_token(token, dir)?;
    service.until_status(&alice, LIST, 403).await?;
    service.faas_iam.process.check_running()?;
    keeps_secret(&service, &short)?;
    namespace.apply("roles", "alice", &role("alice", "alice", "alice")).await
}

/// The signature is what makes a token worth something.
fn keeps_secret(service: &Service, token: &str) -> Result<()> {
    let (_, signature) = token.rsplit_once('.').context("no token")?;
    ensure!(!service.log().contains(signature), "the token is in the log");
    Ok(())
}

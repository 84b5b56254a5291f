//! Service accounts of the cluster as identities: their tokens, made for us, are exchanged.

use std::path::Path;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;

use crate::namespace::Namespace;
use crate::service::{ISSUER, LIST, Service};
use crate::stage::Stage;
use crate::support::http;
use crate::support::oauth::{FORM, exchange_form};
use crate::support::objects::{issuer, policy, role, write_private};
use crate::support::report::Report;

const NAMESPACE: &str = "tokens";

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let dir = stage.folder(NAMESPACE)?;
    let server = &*stage.shared().await?;
    let namespace = Namespace::make(server, NAMESPACE).await?;
    for account in ["faas-iam", "nightly-job", "stranger"] {
        let object = json!({"metadata": {"name": account}});
        let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        server.create(&accounts, &object).await?.expect(201)?;
    }
    mount_account(namespace, &dir.join("account")).await?;
    namespace.apply("jwtissuers", "provider", &issuer(&server.url, ISSUER)).await?;
    namespace.apply("policies", "lists", &policy("lists", "Function:List", "dev:*")).await?;
    let subject = format!("system:serviceaccount:{NAMESPACE}:nightly-job");
    namespace.apply("roles", "nightly", &role("nightly", &subject, "lists")).await?;
    let flags = [format!("--service-account={}", dir.join("account").display())];
    let service = Service::start(&server.kubeconfig(), NAMESPACE, &flags, &dir).await?;

    report.step("a token of TokenRequest is exchanged and used", is_used(namespace, &service)).await;
    report.step("one of an account without a Role is not", is_refused(namespace, &service)).await;
    Ok(())
}

/// Puts into a folder what a pod finds where its service account is mounted.
async fn mount_account(namespace: Namespace<'_>, dir: &Path) -> Result<()> {
    let server = namespace.server;
    let token = server.service_account_token(NAMESPACE, "faas-iam", &server.url).await?;
    write_private(&dir.join("token"), &token)?;
    write_private(&dir.join("ca.crt"), &std::fs::read_to_string(server.ca_file())?)
}

async fn is_used(namespace: Namespace<'_>, service: &Service) -> Result<()> {
    // Only service accounts are shown the keys here, so it is with its own that the service got them.
    let keys = namespace.server.call(Method::GET, "/openid/v1/jwks", None, None).await?.status;
    ensure!(keys == 401 || keys == 403, "anybody is shown the keys: {keys}");
    let token = namespace.server.service_account_token(NAMESPACE, "nightly-job", ISSUER).await?;
    let token = service.exchange(&token).await?;
    ensure!(service.check(&token, "GET", LIST).await? == 200);
    ensure!(service.check(&token, "GET", "/system/functions?namespace=prod").await? == 403);
    Ok(())
}

async fn is_refused(namespace: Namespace<'_>, service: &Service) -> Result<()> {
    let server = namespace.server;
    let unknown = server.service_account_token(NAMESPACE, "stranger", ISSUER).await?;
    let elsewhere = server.service_account_token(NAMESPACE, "nightly-job", "https://elsewhere").await?;
    for (token, why) in [(unknown, "No policies found"), (elsewhere, "audience")] {
        let form = exchange_form(&token, &[]);
        let address = service.faas_iam.ports.http;
        let answer = http::request(address, "POST", "/oauth/token", &[FORM], form.as_bytes()).await?;
        ensure!(answer.status == 400 && answer.text().contains(why), "{} {}", answer.status, answer.text());
    }
    Ok(())
}

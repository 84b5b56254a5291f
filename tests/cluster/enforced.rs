//! How soon an edit is in force: from the write of an object to a decision that follows from it.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::figures::Times;
use crate::namespace::{CLIENT_ID, Namespace};
use crate::service::{LIST, Service};
use crate::stage::Stage;
use crate::support::identity_provider::IdentityProvider;
use crate::support::objects::{issuer, policy, role};
use crate::support::report::Report;

/// How many edits are measured.
const EDITS: usize = 200;

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let dir = stage.folder("enforced")?;
    let server = &*stage.shared().await?;
    let namespace = Namespace::make(server, "enforced").await?;
    let provider = IdentityProvider::start().await?;
    namespace.trust(&provider).await?;
    namespace.grant("alice", "System:Info", "*").await?;
    let service = Service::start(&server.kubeconfig(), namespace.name, &[], &dir).await?;
    let token = service.exchange(&provider.id_token("alice", CLIENT_ID, &json!({}))?).await?;

    let bench = Bench { namespace, service, token };
    report.step("a Policy: created, edited, deleted", bench.policy()).await;
    report.step("a Role: created, edited, deleted", bench.role()).await;
    report.step("a JwtIssuer: created, edited, deleted", bench.jwt_issuer(&provider.issuer)).await;
    if let Some((written, known)) = report.step("200 edits, one by one", bench.edits()).await {
        report.figure("edit in force, from sending it to the API server", written.summary());
        report.figure("edit in force, from the API server's answer", known.summary());
    }
    Ok(())
}

struct Bench<'a> {
    namespace: Namespace<'a>,
    service: Service,
    token: String,
}

// === impl Bench ===

impl Bench<'_> {
    async fn until(&self, status: u16) -> Result<()> {
        self.service.until_status(&self.token, LIST, status).await
    }

    async fn policy(&self) -> Result<()> {
        self.namespace.apply("roles", "lists", &role("lists", "alice", "lists")).await?;
        self.until(403).await?;
        self.namespace.apply("policies", "lists", &policy("lists", "Function:List", "dev:*")).await?;
        self.until(200).await?;
        self.namespace.apply("policies", "lists", &policy("lists", "Function:List", "prod:*")).await?;
        self.until(403).await?;
        self.namespace.apply("policies", "lists", &policy("lists", "Function:List", "dev:*")).await?;
        self.until(200).await?;
        self.namespace.delete("policies", "lists").await?.expect(200)?;
        self.until(403).await
    }

    async fn role(&self) -> Result<()> {
        self.namespace.delete("roles", "lists").await?.expect(200)?;
        self.namespace.apply("policies", "lists", &policy("lists", "Function:List", "dev:*")).await?;
        self.until(403).await?;
        self.namespace.apply("roles", "lists", &role("lists", "alice", "lists")).await?;
        self.until(200).await?;
        self.namespace.apply("roles", "lists", &role("lists", "bob", "lists")).await?;
        self.until(403).await?;
        self.namespace.apply("roles", "lists", &role("lists", "alice", "lists")).await?;
        self.until(200).await?;
        self.namespace.delete("roles", "lists").await?.expect(200)?;
        self.until(403).await?;
        self.namespace.apply("roles", "lists", &role("lists", "alice", "lists")).await?;
        self.until(200).await
    }

    /// Tokens that were given out before follow their issuer.
    async fn jwt_issuer(&self, iss: &str) -> Result<()> {
        self.until(200).await?;
        self.namespace.apply("jwtissuers", "provider", &issuer(iss, "another-client")).await?;
        self.until(401).await?;
        self.namespace.apply("jwtissuers", "provider", &issuer(iss, CLIENT_ID)).await?;
        self.until(200).await?;
        self.namespace.delete("jwtissuers", "provider").await?.expect(200)?;
        self.until(401).await?;
        self.namespace.apply("jwtissuers", "provider", &issuer(iss, CLIENT_ID)).await?;
        self.until(200).await
    }

    /// From before the write, and from after it, to the first decision that follows from it.
    async fn edits(&self) -> Result<(Times, Times)> {
        let (mut written, mut known) = (Times::default(), Times::default());
        for edit in 0..EDITS {
            let (resource, status) = if edit % 2 == 0 { ("prod:*", 403) } else { ("dev:*", 200) };
            let before = Instant::now();
            self.namespace.apply("policies", "lists", &policy("lists", "Function:List", resource)).await?;
            let after = Instant::now();
            loop {
                let seen = self.service.check(&self.token, "GET", LIST).await?;
                if seen == status {
                    break;
                }
                ensure!(matches!(seen, 200 | 403), "a decision became {seen}");
                ensure!(before.elapsed() < crate::support::patience::PATIENCE, "edit {edit} is not in force");
            }
            written.add(before.elapsed());
            known.add(after.elapsed());
        }
        Ok((written, known))
    }
}

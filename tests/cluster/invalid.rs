//! Objects with something wrong in them, on a server whose definitions let everything pass, as older
//! ones do: each is closed, for those whom it is about, and told; all else is in force.

mod rows;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use faas_iam::transport::admin::pb::Diagnostic;
use serde_json::{Value, json};

use crate::namespace::{CLIENT_ID, Namespace};
use crate::service::{LIST, Service};
use crate::stage::Stage;
use crate::support::http;
use crate::support::identity_provider::IdentityProvider;
use crate::support::oauth::{FORM, exchange_form};
use crate::support::objects::{issuer, policy, role};
use crate::support::patience::eventually;
use crate::support::report::Report;
use rows::{ROWS, Row};

const NAMESPACE: &str = "invalid";

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let dir = stage.folder(NAMESPACE)?;
    let server = &*stage.loose().await?;
    let namespace = Namespace::make(server, NAMESPACE).await?;
    let mut bench = Bench::build(namespace, dir).await?;
    let bad = |count: &str| format!("{count} ({} objects with something wrong in them)", ROWS.len());

    report.step(&bad("each is told on the admin address"), bench.tells()).await;
    report.step("each is closed for its subject alone", bench.closes()).await;
    report.step("a bystander is not concerned", bench.bystander(200)).await;
    report.step("fresh from the list it is the same", bench.restarts()).await;
    report.step("mended one by one, all is open and nothing is told", bench.mends()).await;
    Ok(())
}

struct Bench<'a> {
    namespace: Namespace<'a>,
    service: Service,
    provider: IdentityProvider,
    /// One for each row that needs it.
    providers: Vec<Option<IdentityProvider>>,
    bystander: String,
}

// === impl Bench ===

impl<'a> Bench<'a> {
    /// With all rows in force beside a service that has begun without them.
    async fn build(namespace: Namespace<'a>, dir: std::path::PathBuf) -> Result<Self> {
        let provider = IdentityProvider::start().await?;
        namespace.trust(&provider).await?;
        namespace.apply("policies", "lists", &policy("lists", "Function:List", "dev:*")).await?;
        namespace.apply("policies", "info", &policy("info", "System:Info", "*")).await?;
        // So that everybody is given a token.
        let everybody = json!({"policy": ["info"], "condition": {"StringLike": {"jwt:sub": ["*"]}}});
        namespace.apply("roles", "everybody", &object("Role", "everybody", Some(everybody))).await?;
        namespace.apply("roles", "alice", &role("alice", "alice", "lists")).await?;
        let service = Service::start(&namespace.server.kubeconfig(), NAMESPACE, &[], &dir).await?;
        let alice = provider.id_token("alice", CLIENT_ID, &json!({}))?;
        let bystander = service.exchange(&alice).await?;
        let mut bench = Self { namespace, service, provider, providers: Vec::new(), bystander };
        for row in ROWS {
            let own = if row.spec.contains("ISS") { Some(IdentityProvider::start().await?) } else { None };
            bench.apply(row, own.as_ref()).await?;
            bench.providers.push(own);
        }
        Ok(bench)
    }

    async fn apply(&self, row: &Row, own: Option<&IdentityProvider>) -> Result<()> {
        if row.kind == "Policy" {
            let both = format!("lists, {}", row.name);
            self.namespace.apply("roles", row.name, &role(row.name, row.name, &both)).await?;
        }
        let iss = own.map_or("", |own| own.issuer.as_str());
        let spec = row.spec.replace("SUBJECT", row.name).replace("ISS", iss);
        let spec = if spec.is_empty() { None } else { Some(serde_json::from_str(&spec)?) };
        let object = object(row.kind, row.name, spec);
        self.namespace.apply(plural(row.kind), row.name, &object).await.with_context(|| row.name)
    }

    /// What is told, but for the warning that the Roles of these tests name no issuer.
    async fn told(&self) -> Result<Vec<Diagnostic>> {
        let mut told = self.service.snapshot().await?.diagnostics;
        told.retain(|diagnostic| diagnostic.code != "issuer-not-named");
        Ok(told)
    }

    async fn tells(&mut self) -> Result<()> {
        let expected: BTreeSet<_> =
            ROWS.iter().map(|row| [row.kind, row.name, row.field, row.code]).collect();
        eventually("exactly what is wrong is told", async || {
            let told = self.told().await?;
            ensure!(told.iter().all(|d| d.namespace == NAMESPACE && d.origin == "cluster"), "{told:?}");
            let found: BTreeSet<_> = told
                .iter()
                .map(|d| [d.kind.as_str(), d.name.as_str(), d.field.as_str(), d.code.as_str()])
                .collect();
            let different: Vec<_> = expected.symmetric_difference(&found).collect();
            Ok(if different.is_empty() { Ok(()) } else { Err(format!("{different:?}")) })
        })
        .await?;
        let counts = self.service.snapshot().await?.objects.context("no counts")?;
        let of = |kind: &str| ROWS.iter().filter(|row| row.kind == kind).count() as u64;
        let roles = of("Role") + of("Policy") + 2;
        ensure!(counts.jwt_issuers == of("JwtIssuer") + 1, "{counts:?}");
        ensure!((counts.policies, counts.roles) == (of("Policy") + 2, roles), "{counts:?}");
        Ok(())
    }

    async fn closes(&mut self) -> Result<()> {
        for (row, own) in ROWS.iter().zip(&self.providers) {
            match (row.kind, own) {
                ("JwtIssuer", None) => {}
                ("JwtIssuer", Some(own)) => self.admits(own, row, false).await?,
                _ => {
                    let expected = if row.closes { 403 } else { 200 };
                    let status = self.service.check(&self.token_of(row).await?, "GET", LIST).await?;
                    ensure!(status == expected, "{}: {status} instead of {expected}", row.name);
                }
            }
        }
        Ok(())
    }

    async fn token_of(&self, row: &Row) -> Result<String> {
        let id_token = self.provider.id_token(row.name, CLIENT_ID, &json!({}))?;
        self.service.exchange(&id_token).await
    }

    /// Whether a token of the row's own provider is taken.
    async fn admits(&self, own: &IdentityProvider, row: &Row, expected: bool) -> Result<()> {
        let id_token = own.id_token("alice", CLIENT_ID, &json!({}))?;
        if expected {
            self.service.exchange(&id_token).await?;
            return Ok(());
        }
        let (address, form) = (self.service.faas_iam.ports.http, exchange_form(&id_token, &[]));
        let answer = http::request(address, "POST", "/oauth/token", &[FORM], form.as_bytes()).await?;
        let (status, text) = (answer.status, answer.text());
        ensure!(status == 400 && text.contains("not registered"), "{}: {status} {text}", row.name);
        Ok(())
    }

    async fn bystander(&self, status: u16) -> Result<()> {
        self.service.until_status(&self.bystander, LIST, status).await
    }

    async fn restarts(&mut self) -> Result<()> {
        let before = self.service.snapshot().await?;
        self.service.faas_iam.restart().await?;
        ensure!(self.service.snapshot().await? == before, "it differs");
        self.bystander(200).await
    }

    /// Every object becomes a sound one, and then lets its subject list.
    async fn mends(&mut self) -> Result<()> {
        for (row, own) in ROWS.iter().zip(&self.providers) {
            let (name, namespace) = (row.name, self.namespace);
            match row.kind {
                "Policy" => {
                    let sound = policy(name, "Function:Get", "dev:*");
                    namespace.replace("policies", name, &sound).await?;
                }
                "Role" => namespace.replace("roles", name, &role(name, name, "lists")).await?,
                _ => {
                    let iss = own.as_ref().map_or("https://idp.example.com", |own| own.issuer.as_str());
                    let sound = issuer(iss, CLIENT_ID).replace("name: provider", &format!("name: {name}"));
                    namespace.replace("jwtissuers", name, &sound).await?;
                }
            }
        }
        eventually("nothing is told", async || {
            let told = self.told().await?;
            Ok(if told.is_empty() { Ok(()) } else { Err(format!("{told:?}")) })
        })
        .await?;
        for (row, own) in ROWS.iter().zip(&self.providers) {
            match (row.kind, own) {
                ("JwtIssuer", None) => {}
                ("JwtIssuer", Some(own)) => self.admits(own, row, true).await?,
                _ => {
                    let status = self.service.check(&self.token_of(row).await?, "GET", LIST).await?;
                    ensure!(status == 200, "{}: {status} when mended", row.name);
                }
            }
        }
        Ok(())
    }
}

fn plural(kind: &str) -> &'static str {
    match kind {
        "JwtIssuer" => "jwtissuers",
        "Policy" => "policies",
        _ => "roles",
    }
}

fn object(kind: &str, name: &str, spec: Option<Value>) -> String {
    let mut object = json!({
        "apiVersion": "iam.openfaas.com/v1", "kind": kind, "metadata": {"name": name},
    });
    if let (Some(object), Some(spec)) = (object.as_object_mut(), spec) {
        object.insert("spec".to_owned(), spec);
    }
    object.to_string()
}

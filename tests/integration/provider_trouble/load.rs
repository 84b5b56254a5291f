//! A service without Envoy, and the load that is put on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::grpc_client::{check_of, connect};
use crate::objects::{self, SigningKey, grant, write_private};
use crate::stack::{CLIENT_ID, FORM, binary, eventually, exchange_form, text};
use crate::support::faas_iam::{FaasIam, Ports};
use crate::support::http;
use crate::support::identity_provider::IdentityProvider;

const ISSUER: &str = "https://gw.example.com";

/// The files of the service's keys. The first signs.
pub(super) const FIRST_KEY: &str = "first.key";
pub(super) const SECOND_KEY: &str = "second.key";

/// How many requests are under way at once.
pub(super) const WORKERS: usize = 4;

/// How many tokens name a key at random.
const RANDOM_KIDS: usize = 10_000;

/// The real `faas-iam`, and clients of it.
pub(super) struct Service {
    service: FaasIam,
    http: reqwest::Client,
    grpc: Channel,
    files: TempDir,
}

// === impl Service ===

impl Service {
    /// Starts one at which these providers are registered. Alice may do what is asked here.
    pub(super) async fn start(providers: &[&IdentityProvider]) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let policies = files.path().join("policies");
        std::fs::create_dir(&policies)?;
        std::fs::write(policies.join("alice.yaml"), grant("alice", "Function:List", "dev:*"))?;
        for (i, provider) in providers.iter().enumerate() {
            let issuer = objects::issuer(&provider.issuer, CLIENT_ID);
            let issuer = issuer.replace("name: provider", &format!("name: provider-{i}"));
            std::fs::write(policies.join(format!("issuer-{i}.yaml")), issuer)?;
        }
        let mut flags = vec![
            format!("--issuer={ISSUER}"),
            format!("--policy-dir={}", policies.display()),
            "--token-rate=1000000".to_owned(),
            "--token-burst=1000000".to_owned(),
        ];
        for name in [FIRST_KEY, SECOND_KEY] {
            let path = files.path().join(name);
            write_private(&path, &SigningKey::generate()?.pem)?;
            flags.push(format!("--signing-key={}", path.display()));
        }
        let service = FaasIam::start(binary(), &flags, Ports::free()?, files.path()).await?;
        let grpc = connect(&format!("http://{}", service.ports.grpc)).await?;
        Ok(Self { service, http: http::client()?, grpc, files })
    }

    /// A file of the service's.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A token of ours for one of a provider, unless it is refused.
    pub(super) async fn exchange(&self, token: &str) -> Result<Option<String>> {
        let url = format!("http://{}/oauth/token", self.service.ports.http);
        let request = self.http.post(url).header(FORM.0, FORM.1).body(exchange_form(token, &[]));
        let answer = request.send().await?;
        let (status, body) = (answer.status().as_u16(), answer.bytes().await?);
        ensure!(status == 200 || status == 400, "{status}");
        if status == 400 {
            return Ok(None);
        }
        let body: Value = serde_json::from_slice(&body)?;
        Ok(Some(text(&body, "/access_token")?.to_owned()))
    }

    /// Whether a call of the API with one of our tokens is allowed.
    pub(super) async fn allows(&self, token: &str) -> Result<bool> {
        let check = check_of(HttpRequest {
            method: "GET".to_owned(),
            path: "/system/functions?namespace=dev".to_owned(),
            headers: [("authorization".to_owned(), format!("Bearer {token}"))].into(),
            ..HttpRequest::default()
        });
        let answer = AuthorizationClient::new(self.grpc.clone()).check(check).await?.into_inner();
        Ok(answer.status.context("no status")?.code == 0)
    }

    /// Exchanges a new token of a provider and uses it; how long each took.
    pub(super) async fn use_token(&self, provider: &IdentityProvider) -> Result<(Duration, Duration)> {
        let token = provider.id_token("alice", CLIENT_ID, &json!({}))?;
        let start = Instant::now();
        let ours = self.exchange(&token).await?.context("a good token was refused")?;
        let exchange = start.elapsed();
        let start = Instant::now();
        ensure!(self.allows(&ours).await?, "a good token was refused at a check");
        Ok((exchange, start.elapsed()))
    }

    /// Waits until a provider's keys are held.
    pub(super) async fn until_known(&self, provider: &IdentityProvider) -> Result<()> {
        let token = provider.id_token("alice", CLIENT_ID, &json!({}))?;
        eventually("the provider's keys are held", async || {
            Ok(self.exchange(&token).await?.map(|_| ()).ok_or_else(|| "refused".to_owned()))
        })
        .await
    }

    /// The ids of the service's keys; the first signs.
    pub(super) async fn kids(&self) -> Result<Vec<String>> {
        let url = format!("http://{}/.well-known/jwks.json", self.service.ports.http);
        let keys: Value = serde_json::from_slice(&self.http.get(url).send().await?.bytes().await?)?;
        let keys = keys.get("keys").and_then(Value::as_array).context("no keys")?;
        keys.iter().map(|key| Ok(text(key, "/kid")?.to_owned())).collect()
    }
}

/// Tokens that name keys at random, and good ones among them.
pub(super) async fn random_kids() -> Result<String> {
    let provider = IdentityProvider::start().await?;
    let service = Service::start(&[&provider]).await?;
    service.until_known(&provider).await?;
    let (start, before) = (Instant::now(), provider.counts());
    let (forger, good) = (SigningKey::generate()?, AtomicUsize::new(0));
    let claims = json!({
        "iss": provider.issuer, "sub": "alice", "aud": CLIENT_ID, "exp": faas_iam::transport::now() + 600,
    });
    let worker = async |worker: usize| -> Result<()> {
        for i in (worker..RANDOM_KIDS).step_by(WORKERS) {
            let forged = forger.sign(&format!("random-{i}"), &claims)?;
            ensure!(service.exchange(&forged).await?.is_none(), "a forged token was accepted");
            if i % 50 == 0 {
                service.use_token(&provider).await?;
                good.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    try_join_all((0..WORKERS).map(worker)).await?;
    let (fetches, seconds) = (provider.counts().keys - before.keys, start.elapsed().as_secs_f64());
    let cooldowns = (seconds / 30.0) as usize;
    ensure!(fetches <= cooldowns + 1, "{fetches} fetches in {seconds:.0} s");
    let good = good.into_inner();
    Ok(format!(
        "{RANDOM_KIDS} tokens with random key ids in {seconds:.1} s: fetches: {fetches} (at most one in 30 s); \
         good tokens meanwhile: {good}, refused: 0"
    ))
}

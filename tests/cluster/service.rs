//! `faas-iam serve --kubernetes`, asked as Envoy asks it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use faas_iam::transport::admin::pb::SnapshotInfo;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};

use crate::support::faas_iam::{FaasIam, Ports};
use crate::support::grpc_client::{check_of, connect, snapshot_info};
use crate::support::http;
use crate::support::json::text;
use crate::support::oauth::{FORM, exchange_form};
use crate::support::objects::{SigningKey, write_private};
use crate::support::patience::eventually;

/// The service's own URL as an issuer, where no Envoy is in front of it.
pub(crate) const ISSUER: &str = "https://gateway.example.com";

/// A list of functions in the namespace `dev`.
pub(crate) const LIST: &str = "/system/functions?namespace=dev";

/// A running service. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its process.
    pub(crate) faas_iam: FaasIam,
    checks: AuthorizationClient<Channel>,
}

/// What it says of being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_faas-iam"))
}

// === impl Service ===

impl Service {
    /// Starts it for a namespace of a cluster, with its log in `dir`, and waits until it is ready.
    pub(crate) async fn start(
        kubeconfig: &Path,
        namespace: &str,
        flags: &[String],
        dir: &Path,
    ) -> Result<Self> {
        let mut service = Self::spawn(kubeconfig, namespace, flags, dir)?;
        service.faas_iam.wait_until_ready().await?;
        Ok(service)
    }

    /// The same without waiting.
    pub(crate) fn spawn(kubeconfig: &Path, namespace: &str, flags: &[String], dir: &Path) -> Result<Self> {
        Self::spawn_at(Ports::free()?, ISSUER, kubeconfig, namespace, flags, dir)
    }

    /// The same with given ports and issuer.
    pub(crate) fn spawn_at(
        ports: Ports,
        issuer: &str,
        kubeconfig: &Path,
        namespace: &str,
        flags: &[String],
        dir: &Path,
    ) -> Result<Self> {
        let mut all = vec![
            "--kubernetes".to_owned(),
            format!("--namespace={namespace}"),
            format!("--issuer={issuer}"),
            format!("--signing-key={}", signing_key(dir)?.display()),
            "--token-rate=1000".to_owned(),
        ];
        all.extend_from_slice(flags);
        let env = [("KUBECONFIG", kubeconfig.as_os_str())];
        let faas_iam = FaasIam::spawn_with(binary(), &all, &env, ports, "info", dir)?;
        let channel = Endpoint::from_shared(format!("http://{}", ports.grpc))?.connect_lazy();
        Ok(Self { faas_iam, checks: AuthorizationClient::new(channel) })
    }

    /// The HTTP status that a request with a token would get; 200 where it is let through.
    pub(crate) async fn check(&self, token: &str, method: &str, target: &str) -> Result<u16> {
        let headers = [("authorization".to_owned(), format!("Bearer {token}"))].into();
        let (method, path) = (method.to_owned(), target.to_owned());
        let request = check_of(HttpRequest { method, path, headers, ..HttpRequest::default() });
        let answer = self.checks.clone().check(request).await?.into_inner();
        match (answer.http_response, answer.status) {
            (Some(HttpResponse::OkResponse(_)), Some(status)) if status.code == 0 => Ok(200),
            (Some(HttpResponse::DeniedResponse(denied)), Some(status)) if status.code != 0 => {
                let status = denied.status.context("a denial without a status")?;
                Ok(u16::try_from(status.code)?)
            }
            other => bail!("neither allowed nor denied: {other:?}"),
        }
    }

    /// Waits until a GET has this status.
    pub(crate) async fn until_status(&self, token: &str, target: &str, status: u16) -> Result<()> {
        eventually(&format!("{target} is {status}"), async || {
            let seen = self.check(token, "GET", target).await?;
            Ok(if seen == status { Ok(()) } else { Err(seen.to_string()) })
        })
        .await
    }

    /// An API token in exchange for one of an identity provider. Waits for the provider's keys.
    pub(crate) async fn exchange(&self, subject_token: &str) -> Result<String> {
        let address = self.faas_iam.ports.http;
        let form = exchange_form(subject_token, &[]);
        eventually("a token is given out", async || {
            let Ok(answer) = http::request(address, "POST", "/oauth/token", &[FORM], form.as_bytes()).await
            else {
                return Ok(Err("no answer".to_owned()));
            };
            if answer.status != 200 {
                return Ok(Err(format!("{} {}", answer.status, answer.text())));
            }
            let body: Value = serde_json::from_slice(&answer.body)?;
            Ok(Ok(text(&body, "/access_token")?.to_owned()))
        })
        .await
    }

    /// What `/readyz` says.
    pub(crate) async fn ready(&self) -> Result<Ready> {
        let answer = self.admin("/readyz").await?;
        Ok(Ready { status: answer.status().as_u16(), text: answer.text().await? })
    }

    /// Waits until it says that it is not ready, and why: this, among others. The log says it, too.
    pub(crate) async fn until_unready(&mut self, why: &str) -> Result<()> {
        eventually(&format!("/readyz says `{why}`"), async || {
            self.faas_iam.process.check_running()?;
            let Ok(ready) = self.ready().await else { return Ok(Err("no answer".to_owned())) };
            Ok(if ready.status == 503 && ready.text.contains(why) { Ok(()) } else { Err(ready.text) })
        })
        .await?;
        ensure!(self.log().contains(why), "the log does not say `{why}`:\n{}", self.log());
        Ok(())
    }

    /// The samples of a metric, one for each label.
    pub(crate) async fn metric(&self, name: &str) -> Result<Vec<f64>> {
        let all = self.admin("/metrics").await?.text().await?;
        let samples = all.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            (rest.starts_with('{') || rest.starts_with(' ')).then(|| line.rsplit(' ').next())?
        });
        let values: Vec<f64> = samples.map(str::parse).collect::<Result<_, _>>()?;
        ensure!(!values.is_empty(), "no metric {name}");
        Ok(values)
    }

    /// What is in force. Its age is left out: all else is the same wherever the objects are.
    pub(crate) async fn snapshot(&self) -> Result<SnapshotInfo> {
        let channel = connect(&format!("http://{}", self.faas_iam.ports.admin)).await?;
        Ok(SnapshotInfo { age: None, ..snapshot_info(channel, None).await?? })
    }

    /// Its memory, in KiB (`VmRSS`).
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.faas_iam.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        self.faas_iam.process.output()
    }

    async fn admin(&self, path: &str) -> Result<reqwest::Response> {
        Ok(http::client()?.get(format!("http://{}{path}", self.faas_iam.ports.admin)).send().await?)
    }
}

impl Drop for Service {
    /// Nothing is worth waiting for.
    fn drop(&mut self) {
        self.faas_iam.kill();
    }
}

/// The key that signs the service's tokens, in a folder; made when it is not there.
fn signing_key(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("issuer.key");
    if !path.exists() {
        write_private(&path, &SigningKey::generate()?.pem)?;
    }
    Ok(path)
}

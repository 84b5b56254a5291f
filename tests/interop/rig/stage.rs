//! The services and their Envoys, one pair for each profile, before one OpenFaaS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::identities::{OBJECTS, SUBJECTS};
use super::requests::Tokens;
use crate::stage::{member, write_private};
use crate::support::envoy::{self, Addresses, Envoy};
use crate::support::faas_iam::{FaasIam, Ports};
use crate::support::http;
use crate::support::identity_provider::IdentityProvider;
use crate::support::process::{Process, free_port, loopback, wait_for_port};
use crate::toolchain::Built;

/// The profiles, and by which letters an act counts for them.
pub(super) const PROFILES: [(&str, &str); 3] = [("any", "nd"), ("faas-netes", "n"), ("faasd", "d")];

/// The gateway's user and password.
pub(super) const USER: &str = "admin";
pub(super) const PASSWORD: &str = "only-the-gateway-knows-this";

/// What is added to Envoy's log: all that is to be compared.
const LOGGED: &str = r#"reason: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%""#;
const LOGGED_TOO: &str = r#"
                          rig: "%REQ(RIG-REQUEST)%"
                          action: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:action)%"
                          resource: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:resource)%""#;

/// How long the queue may take to become empty.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

/// One profile.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) envoy: Envoy,
    _service: FaasIam,
    /// In the order of the subjects.
    pub(super) tokens: Vec<Tokens>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) fronts: Vec<Front>,
    openfaas: Process,
    _provider: IdentityProvider,
    pub(super) files: TempDir,
}

// === impl Rig ===

impl Rig {
    pub(super) async fn start(built: &Built) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("faas-iam-rig-").tempdir()?;
        let dir = files.path();
        write_private(&dir.join("gateway/basic-auth-user"), USER)?;
        write_private(&dir.join("gateway/basic-auth-password"), PASSWORD)?;
        let (gateway, port) = (loopback(free_port()?), free_port()?);
        let mut command = Command::new(built.program("rig")?);
        command
            .arg(format!("-gateway={gateway}"))
            .arg(format!("-provider-port={port}"))
            .arg(format!("-credentials={}", dir.join("gateway").display()))
            .arg(format!("-records={}", dir.join("records").display()));
        let mut openfaas = Process::start("openfaas", command, dir)?;
        for address in [gateway, loopback(port)] {
            wait_for_port(&mut openfaas, address, Duration::from_secs(20)).await?;
        }
        let provider = IdentityProvider::start().await?;
        let mut fronts = Vec::new();
        for (profile, _) in PROFILES {
            fronts.push(Front::start(profile, gateway, &provider, dir).await?);
        }
        Ok(Self { fronts, openfaas, _provider: provider, files })
    }

    /// Ends everything, so that all is written down.
    pub(super) fn end(&mut self) -> Result<()> {
        for front in &mut self.fronts {
            front.envoy.process.stop();
        }
        self.openfaas.signal(rustix::process::Signal::TERM)?;
        ensure!(self.openfaas.wait(DRAINED_WITHIN), "the queue did not become empty");
        Ok(())
    }

    pub(super) fn log(&self, profile: usize) -> PathBuf {
        let name = PROFILES.get(profile).map_or("", |(name, _)| name);
        self.files.path().join(name).join("envoy.log")
    }
}

// === impl Front ===

impl Front {
    async fn start(
        profile: &str,
        gateway: std::net::SocketAddr,
        provider: &IdentityProvider,
        run: &Path,
    ) -> Result<Self> {
        let dir = run.join(profile);
        fs::create_dir_all(dir.join("policies"))?;
        let issuer = json!({
            "apiVersion": "iam.openfaas.com/v1", "kind": "JwtIssuer", "metadata": { "name": "provider" },
            "spec": { "iss": provider.issuer, "aud": ["rig"], "tokenExpiry": "2h" },
        });
        fs::write(dir.join("policies/issuer.yaml"), issuer.to_string())?;
        fs::write(dir.join("policies/identities.yaml"), OBJECTS)?;
        let ports = Ports::free()?;
        let addresses = Addresses::in_front_of(gateway, ports.grpc, ports.http)?;
        let flags = [
            format!("--issuer=http://{}", addresses.listener),
            format!("--policy-dir={}", dir.join("policies").display()),
            format!("--gateway-credentials={}", run.join("gateway").display()),
            format!("--provider={profile}"),
            format!("--callback-allow={}*", super::requests::CALLBACK),
            "--function-auth=required".to_owned(),
        ];
        let service = FaasIam::start(Path::new(env!("CARGO_BIN_EXE_faas-iam")), &flags, ports, &dir).await?;
        let config = envoy::shipped(&addresses)?;
        ensure!(config.matches(LOGGED).count() == 1, "envoy.yaml logs the reason in another way");
        let config = config.replace(LOGGED, &format!("{LOGGED}{LOGGED_TOO}"));
        let envoy = Envoy::start_with(&config, addresses, &dir).await?;
        let mut front = Self { envoy, _service: service, tokens: Vec::new() };
        for subject in SUBJECTS {
            let tokens = front.tokens_of(subject, provider).await?;
            front.tokens.push(tokens);
        }
        Ok(front)
    }

    async fn tokens_of(&self, subject: &str, provider: &IdentityProvider) -> Result<Tokens> {
        if subject == "nobody" {
            return Ok(Tokens::default());
        }
        let token = provider.id_token(subject, "rig", &json!({}))?;
        let api = self.exchange(&token, None).await?;
        let function = self.exchange(&token, Some("function")).await.unwrap_or_else(|_| api.clone());
        Ok(Tokens { api, function })
    }

    async fn exchange(&self, token: &str, scope: Option<&str>) -> Result<String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")
            .append_pair("subject_token", token);
        if let Some(scope) = scope {
            form.append_pair("scope", scope);
        }
        let form = form.finish();
        for _ in 0..100 {
            let url = format!("{}/oauth/token", self.envoy.url);
            let request = http::client()?.post(url).body(form.clone());
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer: Value = serde_json::from_str(&request.send().await?.text().await?)?;
            if !member(&answer, "access_token").is_empty() {
                return Ok(member(&answer, "access_token").to_owned());
            }
            // The provider's keys may still be on their way.
            if member(&answer, "error_description").contains("polic") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None.context("no token")
    }
}

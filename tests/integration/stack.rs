//! Everything real: Envoy with its shipped configuration, and `faas-iam` behind it, between an
//! identity provider and an OpenFaaS API that records what reaches it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::objects::{self, SigningKey, write_private, write_whole};
use crate::support::envoy::{self, Addresses, Envoy};
use crate::support::faas_iam::{FaasIam, Ports};
use crate::support::http::{self, RawResponse};
use crate::support::identity_provider::IdentityProvider;
pub(crate) use crate::support::json::text;
pub(crate) use crate::support::oauth::{FORM, exchange_form};
use crate::support::openfaas::{OpenFaas, Recorded};
pub(crate) use crate::support::patience::{PATIENCE, eventually};

/// The gateway's own user and password.
pub(crate) const USER: &str = "admin";
pub(crate) const PASSWORD: &str = "canary-gateway-password";

/// What the identity provider calls this installation.
pub(crate) const CLIENT_ID: &str = "openfaas";

/// How the parts are set up.
pub(crate) struct Setup {
    /// Flags of `faas-iam serve` beside those that every test needs.
    pub(crate) flags: Vec<String>,
    /// What stands in the place of `--policy-dir`, for objects that are elsewhere.
    pub(crate) policy_flag: Option<String>,
    /// The objects in force, beside the JwtIssuer.
    pub(crate) objects: String,
    /// Whether the admin address is open to other hosts.
    pub(crate) admin_everywhere: bool,
    /// A change of Envoy's configuration.
    pub(crate) envoy: fn(String) -> String,
    /// `RUST_LOG` of the service.
    pub(crate) log_level: &'static str,
}

/// The parts. Fields are dropped in order: Envoy first.
pub(crate) struct Stack {
    pub(crate) envoy: Envoy,
    pub(crate) service: FaasIam,
    pub(crate) provider: IdentityProvider,
    pub(crate) gateway: OpenFaas,
    /// The key that signs the service's tokens.
    pub(crate) key: SigningKey,
    files: TempDir,
}

// === impl Setup ===

impl Setup {
    /// The defaults, with these objects.
    pub(crate) fn new(objects: impl Into<String>) -> Self {
        let objects = objects.into();
        Self {
            flags: Vec::new(),
            policy_flag: None,
            objects,
            admin_everywhere: false,
            envoy: |config| config,
            log_level: "info",
        }
    }

    /// The same with flags.
    pub(crate) fn with_flags(objects: impl Into<String>, flags: &[&str]) -> Self {
        Self { flags: flags.iter().map(|&flag| flag.to_owned()).collect(), ..Self::new(objects) }
    }
}

// === impl Stack ===

impl Stack {
    /// Starts the parts, each ready.
    pub(crate) async fn start(setup: Setup) -> Result<Self> {
        let mut stack = Self::spawn(setup).await?;
        stack.service.wait_until_ready().await?;
        Ok(stack)
    }

    /// Starts the parts without waiting for `faas-iam` to be ready.
    pub(crate) async fn spawn(setup: Setup) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let dir = files.path();
        let provider = IdentityProvider::start().await?;
        let gateway = OpenFaas::start(USER, PASSWORD, &["dev", "other"]).await?;
        let mut ports = Ports::free()?;
        if setup.admin_everywhere {
            ports.admin.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
        let addresses = Addresses::in_front_of(gateway.address, ports.grpc, ports.http)?;
        let key = SigningKey::generate()?;
        write_private(&dir.join("issuer.key"), &key.pem)?;
        fs::create_dir(dir.join("gateway"))?;
        write_private(&dir.join("gateway/basic-auth-user"), USER)?;
        write_private(&dir.join("gateway/basic-auth-password"), PASSWORD)?;
        fs::create_dir(dir.join("policies"))?;
        fs::write(dir.join("policies/issuer.yaml"), objects::issuer(&provider.issuer, CLIENT_ID))?;
        fs::write(dir.join("policies/objects.yaml"), &setup.objects)?;

        let mut flags = vec![
            format!("--issuer=http://{}", addresses.listener),
            setup.policy_flag.unwrap_or_else(|| format!("--policy-dir={}", dir.join("policies").display())),
            format!("--signing-key={}", dir.join("issuer.key").display()),
            format!("--gateway-credentials={}", dir.join("gateway").display()),
        ];
        flags.extend(setup.flags);
        let service = FaasIam::spawn(binary(), &flags, ports, setup.log_level, dir)?;
        let config = (setup.envoy)(envoy::shipped(&addresses)?);
        let envoy = Envoy::start_with(&config, addresses, dir).await?;
        Ok(Self { envoy, service, provider, gateway, key, files })
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.envoy.addresses.listener
    }

    /// The service's own URL as an issuer, which leads to it through Envoy.
    pub(crate) fn issuer(&self) -> &str {
        &self.envoy.url
    }

    /// A file of this run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes a file of objects, whole.
    pub(crate) fn write_objects(&self, name: &str, text: &str) -> Result<()> {
        write_whole(&self.path("policies").join(name), text)
    }

    /// Sends a request through Envoy, exactly as given.
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<RawResponse> {
        http::request(self.address(), method, target, headers, body).await
    }

    /// The status of a GET with a Bearer token.
    pub(crate) async fn get(&self, token: &str, target: &str) -> Result<u16> {
        let authorization = format!("Bearer {token}");
        Ok(self.send("GET", target, &[("Authorization", &authorization)], b"").await?.status)
    }

    /// Polls a GET until it has this status.
    pub(crate) async fn until_status(&self, token: &str, target: &str, status: u16) -> Result<()> {
        let what = format!("{target} answers {status}");
        eventually(&what, async || {
            let seen = self.get(token, target).await?;
            Ok(if seen == status { Ok(()) } else { Err(format!("{seen}")) })
        })
        .await
    }

    /// The one request that reached the gateway since this was last asked, if any.
    pub(crate) fn upstream(&self) -> Result<Option<Recorded>> {
        let mut recorded = self.gateway.recorded();
        self.gateway.reset();
        ensure!(recorded.len() <= 1, "the gateway got more than one request: {recorded:?}");
        Ok(recorded.pop())
    }

    /// A token of the identity provider.
    pub(crate) fn id_token(&self, subject: &str) -> Result<String> {
        self.provider.id_token(subject, CLIENT_ID, &json!({}))
    }

    /// Asks for a token, through Envoy.
    pub(crate) async fn exchange(&self, subject_token: &str, more: &[(&str, &str)]) -> Result<RawResponse> {
        let form = exchange_form(subject_token, more);
        self.send("POST", "/oauth/token", &[FORM], form.as_bytes()).await
    }

    /// An API token of a subject. Waits for the provider's keys.
    pub(crate) async fn token(&self, subject: &str) -> Result<String> {
        let id_token = self.id_token(subject)?;
        let what = format!("a token for {subject}");
        eventually(&what, async || {
            let answer = self.exchange(&id_token, &[]).await?;
            if answer.status != 200 {
                return Ok(Err(format!("{} {}", answer.status, answer.text())));
            }
            let body: Value = serde_json::from_slice(&answer.body)?;
            Ok(Ok(text(&body, "/access_token")?.to_owned()))
        })
        .await
    }

    /// The service's public keys.
    pub(crate) async fn jwks(&self) -> Result<Value> {
        let answer = self.send("GET", "/.well-known/jwks.json", &[], b"").await?;
        ensure!(answer.status == 200, "{}", answer.text());
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// A token that the service accepts as one of its own for functions.
    pub(crate) async fn function_token(
        &self,
        subject: &str,
        permissions: &[&str],
        audience: &[&str],
    ) -> Result<String> {
        let jwks = self.jwks().await?;
        let now = faas_iam::transport::now();
        let claims = json!({
            "iss": self.issuer(), "aud": [self.issuer()], "sub": format!("fed:{subject}"),
            "fed:iss": self.provider.issuer, "fed:aud": CLIENT_ID, "fed:claims": {},
            "iat": now, "exp": now + 600, "jti": "test",
            "function": { "permissions": permissions, "audience": audience },
        });
        self.key.sign(text(&jwks, "/keys/0/kid")?, &claims)
    }
}

impl Drop for Stack {
    /// Nothing is worth waiting for.
    fn drop(&mut self) {
        self.envoy.process.kill();
        self.service.kill();
    }
}

/// A Basic header value.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_faas-iam"))
}

//! What every part meets: Dex, an OpenFaaS API in memory, `faas-iam` and Envoy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::{Method, Response};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::envoy::{Addresses, Envoy, root};
use crate::support::faas_iam::{FaasIam, Ports};
use crate::support::http;
pub(crate) use crate::support::json::member;
pub(crate) use crate::support::objects::write_private;
use crate::support::openfaas::OpenFaas;
use crate::support::process::{Process, free_port, loopback, wait_for_ok};
use crate::toolchain::Built;

/// The client with which people sign in.
pub(crate) const CLIENT_ID: &str = "faas-iam-interop";

/// Where Dex sends a browser back to; nothing listens there.
pub(crate) const REDIRECT: &str = "http://127.0.0.1:5555/callback";

/// The client of a machine, and its secret.
pub(crate) const MACHINE: (&str, &str) = ("nightly-job", "canary-of-the-nightly-job");

/// Somebody with the Role of a developer, and a password.
pub(crate) const DEVELOPER: (&str, &str) = ("alice@example.com", "canary-wonderland");

/// Somebody without a Role, and a password.
pub(crate) const STRANGER: (&str, &str) = ("bob@example.com", "canary-builder");

/// The gateway's own, which only `faas-iam` knows.
pub(crate) const GATEWAY_PASSWORD: &str = "canary-of-the-gateway";

/// The issuer that `policies/issuer.yaml` is written with.
const WRITTEN_ISSUER: &str = "http://127.0.0.1:5556/dex";

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The running parts. They are stopped in this order.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) envoy: Envoy,
    service: FaasIam,
    dex: Process,
    /// The OpenFaaS API behind Envoy.
    pub(crate) gateway: OpenFaas,
    /// Dex's issuer.
    pub(crate) issuer: String,
    files: Option<TempDir>,
    dir: PathBuf,
}

// === impl Stage ===

impl Stage {
    /// Starts everything, for one of the providers. Functions ask for tokens.
    pub(crate) async fn build(built: &Built, provider: &str) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("faas-iam-interop-").tempdir()?;
        let dir = files.path().to_owned();
        let (dex, issuer) = start_dex(built, &dir).await?;

        let password = GATEWAY_PASSWORD;
        let gateway = OpenFaas::start("admin", password, &["dev", "prod"]).await?;
        gateway.add_function("dev", "hello");
        gateway.add_function("prod", "checkout");

        write_policies(&dir.join("policies"), &issuer)?;
        write_private(&dir.join("gateway/basic-auth-user"), "admin")?;
        write_private(&dir.join("gateway/basic-auth-password"), password)?;
        let ports = Ports::free()?;
        let addresses = Addresses::in_front_of(gateway.address, ports.grpc, ports.http)?;
        let flags = [
            format!("--issuer=http://{}", addresses.listener),
            format!("--policy-dir={}", dir.join("policies").display()),
            format!("--gateway-credentials={}", dir.join("gateway").display()),
            format!("--provider={provider}"),
            "--function-auth=required".to_owned(),
        ];
        let binary = Path::new(env!("CARGO_BIN_EXE_faas-iam"));
        let service = FaasIam::start(binary, &flags, ports, &dir).await?;
        let envoy = Envoy::start(addresses, &dir).await?;
        let files = Some(files);
        Ok(Self { envoy, service, dex, gateway, issuer, files, dir })
    }

    /// A file in the folder of this run.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// No log so far holds a token or another secret.
    pub(crate) fn logs_hold_no_secret(&self) -> Result<()> {
        let logs = [("Envoy", &self.envoy.process), ("faas-iam", &self.service.process), ("Dex", &self.dex)];
        for (name, process) in logs {
            ensure!(!process.output().is_empty(), "the log of {name} is empty");
            let found = process.lines_with_secrets();
            ensure!(found.is_empty(), "the log of {name} does: {found:#?}");
        }
        Ok(())
    }

    /// Keeps the files of this run, with the logs.
    pub(crate) fn keep_files(&mut self) -> PathBuf {
        self.files.take().map_or_else(|| self.dir.clone(), TempDir::keep)
    }

    /// Replaces a policy file, at once.
    pub(crate) fn write_policy(&self, name: &str, text: &str) -> Result<()> {
        let draft = self.dir.join("draft.yaml");
        fs::write(&draft, text)?;
        Ok(fs::rename(draft, self.dir.join("policies").join(name))?)
    }

    /// Sends a request to the API or to a function, through Envoy.
    pub(crate) async fn call(
        &self,
        method: Method,
        target: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Response> {
        let url = format!("{}{target}", self.envoy.url);
        let mut request = http::client()?.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Ok(request.send().await?)
    }

    /// Exchanges an ID token for a token for the API, through Envoy.
    pub(crate) async fn exchange(&self, id_token: &str) -> Result<(u16, Value)> {
        self.request_token(&[("subject_token_type", ID_TOKEN), ("subject_token", id_token)]).await
    }

    /// Exchanges a token for the API for one for functions: for these, or else for all that the
    /// policies allow.
    pub(crate) async fn function_token(&self, api_token: &str, functions: &[&str]) -> Result<String> {
        let mut form =
            vec![("subject_token_type", ACCESS_TOKEN), ("subject_token", api_token), ("scope", "function")];
        form.extend(functions.iter().map(|function| ("audience", *function)));
        let (status, answer) = self.request_token(&form).await?;
        ensure!(status == 200, "no function token: {status} {answer}");
        Ok(member(&answer, "access_token").to_owned())
    }

    async fn request_token(&self, form: &[(&str, &str)]) -> Result<(u16, Value)> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT_TYPE)
            .extend_pairs(form)
            .finish();
        let answer = http::client()?
            .post(format!("{}/oauth/token", self.envoy.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await?;
        Ok((answer.status().as_u16(), serde_json::from_str(&answer.text().await?)?))
    }
}

/// The text of a policy file, as it is in the project.
pub(crate) fn policy(name: &str) -> Result<String> {
    Ok(fs::read_to_string(root().join("tests/interop/policies").join(name))?)
}

async fn start_dex(built: &Built, dir: &Path) -> Result<(Process, String)> {
    let address = loopback(free_port()?);
    let user = |(email, password): (&str, &str), group| format!("{email}={password}={group}");
    let mut command = Command::new(built.program("dex")?);
    command
        .arg(format!("-listen={address}"))
        .arg(format!("-public-client={CLIENT_ID}={REDIRECT}"))
        .arg(format!("-machine-client={}={}", MACHINE.0, MACHINE.1))
        .arg(format!("-user={}", user(DEVELOPER, "developers")))
        .arg(format!("-user={}", user(STRANGER, "guests")));
    let mut dex = Process::start("dex", command, dir)?;
    let issuer = format!("http://{address}/dex");
    let discovery = format!("{issuer}/.well-known/openid-configuration");
    wait_for_ok(&mut dex, &discovery, Duration::from_secs(20)).await?;
    Ok((dex, issuer))
}

fn write_policies(to: &Path, issuer: &str) -> Result<()> {
    fs::create_dir(to)?;
    let mut written = 0;
    for name in ["issuer.yaml", "policies.yaml", "roles.yaml"] {
        let text = policy(name)?;
        written += text.matches(WRITTEN_ISSUER).count();
        fs::write(to.join(name), text.replace(WRITTEN_ISSUER, issuer))?;
    }
    ensure!(written == 1, "the policies name the issuer {written} times instead of once");
    Ok(())
}

//! All parts of the demo, running.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::support::envoy::{Addresses, Envoy, root};
use crate::support::faas_iam::{FaasIam, Ports};
use crate::support::identity_provider::IdentityProvider;
use crate::support::openfaas::OpenFaas;
use crate::support::process::{free_port_near, loopback};

/// What the identity provider calls this installation.
pub(crate) const CLIENT_ID: &str = "faas-iam-demo";

/// The issuer that `policies/issuers.yaml` is written with.
const WRITTEN_ISSUER: &str = "http://127.0.0.1:8001";

/// The parts. They are stopped in this order.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) envoy: Envoy,
    pub(crate) service: FaasIam,
    pub(crate) identity_provider: IdentityProvider,
    /// The OpenFaaS API behind Envoy.
    _gateway: OpenFaas,
    /// The `faas-iam` binary.
    pub(crate) binary: PathBuf,
    files: Option<TempDir>,
    dir: PathBuf,
    start: Instant,
}

// === impl Stage ===

impl Stage {
    /// Starts everything.
    pub(crate) async fn build() -> Result<Self> {
        let start = Instant::now();
        let files = tempfile::Builder::new().prefix("faas-iam-demo-").tempdir()?;
        let dir = files.path().to_owned();

        let identity_provider = IdentityProvider::start_at(loopback(free_port_near(8001)?)).await?;
        identity_provider.add_user("alice", "wonderland", json!({ "groups": ["developers"] }));
        identity_provider.add_user("bob", "builder", json!({ "groups": ["operators"] }));
        say(start, &format!("identity provider   {}", identity_provider.issuer));

        let password = "only-faas-iam-knows-this";
        let gateway = OpenFaas::start("admin", password, &["dev", "prod"]).await?;
        for (namespace, name) in [("dev", "hello"), ("prod", "checkout"), ("prod", "old-report")] {
            gateway.add_function(namespace, name);
        }
        say(start, &format!("OpenFaaS API        http://{} (in memory)", gateway.address));

        let ports = Ports::free()?;
        let mut addresses = Addresses::in_front_of(gateway.address, ports.grpc, ports.http)?;
        addresses.listener = loopback(free_port_near(8000)?);
        write_policies(&dir.join("policies"), &identity_provider.issuer)?;
        write_secrets(&dir, password)?;
        let binary = binary()?;
        let flags = flags(&dir, &format!("http://{}", addresses.listener));
        let service = FaasIam::start(&binary, &flags, ports, &dir).await?;
        say(start, &format!("faas-iam            http://{}/readyz", ports.admin));

        let envoy = Envoy::start(addresses, &dir).await?;
        say(start, &format!("Envoy               {}", envoy.url));
        let files = Some(files);
        Ok(Self { envoy, service, identity_provider, _gateway: gateway, binary, files, dir, start })
    }

    /// Prints a line with the time since the start.
    pub(crate) fn say(&self, text: &str) {
        say(self.start, text);
    }

    /// Where the files of this run are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of the demo's policies that is not yet in force.
    pub(crate) fn later_policy(&self, name: &str) -> Result<String> {
        let text = fs::read_to_string(root().join("examples/demo/policies").join(name))?;
        Ok(with_issuer(&text, &self.identity_provider.issuer))
    }

    /// The policies in force.
    pub(crate) fn policies(&self) -> PathBuf {
        self.dir.join("policies")
    }

    /// Writes a file that nobody else can read.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        write_private(&path, text)?;
        Ok(path)
    }

    /// Keeps the files of this run, with the logs, when everything else ends.
    pub(crate) fn keep_files(&mut self) -> PathBuf {
        self.files.take().map_or_else(|| self.dir.clone(), TempDir::keep)
    }

    /// Says what is where, for a person to try more.
    pub(crate) fn describe(&self) {
        let dir = self.dir.display();
        println!("\nEverything stays up until Ctrl-C. In another terminal:\n");
        println!("  export OPENFAAS_URL={}", self.envoy.url);
        println!("  export TOKEN_FILE={dir}/alice.token");
        println!(
            "  curl -H \"Authorization: Bearer $(cat $TOKEN_FILE)\" \"$OPENFAAS_URL/system/functions?namespace=dev\"\n"
        );
        println!("  policies    {dir}/policies   (edit them: they are watched)");
        println!("  logs        {dir}/faas-iam.log, {dir}/envoy.log");
        println!(
            "  sign in     {}/token   as alice (wonderland) or bob (builder)",
            self.identity_provider.issuer
        );
        println!("  faas-iam    http://{}/metrics", self.service.ports.admin);
        println!("  Envoy       http://{}/\n", self.envoy.addresses.admin);
    }

    /// Waits for a part to end, which none should.
    pub(crate) async fn watch(&mut self) -> anyhow::Error {
        loop {
            for process in [&mut self.service.process, &mut self.envoy.process] {
                if let Err(ended) = process.check_running() {
                    return ended;
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The flags of `faas-iam serve`, but for those that say where it listens.
fn flags(dir: &Path, issuer: &str) -> Vec<String> {
    vec![
        format!("--issuer={issuer}"),
        format!("--policy-dir={}", dir.join("policies").display()),
        format!("--signing-key={}", dir.join("issuer.key").display()),
        format!("--gateway-credentials={}", dir.join("gateway").display()),
    ]
}

/// The binary that was built together with this demo.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let profile = own.parent().and_then(Path::parent).context("the demo is not in a target folder")?;
    let binary = profile.join("faas-iam");
    ensure!(binary.is_file(), "{} is not there: run `make demo`", binary.display());
    Ok(binary)
}

/// A text of the demo's policies, with the issuer's real address.
fn with_issuer(text: &str, issuer: &str) -> String {
    text.replace(WRITTEN_ISSUER, issuer)
}

/// Copies the policies of the demo, with the issuer's real address.
fn write_policies(to: &Path, issuer: &str) -> Result<()> {
    fs::create_dir(to)?;
    let mut written = 0;
    for entry in fs::read_dir(root().join("examples/demo/policies"))? {
        let path = entry?.path();
        let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|kind| kind == "yaml"))
        else {
            continue;
        };
        let text = fs::read_to_string(&path)?;
        written += text.matches(WRITTEN_ISSUER).count();
        fs::write(to.join(name), with_issuer(&text, issuer))?;
    }
    ensure!(written > 0, "the policies do not name the issuer {WRITTEN_ISSUER}");
    Ok(())
}

/// The signing key of faas-iam, and the gateway's credentials, which nobody else has.
fn write_secrets(dir: &Path, password: &str) -> Result<()> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
        .and_then(|pair| pair.to_pkcs8v1())
        .map_err(|_| anyhow!("cannot make a key"))?;
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for (place, char) in STANDARD.encode(key.as_ref()).chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            pem.push('\n');
        }
        pem.push(char);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    write_private(&dir.join("issuer.key"), &pem)?;
    let credentials = dir.join("gateway");
    fs::create_dir(&credentials)?;
    write_private(&credentials.join("basic-auth-user"), "admin")?;
    write_private(&credentials.join("basic-auth-password"), password)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
}

fn say(start: Instant, text: &str) {
    println!("[{:6.2} s] {text}", start.elapsed().as_secs_f64());
}

//! The real Envoy, with the very configuration that users run.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::process::{Process, free_port, loopback, wait_for_ok, wait_for_port};

/// Where the parts listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// Envoy, for clients.
    pub(crate) listener: SocketAddr,
    /// Envoy's admin interface.
    pub(crate) admin: SocketAddr,
    /// The OpenFaaS gateway.
    pub(crate) gateway: SocketAddr,
    /// `faas-iam`, gRPC.
    pub(crate) decisions: SocketAddr,
    /// `faas-iam`, HTTP.
    pub(crate) token_service: SocketAddr,
}

/// One address of the shipped configuration.
#[derive(Debug, Clone, Copy)]
enum Place {
    Listener,
    Admin,
    Gateway,
    Decisions,
    TokenService,
}

/// All that is replaced in `envoy/envoy.yaml`: each text must occur exactly once.
const SUBSTITUTIONS: [(&str, Place); 5] = [
    ("address: 0.0.0.0, port_value: 8080 ", Place::Listener),
    ("address: 127.0.0.1, port_value: 9901 ", Place::Admin),
    ("address: gateway.openfaas, port_value: 8080 ", Place::Gateway),
    ("address: faas-iam.openfaas, port_value: 9000 ", Place::Decisions),
    ("address: faas-iam.openfaas, port_value: 8080 ", Place::TokenService),
];

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Envoy {
    /// `http://127.0.0.1:PORT`, for clients.
    pub(crate) url: String,
    /// Where its parts listen.
    pub(crate) addresses: Addresses,
    /// The process.
    pub(crate) process: Process,
}

// === impl Addresses ===

impl Addresses {
    /// Free ports for Envoy itself, in front of the given parts.
    pub(crate) fn in_front_of(
        gateway: SocketAddr,
        decisions: SocketAddr,
        token_service: SocketAddr,
    ) -> Result<Self> {
        Ok(Self {
            listener: loopback(free_port()?),
            admin: loopback(free_port()?),
            gateway,
            decisions,
            token_service,
        })
    }

    fn at(&self, place: Place) -> SocketAddr {
        match place {
            Place::Listener => self.listener,
            Place::Admin => self.admin,
            Place::Gateway => self.gateway,
            Place::Decisions => self.decisions,
            Place::TokenService => self.token_service,
        }
    }
}

// === impl Envoy ===

impl Envoy {
    /// Starts Envoy with `envoy/envoy.yaml` and waits until it is ready. Its configuration and its
    /// log are in `dir`.
    pub(crate) async fn start(addresses: Addresses, dir: &Path) -> Result<Self> {
        Self::start_with(&shipped(&addresses)?, addresses, dir).await
    }

    /// Starts Envoy with a configuration that has its addresses already.
    pub(crate) async fn start_with(config: &str, addresses: Addresses, dir: &Path) -> Result<Self> {
        let path = dir.join("envoy.yaml");
        fs::write(&path, config)?;
        let mut command = Command::new(binary()?);
        command
            .arg("--config-path")
            .arg(&path)
            .args(["--disable-hot-restart", "--concurrency", "1"])
            .args(["--log-level", "warning"]);
        let mut process = Process::start("envoy", command, dir)?;
        let limit = Duration::from_secs(20);
        wait_for_ok(&mut process, &format!("http://{}/ready", addresses.admin), limit).await?;
        wait_for_port(&mut process, addresses.listener, limit).await?;
        Ok(Self { url: format!("http://{}", addresses.listener), addresses, process })
    }
}

/// `envoy/envoy.yaml` with its addresses replaced.
pub(crate) fn shipped(addresses: &Addresses) -> Result<String> {
    let file = root().join("envoy/envoy.yaml");
    let shipped = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    render(&shipped, addresses)
}

/// The shipped configuration with its addresses replaced, and nothing else.
pub(crate) fn render(shipped: &str, addresses: &Addresses) -> Result<String> {
    let mut config = shipped.to_owned();
    for (from, place) in SUBSTITUTIONS {
        let found = shipped.matches(from).count();
        ensure!(found == 1, "envoy.yaml holds `{from}` {found} times instead of once");
        let to = addresses.at(place);
        let to = format!("address: {}, port_value: {} ", to.ip(), to.port());
        config = config.replace(from, &to);
    }
    Ok(config)
}

/// The configuration with the lines that let routes accept the gateway's administrator.
pub(crate) fn accepting_admin(config: String) -> String {
    uncommented(&config, "# typed_per_filter_config:")
}

/// The configuration with the lines that make the connection to `faas-iam` mutual TLS, with the files
/// `tls.crt`, `tls.key` and `ca.crt` of a directory.
pub(crate) fn with_mutual_tls(config: &str, dir: &Path) -> String {
    uncommented(config, "# transport_socket:").replace("/etc/envoy/faas-iam/", &format!("{}/", dir.display()))
}

/// The configuration with the comment that begins with `first` as lines of its own.
fn uncommented(config: &str, first: &str) -> String {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in config.lines() {
        let text = line.trim_start();
        inside = text.starts_with(first) || (inside && text.starts_with('#'));
        lines.push(if inside { line.replacen("# ", "", 1) } else { line.to_owned() });
    }
    lines.join("\n")
}

/// The Envoy binary: `ENVOY_BIN`, or the one that `make tools` installs.
pub(crate) fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ENVOY_BIN") {
        return Ok(path.into());
    }
    let tools = root().join(".tools");
    let in_package = Path::new("envoy/_bin/envoy");
    let target = tools.join("site").join(in_package);
    if target.is_file() {
        return Ok(target);
    }
    for python in fs::read_dir(tools.join("venv/lib")).into_iter().flatten() {
        let path = python?.path().join("site-packages").join(in_package);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("no Envoy: run `make tools`, or set ENVOY_BIN to an Envoy 1.40 binary")
}

/// The root of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

//! The real `faas-iam serve`.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::process::{Process, free_port, loopback, wait_for_ok};

/// How long `faas-iam` may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Where `faas-iam` listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// Decisions, for Envoy.
    pub(crate) grpc: SocketAddr,
    /// The token service, for clients through Envoy.
    pub(crate) http: SocketAddr,
    /// Health and metrics.
    pub(crate) admin: SocketAddr,
}

/// A running `faas-iam serve`.
#[derive(Debug)]
pub(crate) struct FaasIam {
    /// Where it listens.
    pub(crate) ports: Ports,
    /// The process.
    pub(crate) process: Process,
    binary: PathBuf,
    flags: Vec<String>,
    env: Vec<(String, OsString)>,
    log_level: &'static str,
    dir: PathBuf,
}

// === impl Ports ===

impl Ports {
    /// Three free ports.
    pub(crate) fn free() -> Result<Self> {
        Ok(Self { grpc: loopback(free_port()?), http: loopback(free_port()?), admin: loopback(free_port()?) })
    }
}

// === impl FaasIam ===

impl FaasIam {
    /// Starts `BINARY serve` with `flags` and the listen flags, and waits until it is ready. Its
    /// log is `DIR/faas-iam.log`.
    pub(crate) async fn start(binary: &Path, flags: &[String], ports: Ports, dir: &Path) -> Result<Self> {
        let mut service = Self::spawn(binary, flags, ports, "info", dir)?;
        service.wait_until_ready().await?;
        Ok(service)
    }

    /// The same with a log level, and without waiting.
    pub(crate) fn spawn(
        binary: &Path,
        flags: &[String],
        ports: Ports,
        log_level: &'static str,
        dir: &Path,
    ) -> Result<Self> {
        Self::spawn_with(binary, flags, &[], ports, log_level, dir)
    }

    /// The same with an environment.
    pub(crate) fn spawn_with(
        binary: &Path,
        flags: &[String],
        env: &[(&str, &OsStr)],
        ports: Ports,
        log_level: &'static str,
        dir: &Path,
    ) -> Result<Self> {
        let env: Vec<_> = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let process = Process::start("faas-iam", command(binary, flags, &env, ports, log_level), dir)?;
        let (binary, flags, dir) = (binary.to_owned(), flags.to_owned(), dir.to_owned());
        Ok(Self { ports, process, binary, flags, env, log_level, dir })
    }

    /// Ends it at once (SIGKILL); nothing answers on its ports until [`restart`](Self::restart).
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it, starts it with the same flags on the same ports, and waits until it is ready.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.process.stop();
        let command = command(&self.binary, &self.flags, &self.env, self.ports, self.log_level);
        self.process = Process::start("faas-iam", command, &self.dir)?;
        self.wait_until_ready().await
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn wait_until_ready(&mut self) -> Result<()> {
        let url = format!("http://{}/readyz", self.ports.admin);
        wait_for_ok(&mut self.process, &url, READY_WITHIN).await
    }
}

fn command(
    binary: &Path,
    flags: &[String],
    env: &[(String, OsString)],
    ports: Ports,
    log_level: &str,
) -> Command {
    let mut command = Command::new(binary);
    command
        .envs(env.iter().map(|(name, value)| (name, value)))
        .env("RUST_LOG", log_level)
        .arg("serve")
        .args(flags)
        .arg(format!("--grpc-listen={}", ports.grpc))
        .arg(format!("--http-listen={}", ports.http))
        .arg(format!("--admin-listen={}", ports.admin));
    command
}

//! The real `kubectl`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::support::api_server::{self, ApiServer};
use crate::support::envoy::root;

/// `kubectl`, for one cluster.
#[derive(Debug)]
pub(crate) struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

// === impl Kubectl ===

impl Kubectl {
    /// The one that `make apiserver` builds beside the API server.
    pub(crate) fn find(server: &ApiServer, dir: &Path) -> Result<Self> {
        Ok(Self { binary: api_server::kubectl()?, kubeconfig: server.kubeconfig(), home: dir.join("home") })
    }

    /// Runs it in the root of the project; what it printed.
    ///
    /// # Errors
    /// It failed: what it complained of.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, "").await
    }

    /// The same with something to read.
    pub(crate) async fn run_with(&self, args: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.binary)
            .args(args)
            .current_dir(root())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

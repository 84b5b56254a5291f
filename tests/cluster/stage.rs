//! What the parts share: API servers, each started when it is first asked for.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::support::api_server::{self, ApiServer, Watches};

/// The servers, and a folder for the files of everything. Fields are dropped in order.
#[derive(Debug)]
pub(crate) struct Stage {
    shared: Option<Arc<ApiServer>>,
    killable: Option<ApiServer>,
    bare: Option<Arc<ApiServer>>,
    files: Option<TempDir>,
    dir: PathBuf,
}

// === impl Stage ===

impl Stage {
    /// Nothing runs yet.
    pub(crate) fn new() -> Result<Self> {
        let files = tempfile::Builder::new().prefix("faas-iam-cluster-").tempdir()?;
        let dir = files.path().to_owned();
        Ok(Self { shared: None, killable: None, bare: None, files: Some(files), dir })
    }

    /// A server with the three kinds, for all that leave it alone.
    pub(crate) async fn shared(&mut self) -> Result<Arc<ApiServer>> {
        if let Some(server) = &self.shared {
            return Ok(Arc::clone(server));
        }
        let dir = self.folder("shared")?;
        let server = ApiServer::start(Watches::FromMemory, &dir).await?;
        server.define_kinds().await?;
        Ok(Arc::clone(self.shared.insert(Arc::new(server))))
    }

    /// One with the three kinds that may be killed, as long as it runs again in the end, and that
    /// forgets old versions when it is told to.
    pub(crate) async fn killable(&mut self) -> Result<&mut ApiServer> {
        if self.killable.is_none() {
            let dir = self.folder("killable")?;
            let server = ApiServer::start(Watches::FromEtcd, &dir).await?;
            server.define_kinds().await?;
            self.killable = Some(server);
        }
        self.killable.as_mut().context("no API server")
    }

    /// A server without the three kinds, until somebody defines them.
    pub(crate) async fn bare(&mut self) -> Result<Arc<ApiServer>> {
        if let Some(server) = &self.bare {
            return Ok(Arc::clone(server));
        }
        let dir = self.folder("bare")?;
        let server = ApiServer::start(Watches::FromMemory, &dir).await?;
        Ok(Arc::clone(self.bare.insert(Arc::new(server))))
    }

    /// The same server with definitions that let everything pass.
    pub(crate) async fn loose(&mut self) -> Result<Arc<ApiServer>> {
        let server = self.bare().await?;
        server.define_loosely().await?;
        Ok(server)
    }

    /// A new folder for files of one part.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.dir.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Keeps the files of this run, with the logs.
    pub(crate) fn keep_files(&mut self) -> PathBuf {
        self.files.take().map_or_else(|| self.dir.clone(), TempDir::keep)
    }
}

/// Why nothing can run, if that is so. With Go (`GO`, which the Makefile sets) the server should have
/// been built: that is not a reason, but a failure.
pub(crate) fn without_api_server() -> Option<String> {
    let missing = api_server::binary().err()?;
    let go = std::env::var_os("GO").is_some_and(|go| !go.is_empty());
    (!go).then(|| format!("{missing:#}; it needs Go 1.26"))
}

//! The service account of a pod, with which the cluster's own issuer is asked for its keys.

use std::io;
use std::path::{Path, PathBuf};

use super::fetch::FetchError;
use crate::identity::verify::claimed_issuer;

/// Where Kubernetes mounts the service account of a pod.
pub const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The issuer of a cluster that was given no other name.
pub(super) const CLUSTER_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The file of the cluster's certificates.
pub(super) const CA_FILE: &str = "ca.crt";

/// The file of the token.
const TOKEN_FILE: &str = "token";

/// The mounted service account. Its files are read at every fetch, since they are rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The directory of `token` and `ca.crt`.
    pub directory: PathBuf,
}

// === impl ServiceAccount ===

impl ServiceAccount {
    /// The token and the certificates (PEM), if `iss` is the issuer of the cluster: the one that made
    /// the token, or the one with the usual name. None where no service account is mounted.
    pub(super) async fn credentials_for(&self, iss: &str) -> Result<Option<(String, Vec<u8>)>, FetchError> {
        let Some(token) = read(&self.directory, TOKEN_FILE).await? else { return Ok(None) };
        let token = String::from_utf8_lossy(&token).trim().to_owned();
        if iss != CLUSTER_ISSUER && claimed_issuer(&token).as_deref() != Ok(iss) {
            return Ok(None);
        }
        Ok(read(&self.directory, CA_FILE).await?.map(|ca| (token, ca)))
    }
}

/// The content of a file; none if there is no such file.
async fn read(directory: &Path, name: &str) -> Result<Option<Vec<u8>>, FetchError> {
    match tokio::fs::read(directory.join(name)).await {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FetchError::ServiceAccount(name.to_owned(), error.to_string())),
    }
}

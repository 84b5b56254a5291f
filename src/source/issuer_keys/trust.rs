//! The clients that providers are asked with, and the certificates that those trust.

use std::sync::{Mutex, PoisonError};

use reqwest::{Certificate, Client, ClientBuilder, redirect};
use tracing::{info, warn};

use super::FetchConfig;
use super::fetch::cause;

/// How many redirects within one origin are followed.
const MAX_REDIRECTS: usize = 3;

/// Certificates that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificates {
    /// There is no such file, or it may not be read.
    #[error("{0}")]
    Unreadable(String),
    /// The file is not PEM, or has no section `CERTIFICATE`.
    #[error("holds no certificate: it must be PEM, with `-----BEGIN CERTIFICATE-----`")]
    None,
    /// A certificate is malformed.
    #[error("holds a certificate that cannot be used: {0}")]
    Malformed(String),
}

/// The client for every issuer but the cluster's own. It follows the file of `--ca-bundle`.
pub(super) struct PublicClient {
    config: FetchConfig,
    made: Mutex<Made>,
}

struct Made {
    client: Client,
    /// What stood in the file.
    ca_bundle: Vec<u8>,
    /// Why what stands there now is not in use; told once.
    problem: String,
}

// === impl PublicClient ===

impl PublicClient {
    pub(super) fn new(config: &FetchConfig) -> Result<Self, InvalidCertificates> {
        let ca_bundle = config.ca_bundle.as_ref().map(std::fs::read).transpose();
        let ca_bundle = ca_bundle.map_err(|error| InvalidCertificates::Unreadable(error.to_string()))?;
        let client = public_client(config, ca_bundle.as_deref())?;
        let ca_bundle = ca_bundle.unwrap_or_default();
        let made = Made { client, ca_bundle, problem: String::new() };
        Ok(Self { config: config.clone(), made: Mutex::new(made) })
    }

    /// With the certificates that stand in the file now. What was read before stays in force while the
    /// file cannot be used.
    pub(super) async fn get(&self) -> Client {
        let now = match &self.config.ca_bundle {
            Some(path) => Some(tokio::fs::read(path).await),
            None => None,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = match now {
            Some(Ok(now)) if now != made.ca_bundle => match public_client(&self.config, Some(&now)) {
                Ok(client) => {
                    info!("the certificates of --ca-bundle have changed");
                    (made.client, made.ca_bundle) = (client, now);
                    String::new()
                }
                Err(error) => error.to_string(),
            },
            Some(Err(error)) => error.to_string(),
            _ => String::new(),
        };
        if !problem.is_empty() && problem != made.problem {
            warn!("--ca-bundle: {problem}: what was read before stays in force");
        }
        made.problem = problem;
        made.client.clone()
    }
}

/// A client that trusts the certificates of the system and these.
fn public_client(config: &FetchConfig, ca_bundle: Option<&[u8]>) -> Result<Client, InvalidCertificates> {
    let extra = ca_bundle.map(certificates).transpose()?.unwrap_or_default();
    let malformed = |error: reqwest::Error| InvalidCertificates::Malformed(cause(&error));
    let without_system = client(config).tls_certs_only(extra.clone()).build().map_err(malformed)?;
    Ok(client(config).tls_certs_merge(extra).build().unwrap_or_else(|error| {
        // As in an image that holds nothing but the program.
        warn!("only certificates of --ca-bundle and of the cluster count: {}", cause(&error));
        without_system
    }))
}

/// At least one certificate, out of a PEM file.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, InvalidCertificates> {
    let malformed = |error: reqwest::Error| InvalidCertificates::Malformed(cause(&error));
    let found = Certificate::from_pem_bundle(pem).map_err(malformed)?;
    if found.is_empty() { Err(InvalidCertificates::None) } else { Ok(found) }
}

/// No feature for compressed bodies is compiled in, so that what is counted is what is read.
pub(super) fn client(config: &FetchConfig) -> ClientBuilder {
    Client::builder()
        .timeout(config.timeout)
        .redirect(redirect::Policy::custom(|attempt| {
            let same = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
            if same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
        }))
        .referer(false)
        .no_proxy()
        .user_agent(concat!("faas-iam/", env!("CARGO_PKG_VERSION")))
}

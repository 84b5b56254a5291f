//! Arguments of `serve` that say who may connect, and how much may be under way.

use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::transport::overload::Limits;
use crate::transport::tls::TlsFiles;

/// File descriptors that are kept for all but clients: files, identity providers, the cluster.
const OWN_FILES: u64 = 96;
/// The addresses that are listened on.
const PORTS: u64 = 3;

/// Arguments of the edge.
#[derive(Debug, clap::Args)]
pub(super) struct EdgeArgs {
    /// The certificate (PEM) of --grpc-listen, with those that lead to its authority; read again when
    /// it changes
    #[arg(long, env = "FAAS_IAM_GRPC_TLS_CERT", value_name = "FILE", requires = "grpc_tls_key")]
    grpc_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, env = "FAAS_IAM_GRPC_TLS_KEY", value_name = "FILE", requires = "grpc_tls_cert")]
    grpc_tls_key: Option<PathBuf>,
    /// The authorities (PEM) of clients of --grpc-listen: with it, a client needs a certificate
    #[arg(long, env = "FAAS_IAM_GRPC_TLS_CLIENT_CA", value_name = "FILE", requires = "grpc_tls_cert")]
    grpc_tls_client_ca: Option<PathBuf>,
    /// A DNS name or URI of which a client's certificate must hold one, such as
    /// spiffe://cluster.local/ns/openfaas/sa/envoy [default: any]
    #[arg(
        long,
        env = "FAAS_IAM_GRPC_TLS_CLIENT_SAN",
        value_name = "NAME",
        value_delimiter = ',',
        requires = "grpc_tls_client_ca"
    )]
    grpc_tls_client_san: Vec<String>,
    /// Connections that each address has at most; fewer, where the limit of open files is lower
    #[arg(long, env = "FAAS_IAM_MAX_CONNECTIONS", value_name = "N", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Checks that are under way at most; one more is answered with 503 at once
    #[arg(long, env = "FAAS_IAM_MAX_CHECKS", value_name = "N", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_checks: u32,
    /// Memory for the bodies of checks under way, in bytes; a check beyond it is answered with 503
    #[arg(long, env = "FAAS_IAM_MAX_CHECK_BYTES", value_name = "N", default_value_t = 64 * 1024 * 1024,
          value_parser = clap::value_parser!(u64).range(9 * 1024 * 1024..=64 * 1024 * 1024 * 1024))]
    max_check_bytes: u64,
}

impl EdgeArgs {
    /// The certificates; a message where the arguments do not go together.
    pub(super) fn tls(&self) -> Result<Option<TlsFiles>, String> {
        let (Some(cert), Some(key)) = (self.grpc_tls_cert.clone(), self.grpc_tls_key.clone()) else {
            return Ok(None);
        };
        if self.grpc_tls_client_san.iter().any(String::is_empty) {
            return Err("--grpc-tls-client-san: a name is empty: write a DNS name or a URI".to_owned());
        }
        let client_ca = self.grpc_tls_client_ca.clone();
        Ok(Some(TlsFiles { cert, key, client_ca, client_names: self.grpc_tls_client_san.clone() }))
    }

    pub(super) fn limits(&self) -> Limits {
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Limits { requests: number(self.max_checks.into()), bytes: number(self.max_check_bytes) }
    }

    /// Says so where there are fewer connections than asked for.
    pub(super) fn report(&self, connections: usize) {
        let asked = self.max_connections;
        if usize::try_from(asked).is_ok_and(|asked| connections < asked) {
            tracing::warn!(
                "the limit of open files allows {connections} connections for each address, not \
                 --max-connections {asked}"
            );
        }
    }

    /// How many connections each address may have, so that file descriptors are left for the rest.
    /// Asks the system for as many as it gives.
    pub(super) fn max_connections(&self) -> usize {
        let wanted = u64::from(self.max_connections);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let needed = wanted.saturating_mul(PORTS).saturating_add(OWN_FILES);
        let mut files = current.unwrap_or(u64::MAX);
        if files < needed {
            let more = needed.min(maximum.unwrap_or(u64::MAX));
            if setrlimit(Resource::Nofile, Rlimit { current: Some(more), maximum }).is_ok() {
                files = more;
            }
        }
        let room = files.saturating_sub(OWN_FILES.min(files / 2)) / PORTS;
        usize::try_from(wanted.min(room.max(1))).unwrap_or(usize::MAX)
    }
}

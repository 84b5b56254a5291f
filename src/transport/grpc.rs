//! The gRPC server for Envoy: external authorization, health, reflection; over TCP or a Unix socket.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};
use tonic_health::pb::health_server::{Health, HealthServer};

use super::ext_authz::ExtAuthz;

/// Descriptors of `envoy.service.auth.v3`, for reflection.
const EXT_AUTHZ_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ext_authz.bin"));

/// The largest check that is read: a secret with its body and headers.
const MAX_CHECK: usize = 9 * 1024 * 1024;

/// Where Envoy connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrpcAddress {
    /// `HOST:PORT`, an address.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// A bound listener.
#[derive(Debug)]
pub enum GrpcListener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket, whose file is removed with the listener.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket; removed when it is dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

// === impl GrpcAddress ===

impl FromStr for GrpcAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("`unix:` needs a path".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("`{text}` is no address: write IP:PORT or unix:PATH")),
        }
    }
}

impl std::fmt::Display for GrpcAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl GrpcAddress {
    /// Listens. A socket file that nobody listens on is left from an earlier run and is replaced.
    ///
    /// # Errors
    /// The address is in use or cannot be bound.
    pub async fn bind(&self) -> io::Result<GrpcListener> {
        match self {
            Self::Tcp(address) => TcpListener::bind(address).await.map(GrpcListener::Tcp),
            Self::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                Ok(GrpcListener::Unix(listener, SocketFile(path.clone())))
            }
        }
    }
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match tokio::net::UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket")),
        Err(_) => std::fs::remove_file(path),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// Serves until `shutdown`, then until the requests under way are answered.
///
/// # Errors
/// The server cannot run.
pub async fn serve(
    listener: GrpcListener,
    ext_authz: ExtAuthz,
    health: HealthServer<impl Health>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let router = router(ext_authz, health)?;
    match listener {
        GrpcListener::Tcp(listener) => {
            // The server's own setting counts only for listeners that it makes itself.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, shutdown).await?;
        }
        GrpcListener::Unix(listener, _file) => {
            let incoming = UnixListenerStream::new(listener);
            router.serve_with_incoming_shutdown(incoming, shutdown).await?;
        }
    }
    Ok(())
}

fn router(ext_authz: ExtAuthz, health: HealthServer<impl Health>) -> anyhow::Result<Router> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(EXT_AUTHZ_DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(health)
        .add_service(reflection)
        .add_service(AuthorizationServer::new(ext_authz).max_decoding_message_size(MAX_CHECK)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ip_and_port_or_a_path() {
        assert_eq!("unix:/run/x".parse(), Ok(GrpcAddress::Unix("/run/x".into())));
        assert_eq!("[::1]:9000".parse::<GrpcAddress>().unwrap().to_string(), "[::1]:9000");
        for bad in ["", "unix:", "localhost", "9000", "localhost:9000"] {
            assert!(bad.parse::<GrpcAddress>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_socket_file_is_replaced_only_if_nobody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let address = GrpcAddress::Unix(dir.path().join("s"));
        let listener = address.bind().await.unwrap();
        assert_eq!(address.bind().await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!dir.path().join("s").exists());
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap());
        address.bind().await.unwrap();
    }
}

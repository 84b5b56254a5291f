//! TLS and mutual TLS, with certificates that change while the service runs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Where certificates are, all in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate and those that lead to its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of clients; with it, a client needs a certificate.
    pub client_ca: Option<PathBuf>,
    /// Names of which a client's certificate must hold one; all are good if there are none.
    pub client_names: Vec<String>,
}

/// What is in force, and the files that it comes from.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<InForce>,
    /// What the files held when they were last put in force; never the key itself.
    seen: Mutex<Vec<u8>>,
}

/// The files' contents; what cannot be read is its error.
type Contents = Vec<Result<Vec<u8>, String>>;

#[derive(Debug)]
struct InForce {
    config: Arc<ServerConfig>,
    /// Cancelled when something else is in force.
    retired: CancellationToken,
}

/// Client certificates that hold one of some names.
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

// === impl Tls ===

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or they do not go together.
    pub fn load(files: TlsFiles) -> anyhow::Result<Self> {
        let contents = files.read();
        let current = ArcSwap::from_pointee(InForce::new(files.config(&contents)?));
        Ok(Self { files, current, seen: Mutex::new(fingerprint(&contents)) })
    }

    /// Reads the files again and puts them in force if they have changed; true if it did. New
    /// connections are made under what is in force, and older ones end with their requests.
    ///
    /// # Errors
    /// What the files hold now cannot be used; what was read before stays in force.
    pub fn reload(&self) -> anyhow::Result<bool> {
        let contents = self.files.read();
        let now = fingerprint(&contents);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        let new = self.files.config(&contents)?;
        *seen = now;
        drop(seen);
        self.current.swap(Arc::new(InForce::new(new))).retired.cancel();
        Ok(true)
    }

    /// How a connection is accepted now, and what tells that this is out of date.
    pub(super) fn acceptor(&self) -> (TlsAcceptor, CancellationToken) {
        let current = self.current.load();
        (TlsAcceptor::from(Arc::clone(&current.config)), current.retired.clone())
    }
}

impl InForce {
    fn new(config: ServerConfig) -> Self {
        Self { config: Arc::new(config), retired: CancellationToken::new() }
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let client_ca = self.client_ca.as_deref().map(|path| ("--grpc-tls-client-ca", path));
        let own = [("--grpc-tls-cert", self.cert.as_path()), ("--grpc-tls-key", self.key.as_path())];
        own.into_iter().chain(client_ca)
    }

    fn read(&self) -> Contents {
        self.named().map(|(_, path)| fs::read(path).map_err(|error| error.to_string())).collect()
    }

    fn config(&self, contents: &Contents) -> anyhow::Result<ServerConfig> {
        let mut files = self.named().zip(contents).map(|((flag, path), content)| match content {
            Ok(content) => Ok((format!("{flag} {}", path.display()), content.as_slice())),
            Err(error) => bail!("{flag} {}: {error}", path.display()),
        });
        let (Some(cert), Some(key), client_ca) = (files.next(), files.next(), files.next()) else {
            bail!("no certificate");
        };
        let ((cert_file, cert), (key_file, key)) = (cert?, key?);
        let chain = certificates(cert).with_context(|| cert_file.clone())?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| anyhow::anyhow!("{key_file}: no private key in PEM: {error}"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match client_ca.transpose()? {
            None => builder.with_no_client_auth(),
            Some((file, pem)) => {
                let verifier = self.client_verifier(pem, provider).with_context(|| file)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .with_context(|| format!("{cert_file} and {key_file} do not go together"))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // In a resumed session nobody would look at the client's certificate again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn client_verifier(
        &self,
        pem: &[u8],
        provider: Arc<CryptoProvider>,
    ) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
        let mut roots = RootCertStore::empty();
        for authority in certificates(pem)? {
            roots.add(authority)?;
        }
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        let names = self.client_names.clone();
        Ok(if names.is_empty() { chain } else { Arc::new(Named { chain, names }) })
    }
}

/// Tells contents from others.
fn fingerprint(contents: &Contents) -> Vec<u8> {
    let of = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
    contents
        .iter()
        .flat_map(|content| content.as_ref().map_or_else(|_| Vec::new(), |bytes| of(bytes)))
        .collect()
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| anyhow::anyhow!("no certificates in PEM: {error}"))?;
    ensure!(!found.is_empty(), "no certificate in it");
    Ok(found)
}

// === impl Named ===

impl Named {
    /// Whether the certificate's subject alternative names (DNS names, URIs) hold one of ours.
    fn holds_one(&self, certificate: &CertificateDer<'_>) -> Result<bool, Error> {
        let parsed = webpki::EndEntityCert::try_from(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let named = |name: &str| self.names.iter().any(|own| own == name);
        let dns = |name: &str| self.names.iter().any(|own| own.eq_ignore_ascii_case(name));
        Ok(parsed.valid_uri_names().any(named) || parsed.valid_dns_names().any(dns))
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        if self.holds_one(end_entity)? {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;

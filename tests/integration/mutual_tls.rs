//! Mutual TLS between the real Envoy and the service, and certificates that change under load.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::floods::metric;
use crate::frames::{PREFACE, SETTINGS};
use crate::objects::{grant, write_private, write_whole};
use crate::resilience::{Load, check_answers};
use crate::stack::{Setup, Stack, eventually};
use crate::support::envoy;

const SERVICE: &str = "faas-iam.openfaas";
const CLIENT: &str = "spiffe://cluster.local/ns/openfaas/sa/envoy";

/// Where the files of this test are: Envoy's configuration is made by a function without arguments.
fn dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutual-tls")
}

/// An authority of certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// A new key and its certificate, in PEM.
    fn issue(&self, name: SanType) -> Result<(String, String)> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.subject_alt_names.push(name);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?.pem(), key.serialize_pem()))
    }
}

fn dns(name: &str) -> Result<SanType> {
    Ok(SanType::DnsName(name.try_into()?))
}

fn uri(name: &str) -> Result<SanType> {
    Ok(SanType::URI(name.try_into()?))
}

/// Puts a pair in the place of the service's.
fn put((cert, key): &(String, String)) -> Result<()> {
    write_private(&dir().join("service.key"), key)?;
    write_whole(&dir().join("service.crt"), cert)
}

async fn start(authority: &Authority) -> Result<Stack> {
    fs::create_dir_all(dir())?;
    put(&authority.issue(dns(SERVICE)?)?)?;
    let (cert, key) = authority.issue(uri(CLIENT)?)?;
    fs::write(dir().join("tls.crt"), cert)?;
    write_private(&dir().join("tls.key"), &key)?;
    fs::write(dir().join("ca.crt"), authority.0.pem())?;
    let file = |flag: &str, name: &str| format!("--grpc-tls-{flag}={}", dir().join(name).display());
    let flags = [file("cert", "service.crt"), file("key", "service.key"), file("client-ca", "ca.crt")];
    let mut setup = Setup::new(grant("alice", "Function:List", "dev:*"));
    setup.flags = flags.into();
    setup.flags.push(format!("--grpc-tls-client-san=envoy.example.com,{CLIENT}"));
    setup.envoy = |config| envoy::with_mutual_tls(&config, &dir());
    Stack::start(setup).await
}

/// Waits until a metric has a value.
async fn until(stack: &Stack, name: &str, value: f64) -> Result<()> {
    eventually(&format!("{name} is {value}"), async || {
        let seen = metric(stack.service.ports.admin, name).await?;
        Ok(if seen == value { Ok(()) } else { Err(format!("{seen}")) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_under_load_and_clients_need_one() -> Result<()> {
    let authority = Authority::new()?;
    let stack = start(&authority).await?;
    let token = stack.token("alice").await?;
    let load = Load::start(&stack, &token);
    load.go_on().await?;

    let second = authority.issue(dns(SERVICE)?)?;
    put(&second)?;
    until(&stack, "faas_iam_tls_reloads_total", 1.0).await?;
    load.go_on().await?;
    // A certificate without its key, then none at all: what was in force stays so, and that is told.
    for bad in
        [(authority.issue(dns(SERVICE)?)?.0, second.1.clone()), ("garbage".to_owned(), second.1.clone())]
    {
        put(&bad)?;
        let errors = metric(stack.service.ports.admin, "faas_iam_tls_reload_errors_total").await?;
        until(&stack, "faas_iam_tls_reload_errors_total", errors + 1.0).await?;
        ensure!(metric(stack.service.ports.admin, "faas_iam_tls_stale").await? == 1.0);
        load.go_on().await?;
    }
    let log = stack.service.process.output();
    for said in ["do not go together", "no certificate in it", "were read before stay in force"] {
        ensure!(log.contains(said), "`{said}` is not in the log:\n{log}");
    }
    put(&second)?;
    until(&stack, "faas_iam_tls_stale", 0.0).await?;
    let seen = load.stop().await?;
    check_answers(&seen)?;
    let failed = seen.iter().filter(|seen| seen.status == 503).count();
    ensure!(failed == 0, "{failed} of {} requests failed while certificates changed", seen.len());
    println!("mutual TLS: {} requests, none failed, over 1 rotation and 2 bad ones", seen.len());

    clients(&stack, &authority).await
}

/// Only a client with a certificate of the authority, and with one of the names, gets an answer.
async fn clients(stack: &Stack, authority: &Authority) -> Result<()> {
    let stranger = Authority::new()?;
    let named = authority.issue(uri(CLIENT)?)?;
    ensure!(speaks(stack, authority, Some(&named)).await?, "a client with the right name is refused");
    let dns_named = authority.issue(dns("envoy.example.com")?)?;
    ensure!(speaks(stack, authority, Some(&dns_named)).await?, "a client with the other name is refused");
    let faults = "faas_iam_connection_faults_total{port=\"grpc\",cause=\"handshake\"}";
    let before = metric(stack.service.ports.admin, faults).await?;
    for (what, pair) in [
        ("no certificate", None),
        ("a stranger's certificate", Some(stranger.issue(uri(CLIENT)?)?)),
        ("another name", Some(authority.issue(uri("spiffe://cluster.local/ns/openfaas/sa/gateway")?)?)),
        ("a name with the right one in it", Some(authority.issue(dns("envoy.example.com.evil.example")?)?)),
    ] {
        ensure!(!speaks(stack, authority, pair.as_ref()).await?, "{what}: was answered");
    }
    let mut plain = TcpStream::connect(stack.service.ports.grpc).await?;
    plain.write_all(&[PREFACE, SETTINGS].concat()).await?;
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    ensure!(answer.first().is_none_or(|first| *first == 21), "more than a TLS alert: {answer:?}");
    until(stack, faults, before + 5.0).await
}

/// Whether a client with this certificate gets the service's SETTINGS.
async fn speaks(stack: &Stack, authority: &Authority, pair: Option<&(String, String)>) -> Result<bool> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.0.pem().as_bytes())?)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder.with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes())?],
            PrivateKeyDer::from_pem_slice(key.as_bytes())?,
        )?,
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(stack.service.ports.grpc).await?;
    let name = ServerName::try_from(SERVICE)?;
    let mut stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("the server's side")?;
    stream.write_all(&[PREFACE, SETTINGS].concat()).await.ok();
    let mut head = [0; 9];
    Ok(stream.read_exact(&mut head).await.is_ok() && head[3] == 4)
}

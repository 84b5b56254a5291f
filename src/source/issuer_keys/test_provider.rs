//! An identity provider for tests that answers as it is told, over HTTP or TLS, and counts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Uri};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, version};
use tokio_rustls::server::TlsStream;

use crate::identity::WantedIssuer;
use crate::identity::test_issuer::{TestKey, jwks};

/// How an issuer answers.
#[derive(Clone)]
pub(crate) enum Answer {
    Keys(Vec<u8>),
    Status(u16),
    /// Never.
    Silence,
    /// Not before it is told to answer otherwise.
    Held,
    /// The discovery document of this `issuer` and this `jwks_uri`.
    Discovery(String, String),
    /// A redirect of the discovery document.
    Redirect(String),
    /// A body of so many bytes.
    Long(usize),
    /// A body that does not end.
    Endless,
}

pub(crate) struct Stub {
    pub(crate) url: String,
    answer: Mutex<Answer>,
    discoveries: AtomicUsize,
    key_sets: AtomicUsize,
    authorizations: Mutex<Vec<Option<String>>>,
}

/// Makes certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) pem: String,
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

// === impl Stub ===

impl Stub {
    pub(crate) async fn start(answer: Answer) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self::new(format!("http://{}", listener.local_addr().unwrap()), answer);
        let router = Router::new().fallback(serve).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        stub
    }

    /// As `https://localhost:PORT`, with a certificate of this authority.
    pub(crate) async fn start_tls(answer: Answer, authority: &Authority) -> Arc<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self::new(format!("https://localhost:{}", tcp.local_addr().unwrap().port()), answer);
        let listener = TlsListener { tcp, acceptor: authority.acceptor() };
        let router = Router::new().fallback(serve).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        stub
    }

    fn new(url: String, answer: Answer) -> Arc<Self> {
        Arc::new(Self {
            url,
            answer: Mutex::new(answer),
            discoveries: AtomicUsize::new(0),
            key_sets: AtomicUsize::new(0),
            authorizations: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn answer(&self) -> Answer {
        self.answer.lock().unwrap().clone()
    }

    pub(crate) fn wanted(&self) -> WantedIssuer {
        WantedIssuer { iss: self.url.clone(), internal: None }
    }

    /// How often the discovery document and the keys were asked for.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.discoveries.load(Ordering::SeqCst), self.key_sets.load(Ordering::SeqCst))
    }

    /// The `Authorization` of every request.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.authorizations.lock().unwrap().clone()
    }
}

/// An issuer of one key with this id.
pub(crate) fn keys(kid: &str) -> Answer {
    Answer::Keys(jwks([TestKey::es256(kid).jwk()]))
}

async fn serve(State(stub): State<Arc<Stub>>, uri: Uri, headers: HeaderMap) -> Response {
    let discovery = uri.path().ends_with("/.well-known/openid-configuration");
    let count = if discovery { &stub.discoveries } else { &stub.key_sets };
    count.fetch_add(1, Ordering::SeqCst);
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    stub.authorizations.lock().unwrap().push(authorization);
    let document = |iss: &str, keys: &str| Body::from(json!({"issuer": iss, "jwks_uri": keys}).to_string());
    while matches!(stub.answer(), Answer::Held) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let response = Response::builder();
    match stub.answer() {
        Answer::Status(status) => response.status(status).body(Body::empty()),
        Answer::Silence | Answer::Held => std::future::pending().await,
        Answer::Long(length) => response.body(Body::from(vec![b' '; length])),
        Answer::Endless => {
            let chunks =
                futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(vec![b' '; 64 * 1024]));
            response.body(Body::from_stream(chunks))
        }
        Answer::Discovery(iss, keys) if discovery => response.body(document(&iss, &keys)),
        Answer::Redirect(to) if discovery => response.status(302).header("location", to).body(Body::empty()),
        Answer::Keys(_) if discovery => response.body(document(&stub.url, &format!("{}/keys", stub.url))),
        Answer::Keys(keys) => response.body(Body::from(keys)),
        Answer::Discovery(..) | Answer::Redirect(_) => {
            response.body(Body::from(jwks([TestKey::es256("k").jwk()])))
        }
    }
    .unwrap()
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let body = STANDARD.encode(params.self_signed(&key).unwrap().der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

// === impl TlsListener ===

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            // Somebody who does not trust the certificate has gone.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

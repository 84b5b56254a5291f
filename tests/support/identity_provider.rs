//! A small OpenID provider: discovery, keys, and a sign-in for the demo.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running provider. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct IdentityProvider {
    /// Its issuer, which is also its URL: `http://127.0.0.1:PORT`.
    pub(crate) issuer: String,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

/// How often each document was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The discovery document.
    pub(crate) discovery: usize,
    /// The keys.
    pub(crate) keys: usize,
}

/// What is wrong with a provider.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// It never answers.
    Hangs,
    /// It answers with this status.
    Status(StatusCode),
    /// It answers with so many bytes.
    Long(usize),
    /// It redirects there.
    Redirect(String),
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    /// The last one signs; all are published.
    keys: Vec<SigningKey>,
    keys_made: usize,
    users: BTreeMap<String, User>,
    counts: Counts,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
}

#[derive(Debug)]
struct User {
    password: String,
    claims: Value,
}

// === impl IdentityProvider ===

impl IdentityProvider {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts one on a given address.
    pub(crate) async fn start_at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let mut shared = Shared {
            issuer: issuer.clone(),
            keys: Vec::new(),
            keys_made: 0,
            users: BTreeMap::new(),
            counts: Counts::default(),
            trouble: None,
        };
        shared.add_key()?;
        let shared = Arc::new(Mutex::new(shared));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.ok();
        });
        Ok(Self { issuer, shared, server })
    }

    /// Adds somebody who may sign in at `POST /token`; the claims go into the ID token.
    pub(crate) fn add_user(&self, name: &str, password: &str, claims: Value) {
        let user = User { password: password.to_owned(), claims };
        lock(&self.shared).users.insert(name.to_owned(), user);
    }

    /// A token with exactly these claims, signed (ES256) with the newest key.
    pub(crate) fn sign(&self, claims: &Value) -> Result<String> {
        lock(&self.shared).sign(claims)
    }

    /// A token for `audience`, good for an hour, with further claims.
    pub(crate) fn id_token(&self, subject: &str, audience: &str, extra: &Value) -> Result<String> {
        let shared = lock(&self.shared);
        shared.sign(&shared.id_claims(subject, audience, extra)?)
    }

    /// Makes a new key, which signs from now on. The older ones stay published.
    pub(crate) fn add_key(&self) -> Result<()> {
        lock(&self.shared).add_key()
    }

    /// Makes a new key, and publishes no other.
    pub(crate) fn replace_keys(&self) -> Result<()> {
        let mut shared = lock(&self.shared);
        shared.keys.clear();
        shared.add_key()
    }

    /// What discovery and keys answer with from now on, in place of the documents.
    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        lock(&self.shared).trouble = trouble;
    }

    /// How often each document was asked for so far.
    pub(crate) fn counts(&self) -> Counts {
        lock(&self.shared).counts
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

// === impl Shared ===

impl Shared {
    fn add_key(&mut self) -> Result<()> {
        self.keys_made += 1;
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| anyhow!("cannot make a key"))?;
        let id = format!("key-{}", self.keys_made);
        self.keys.push(SigningKey { id, pair });
        Ok(())
    }

    fn sign(&self, claims: &Value) -> Result<String> {
        let key = self.keys.last().context("no key")?;
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": key.id });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature =
            key.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| anyhow!("cannot sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn id_claims(&self, subject: &str, audience: &str, extra: &Value) -> Result<Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut claims = json!({
            "iss": self.issuer, "sub": subject, "aud": audience, "iat": now, "exp": now + 3600,
        });
        if let (Some(claims), Some(extra)) = (claims.as_object_mut(), extra.as_object()) {
            claims.extend(extra.clone());
        }
        Ok(claims)
    }

    fn key_set(&self) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|key| {
                // An uncompressed point: 4, then x and y.
                let point = key.pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.id,
                    "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
                })
            })
            .collect();
        json!({ "keys": keys })
    }

    /// The answer to a resource owner password grant. It stands for whatever way of signing in a
    /// real provider has.
    fn token_response(&self, form: &[u8]) -> Result<Value, &'static str> {
        let form: BTreeMap<String, String> = form_urlencoded::parse(form).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if field("grant_type") != "password" {
            return Err("unsupported_grant_type");
        }
        let name = field("username");
        let user = self.users.get(name).ok_or("invalid_grant")?;
        if user.password != field("password") {
            return Err("invalid_grant");
        }
        let token = self
            .id_claims(name, field("client_id"), &user.claims)
            .and_then(|claims| self.sign(&claims))
            .map_err(|_| "server_error")?;
        Ok(json!({ "id_token": token, "token_type": "Bearer", "expires_in": 3600 }))
    }
}

// === impl Trouble ===

impl Trouble {
    async fn answer(self) -> Response {
        match self {
            Self::Hangs => std::future::pending().await,
            Self::Status(status) => status.into_response(),
            Self::Long(length) => vec![b' '; length].into_response(),
            Self::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        }
    }
}

async fn discovery(State(shared): State<Arc<Mutex<Shared>>>) -> Response {
    let trouble = {
        let mut shared = lock(&shared);
        shared.counts.discovery += 1;
        shared.trouble.clone()
    };
    if let Some(trouble) = trouble {
        return trouble.answer().await;
    }
    let issuer = lock(&shared).issuer.clone();
    json_response(
        StatusCode::OK,
        &json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/keys"),
            "token_endpoint": format!("{issuer}/token"),
            "id_token_signing_alg_values_supported": ["ES256"],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        }),
    )
}

async fn keys(State(shared): State<Arc<Mutex<Shared>>>) -> Response {
    let (trouble, keys) = {
        let mut shared = lock(&shared);
        shared.counts.keys += 1;
        (shared.trouble.clone(), shared.key_set())
    };
    match trouble {
        Some(trouble) => trouble.answer().await,
        None => json_response(StatusCode::OK, &keys),
    }
}

async fn token(State(shared): State<Arc<Mutex<Shared>>>, form: Bytes) -> Response {
    match lock(&shared).token_response(&form) {
        Ok(answer) => json_response(StatusCode::OK, &answer),
        Err(code) => json_response(StatusCode::BAD_REQUEST, &json!({ "error": code })),
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, value.to_string()).into_response()
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What the proxy may show to everyone over HTTP: the token endpoint and the documents that tell
//! where it is and which keys verify our tokens. Nothing else is served here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use crate::identity::keys::Algorithm;
use crate::token::oauth::{self, ErrorCode, OAuthError};
use crate::token::{Parameters, RateLimit, Success};

/// The longest body that the token endpoint reads, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The header in which Envoy states the client's address.
pub const CLIENT_ADDRESS: &str = "x-envoy-external-address";

/// The path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";

/// The path of the discovery document (OpenID Connect Discovery 1.0 section 4).
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The path of the key set.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// How long others may keep our public documents.
const PUBLIC_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// When to ask again while the service is not ready.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What stands behind these routes.
pub trait TokenService: Send + Sync + 'static {
    /// Answers a token request. `client` is the client's address as the proxy states it.
    ///
    /// # Errors
    /// See [`ExchangeFailure`].
    fn exchange(&self, parameters: Parameters, client: Option<IpAddr>) -> Result<Success, ExchangeFailure>;

    /// Our public keys, as a JWK Set document.
    fn jwks(&self) -> String;

    /// Our issuer's URL.
    fn issuer(&self) -> &str;
}

/// Why no token was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeFailure {
    /// The request is at fault: 400.
    OAuth(OAuthError),
    /// The policies are not loaded yet: 503.
    NotReady,
    /// The service is at fault; the detail is in its log: 500.
    Internal,
}

/// What the handlers share.
struct Shared<S> {
    service: Arc<S>,
    limit: RateLimit,
}

/// The routes. Another path is 404, another method on these 405. `limit` holds for token requests,
/// by the client's address as the proxy states it.
pub fn router<S: TokenService>(service: Arc<S>, limit: RateLimit) -> Router {
    Router::new()
        .route(TOKEN_PATH, post(token::<S>))
        .route(DISCOVERY_PATH, get(discovery::<S>))
        .route(JWKS_PATH, get(keys::<S>))
        .method_not_allowed_fallback(async || plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"))
        .fallback(async || plain(StatusCode::NOT_FOUND, "not found"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(Shared { service, limit }))
}

/// RFC 6749 section 3.2.
async fn token<S: TokenService>(
    State(shared): State<Arc<Shared<S>>>,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Response {
    // Before the body is read: who sends it slowly is counted like everybody.
    let client = client_address(&headers);
    if let Err(wait) = shared.limit.admit(client, Instant::now()) {
        let why = "too many token requests from this address";
        return retry_later(StatusCode::TOO_MANY_REQUESTS, why, wait);
    }
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let error = invalid_request("the body is longer than 64 KiB");
            return uncached(StatusCode::PAYLOAD_TOO_LARGE, &error.to_json());
        }
        Err(_) => return oauth_error(&invalid_request("the body could not be read")),
    };
    if !body.is_empty() && !is_form(&headers) {
        return oauth_error(&invalid_request("the body must be application/x-www-form-urlencoded"));
    }
    match shared.service.exchange(Parameters::from_form(uri.query(), &body), client) {
        Ok(success) => uncached(StatusCode::OK, &success.to_json()),
        Err(ExchangeFailure::OAuth(error)) => oauth_error(&error),
        Err(ExchangeFailure::NotReady) => {
            let why = "the policies are not loaded yet; try again soon";
            retry_later(StatusCode::SERVICE_UNAVAILABLE, why, RETRY_AFTER)
        }
        Err(ExchangeFailure::Internal) => {
            let body = other_error("server_error", "the token could not be issued");
            uncached(StatusCode::INTERNAL_SERVER_ERROR, &body)
        }
    }
}

/// OpenID Connect Discovery 1.0 section 3; RFC 8414 section 2.
async fn discovery<S: TokenService>(State(shared): State<Arc<Shared<S>>>) -> Response {
    let issuer = shared.service.issuer();
    let base = issuer.trim_end_matches('/');
    let document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{base}{TOKEN_PATH}"),
        "jwks_uri": format!("{base}{JWKS_PATH}"),
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [Algorithm::ES256.name()],
        "grant_types_supported": [oauth::GRANT_TYPE_TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": [oauth::SCOPE_FUNCTION],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "jti", "fed:iss", "fed:aud", "fed:claims", "policy", "function",
        ],
    });
    public(document.to_string())
}

/// RFC 7517 section 5.
async fn keys<S: TokenService>(State(shared): State<Arc<Shared<S>>>) -> Response {
    public(shared.service.jwks())
}

fn invalid_request(description: &str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

/// An error that RFC 6749 section 5.2 has no code for; the codes are those of section 4.1.2.1.
fn other_error(code: &str, description: &str) -> Value {
    json!({"error": code, "error_description": description})
}

/// RFC 9110 section 10.2.3 and RFC 6585 section 4.
fn retry_later(status: StatusCode, why: &str, wait: Duration) -> Response {
    let mut response = uncached(status, &other_error("temporarily_unavailable", why));
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn oauth_error(error: &OAuthError) -> Response {
    uncached(StatusCode::BAD_REQUEST, &error.to_json())
}

/// RFC 6749 section 5.1: answers of the token endpoint are kept by nobody.
fn uncached(status: StatusCode, body: &Value) -> Response {
    let mut response = json_response(status, body.to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn public(body: String) -> Response {
    let mut response = json_response(StatusCode::OK, body);
    response.headers_mut().insert(header::CACHE_CONTROL, PUBLIC_CACHE);
    response
}

fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, line: &'static str) -> Response {
    let mut response = Response::new(Body::from(line));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The client's address, if the proxy states exactly one.
fn client_address(headers: &HeaderMap) -> Option<IpAddr> {
    let mut values = headers.get_all(CLIENT_ADDRESS).iter();
    match (values.next(), values.next()) {
        (Some(only), None) => only.to_str().ok()?.trim().parse().ok().map(|ip: IpAddr| ip.to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

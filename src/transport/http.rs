//! What the proxy may show to everyone over HTTP: the token endpoint and the documents that tell
//! where it is and which keys verify our tokens. Nothing else is served here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use crate::identity::keys::Algorithm;
use crate::token::oauth::{self, ErrorCode, OAuthError};
use crate::token::{Parameters, Success};

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

/// When to ask again while the service is not ready, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

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

/// The routes. Another path is 404, another method on these 405.
pub fn router<S: TokenService>(service: Arc<S>) -> Router {
    Router::new()
        .route(TOKEN_PATH, post(token::<S>))
        .route(DISCOVERY_PATH, get(discovery::<S>))
        .route(JWKS_PATH, get(keys::<S>))
        .method_not_allowed_fallback(async || plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"))
        .fallback(async || plain(StatusCode::NOT_FOUND, "not found"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(service)
}

/// RFC 6749 section 3.2.
async fn token<S: TokenService>(
    State(service): State<Arc<S>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
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
    let parameters = Parameters::from_form(uri.query(), &body);
    match service.exchange(parameters, client_address(&headers)) {
        Ok(success) => uncached(StatusCode::OK, &success.to_json()),
        Err(ExchangeFailure::OAuth(error)) => oauth_error(&error),
        Err(ExchangeFailure::NotReady) => {
            let body =
                unavailable("temporarily_unavailable", "the policies are not loaded yet; try again soon");
            let mut response = uncached(StatusCode::SERVICE_UNAVAILABLE, &body);
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            response
        }
        Err(ExchangeFailure::Internal) => uncached(
            StatusCode::INTERNAL_SERVER_ERROR,
            &unavailable("server_error", "the token could not be issued"),
        ),
    }
}

/// OpenID Connect Discovery 1.0 section 3; RFC 8414 section 2.
async fn discovery<S: TokenService>(State(service): State<Arc<S>>) -> Response {
    let issuer = service.issuer();
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
async fn keys<S: TokenService>(State(service): State<Arc<S>>) -> Response {
    public(service.jwks())
}

fn invalid_request(description: &str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

/// An error that RFC 6749 section 5.2 has no code for; the codes are those of section 4.1.2.1.
fn unavailable(code: &str, description: &str) -> Value {
    json!({"error": code, "error_description": description})
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
        (Some(only), None) => only.to_str().ok()?.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

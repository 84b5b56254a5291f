//! One fetch of an issuer's keys: OpenID Connect Discovery 1.0 section 4, then the JWK Set that the
//! document names.
//!
//! The only URL that is not configured is the document's `jwks_uri`, and the document comes from a
//! configured issuer; nothing is ever taken from a token.

use std::future::Future;
use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Url};
use serde_json::Value;

use super::FetchConfig;
use super::service_account::CA_FILE;
use super::trust::{InvalidCertificates, PublicClient, certificates, client};
use crate::identity::WantedIssuer;
use crate::identity::keys::{InvalidKeySet, KeySet};
use crate::identity::rejection::quotable;
use crate::json::parse_unambiguous_object;

/// Fetches keys. In the service over HTTP; tests have their own.
pub(super) trait Fetch: Send + Sync + 'static {
    /// One try.
    fn fetch(&self, wanted: &WantedIssuer) -> impl Future<Output = Result<Fetched, FetchError>> + Send;
}

/// What one fetch gave.
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    /// Keys that are not usable, and why.
    pub(super) skipped: Vec<String>,
    /// How long the issuer wishes its keys to be kept.
    pub(super) max_age: Option<Duration>,
}

/// Why a fetch gave no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the URL of {0} is not one that is fetched: {1}")]
    Url(&'static str, &'static str),
    #[error("{0} could not be fetched: {1}")]
    Request(&'static str, String),
    #[error("{0} could not be fetched: no connection: {1}")]
    Connect(&'static str, String),
    #[error("the discovery document and the key set together took too long: more than {0:?}")]
    Slow(Duration),
    #[error("{0} was answered with {1}")]
    Status(&'static str, StatusCode),
    #[error("{0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
    #[error("the discovery document is not one unambiguous JSON object")]
    Discovery,
    #[error("the discovery document is of another issuer: {0}")]
    OtherIssuer(String),
    #[error("the discovery document has no jwks_uri")]
    NoKeysUrl,
    #[error("the key set is not usable: {0}")]
    Keys(#[from] InvalidKeySet),
    #[error("the service account's {0}: {1}")]
    ServiceAccount(String, String),
}

/// Fetches keys over HTTP, without a cache.
pub(super) struct Fetcher {
    config: FetchConfig,
    public: PublicClient,
}

/// How one issuer is asked.
struct Caller {
    client: Client,
    /// Sent with every request.
    token: Option<String>,
}

/// Where keys are fetched from.
struct Place<'a> {
    iss: &'a str,
    /// The base URL of fetching, without a slash at its end.
    base: &'a str,
    url: Url,
    /// Whether `base` stands in for the issuer's own URL.
    internal: bool,
}

const DISCOVERY: &str = "the discovery document";
const KEY_SET: &str = "the key set";

// === impl Fetcher ===

impl Fetcher {
    pub(super) fn new(config: &FetchConfig) -> Result<Self, InvalidCertificates> {
        Ok(Self { config: config.clone(), public: PublicClient::new(config)? })
    }

    /// Both documents, however long they take.
    async fn fetch_patiently(&self, wanted: &WantedIssuer) -> Result<Fetched, FetchError> {
        let place = Place::of(wanted)?;
        let anyone = Caller { client: self.public.get().await, token: None };
        let Some(caller) = self.as_service_account(&wanted.iss).await? else {
            return self.fetch_as(&anyone, &place).await;
        };
        match self.fetch_as(&caller, &place).await {
            // Clusters of the large providers have a public issuer, for which the cluster's own
            // certificates do not vouch. It is asked as anyone may ask, without the token.
            Err(first @ FetchError::Connect(..)) => match self.fetch_as(&anyone, &place).await {
                Err(FetchError::Connect(..)) => Err(first),
                other => other,
            },
            other => other,
        }
    }

    async fn fetch_as(&self, caller: &Caller, place: &Place<'_>) -> Result<Fetched, FetchError> {
        let (document, _) = self.get(caller, place.discovery()?, DISCOVERY).await?;
        let keys_url = place.keys_url(&document)?;
        let (document, headers) = self.get(caller, keys_url, KEY_SET).await?;
        let (keys, skipped) = KeySet::from_jwks(&document)?;
        Ok(Fetched { keys, skipped, max_age: max_age(&headers) })
    }

    /// The body, of at most `max_body` bytes, and the headers of a 200.
    async fn get(
        &self,
        caller: &Caller,
        url: Url,
        what: &'static str,
    ) -> Result<(Vec<u8>, HeaderMap), FetchError> {
        let failed = |error: reqwest::Error| match error.is_connect() {
            true => FetchError::Connect(what, cause(&error)),
            false => FetchError::Request(what, cause(&error)),
        };
        let mut request = caller.client.get(url);
        if let Some(token) = &caller.token {
            request = request.bearer_auth(token);
        }
        request = request.header(ACCEPT, "application/json, application/jwk-set+json");
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(what, response.status()));
        }
        let (mut body, most) = (Vec::new(), self.config.max_body);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > most {
                return Err(FetchError::TooLong(what, most));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, response.headers().clone()))
    }

    /// How the cluster's own issuer is asked, if `iss` is that: with the service account's token, and
    /// only over a connection that the cluster's certificates vouch for.
    async fn as_service_account(&self, iss: &str) -> Result<Option<Caller>, FetchError> {
        let Some(account) = &self.config.service_account else { return Ok(None) };
        let Some((token, ca)) = account.credentials_for(iss).await? else { return Ok(None) };
        let refused = |why: String| FetchError::ServiceAccount(CA_FILE.to_owned(), why);
        let roots = certificates(&ca).map_err(|error| refused(error.to_string()))?;
        let client = client(&self.config).tls_certs_only(roots).https_only(true).build();
        let client = client.map_err(|error| refused(cause(&error)))?;
        Ok(Some(Caller { client, token: Some(token) }))
    }
}

impl Fetch for Fetcher {
    async fn fetch(&self, wanted: &WantedIssuer) -> Result<Fetched, FetchError> {
        let limit = self.config.timeout;
        let fetched = tokio::time::timeout(limit, self.fetch_patiently(wanted)).await;
        fetched.unwrap_or(Err(FetchError::Slow(limit)))
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    fn of(wanted: &'a WantedIssuer) -> Result<Self, FetchError> {
        let internal = wanted.internal.is_some();
        let base = wanted.internal.as_deref().unwrap_or(&wanted.iss).trim_end_matches('/');
        let refused = |why| FetchError::Url("the issuer", why);
        let url = Url::parse(base).map_err(|_| refused("it is malformed"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("it has a query or a fragment"));
        }
        check_url(&url, internal || is_loopback(&url)).map_err(refused)?;
        Ok(Self { iss: &wanted.iss, base, url, internal })
    }

    fn discovery(&self) -> Result<Url, FetchError> {
        Url::parse(&format!("{}/.well-known/openid-configuration", self.base))
            .map_err(|_| FetchError::Url("the issuer", "it is malformed"))
    }

    /// The `jwks_uri` of the document, which must be of this very issuer (RFC 8414 section 3.3).
    fn keys_url(&self, document: &[u8]) -> Result<Url, FetchError> {
        let document = parse_unambiguous_object(document).map_err(|_| FetchError::Discovery)?;
        match document.get("issuer").and_then(Value::as_str) {
            Some(issuer) if issuer == self.iss => {}
            Some(issuer) => {
                return Err(FetchError::OtherIssuer(quotable(issuer, "(unprintable)").to_owned()));
            }
            None => return Err(FetchError::OtherIssuer("(none)".to_owned())),
        }
        let stated = document.get("jwks_uri").and_then(Value::as_str).ok_or(FetchError::NoKeysUrl)?;
        let refused = |why| FetchError::Url(KEY_SET, why);
        let url = Url::parse(&self.reachable(stated)).map_err(|_| refused("it is malformed"))?;
        let at_base = url.origin() == self.url.origin();
        if !at_base && is_loopback(&url) && !is_loopback(&self.url) {
            return Err(refused("it is a loopback address and the issuer is not"));
        }
        check_url(&url, at_base || is_loopback(&url)).map_err(refused)?;
        Ok(url)
    }

    /// A URL that lies under the issuer's own, moved under the base of fetching.
    fn reachable(&self, stated: &str) -> String {
        let own = self.iss.trim_end_matches('/');
        match stated.strip_prefix(own) {
            Some(rest) if self.internal && rest.starts_with('/') => format!("{}{rest}", self.base),
            _ => stated.to_owned(),
        }
    }
}

/// https, or http where it is permitted; never with a name or password.
fn check_url(url: &Url, http_permitted: bool) -> Result<(), &'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name or password");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if http_permitted => Ok(()),
        "http" => Err("http is accepted for loopback hosts and for issInternal only"),
        _ => Err("it is not https"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// RFC 9111 section 5.2.2.1.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(','));
    let seconds = directives.find_map(|directive| {
        let (name, seconds) = directive.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| seconds.trim_matches('"').parse().ok())?
    })?;
    Some(Duration::from_secs(seconds))
}

/// The innermost cause: the outer ones repeat the URL and say little.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(iss: &str, internal: Option<&str>) -> WantedIssuer {
        WantedIssuer { iss: iss.into(), internal: internal.map(str::to_owned) }
    }

    #[test]
    fn issuers_are_https_but_for_loopback_and_internal_addresses() {
        let discovery = |iss: &str, internal: Option<&str>| {
            let wanted = wanted(iss, internal);
            Place::of(&wanted).and_then(|place| place.discovery()).ok().map(String::from)
        };
        let path = "/.well-known/openid-configuration";
        for (iss, internal, base) in [
            ("https://idp", None, "https://idp"),
            ("https://idp/", None, "https://idp"),
            ("https://idp/realms/a", None, "https://idp/realms/a"),
            ("http://127.0.0.1:5556/dex", None, "http://127.0.0.1:5556/dex"),
            ("http://localhost:1", None, "http://localhost:1"),
            ("http://[::1]:1", None, "http://[::1]:1"),
            ("https://idp", Some("http://dex.auth:5556/dex/"), "http://dex.auth:5556/dex"),
        ] {
            assert_eq!(discovery(iss, internal), Some(format!("{base}{path}")), "{iss}");
        }
        for iss in [
            "http://idp",
            "http://localhost.evil",
            "http://127.0.0.1.evil",
            "https://u:p@idp",
            "https://idp?a",
            "https://idp#a",
            "file:///etc",
            "ftp://idp",
            "idp",
            "",
            "https://",
        ] {
            assert_eq!(discovery(iss, None), None, "{iss}");
        }
    }

    #[test]
    fn the_key_set_lies_where_the_issuers_own_document_says() {
        let keys_url = |iss: &str, internal: Option<&str>, stated: &str| {
            let wanted = wanted(iss, internal);
            let document = serde_json::json!({"issuer": iss, "jwks_uri": stated}).to_string();
            Place::of(&wanted)
                .unwrap()
                .keys_url(document.as_bytes())
                .map(String::from)
                .map_err(|e| e.to_string())
        };
        let ok = |url: &str| Ok(url.to_owned());
        assert_eq!(keys_url("https://a/", None, "https://b/keys"), ok("https://b/keys"));
        assert_eq!(keys_url("https://a", Some("http://i:1/x"), "https://a/keys"), ok("http://i:1/x/keys"));
        assert_eq!(keys_url("https://a/", Some("http://i:1/x/"), "https://a/keys"), ok("http://i:1/x/keys"));
        assert_eq!(
            keys_url("https://a", Some("http://i:1"), "https://a.evil/keys"),
            ok("https://a.evil/keys")
        );
        assert_eq!(keys_url("https://a", Some("http://i:1"), "http://i:1/keys"), ok("http://i:1/keys"));
        for (iss, internal, stated) in [
            ("https://a", None, "http://a/keys"),
            ("https://a", None, "http://127.0.0.1:9090/metrics"),
            ("https://a", None, "https://localhost/keys"),
            ("https://a", None, "https://[::ffff:127.0.0.1]/keys"),
            ("https://a", Some("http://i:1"), "http://i:2/keys"),
            ("http://127.0.0.1:1", None, "http://other/keys"),
            ("https://a", None, "https://u@a/keys"),
            ("https://a", None, "/keys"),
            ("https://a", None, "file:///keys"),
        ] {
            assert!(keys_url(iss, internal, stated).is_err(), "{iss} {stated}");
        }
    }

    #[test]
    fn the_document_must_be_of_the_issuer_byte_for_byte() {
        let wanted = wanted("https://a", None);
        let place = Place::of(&wanted).unwrap();
        for document in [
            r#"{"issuer":"https://a/","jwks_uri":"https://a/k"}"#,
            r#"{"issuer":"https://A","jwks_uri":"https://a/k"}"#,
            r#"{"jwks_uri":"https://a/k"}"#,
            r#"{"issuer":["https://a"],"jwks_uri":"https://a/k"}"#,
            r#"{"issuer":"https://a","issuer":"https://a","jwks_uri":"https://a/k"}"#,
            r#"{"issuer":"https://a"}"#,
            r#"{"issuer":"https://a","jwks_uri":1}"#,
            "[]",
        ] {
            assert!(place.keys_url(document.as_bytes()).is_err(), "{document}");
        }
    }

    /// Entra's documents for all tenants state a template, which no token has as its issuer.
    #[test]
    fn a_template_is_no_issuer_but_a_tenant_is() {
        let document = |issuer: &str| {
            let keys = "https://login.microsoftonline.com/common/discovery/v2.0/keys";
            serde_json::json!({"issuer": issuer, "jwks_uri": keys}).to_string()
        };
        let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
        let tenant = "https://login.microsoftonline.com/1fe37984-5987-4564-b4aa-99e587365024/v2.0";
        for iss in [tenant, "https://login.microsoftonline.com/common/v2.0"] {
            let wanted = wanted(iss, None);
            assert!(Place::of(&wanted).unwrap().keys_url(document(template).as_bytes()).is_err(), "{iss}");
        }
        let wanted = wanted(tenant, None);
        assert!(Place::of(&wanted).unwrap().keys_url(document(tenant).as_bytes()).is_ok());
    }

    #[test]
    fn max_age_is_read_from_cache_control() {
        for (value, expected) in [
            ("public, max-age=600", Some(600)),
            ("Max-Age=\"7\"", Some(7)),
            ("no-store", None),
            ("max-age=x", None),
            ("s-maxage=5", None),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, value.parse().unwrap())]);
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{value}");
        }
    }
}

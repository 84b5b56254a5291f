//! Only a token that is what it says is accepted, and a refusal does not repeat it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::identity::claims::is_reserved;
use crate::identity::rejection::TokenRejection;
use crate::identity::verify::{
    Foreign, LEEWAY, OwnToken, TokenKind, claimed_issuer, claims_to_be_api_token, unproven, verify_foreign,
    verify_own,
};
use crate::identity::{Issuers, KeySet, OwnIssuer, TokenVerifier as _, TrustedIssuer};
use crate::token::TokenCache;

const IDP: &str = "https://idp.example.com";
const OURS: &str = "https://gateway.example.com";
const AUDIENCE: &str = "openfaas";

/// When it is. Corpora hold times.
const NOW: i64 = 1_700_000_000;

static PARTIES: LazyLock<Parties> = LazyLock::new(Parties::new);

/// Two keys that verify.
struct Parties {
    provider: Signer,
    ours: Signer,
    issuers: Issuers,
    own: OwnIssuer,
}

struct Signer {
    pair: EcdsaKeyPair,
    keys: Arc<KeySet>,
}

/// For the token parser and verification; the bytes are a token, or two lines that become one that is
/// signed: the header and the claims.
pub fn token(data: &[u8]) -> bool {
    let parties = &*PARTIES;
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    match (lines.next(), lines.next()) {
        (Some(header), Some(claims)) => {
            let foreign = parties.tried(&parties.provider.sign(header, claims));
            let own = parties.tried(&parties.ours.sign(header, claims));
            foreign || own
        }
        _ => {
            let token = String::from_utf8_lossy(data);
            assert!(!parties.tried(&token), "a token is accepted that nobody signed");
            false
        }
    }
}

// === impl Parties ===

impl Parties {
    fn new() -> Self {
        let (provider, ours) = (Signer::new("key-1"), Signer::new("key-1"));
        let registration = TrustedIssuer {
            name: "provider".to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            token_lifetime: Duration::from_secs(600),
        };
        let mut issuers = Issuers::new(OURS);
        issuers.register(IDP, None, [registration]);
        issuers.set_keys(IDP, Some(Arc::clone(&provider.keys)));
        let own = OwnIssuer::new(OURS, Arc::clone(&ours.keys));
        Self { provider, ours, issuers, own }
    }

    fn foreign(&self, token: &str) -> Result<Foreign, TokenRejection> {
        verify_foreign(token, &self.issuers, NOW)
    }

    fn own(&self, token: &str) -> Result<OwnToken, TokenRejection> {
        verify_own(token, &self.own, &self.issuers, NOW)
    }

    /// Everything that reads a token, on one. True if it is accepted.
    fn tried(&self, token: &str) -> bool {
        let (foreign, own) = (self.foreign(token), self.own(token));
        assert!(foreign.is_err() || own.is_err(), "a token is of two issuers");
        for rejection in [foreign.as_ref().err(), own.as_ref().err()].into_iter().flatten() {
            told(rejection, token);
        }
        if let Ok(foreign) = &foreign {
            let claims = self.provider.verified(token, IDP, AUDIENCE);
            in_time(&claims, LEEWAY);
            assert_eq!(claims.get("sub"), Some(&json!(foreign.principal.subject)));
            only_theirs(foreign.principal.claims.as_map());
        }
        if let Ok(own) = &own {
            let claims = self.ours.verified(token, OURS, OURS);
            in_time(&claims, 0);
            let subject = format!("fed:{}", own.principal.subject);
            assert_eq!(claims.get("sub"), Some(&json!(subject)));
            assert_eq!(claims.get("fed:iss"), Some(&json!(own.principal.issuer)));
            assert_eq!(own.kind == TokenKind::Api, !claims.contains_key("function"));
            assert_eq!(own.kind == TokenKind::Api, claims_to_be_api_token(token, OURS));
            only_theirs(own.principal.claims.as_map());
            self.remembered(token, own);
        }
        if foreign.is_ok() || own.is_ok() {
            assert_eq!(claimed_issuer(token).as_deref(), Ok(if own.is_ok() { OURS } else { IDP }));
            assert!(unproven(token, OURS).is_ok());
            self.unlike(token);
        }
        foreign.is_ok() || own.is_ok()
    }

    /// The memory of tokens answers as verification does, the first time and the next.
    fn remembered(&self, token: &str, own: &OwnToken) {
        let cache = TokenCache::new(1 << 16);
        for _ in 0..2 {
            let found = cache.verify_own(token, &self.own, &self.issuers, NOW);
            assert!(found.is_ok_and(|found| found.principal == own.principal && found.kind == own.kind));
        }
        assert!(cache.verify_own(token, &self.own, &self.issuers, own.exp + 1).is_err(), "it never expires");
    }

    /// The same token with a part missing or changed is not accepted.
    fn unlike(&self, token: &str) {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else { panic!("{} parts", parts.len()) };
        let swapped: String = signature.chars().rev().collect();
        for other in [
            format!("{header}.{claims}."),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.{swapped}"),
            format!("{header}.{claims}.{signature}="),
            format!("{header}.{claims}A.{signature}"),
            format!(" {token}"),
            format!("{token}."),
        ] {
            let accepted = self.foreign(&other).is_ok() || self.own(&other).is_ok();
            assert!(!accepted || other == token, "another token is accepted as well");
        }
    }
}

/// One printable line, without the token.
fn told(rejection: &TokenRejection, token: &str) {
    let description = &rejection.description;
    let printable = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    assert!(!description.is_empty() && description.chars().all(printable), "{description:?}");
    assert!(token.len() < 20 || !description.contains(token), "the description repeats the token");
}

fn in_time(claims: &Map<String, Value>, leeway: i64) {
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    assert!(time("exp").is_some_and(|exp| exp > (NOW - leeway) as f64), "it has expired");
    for name in ["nbf", "iat"] {
        assert!(time(name).is_none_or(|time| time <= (NOW + LEEWAY) as f64), "{name} is in the future");
    }
}

/// Nothing that only we write is a claim of the provider.
fn only_theirs(claims: &Map<String, Value>) {
    assert!(!claims.keys().any(|name| is_reserved(name)), "{claims:?}");
    assert!(["iss", "sub", "aud"].iter().all(|name| claims.contains_key(*name)), "{claims:?}");
}

// === impl Signer ===

impl Signer {
    fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        // An uncompressed point: 4, then x and y.
        let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y});
        let (keys, _) = KeySet::from_jwks(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        Self { pair, keys: Arc::new(keys) }
    }

    fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a token that this key signed, read apart from our own reader.
    fn verified(&self, token: &str, issuer: &str, audience: &str) -> Map<String, Value> {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let octets = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        key.verify(signed.as_bytes(), &octets(signature)).unwrap();
        let header: Map<String, Value> = serde_json::from_slice(&octets(header)).unwrap();
        assert_eq!(header.get("alg"), Some(&json!("ES256")));
        let claims: Map<String, Value> = serde_json::from_slice(&octets(claims)).unwrap();
        assert_eq!(claims.get("iss"), Some(&json!(issuer)));
        let accepted = json!(audience);
        let is_for_us =
            |aud: &Value| *aud == accepted || aud.as_array().is_some_and(|list| list.contains(&accepted));
        assert!(claims.get("aud").is_some_and(is_for_us), "it is for somebody else: {claims:?}");
        claims
    }
}

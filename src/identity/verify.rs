//! Whether a token is what it says: tokens of registered identity providers, and our own.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::{Claims, Principal};
use super::issuers::{Issuers, OwnIssuer, TrustedIssuer};
use super::jws::{self, Times, Unverified};
use super::keys::{Algorithm, Key, KeySet};
use super::proven::ProvenToken;
use super::rejection::{TokenRejection, quotable};
use crate::reason::Reason;

/// How far another clock may be from ours, in seconds (RFC 7519 section 4.1.4: "no more than a few
/// minutes").
pub const LEEWAY: i64 = 30;

/// The prefix of `sub` in our own tokens.
pub const SUBJECT_PREFIX: &str = "fed:";

/// Claims that are about a token and not about the person. They are part of no principal.
const ABOUT_THE_TOKEN: &[&str] = &["exp", "iat", "nbf", "jti"];

/// A verified token of a registered identity provider.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// Whom the token is about.
    pub principal: Principal,
    /// The first registration by name that accepts the token's audience.
    pub issuer: Arc<TrustedIssuer>,
    /// When the token expires, in seconds since 1970, without leeway.
    pub exp: i64,
}

/// A verified token of our own.
#[derive(Debug, Clone)]
pub struct OwnToken {
    /// The *original* identity: whom the exchanged token was about.
    pub principal: Arc<Principal>,
    /// What the token is good for.
    pub kind: TokenKind,
    /// The first registration by name that still accepts the original audience.
    pub issuer: Arc<TrustedIssuer>,
    /// When the token expires, in seconds since 1970.
    pub exp: i64,
}

/// The two kinds of our tokens. They are never interchangeable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// For the API of the gateway.
    Api,
    /// For the invocation of functions.
    Function {
        /// The resource patterns of the functions that may be invoked.
        permissions: Vec<String>,
        /// The functions that the token is meant for, as `namespace:name`; empty means any.
        audience: Vec<String>,
    },
}

/// The `iss` that a well-formed token claims, to be used for nothing but the choice between
/// [`verify_own`] and [`verify_foreign`].
///
/// # Errors
/// A malformed token.
pub fn claimed_issuer(token: &str) -> Result<String, TokenRejection> {
    Unverified::parse(token).map(|token| token.registered.iss)
}

/// Whether `token` claims to be a token of ours for the API, whoever made it and whatever became of
/// its signature: one that lacks a character, or has some more, is soon mended. Nothing is proven; it
/// is good for keeping such a token away from those who must not see one.
pub fn claims_to_be_api_token(token: &str, own_url: &str) -> bool {
    jws::claims(token).is_some_and(|claims| {
        claims.get("iss").is_some_and(|iss| iss == own_url) && !claims.contains_key("function")
    })
}

/// Verifies a token of an identity provider, at `now` in seconds since 1970.
///
/// `exp`, which is required, `nbf` and `iat` have [`LEEWAY`]. The token's `aud` must share a member
/// with a registration of its issuer; that it names further audiences, and whom `azp` names, is not
/// held against it.
///
/// # Errors
/// The reasons are [`Reason::MalformedToken`], [`Reason::UnsupportedAlgorithm`],
/// [`Reason::UnknownIssuer`] (our own URL is no identity provider), [`Reason::AudienceMismatch`],
/// [`Reason::TokenExpired`], [`Reason::TokenNotYetValid`], [`Reason::UnknownKey`] (with
/// [`TokenRejection::refetch`]) and [`Reason::BadSignature`]. Keys are looked at last, so that no token
/// that could not be accepted anyway asks for a refetch.
pub fn verify_foreign(token: &str, issuers: &Issuers, now: i64) -> Result<Foreign, TokenRejection> {
    let token = Unverified::parse(token)?;
    let iss = &token.registered.iss;
    let registered = issuers.get(iss).ok_or_else(|| unknown_issuer(iss))?;
    let audience = token.registered.audience();
    let issuer = registered.accepting(&audience).ok_or_else(|| audience_mismatch(iss, &audience))?.clone();
    token.registered.times.check(now, LEEWAY, LEEWAY)?;
    let keys = registered.keys().ok_or_else(|| {
        let issuer = quotable(iss, "the issuer");
        TokenRejection::new(Reason::UnknownKey, format!("no keys of {issuer} are held yet: try again soon"))
            .with_refetch(iss)
    })?;
    let key = choose_key(&token, keys).map_err(|rejection| match rejection.reason {
        Reason::UnknownKey => rejection.with_refetch(iss),
        _ => rejection,
    })?;
    check_signature(&token, key)?;

    let exp = token.registered.times.exp as i64;
    let principal = Principal {
        issuer: token.registered.iss.clone(),
        subject: token.registered.sub.clone(),
        claims: identity_claims(token.claims),
    };
    Ok(Foreign { principal, issuer, exp })
}

/// Verifies one of our own tokens, at `now` in seconds since 1970, and gives back the original
/// identity, which must still be one that `issuers` admits.
///
/// `exp` has no leeway; `nbf` and `iat` have [`LEEWAY`].
///
/// # Errors
/// As [`verify_foreign`], without [`TokenRejection::refetch`]; [`Reason::UnknownIssuer`] and
/// [`Reason::AudienceMismatch`] are about the original identity as well as about ours.
pub fn verify_own(
    token: &str,
    own: &OwnIssuer,
    issuers: &Issuers,
    now: i64,
) -> Result<OwnToken, TokenRejection> {
    prove_own(token, own, now)?.admit(issuers, now)
}

/// The part of [`verify_own`] that does not depend on the registered issuers, and the costly one.
///
/// # Errors
/// As [`verify_own`].
pub fn prove_own(token: &str, own: &OwnIssuer, now: i64) -> Result<ProvenToken, TokenRejection> {
    let token = Unverified::parse(token)?;
    let (iss, audience) = (&token.registered.iss, token.registered.audience());
    if iss != own.url() {
        let iss = quotable(iss, "its issuer");
        let why = format!("the token is from {iss}; exchange it at {}/oauth/token first", own.url());
        return Err(TokenRejection::new(Reason::UnknownIssuer, why));
    }
    if !audience.contains(&own.url()) {
        return Err(audience_mismatch(iss, &audience));
    }
    let times = token.registered.times;
    check_own_times(times, now)?;
    if token.algorithm != Algorithm::ES256 {
        return Err(TokenRejection::new(
            Reason::UnsupportedAlgorithm,
            "our own tokens are signed with ES256",
        ));
    }
    if token.kid.is_none() {
        return Err(TokenRejection::new(Reason::UnknownKey, "our own tokens name their key by kid"));
    }
    check_signature(&token, choose_key(&token, own.keys())?)?;
    let (principal, kind) = original_identity(token)?;
    Ok(ProvenToken::new(principal, kind, times, own))
}

/// Our own tokens have no leeway on `exp`: the clock that wrote it is ours.
pub(super) fn check_own_times(times: Times, now: i64) -> Result<(), TokenRejection> {
    times.check(now, 0, LEEWAY)
}

/// The one key that the token can mean: by `kid` where it has one, otherwise the only key of its
/// algorithm.
fn choose_key<'a>(token: &Unverified<'_>, keys: &'a KeySet) -> Result<&'a Key, TokenRejection> {
    let alg = token.algorithm;
    let unknown = |why: String| Err(TokenRejection::new(Reason::UnknownKey, why));
    let named = |key: &&Key| token.kid.is_none() || key.kid() == token.kid.as_deref();
    let mut fitting = keys.keys().iter().filter(named).filter(|key| key.supports(alg));
    match (fitting.next(), fitting.next(), &token.kid) {
        (Some(key), None, _) => Ok(key),
        (Some(_), Some(_), Some(_)) => {
            unknown(format!("the issuer has several {alg} keys of the token's kid"))
        }
        (Some(_), Some(_), None) => unknown(format!("no kid, and the issuer has several {alg} keys")),
        (None, _, None) => unknown(format!("the issuer has no {alg} key")),
        (None, _, Some(_)) if keys.keys().iter().any(|key| named(&key)) => {
            let why = format!("the token's key is not for {alg}");
            Err(TokenRejection::new(Reason::UnsupportedAlgorithm, why))
        }
        (None, _, Some(_)) => {
            unknown("the issuer has no key with the token's kid: get a new token".to_owned())
        }
    }
}

fn check_signature(token: &Unverified<'_>, key: &Key) -> Result<(), TokenRejection> {
    if key.verifies(token.algorithm, token.signed.as_bytes(), &token.signature) {
        Ok(())
    } else {
        Err(TokenRejection::new(
            Reason::BadSignature,
            "the signature does not verify: send the token as it was issued",
        ))
    }
}

/// The claims that a decision may be about.
fn identity_claims(mut claims: Map<String, Value>) -> Claims {
    ABOUT_THE_TOKEN.iter().for_each(|name| {
        claims.remove(*name);
    });
    Claims::from_foreign(claims)
}

/// Undoes what the exchange did to the claims of the original token.
fn original_identity(token: Unverified<'_>) -> Result<(Principal, TokenKind), TokenRejection> {
    let subject = token.registered.sub.strip_prefix(SUBJECT_PREFIX).filter(|subject| !subject.is_empty());
    let subject =
        subject.ok_or_else(|| TokenRejection::malformed("sub does not begin with fed:"))?.to_owned();
    let mut claims = token.claims;
    let issuer = jws::non_empty_text(&claims, "fed:iss")?;
    jws::audience(&claims, "fed:aud")?;
    let audience = claims.remove("fed:aud").unwrap_or_default();
    let kind = token_kind(&claims)?;
    let mut original = match (&kind, claims.remove("fed:claims")) {
        (TokenKind::Api, None) => claims,
        (TokenKind::Function { .. }, Some(Value::Object(claims))) => claims,
        _ => return Err(TokenRejection::malformed("fed:claims does not fit the kind of the token")),
    };
    original.insert("iss".into(), issuer.as_str().into());
    original.insert("sub".into(), subject.as_str().into());
    original.insert("aud".into(), audience);
    let claims = identity_claims(original);
    let claims = match kind {
        TokenKind::Api => claims,
        TokenKind::Function { .. } => claims.in_part(),
    };
    Ok((Principal { issuer, subject, claims }, kind))
}

fn token_kind(claims: &Map<String, Value>) -> Result<TokenKind, TokenRejection> {
    let Some(function) = claims.get("function") else { return Ok(TokenKind::Api) };
    let list = |name: &str| -> Option<Vec<String>> {
        let items = function.get(name)?.as_array()?;
        items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let members = function.as_object().map_or(0, Map::len);
    match (list("permissions"), list("audience")) {
        // A member that is not known might restrict the token further.
        (Some(permissions), Some(audience)) if members == 2 => {
            Ok(TokenKind::Function { permissions, audience })
        }
        _ => Err(TokenRejection::malformed("function is not an object of permissions and audience")),
    }
}

/// The identity that original claims describe, as an identity provider states them.
///
/// # Errors
/// `iss`, `sub` or `aud` is missing or of another type than RFC 7519 section 4.1 gives it.
pub fn described(claims: Map<String, Value>) -> Result<Principal, TokenRejection> {
    let issuer = jws::non_empty_text(&claims, "iss")?;
    let subject = jws::non_empty_text(&claims, "sub")?;
    jws::audience(&claims, "aud")?;
    Ok(Principal { issuer, subject, claims: identity_claims(claims) })
}

/// The identity that a token describes, one of ours or of an identity provider. Nothing is proven:
/// neither who made it nor that it is still valid.
///
/// # Errors
/// A malformed token.
pub fn unproven(token: &str, own_url: &str) -> Result<Principal, TokenRejection> {
    let token = Unverified::parse(token)?;
    if token.registered.iss == own_url {
        return original_identity(token).map(|(principal, _)| principal);
    }
    described(token.claims)
}

/// The first registration by name that admits an identity now.
///
/// # Errors
/// The issuer is not registered, or none of its registrations accepts the audience.
pub fn still_admitted(
    principal: &Principal,
    issuers: &Issuers,
) -> Result<Arc<TrustedIssuer>, TokenRejection> {
    let registered = issuers.get(&principal.issuer).ok_or_else(|| unknown_issuer(&principal.issuer))?;
    let audience = jws::audience(principal.claims.as_map(), "aud")?;
    let audience: Vec<_> = audience.iter().map(String::as_str).collect();
    registered.accepting(&audience).cloned().ok_or_else(|| audience_mismatch(&principal.issuer, &audience))
}

fn unknown_issuer(iss: &str) -> TokenRejection {
    let iss = quotable(iss, "of the token");
    TokenRejection::new(Reason::UnknownIssuer, format!("the issuer {iss} is not registered (JwtIssuer)"))
}

fn audience_mismatch(iss: &str, audience: &[&str]) -> TokenRejection {
    let joined = audience.join(", ");
    let (audience, iss) = (quotable(&joined, "of the token"), quotable(iss, "this issuer"));
    let why = format!("the audience {audience} is not accepted for {iss} (aud of its JwtIssuer)");
    TokenRejection::new(Reason::AudienceMismatch, why)
}

#[cfg(test)]
mod tests;

//! What a condition or a variable may ask about: context keys.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::Value;

use crate::identity::Principal;
use crate::identity::claims::split_pointer;

/// Claims that are about the token and not about the identity: not keys.
pub(crate) const NOT_KEYS: &[&str] = &["exp", "iat", "nbf", "jti"];

/// The circumstances of a request, beside the identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The client's address as Envoy saw it (`x-envoy-external-address`).
    pub source_ip: Option<IpAddr>,
    /// The time of the decision, in seconds since 1970-01-01 UTC.
    pub now: i64,
    /// The HTTP method.
    pub method: Option<String>,
}

/// A claim of the original token: `jwt:NAME` or, by JSON Pointer, `jwt:/a/b`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimKey {
    /// The claim with exactly this name.
    Name(String),
    /// A JSON Pointer (RFC 6901) into the claims.
    Pointer(String),
}

/// A key of a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContextKey {
    /// `jwt:…`: a claim.
    Claim(ClaimKey),
    /// `request:SourceIp`: the client's address.
    SourceIp,
    /// `request:CurrentTime`: the time of the decision.
    CurrentTime,
    /// `request:Method`: the HTTP method.
    Method,
}

/// The keys of the request.
pub(crate) const REQUEST_KEYS: &[(&str, ContextKey)] = &[
    ("request:SourceIp", ContextKey::SourceIp),
    ("request:CurrentTime", ContextKey::CurrentTime),
    ("request:Method", ContextKey::Method),
];

/// A text that is no key, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Neither `jwt:…` nor a known `request:…`.
    #[error(
        "unknown key `{0}`: use `jwt:CLAIM`, `request:SourceIp`, `request:CurrentTime` or `request:Method`"
    )]
    Unknown(String),
    /// `jwt:` without a name.
    #[error("`jwt:` needs the name of a claim")]
    Empty,
    /// A claim about the token itself.
    #[error("`jwt:{0}` is about the token and not about the identity: it is not a key")]
    TokenClaim(String),
}

// === impl ClaimKey ===

impl ClaimKey {
    /// Reads what stands after `jwt:`.
    ///
    /// # Errors
    /// An empty name, and claims that are not keys.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let (key, first) = match split_pointer(text) {
            Some((first, _)) => (Self::Pointer(text.to_owned()), first),
            None => (Self::Name(text.to_owned()), text.to_owned()),
        };
        if text.is_empty() {
            return Err(InvalidKey::Empty);
        }
        if NOT_KEYS.contains(&first.as_str()) {
            return Err(InvalidKey::TokenClaim(text.to_owned()));
        }
        Ok(key)
    }

    /// The claim's value, if the identity has it.
    pub fn of<'a>(&self, principal: &'a Principal) -> Option<&'a Value> {
        match self {
            Self::Name(name) => principal.claims.get(name),
            Self::Pointer(pointer) => principal.claims.pointer(pointer),
        }
    }

    /// The key as a JSON Pointer: two keys that lead to the same value have the same.
    pub fn to_pointer(&self) -> Cow<'_, str> {
        match self {
            Self::Name(name) => Cow::Owned(format!("/{}", name.replace('~', "~0").replace('/', "~1"))),
            Self::Pointer(pointer) => Cow::Borrowed(pointer),
        }
    }

    /// The name or JSON Pointer, as written after `jwt:`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Name(text) | Self::Pointer(text) => text,
        }
    }

    /// The name of the top-level claim that holds the value.
    pub fn claim(&self) -> Cow<'_, str> {
        match self {
            Self::Name(name) => Cow::Borrowed(name),
            Self::Pointer(pointer) => {
                split_pointer(pointer).map_or(Cow::Borrowed(""), |(first, _)| Cow::Owned(first))
            }
        }
    }
}

// === impl ContextKey ===

impl ContextKey {
    /// Reads a key.
    ///
    /// # Errors
    /// Everything that is not a key of the language.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if let Some((_, key)) = REQUEST_KEYS.iter().find(|(name, _)| *name == text) {
            return Ok(key.clone());
        }
        match text.strip_prefix("jwt:") {
            Some(claim) => ClaimKey::parse(claim).map(Self::Claim),
            None => Err(InvalidKey::Unknown(text.to_owned())),
        }
    }

    /// Whether it is known what value the key has, or that it has none.
    pub fn is_known(&self, principal: &Principal) -> bool {
        match self {
            Self::Claim(claim) => principal.claims.knows(claim.as_str()),
            Self::SourceIp | Self::CurrentTime | Self::Method => true,
        }
    }

    /// The value that the key has in this request, if it has one.
    pub fn value<'a>(&self, principal: &'a Principal, context: &Context) -> Option<Cow<'a, Value>> {
        match self {
            Self::Claim(claim) => claim.of(principal).map(Cow::Borrowed),
            Self::SourceIp => context.source_ip.map(|ip| Cow::Owned(ip.to_string().into())),
            Self::CurrentTime => Some(Cow::Owned(context.now.into())),
            Self::Method => context.method.as_ref().map(|method| Cow::Owned(method.clone().into())),
        }
    }
}

/// The text of a scalar, as policies write it: strings, whole numbers and booleans have one.
/// Other values (lists, objects, fractions) do not read the same everywhere and have none.
pub fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

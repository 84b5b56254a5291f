//! Our own tokens between two verifications: what stays true of a token, and what is looked at anew.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::Principal;
use super::issuers::{Issuers, OwnIssuer};
use super::jws::Times;
use super::rejection::TokenRejection;
use super::verify::{OwnToken, TokenKind, check_own_times, still_admitted, verify_own};

/// Verifies tokens of our own. Whoever does it gives the answers of
/// [`verify_own`].
pub trait TokenVerifier {
    /// Verifies `token` at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// As [`verify_own`].
    fn verify_own(
        &self,
        token: &str,
        own: &OwnIssuer,
        issuers: &Issuers,
        now: i64,
    ) -> Result<OwnToken, TokenRejection>;
}

/// Verifies every token in full, every time.
#[derive(Debug, Clone, Copy, Default)]
pub struct InFull;

/// A token of our own whose form and signature were proven. It never changes what a token is worth:
/// time and issuers are asked again at each use, and the proof holds under the same keys only.
#[derive(Debug)]
pub struct ProvenToken {
    principal: Arc<Principal>,
    kind: TokenKind,
    times: Times,
    /// What the proof rests on: [`OwnIssuer::fingerprint`].
    under: [u8; 32],
}

// === impl InFull ===

impl TokenVerifier for InFull {
    fn verify_own(
        &self,
        token: &str,
        own: &OwnIssuer,
        issuers: &Issuers,
        now: i64,
    ) -> Result<OwnToken, TokenRejection> {
        verify_own(token, own, issuers, now)
    }
}

// === impl ProvenToken ===

impl ProvenToken {
    pub(super) fn new(principal: Principal, kind: TokenKind, times: Times, own: &OwnIssuer) -> Self {
        Self { principal: Arc::new(principal), kind, times, under: *own.fingerprint() }
    }

    /// Whether the proof holds under this issuer: it has the same URL and the same keys.
    pub fn holds_under(&self, own: &OwnIssuer) -> bool {
        self.under == *own.fingerprint()
    }

    /// What the token is worth at `now`, in seconds since 1970, to a service that trusts `issuers`.
    ///
    /// # Errors
    /// The token has expired or is not valid yet, or its original identity is no longer admitted.
    pub fn admit(&self, issuers: &Issuers, now: i64) -> Result<OwnToken, TokenRejection> {
        check_own_times(self.times, now)?;
        let issuer = still_admitted(&self.principal, issuers)?;
        let (principal, kind) = (Arc::clone(&self.principal), self.kind.clone());
        Ok(OwnToken { principal, kind, issuer, exp: self.times.exp as i64 })
    }

    /// The memory that the value takes, in bytes: an estimate that errs upwards.
    pub fn size(&self) -> usize {
        let Principal { issuer, subject, claims } = &*self.principal;
        let texts = block(issuer.len()) + block(subject.len());
        let kind = match &self.kind {
            TokenKind::Api => 0,
            TokenKind::Function { permissions, audience } => list(permissions) + list(audience),
        };
        block(size_of::<Self>()) + block(size_of::<Principal>()) + texts + members(claims.as_map()) + kind
    }
}

/// An allocation of `length` bytes with what the allocator adds.
const fn block(length: usize) -> usize {
    if length == 0 { 0 } else { length.next_multiple_of(16) + 16 }
}

fn list(texts: &[String]) -> usize {
    block(size_of_val(texts)) + texts.iter().map(|text| block(text.len())).sum::<usize>()
}

/// The nodes of a B-tree have room for eleven members and are half full at least, but for the root.
fn members(map: &Map<String, Value>) -> usize {
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 112;
    let content = map.iter().map(|(name, value)| block(name.len()) + beneath(value)).sum::<usize>();
    if map.is_empty() { 0 } else { (map.len() / 5 + 1) * block(NODE) + content }
}

/// What a value holds beside itself.
fn beneath(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => block(text.len()),
        Value::Array(items) => {
            block(items.capacity() * size_of::<Value>()) + items.iter().map(beneath).sum::<usize>()
        }
        Value::Object(map) => members(map),
    }
}

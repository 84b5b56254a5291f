//! Verified claims and the principal that they describe.

use serde_json::{Map, Value};

/// Names of claims that only this service writes. They are dropped from a foreign token before
/// anything is matched, and never copied into an issued one.
pub const RESERVED: &[&str] = &["policy", "function"];

/// The prefix of claims that only this service writes.
pub const RESERVED_PREFIX: &str = "fed:";

/// Whether `name` is a claim that only this service writes.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(RESERVED_PREFIX)
}

/// The claims of a verified token. A JSON `null` counts as an absent claim.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Claims(Map<String, Value>);

/// The identity that a decision is about: the *original* claims, as the identity provider stated
/// them, less those that are ours. Two principals are the same person only if issuer and subject agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The original `iss`.
    pub issuer: String,
    /// The original `sub`, without our `fed:` prefix.
    pub subject: String,
    /// All original claims, `iss`, `sub` and `aud` included in their original form.
    pub claims: Claims,
}

// === impl Claims ===

impl Claims {
    /// Takes the claims that an identity provider stated, less those that are ours to write.
    pub fn from_foreign(mut claims: Map<String, Value>) -> Self {
        claims.retain(|name, _| !is_reserved(name));
        Self(claims)
    }

    /// The claim with exactly this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The value that a JSON Pointer (RFC 6901), beginning with `/`, leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let (first, rest) = split_pointer(pointer)?;
        let member = self.0.get(&first)?;
        if rest.is_empty() { Some(member) } else { member.pointer(rest) }.filter(|value| !value.is_null())
    }

    /// All claims by name.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl std::fmt::Debug for Claims {
    /// Names only: claim values are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Splits a JSON Pointer into its first reference token, unescaped, and the rest.
pub fn split_pointer(pointer: &str) -> Option<(String, &str)> {
    let path = pointer.strip_prefix('/')?;
    let (first, rest) = path.find('/').map_or((path, ""), |at| path.split_at(at));
    Some((first.replace("~1", "/").replace("~0", "~"), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(map) => Claims::from_foreign(map),
            _ => panic!("claims are an object"),
        }
    }

    #[test]
    fn our_own_claims_are_dropped_from_a_foreign_token() {
        let claims = claims(serde_json::json!({
            "sub": "a", "policy": ["root"], "function": {}, "fed:iss": "x", "federation": 1
        }));
        assert_eq!(claims.as_map().keys().collect::<Vec<_>>(), ["federation", "sub"]);
    }

    #[test]
    fn names_are_exact_and_pointers_lead_into_nested_claims() {
        let claims = claims(serde_json::json!({
            "https://x/roles": ["a"], "a/b": 1, "realm_access": {"roles": ["dev"]}, "none": null
        }));
        assert!(claims.get("https://x/roles").is_some());
        assert_eq!(claims.pointer("/realm_access/roles/0"), Some(&"dev".into()));
        assert_eq!(claims.pointer("/a~1b"), Some(&1.into()));
        assert_eq!(claims.pointer("/realm_access/none"), None);
        assert_eq!(claims.get("none"), None);
    }
}

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
///
/// Of a function token only some of the original claims are known: a claim that is not among them
/// may have any value, or none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Claims {
    members: Map<String, Value>,
    /// Whether a claim that does not stand here may exist all the same. One that is known to be absent
    /// then stands here as `null`.
    partial: bool,
}

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
        Self { members: claims, partial: false }
    }

    /// The same claims as a part of all that the identity has.
    #[must_use]
    pub fn in_part(self) -> Self {
        Self { partial: true, ..self }
    }

    /// Whether it is known what the claim is, or that there is none. `key` is a name or a JSON Pointer.
    pub fn knows(&self, key: &str) -> bool {
        if !self.partial {
            return true;
        }
        let Some((first, mut rest)) = split_pointer(key) else { return self.members.contains_key(key) };
        let mut found = self.members.get(&first);
        // In a part of an object a member that is not there may exist; all else is carried whole.
        while let (Some(Value::Object(members)), Some((next, after))) = (found, split_pointer(rest)) {
            (found, rest) = (members.get(&next), after);
        }
        found.is_some()
    }

    /// The claim with exactly this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// The value that a JSON Pointer (RFC 6901), beginning with `/`, leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let (first, rest) = split_pointer(pointer)?;
        let member = self.members.get(&first)?;
        if rest.is_empty() { Some(member) } else { member.pointer(rest) }.filter(|value| !value.is_null())
    }

    /// All claims by name.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.members
    }
}

impl std::fmt::Debug for Claims {
    /// Names only: claim values are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.members.keys()).finish()
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
    fn of_a_part_of_the_claims_what_does_not_stand_there_is_unknown() {
        let whole = claims(serde_json::json!({
            "a": 1, "none": null, "b": {"c": {"d": 1}, "gone": null}, "list": [1]
        }));
        assert!(whole.knows("z") && whole.knows("/b/z"));
        let partial = whole.in_part();
        for known in ["a", "/a/x", "none", "/none/x", "b", "/b/c", "/b/c/d", "/b/gone/x", "/list/7"] {
            assert!(partial.knows(known), "{known}");
        }
        for unknown in ["z", "/z", "/b/z", "/b/c/z", "", "/"] {
            assert!(!partial.knows(unknown), "{unknown}");
        }
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

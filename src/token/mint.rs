//! The claims of the tokens that we issue.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::identity::claims::{Claims, Principal, split_pointer};
use crate::identity::verify::SUBJECT_PREFIX;

/// The claims that every token of ours has.
pub(super) struct Envelope<'a> {
    pub(super) issuer: &'a str,
    pub(super) token_id: String,
    pub(super) issued_at: i64,
    pub(super) expires_at: i64,
}

/// An API token: the original claims under ours, and the names of the Policies for information.
pub(super) fn api_claims(
    envelope: Envelope<'_>,
    principal: &Principal,
    policies: &[String],
) -> Map<String, Value> {
    let mut claims = principal.claims.as_map().clone();
    claims.insert("aud".into(), envelope.issuer.into());
    claims.insert("policy".into(), json!(policies));
    envelope.seal(claims, principal)
}

/// A function token: of the original claims only those that `named` names. One that the identity does
/// not have travels as `null`, so that it is told from one that did not travel.
pub(super) fn function_claims(
    envelope: Envelope<'_>,
    principal: &Principal,
    permissions: &[String],
    audience: &[String],
    named: &BTreeSet<String>,
) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("aud".into(), json!([envelope.issuer]));
    claims.insert("function".into(), json!({"permissions": permissions, "audience": audience}));
    claims.insert("fed:claims".into(), select(&principal.claims, named).into());
    envelope.seal(claims, principal)
}

// === impl Envelope ===

impl Envelope<'_> {
    fn seal(self, mut claims: Map<String, Value>, principal: &Principal) -> Map<String, Value> {
        claims.insert("fed:iss".into(), principal.issuer.as_str().into());
        claims.insert("fed:aud".into(), principal.claims.get("aud").cloned().unwrap_or_default());
        claims.insert("iss".into(), self.issuer.into());
        claims.insert("sub".into(), format!("{SUBJECT_PREFIX}{}", principal.subject).into());
        claims.insert("iat".into(), self.issued_at.into());
        claims.insert("exp".into(), self.expires_at.into());
        claims.insert("jti".into(), self.token_id.into());
        claims
    }
}

/// The named claims: exact names, or JSON Pointers (RFC 6901) of which only the named member is
/// kept. A list on the way of a pointer is kept whole, so that its indices stay true. `iss`, `sub`
/// and `aud` travel elsewhere in the token.
fn select(claims: &Claims, named: &BTreeSet<String>) -> Map<String, Value> {
    let elsewhere = |name: &str| matches!(name, "iss" | "sub" | "aud");
    let mut selected = Map::new();
    for pointer in named.iter().filter(|name| name.starts_with('/')) {
        copy_member(claims.as_map(), &mut selected, pointer);
    }
    for name in named.iter().filter(|name| !name.starts_with('/')) {
        selected.insert(name.clone(), claims.get(name).cloned().unwrap_or_default());
    }
    selected.retain(|name, _| !elsewhere(name));
    selected
}

/// Copies what `pointer` leads to, with the objects on the way to it.
fn copy_member(from: &Map<String, Value>, to: &mut Map<String, Value>, pointer: &str) {
    let Some((name, rest)) = split_pointer(pointer) else { return };
    let value = from.get(&name).unwrap_or(&Value::Null);
    match value {
        Value::Object(inner) if !rest.is_empty() => {
            if let Value::Object(kept) = to.entry(name).or_insert_with(|| Map::new().into()) {
                copy_member(inner, kept, rest);
            }
        }
        _ => {
            to.insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(named: &[&str], expected: Value) {
        let claims = json!({
            "sub": "alice", "org": "dev", "email": "a@example.com", "none": null,
            "realm": {"roles": ["a", "b"], "secret": 1, "deep": {"x": 1, "y": 2}}, "a/b": {"c": 1, "d": 2}
        });
        let Value::Object(claims) = claims else { panic!() };
        let named = named.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(Value::Object(select(&Claims::from_foreign(claims), &named)), expected);
    }

    #[test]
    fn only_named_claims_travel() {
        check(&[], json!({}));
        check(&["org", "absent", "none", "sub"], json!({"org": "dev", "absent": null, "none": null}));
        check(&["/realm/roles"], json!({"realm": {"roles": ["a", "b"]}}));
        check(&["/realm/roles/1"], json!({"realm": {"roles": ["a", "b"]}}));
        check(&["/realm/deep/x", "/realm/deep/y"], json!({"realm": {"deep": {"x": 1, "y": 2}}}));
        check(&["/realm/deep/x", "/realm/deep"], json!({"realm": {"deep": {"x": 1, "y": 2}}}));
        check(
            &["/realm/roles", "realm"],
            json!({"realm": {"roles": ["a", "b"], "secret": 1, "deep": {"x": 1, "y": 2}}}),
        );
        check(&["/a~1b/c", "/sub"], json!({"a/b": {"c": 1}}));
        check(&["/realm/absent"], json!({"realm": {"absent": null}}));
        check(&["/absent/x", "/org/x"], json!({"absent": null, "org": "dev"}));
    }
}

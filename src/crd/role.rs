//! `Role`.

use serde_json::Value;

use super::reader::Reader;
use crate::compile::Code;
use crate::policy::Role;

/// Reads the spec of a Role. What cannot be read grants nothing, and excludes nobody from a Deny.
pub(super) fn read(spec: Value, reader: &mut Reader<'_>) -> Role {
    let Some(mut spec) = reader.map("spec", spec) else { return Role::default() };
    let mut role = Role::default();
    match spec.remove("policy") {
        None => {
            reader.warning("spec.policy", Code::GrantsNothing, "names no Policy: the Role grants nothing")
        }
        Some(value) => {
            let texts = reader.texts("spec.policy", value);
            role.policies = texts.items;
            role.unreadable_policies = !texts.readable;
        }
    }
    role.principal = spec.remove("principal").map(|value| reader.principal("spec.principal", value));
    role.condition = spec.remove("condition").map(|value| reader.condition("spec.condition", value));
    role.unreadable = !reader.no_more_fields("spec", &spec, "`policy`, `principal` and `condition`");
    if role.principal.is_none() && role.condition.is_none() {
        let message = "has neither `principal` nor `condition`: the Role matches nobody";
        reader.warning("spec", Code::MatchesNobody, message);
    }
    role
}

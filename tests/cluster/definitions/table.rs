//! The objects that are judged.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Judge, errors};
use crate::support::envoy::root;

/// A spec that the types of OpenFaaS allow, and that cannot be read.
pub(super) struct Invalid {
    pub(super) kind: &'static str,
    /// As YAML.
    pub(super) spec: &'static str,
    /// The field, as our definitions name it; empty where they leave it to the admission policies. Where
    /// it "should match" a pattern, the pattern is the cure.
    field: &'static str,
    /// The same, as the admission policies name it.
    admission_field: &'static str,
    /// A part of the cure.
    cure: &'static str,
}

macro_rules! invalid {
    ($kind:literal: $($spec:literal, $field:literal, $admission:literal, $cure:literal;)+) => {
        &[$(Invalid { kind: $kind, spec: $spec, field: $field, admission_field: $admission, cure: $cure },)+]
    };
}

const ISSUERS: &[Invalid] = invalid! { "JwtIssuer":
    "{iss: idp, aud: [x]}", "spec.iss", "spec.iss: `idp`", "write its https URL";
    "{iss: '', aud: [x]}", "spec.iss", "spec.iss: ", "write its https URL";
    "{iss: 'http://idp', aud: [x]}", "spec.iss", "spec.iss: `http://idp`", "http is for loopback hosts only";
    "{iss: 'https://idp?x=y', aud: [x]}", "spec.iss", "spec.iss: ", "without query";
    "{iss: 'https://me@idp', aud: [x]}", "spec.iss", "spec.iss: ", "write its https URL";
    "{iss: 'https://idp', aud: []}", "spec.aud", "spec.aud: ", "name the audiences";
    "{iss: 'https://idp', aud: [x], issInternal: dex}", "spec.issInternal", "spec.issInternal: `dex`", "leave the field out";
    "{iss: 'https://idp', aud: [x], issInternal: ''}", "spec.issInternal", "spec.issInternal: ", "leave the field out";
    "{iss: 'https://idp', aud: [x], tokenExpiry: '5'}", "spec.tokenExpiry", "spec.tokenExpiry: `5`", "such as `30m`";
    "{iss: 'https://idp', aud: [x], tokenExpiry: 1d}", "spec.tokenExpiry", "spec.tokenExpiry: `1d`", "such as `30m`";
    "{iss: 'https://idp', aud: [x], tokenExpiry: 300ms}", "spec.tokenExpiry", "spec.tokenExpiry: `300ms`", "one second or more";
    "{iss: 'https://idp', aud: [x], tokenExpiry: -1h}", "spec.tokenExpiry", "spec.tokenExpiry: `-1h`", "such as `30m`";
};

const POLICIES: &[Invalid] = invalid! { "Policy":
    "{statement: [{sid: s, effect: deny, action: ['*'], resource: ['*']}]}",
        "spec.statement[0].effect", "spec.statement[s].effect: `deny`", "Deny";
    "{statement: [{sid: ok, effect: Allow, action: ['*'], resource: ['*']}, {sid: s, effect: Allow, action: [], resource: ['*']}]}",
        "spec.statement[1].action", "spec.statement[s].action: ", "name at least one";
    "{statement: [{sid: s, effect: Deny, action: ['Function:Read'], resource: ['*']}]}",
        "spec.statement[0].action", "spec.statement[s].action: no action matches `Function:Read`", "there are Function:List";
    "{statement: [{sid: s, effect: Deny, action: ['function:delete'], resource: ['*']}]}",
        "spec.statement[0].action", "spec.statement[s].action: no action matches `function:delete`", "there are Function:List";
    "{statement: [{sid: s, effect: Deny, action: ['*', 'Fnction:*'], resource: ['*']}]}",
        "spec.statement[0].action", "spec.statement[s].action: no action matches `Fnction:*`", "there are Function:List";
    "{statement: [{sid: s, effect: Deny, action: ['Function:Re*'], resource: ['*']}]}",
        "", "spec.statement[s].action: no action matches `Function:Re*`", "there are Function:List";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: []}]}",
        "spec.statement[0].resource", "spec.statement[s].resource: ", "name at least one";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*', dev]}]}",
        "spec.statement[0].resource[1]", "spec.statement[s].resource: `dev`", "write `*` or `NAMESPACE:NAME`";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['dev:']}]}",
        "spec.statement[0].resource[0]", "spec.statement[s].resource: `dev:`", "write `*` or `NAMESPACE:NAME`";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['a:b:c']}]}",
        "spec.statement[0].resource[0] in body should match", "spec.statement[s].resource: `a:b:c`", "write `*` or `NAMESPACE:NAME`";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['${user}:*']}]}",
        "spec.statement[0].resource[0] in body should match", "spec.statement[s].resource: `${user}:*`", "the only variables are `${jwt:CLAIM}`";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['team-${jwt:org:*']}]}",
        "spec.statement[0].resource[0] in body should match", "spec.statement[s].resource: ", "the only variables are `${jwt:CLAIM}`";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['${jwt:exp}:*']}]}",
        "", "spec.statement[s].resource: `${jwt:exp}:*`", "of claims about the identity";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {}}]}",
        "spec.statement[0].condition", "spec.statement[s].condition: ", "leave it out";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {StringMatch: {'jwt:x': [a]}}}]}",
        "spec.statement[0].condition", "spec.statement[s].condition: unknown operator `StringMatch`", "the string operators are";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {'ForAnyValue:Bool': {'jwt:x': ['true']}}}]}",
        "spec.statement[0].condition", "spec.statement[s].condition: unknown operator `ForAnyValue:Bool`", "the string operators are";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {Bool: {}}}]}",
        "spec.statement[0].condition[Bool]", "spec.statement[s].condition.Bool: ", "leave it out";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {StringEqual: {sub: [a]}}}]}",
        "spec.statement[0].condition[StringEqual]", "spec.statement[s].condition.StringEqual: unknown key `sub`", "use `jwt:CLAIM`";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {StringEqual: {'jwt:/iat': [a]}}}]}",
        "spec.statement[0].condition[StringEqual]", "spec.statement[s].condition.StringEqual: `jwt:/iat` is about the token", "use another claim";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {StringEqual: {'jwt:x': []}}}]}",
        "spec.statement[0].condition[StringEqual][jwt:x]", "spec.statement[s].condition.StringEqual.jwt:x: ", "name at least one";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {StringEqual: {'jwt:x': [a, '${user}']}}}]}",
        "spec.statement[0].condition.StringEqual.jwt:x[1] in body should match", "spec.statement[s].condition.StringEqual.jwt:x: in the value `${user}`", "the only variables are `${jwt:CLAIM}`";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {Bool: {'jwt:x': [perhaps]}}}]}",
        "", "spec.statement[s].condition: in `Bool`", "`true` or `false`";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {NumericLessThan: {'jwt:x': ['1', ten]}}}]}",
        "", "spec.statement[s].condition: in `NumericLessThan`", "a decimal number";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {DateLessThan: {'request:CurrentTime': ['2026-13-01']}}}]}",
        "", "spec.statement[s].condition: in `DateLessThan`", "a date such as";
    "{statement: [{sid: s, effect: Deny, action: ['*'], resource: ['*'], condition: {NotIpAddressIfExists: {'request:SourceIp': ['10.0.0.0/33']}}}]}",
        "", "spec.statement[s].condition: in `NotIpAddressIfExists`", "10.0.0.0/8";
    "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {'Null': {'jwt:x': ['${jwt:y}']}}}]}",
        "", "spec.statement[s].condition: in `Null`", "the key is absent";
};

const ROLES: &[Invalid] = invalid! { "Role":
    "{policy: [], principal: {'jwt:sub': [a]}}", "spec.policy", "spec.policy: ", "name at least one Policy";
    "{policy: [p], principal: {}}", "spec.principal", "spec.principal: ", "leave it out";
    "{policy: [p], principal: {sub: [a]}}", "spec.principal", "spec.principal: unknown key `sub`", "use `jwt:CLAIM`";
    "{policy: [p], principal: {'jwt:jti': [a]}}", "spec.principal", "spec.principal: `jwt:jti` is about the token", "use another claim";
    "{policy: [p], principal: {'jwt:sub': []}}", "spec.principal[jwt:sub]", "spec.principal.jwt:sub: ", "name at least one";
    "{policy: [p], condition: {}}", "spec.condition", "spec.condition: ", "leave it out";
    "{policy: [p], condition: {StringEqual: {'jwt:iss': [x]}, X: {'jwt:sub': [a]}}}",
        "spec.condition", "spec.condition: unknown operator `X`", "the string operators are";
    "{policy: [p], condition: {Bool: {'jwt:email_verified': ['yes']}}}",
        "", "spec.condition: in `Bool`", "`true` or `false`";
    "{policy: [p], condition: {StringLike: {'jwt:': [a]}}}",
        "spec.condition[StringLike]", "spec.condition.StringLike: unknown key `jwt:`", "use `jwt:CLAIM`";
};

/// All of them.
pub(super) fn invalid() -> impl Iterator<Item = &'static Invalid> {
    [ISSUERS, POLICIES, ROLES].into_iter().flatten()
}

/// Specs that are accepted with a warning, and a part of it.
pub(super) const ADVICE: &[(&str, &str, &str)] = &[
    ("Policy", "{statement: []}", "spec.statement: has no statement"),
    (
        "Policy",
        "{statement: [{sid: old, effect: Allow, action: ['Function:Read'], resource: ['*']}]}",
        "spec.statement[old].action: no action matches `Function:Read`",
    ),
    ("Role", "{policy: [p]}", "spec: has neither `principal` nor `condition`"),
    ("Role", "{principal: {'jwt:sub': [a]}}", "spec.policy: is missing"),
];

/// Good specs that no example has.
const MORE: &[(&str, &str)] = &[
    (
        "JwtIssuer",
        "{iss: 'HTTPS://idp:8443/realms/x', aud: [x, ''], issInternal: 'http://dex.default:5556', tokenExpiry: 1h30m}",
    ),
    ("JwtIssuer", "{iss: 'http://[::1]:1', aud: [x], tokenExpiry: .5m}"),
    (
        "Policy",
        "{statement: [{sid: '', effect: Deny, action: ['F*:Li?t', '*:*', 'IAM:Review'], resource: ['${jwt:https://x/y}-a:*', 'a$b:?', '*']}]}",
    ),
    (
        "Policy",
        "{statement: [{sid: s, effect: Allow, action: ['*'], resource: ['*'], condition: {'ForAllValues:StringNotLikeIfExists': {'jwt:/a/b': ['$', 'x${jwt:y}$']}, NumericEquals: {'jwt:n': ['-1.5e3', '.5', '${jwt:m}']}, DateGreaterThan: {'request:CurrentTime': ['2026-01-31', '2026-01-31T12:00:00+01:00', '1767225600']}, BoolIfExists: {'jwt:b': ['TRUE']}, 'Null': {'jwt:c': ['False']}, IpAddress: {'request:SourceIp': ['10.1.2.3/8', '::1', '2001:db8::/32', '::ffff:10.0.0.0/104']}}}]}",
    ),
    (
        "Role",
        "{policy: ['', p], principal: {'jwt:sub': [''], 'request:Method': [GET]}, condition: {StringEquals: {'jwt:urn:x': ['a']}}}",
    ),
    ("Role", "{}"),
];

// === impl Invalid ===

impl Invalid {
    pub(super) fn spec(&self) -> Result<Value> {
        parse(self.spec)
    }

    /// What a refusal by this judge says; none where there is none.
    pub(super) fn expected(&self, judge: Judge) -> Option<[&'static str; 2]> {
        match judge {
            Judge::Admission => Some([self.admission_field, self.cure]),
            Judge::Definition if self.field.is_empty() => None,
            Judge::Definition if self.field.ends_with("should match") => Some([self.field, ""]),
            Judge::Definition => Some([self.field, self.cure]),
        }
    }
}

/// Reads YAML.
pub(super) fn parse(yaml: &str) -> Result<Value> {
    serde_saphyr::from_str(yaml).with_context(|| yaml.to_owned())
}

/// Every object of the examples, guides and tests that can be read and that the types of OpenFaaS
/// allow: bare texts in place of lists are for files alone.
pub(super) fn good() -> Result<Vec<(String, Value)>> {
    let mut good = Vec::new();
    for folder in [
        "docs/federation",
        "examples/demo/policies",
        "manifests/examples",
        "tests/decisions",
        "tests/interop/policies",
    ] {
        for entry in fs::read_dir(root().join(folder))? {
            let text = documents(&entry?.path())?;
            for document in text.split("\n---\n") {
                let Ok(object) = parse(document) else { continue };
                let (Some("iam.openfaas.com/v1"), Some(kind)) =
                    (object["apiVersion"].as_str(), object["kind"].as_str())
                else {
                    continue;
                };
                if errors(kind, &object["spec"]).is_empty() && has_lists(&object["spec"]) {
                    good.push((kind.to_owned(), object["spec"].clone()));
                }
            }
        }
    }
    anyhow::ensure!(good.len() > 100, "{} objects", good.len());
    for (kind, spec) in MORE {
        good.push(((*kind).to_owned(), parse(spec)?));
    }
    Ok(good)
}

/// The YAML of a file, or of the blocks of a guide.
fn documents(path: &Path) -> Result<String> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if extension == "md" {
        let text = fs::read_to_string(path)?;
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        return Ok(blocks.collect::<Vec<_>>().join("\n---\n"));
    }
    Ok(if extension == "yaml" { fs::read_to_string(path)? } else { String::new() })
}

/// Whether every value that is to be a list of texts is one.
fn has_lists(spec: &Value) -> bool {
    let texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    let keys = |value: &Value| value.as_object().is_some_and(|keys| keys.values().all(texts));
    let condition =
        |value: &Value| value.is_null() || value.as_object().is_some_and(|all| all.values().all(keys));
    let absent_or = |value: &Value, test: &dyn Fn(&Value) -> bool| value.is_null() || test(value);
    let statement = |value: &Value| {
        value["sid"].is_string()
            && texts(&value["action"])
            && texts(&value["resource"])
            && condition(&value["condition"])
    };
    absent_or(&spec["aud"], &texts)
        && absent_or(&spec["policy"], &texts)
        && absent_or(&spec["principal"], &keys)
        && condition(&spec["condition"])
        && spec["statement"].as_array().is_none_or(|statements| statements.iter().all(statement))
}

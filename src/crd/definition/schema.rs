//! The types of the fields: those of OpenFaaS, with the longest lengths that rules need.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as ext;
use serde_json::Value;

use super::rules;
use crate::policy::Effect;

type Schema = ext::JSONSchemaProps;

/// Statements of a Policy.
const MAX_STATEMENTS: i64 = 256;
/// Actions of a statement.
const MAX_ACTIONS: i64 = 64;
/// The length of an action.
const MAX_ACTION: i64 = 64;
/// Resources of a statement.
const MAX_RESOURCES: i64 = 256;
/// The length of a resource.
const MAX_RESOURCE: i64 = 256;
/// Operators of a condition, and keys of an operator.
const MAX_KEYS: i64 = 32;
/// The length of a URL.
const MAX_URL: i64 = 2048;
/// The length of a duration.
const MAX_DURATION: i64 = 128;

/// The object around a spec.
pub(super) fn object(description: &str, spec: Schema) -> Schema {
    let fields = [
        ("apiVersion", text("")),
        ("kind", text("")),
        ("metadata", Schema { type_: Some("object".to_owned()), ..Schema::default() }),
        ("spec", spec),
    ];
    record(description, fields, &["spec"])
}

/// The spec of a JwtIssuer.
pub(super) fn jwt_issuer() -> Schema {
    let fields = [
        ("iss", at_most(MAX_URL, text("The issuer, as its tokens name it: an https URL."))),
        ("aud", list("The audiences that are accepted, of which a token must have one.", text(""))),
        (
            "issInternal",
            at_most(MAX_URL, text("The base URL that the issuer's keys are fetched from, if not its own.")),
        ),
        (
            "tokenExpiry",
            at_most(MAX_DURATION, text("How long a token lives that is given out in exchange, such as 30m.")),
        ),
    ];
    record("", fields, &["iss", "aud"])
}

/// The spec of a Policy.
pub(super) fn policy() -> Schema {
    let mut effect = text("Whether what the statement is about is allowed or denied. A denial wins.");
    effect.enum_ = Some(Effect::ALL.iter().map(|effect| ext::JSON(Value::from(effect.name()))).collect());
    let mut resource = at_most(MAX_RESOURCE, text(""));
    resource.pattern = Some(rules::resource_pattern());
    let mut actions = list(
        "The actions that it is about, such as Function:List; * and ? are wildcards.",
        at_most(MAX_ACTION, text("")),
    );
    actions.max_items = Some(MAX_ACTIONS);
    let mut resources = list(
        "The resources that it is about: * for everything, or NAMESPACE:NAME with the wildcards * and ? and \
         variables such as ${jwt:sub}.",
        resource,
    );
    resources.max_items = Some(MAX_RESOURCES);
    let statement = record(
        "",
        [
            ("sid", text("The statement's name.")),
            ("effect", effect),
            ("action", actions),
            ("resource", resources),
            ("condition", condition("When the statement applies; always, where there is none.")),
        ],
        &["sid", "effect", "action", "resource"],
    );
    let mut statements = list("The statements, in any order.", statement);
    statements.max_items = Some(MAX_STATEMENTS);
    record("", [("statement", statements)], &["statement"])
}

/// The spec of a Role.
pub(super) fn role() -> Schema {
    let fields = [
        ("policy", list("The names of the Policies that the Role grants.", text(""))),
        (
            "principal",
            map("Whom the Role matches, by key: one of the values must be the key's.", list("", text(""))),
        ),
        ("condition", condition("Whom the Role matches besides, by operator and key.")),
    ];
    record("", fields, &[])
}

fn condition(description: &str) -> Schema {
    let mut value = text("");
    value.pattern = Some(rules::value_pattern());
    map(description, map("", list("", value)))
}

fn text(description: &str) -> Schema {
    described(description, "string")
}

fn at_most(length: i64, mut text: Schema) -> Schema {
    text.max_length = Some(length);
    text
}

fn list(description: &str, items: Schema) -> Schema {
    let items = Some(ext::JSONSchemaPropsOrArray::Schema(Box::new(items)));
    Schema { items, ..described(description, "array") }
}

fn map(description: &str, values: Schema) -> Schema {
    let values = Some(ext::JSONSchemaPropsOrBool::Schema(Box::new(values)));
    Schema {
        additional_properties: values,
        max_properties: Some(MAX_KEYS),
        ..described(description, "object")
    }
}

fn record<const N: usize>(description: &str, fields: [(&str, Schema); N], required: &[&str]) -> Schema {
    let fields = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let required: Vec<_> = required.iter().map(|&name| name.to_owned()).collect();
    Schema {
        properties: Some(fields),
        required: Some(required).filter(|required| !required.is_empty()),
        ..described(description, "object")
    }
}

fn described(description: &str, type_: &str) -> Schema {
    let description = Some(description.to_owned()).filter(|text| !text.is_empty());
    Schema { description, type_: Some(type_.to_owned()), ..Schema::default() }
}

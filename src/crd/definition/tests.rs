//! The outputs are what stands in `manifests/`, have the types of OpenFaaS, and say what is read.

use expect_test::expect_file;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as ext;
use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

use super::*;
use crate::compile::{Bundle, Code, Severity};
use crate::crd::{Defaults, read};
use crate::policy::{Operand, Operator};

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

/// The diagnostics of an object with this spec that could not be read.
fn errors(kind: &str, spec: &Value) -> Vec<(String, Code)> {
    let object =
        json!({"apiVersion": "iam.openfaas.com/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec});
    let mut bundle = Bundle::default();
    read(object, "test", &Defaults::default(), &mut bundle);
    let errors = bundle.diagnostics.into_iter().filter(|found| found.severity == Severity::Error);
    errors.map(|found| (found.field, found.code)).collect()
}

fn texts(documents: Vec<(String, String)>, plural: &str) -> String {
    let of_kind = documents.into_iter().filter(|(name, _)| name == plural);
    of_kind.map(|(_, text)| text).collect::<Vec<_>>().join("---\n")
}

/// `UPDATE_EXPECT=1 cargo test --lib definition` writes them.
#[test]
fn manifests_are_what_the_command_prints() {
    expect_file!["../../../manifests/crds/jwtissuers.yaml"]
        .assert_eq(&texts(definitions().unwrap(), "jwtissuers"));
    expect_file!["../../../manifests/crds/policies.yaml"]
        .assert_eq(&texts(definitions().unwrap(), "policies"));
    expect_file!["../../../manifests/crds/roles.yaml"].assert_eq(&texts(definitions().unwrap(), "roles"));
    let admission = || admission_policies().unwrap();
    expect_file!["../../../manifests/admission/jwtissuers.yaml"].assert_eq(&texts(admission(), "jwtissuers"));
    expect_file!["../../../manifests/admission/policies.yaml"].assert_eq(&texts(admission(), "policies"));
    expect_file!["../../../manifests/admission/roles.yaml"].assert_eq(&texts(admission(), "roles"));
}

#[test]
fn the_yaml_means_the_object() {
    for definition in &DEFINITIONS {
        let object = definition.object();
        let read: Value = serde_saphyr::from_str(&yaml("", &object).unwrap().1).unwrap();
        assert_eq!(read, serde_json::to_value(&object).unwrap());
        for admission in admission::Admission::of(definition) {
            let read: Value = serde_saphyr::from_str(&yaml("", &admission.policy).unwrap().1).unwrap();
            assert_eq!(read, serde_json::to_value(&admission.policy).unwrap());
        }
    }
}

#[test]
fn every_rule_that_a_definition_says_finds_its_place() {
    for definition in &DEFINITIONS {
        let mut schema = schema::object("", (definition.spec)());
        for rule in (definition.rules)() {
            let says = matches!(rule.definition, rules::InDefinition::Test | rules::InDefinition::Looser(_));
            assert_eq!(rule.add_to(&mut schema), says, "{rule:?}");
            assert!(rule.severity == Severity::Error || !says, "a warning refuses nothing: {rule:?}");
        }
    }
}

/// Leaves of a definition only what the types of an object's fields depend on.
fn types_alone(value: &Value) -> Value {
    const KEPT: &[&str] = &["type", "properties", "additionalProperties", "items", "required"];
    let Some(schema) = value.as_object() else { return value.clone() };
    let kept = schema.iter().filter(|(name, _)| KEPT.contains(&name.as_str())).map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("properties", Value::Object(fields)) => {
                fields.iter().map(|(name, schema)| (name.clone(), types_alone(schema))).collect()
            }
            ("required", Value::Array(names)) => {
                let mut names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
                names.sort_unstable();
                json!(names)
            }
            _ => types_alone(value),
        };
        (name.clone(), value)
    });
    Value::Object(kept.collect())
}

#[test]
fn everything_but_the_rules_is_as_openfaas_defines_it() {
    let published = [
        include_str!("../../../tests/apiserver/crds/jwtissuers.yaml"),
        include_str!("../../../tests/apiserver/crds/policies.yaml"),
        include_str!("../../../tests/apiserver/crds/roles.yaml"),
    ];
    for (definition, published) in DEFINITIONS.iter().zip(published) {
        let mut theirs: Value = serde_saphyr::from_str(published).unwrap();
        let mut ours = serde_json::to_value(definition.object()).unwrap();
        for object in [&mut theirs, &mut ours] {
            let schema = object.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").unwrap();
            *schema = types_alone(schema);
        }
        assert_eq!(ours, theirs);
    }
}

#[test]
fn every_field_of_a_definition_is_read() {
    for definition in &DEFINITIONS {
        let spec = (definition.spec)();
        let fields = |schema: &ext::JSONSchemaProps| -> Vec<String> {
            schema.properties.iter().flatten().map(|(name, _)| name.clone()).collect()
        };
        let mut object: Value = fields(&spec).into_iter().map(|name| (name, json!([]))).collect();
        if let Some(ext::JSONSchemaPropsOrArray::Schema(items)) =
            spec.properties.as_ref().and_then(|fields| fields.get("statement")?.items.as_ref())
        {
            let statement: Value = fields(items).into_iter().map(|name| (name, json!([]))).collect();
            object["statement"] = json!([statement]);
        }
        let found = errors(&definition.kind.to_string(), &object);
        assert!(!found.is_empty() && found.iter().all(|(_, code)| *code != Code::UnknownField), "{found:?}");
    }
}

#[test]
fn the_names_of_operators_are_those_that_are_read() {
    let known = Operand::ALL.map(Operator::names_of).join("|");
    let known = regex(&format!("^({known})$"));
    let types = ["String", "Numeric", "Date", "Bool", "Null", "IpAddress", "NotIpAddress", "Strings", ""];
    let tests = [
        "",
        "Equal",
        "Equals",
        "NotEqual",
        "NotEquals",
        "Like",
        "NotLike",
        "LessThan",
        "LessThanEquals",
        "EqualIgnoreCase",
        "EqualsIgnoreCase",
        "NotEqualsIgnoreCase",
        "LikeIgnoreCase",
        "GreaterThanEqual",
        "Equalss",
    ];
    let mut read = 0;
    for prefix in ["", "ForAnyValue:", "ForAllValues:", "ForAnyValue", "ForAnyValue:ForAnyValue:"] {
        for suffix in ["", "IfExists", "IfExist", "IfExistsIfExists"] {
            for name in types.iter().flat_map(|t| tests.map(|test| format!("{prefix}{t}{test}{suffix}"))) {
                assert_eq!(known.is_match(&name), Operator::parse(&name).is_ok(), "{name}");
                read += usize::from(Operator::parse(&name).is_ok());
            }
        }
    }
    assert!(read > 60, "{read}");
}

#[test]
fn lifetimes_are_those_that_are_read() {
    let rule = &rules::jwt_issuer()[3];
    let object = rule.holds_in("object");
    let pattern = object.split_once("matches('").unwrap().1.split_once("')").unwrap().0;
    let pattern = regex(pattern);
    for text in [
        "30m",
        "1h30m",
        "1.5h",
        ".5m",
        "2.s",
        "+90s",
        "0s",
        "300ms",
        "1500000µs",
        "",
        "5",
        "1d",
        "-1h",
        "1 h",
        "h",
    ] {
        let spec = json!({"iss": "https://idp", "aud": ["x"], "tokenExpiry": text});
        let too_short = ["0s", "300ms"].contains(&text);
        assert_eq!(pattern.is_match(text), errors("JwtIssuer", &spec).is_empty() || too_short, "{text}");
    }
}

/// Whether a value of an operator is one, for the admission policies and when it is read.
fn fits(operator: &str, pattern: &str, text: &str) -> (bool, bool) {
    let number = regex(rules::NUMBER).is_match(text);
    let read =
        errors("Role", &json!({"policy": ["p"], "condition": {operator: {"jwt:x": [text]}}})).is_empty();
    (number || regex(pattern).is_match(text), read)
}

fn issuer(field: &str, url: &str) -> Value {
    let mut spec = json!({"iss": "https://idp", "aud": ["x"]});
    spec[field] = json!(url);
    spec
}

proptest! {
    #[test]
    fn numbers_are_those_that_are_read(text in r"[+-]?[0-9]{0,3}[.,]?[0-9]{0,2}([eE][+-]?[0-9]{0,2})?x?") {
        let (accepted, read) = fits("NumericEquals", rules::NUMBER, &text);
        prop_assert_eq!(accepted, read, "{:?}", text);
    }

    #[test]
    fn no_date_is_refused_that_is_read(
        date in r"[+-]?(00)?2026-?(0?1|12|13)-?(0?9|28|32)",
        time in r"[Tt_ ]?(12|25|7)?(:?(30|61))?(:?(15|60|61))?([.,]5)?",
        offset in r" ?(Z|z|[+-](01|1|99)(:?30)?(:15)?|)(\[Europe/Berlin\]|\[UTC\]|\[x\]|)",
    ) {
        for text in [format!("{date}{time}{offset}"), date] {
            let (accepted, read) = fits("DateEquals", rules::DATE, &text);
            prop_assert!(accepted || !read, "{:?}", text);
        }
    }

    #[test]
    fn resources_are_those_that_are_read(
        text in r"(\*|a|:|\$|\{|\}|\n|\$\{jwt:|\$\{jwt:(a|exp|/iat|/jti/a|expo|/|a:b|)\}|\$\{user\}){0,6}"
    ) {
        let accepted = regex(&rules::resource_pattern()).is_match(&text)
            && !regex(&rules::token_variable()).is_match(&text);
        let statement = json!({"sid": "s", "effect": "Allow", "action": ["*"], "resource": [text]});
        let found = errors("Policy", &json!({"statement": [statement]}));
        // A name of a variable that itself looks like one: refused, though it could be read.
        let nested = regex(r"\$\{jwt:[^}]*\$\{").is_match(&text);
        prop_assert!(accepted == found.is_empty() || nested, "{:?} {:?}", text, found);
    }

    #[test]
    fn values_are_those_that_are_read(
        text in r"(\*|a|:|\$|\{|\}|\n|\$\{jwt:|\$\{jwt:(a|exp|/iat|/jti/a|expo|/|a:b|)\}|\$\{user\}){0,6}"
    ) {
        let accepted = regex(&rules::value_pattern()).is_match(&text)
            && !regex(&rules::token_variable()).is_match(&text);
        let role = json!({"policy": ["p"], "condition": {"StringEqual": {"jwt:x": [text]}}});
        let found = errors("Role", &role);
        let nested = regex(r"\$\{jwt:[^}]*\$\{").is_match(&text);
        prop_assert!(accepted == found.is_empty() || nested, "{:?} {:?}", text, found);
    }

    #[test]
    fn issuers_are_those_that_are_read(
        url in r"(https|HTTPS|http|ftp|)(://|:/|)(idp|a\.b|localhost|127\.0\.0\.1|127x0x0x1|\[::1\]|a@b|é|)(:8080|:|)(/|/a/b|/a%20b| |/é|)(\?|\?a=b|#|#a|)"
    ) {
        let accepted = regex(&rules::issuer_pattern()).is_match(&url);
        prop_assert_eq!(accepted, errors("JwtIssuer", &issuer("iss", &url)).is_empty(), "{:?}", url);
        let accepted = regex(&rules::base_url_pattern()).is_match(&url);
        prop_assert_eq!(accepted, errors("JwtIssuer", &issuer("issInternal", &url)).is_empty(), "{:?}", url);
    }
}

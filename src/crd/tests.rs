//! What is reported of objects, and that closing is local.

use serde_json::json;

use super::*;
use crate::compile::{IssuerKeys, compile};
use crate::identity::{KeySet, OwnIssuer};
use Severity::{Error, Warning};

fn bundle(documents: &[Value]) -> Bundle {
    let mut bundle = Bundle::default();
    for (i, document) in documents.iter().enumerate() {
        read(document.clone(), &format!("test.yaml:{i}"), &Defaults::default(), &mut bundle);
    }
    bundle
}

/// Diagnostics of the linked whole, in order.
fn diagnostics(documents: &[Value]) -> Vec<Diagnostic> {
    let own = OwnIssuer::new("https://gateway", KeySet::default().into());
    compile(&bundle(documents), &IssuerKeys::new(), &own).1
}

fn object(kind: &str, spec: Value) -> Value {
    json!({"apiVersion": IAM_API_VERSION, "kind": kind, "metadata": {"name": "x"}, "spec": spec})
}

fn policy(spec: Value) -> Value {
    object("Policy", spec)
}

/// A Policy with one readable statement, but for these fields; a null takes one away.
fn statement(fields: Value) -> Value {
    let mut statement = json!({"sid": "s", "effect": "Allow", "action": "*", "resource": "*"});
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => statement.as_object_mut().unwrap().remove(name),
            other => statement.as_object_mut().unwrap().insert(name.clone(), other.clone()),
        };
    }
    policy(json!({"statement": [statement]}))
}

fn condition(condition: Value) -> Value {
    statement(json!({"condition": condition}))
}

fn issuer(fields: Value) -> Value {
    let mut spec = json!({"iss": "https://idp", "aud": ["gateway"]});
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object("JwtIssuer", spec)
}

/// The one diagnostic of an object that is called `x`.
#[track_caller]
fn check(document: Value, field: &str, severity: Severity, code: Code) {
    let kind = document["kind"].as_str().unwrap().to_owned();
    let found = diagnostics(std::slice::from_ref(&document));
    let [only] = found.as_slice() else { panic!("{document}: {found:#?}") };
    let object = only.object.as_ref().map(ToString::to_string);
    assert_eq!(object, Some(format!("{kind} openfaas/x")));
    assert_eq!((only.field.as_str(), only.severity, only.code), (field, severity, code), "{document} {only}");
    assert_eq!(only.origin, "test.yaml:0");
    assert!(!only.message.is_empty() && !only.message.contains('\n'));
}

#[track_caller]
fn check_clean(document: Value) {
    assert_eq!(diagnostics(&[document]), []);
}

#[test]
fn readable_objects_have_no_diagnostics() {
    check_clean(statement(json!({})));
    check_clean(statement(
        json!({"action": ["Function:*", "Secret:List"], "resource": ["dev:*", "${jwt:org}:a"]}),
    ));
    check_clean(condition(json!({"ForAnyValue:StringLikeIfExists": {"jwt:/a/b": ["x*", "${jwt:y}"]}})));
    check_clean(condition(
        json!({"NumericEquals": {"jwt:x": ["1", 2, "${jwt:y}"]}, "Bool": {"jwt:z": true}}),
    ));
    check_clean(issuer(json!({"tokenExpiry": "1h30m", "issInternal": "http://dex.default:5556"})));
    check_clean(issuer(json!({"tokenExpiry": null, "issInternal": null, "aud": "gateway"})));
    check_clean(json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [statement(json!({}))]}));
    check_clean(json!({"apiVersion": "v1", "kind": "List", "items": null}));
}

#[test]
fn documents_that_are_no_objects_leave_a_part_unreadable() {
    for document in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"kind": "Role"}),
        json!({"apiVersion": IAM_API_VERSION}),
        json!({"apiVersion": IAM_API_VERSION, "kind": "Polisy"}),
        json!({"apiVersion": "iam.openfaas.com/v2", "kind": "Policy"}),
        json!({"apiVersion": "v1", "kind": "List", "items": {}}),
        json!({"apiVersion": "v1", "kind": "List"}),
    ] {
        let bundle = bundle(std::slice::from_ref(&document));
        assert!(bundle.unreadable_part, "{document}");
        let [only] = bundle.diagnostics.as_slice() else { panic!("{document}") };
        assert_eq!((only.code, only.severity), (Code::UnreadableDocument, Error), "{document}");
        assert_eq!((&only.object, only.field.as_str()), (&None, ""));
    }
}

#[test]
fn objects_of_other_programs_are_ignored_with_a_warning() {
    let bundle = bundle(&[json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}})]);
    assert!(!bundle.unreadable_part);
    let [only] = bundle.diagnostics.as_slice() else { panic!("{:?}", bundle.diagnostics) };
    assert_eq!((only.code, only.severity), (Code::IgnoredKind, Warning));
}

#[test]
fn an_object_without_a_readable_name_or_namespace_leaves_a_part_unreadable() {
    for (metadata, field, code) in [
        (json!(null), "metadata.name", Code::MissingField),
        (json!({"name": ""}), "metadata.name", Code::MissingField),
        (json!({"name": 5}), "metadata.name", Code::MissingField),
        (json!({"name": "x", "namespace": 5}), "metadata.namespace", Code::WrongType),
    ] {
        let mut document = statement(json!({}));
        document["metadata"] = metadata;
        let bundle = bundle(&[document]);
        assert!(bundle.unreadable_part && bundle.policies.is_empty());
        let [only] = bundle.diagnostics.as_slice() else { panic!("{:?}", bundle.diagnostics) };
        assert_eq!((only.field.as_str(), only.code, only.severity), (field, code, Error));
    }
}

#[test]
fn objects_without_a_namespace_are_of_the_default_one() {
    for namespace in [json!(null), json!("")] {
        let mut document = statement(json!({}));
        document["metadata"] = json!({"name": "x", "namespace": namespace});
        assert_eq!(bundle(&[document]).policies[0].reference.namespace, "openfaas");
    }
    let function = json!({"apiVersion": FUNCTION_API_VERSION, "kind": "Function", "metadata": {"name": "x"},
        "spec": {"name": "x"}});
    assert_eq!(bundle(&[function]).functions[0].reference.namespace, "openfaas-fn");
}

#[test]
fn an_unknown_field_beside_spec_is_a_warning_and_inside_an_error() {
    let mut document = statement(json!({}));
    document["specs"] = json!({});
    check(document, "specs", Warning, Code::UnknownField);
    check(statement(json!({"conditions": {}})), "spec.statement[0].conditions", Error, Code::UnknownField);
    check(
        policy(
            json!({"statement": [{"sid": "s", "effect": "Allow", "action": "*", "resource": "*"}], "rules": 1}),
        ),
        "spec.rules",
        Error,
        Code::UnknownField,
    );
    check(issuer(json!({"audience": "x"})), "spec.audience", Error, Code::UnknownField);
    let role = object("Role", json!({"policy": ["p"], "principal": {"jwt:sub": "a"}, "conditions": {}}));
    let codes: Vec<_> = diagnostics(&[role]).into_iter().map(|d| (d.field, d.severity, d.code)).collect();
    assert_eq!(
        codes,
        [
            ("spec.conditions".to_owned(), Error, Code::UnknownField),
            ("spec.policy[0]".to_owned(), Warning, Code::MissingPolicy),
        ]
    );
}

#[test]
fn unreadable_specs_are_errors() {
    check(policy(json!(null)), "spec", Error, Code::MissingField);
    check(policy(json!([])), "spec", Error, Code::WrongType);
    check(policy(json!({})), "spec.statement", Error, Code::MissingField);
    check(policy(json!({"statement": {}})), "spec.statement", Error, Code::WrongType);
    check(policy(json!({"statement": ["x"]})), "spec.statement[0]", Error, Code::WrongType);
    check(object("Role", json!("x")), "spec", Error, Code::WrongType);
    check(object("JwtIssuer", json!(null)), "spec", Error, Code::MissingField);
}

#[test]
fn fields_of_statements_are_checked() {
    let field = |name: &str| format!("spec.statement[0].{name}");
    check(policy(json!({"statement": []})), "spec.statement", Warning, Code::GrantsNothing);
    check(statement(json!({"sid": null})), &field("sid"), Warning, Code::MissingField);
    check(statement(json!({"effect": null})), &field("effect"), Error, Code::MissingField);
    check(statement(json!({"effect": true})), &field("effect"), Error, Code::WrongType);
    check(statement(json!({"effect": "allow"})), &field("effect"), Error, Code::InvalidEffect);
    check(statement(json!({"action": null})), &field("action"), Error, Code::MissingField);
    check(statement(json!({"action": []})), &field("action"), Error, Code::Empty);
    check(statement(json!({"action": ["*", {}]})), &field("action[1]"), Error, Code::WrongType);
    check(
        statement(json!({"action": ["*", "Function:Read"]})),
        &field("action[1]"),
        Warning,
        Code::UnknownAction,
    );
    let deny = json!({"effect": "Deny", "action": ["*", "Function:Read"]});
    check(statement(deny), &field("action[1]"), Error, Code::UnknownAction);
    check(statement(json!({"resource": null})), &field("resource"), Error, Code::MissingField);
    check(statement(json!({"resource": []})), &field("resource"), Error, Code::Empty);
    check(statement(json!({"resource": ["*", 1.5]})), &field("resource[1]"), Error, Code::WrongType);
    check(statement(json!({"resource": ["*", "dev"]})), &field("resource[1]"), Error, Code::InvalidResource);
    check(statement(json!({"resource": "${org}:*"})), &field("resource[0]"), Error, Code::InvalidResource);
}

#[test]
fn a_sid_that_stands_twice_is_a_warning() {
    let statement = json!({"sid": "s", "effect": "Allow", "action": "*", "resource": "*"});
    let twice = policy(json!({"statement": [statement, statement]}));
    check(twice, "spec.statement[1].sid", Warning, Code::DuplicateSid);
}

#[test]
fn parts_of_conditions_are_checked() {
    let field = |path: &str| format!("spec.statement[0].condition{path}");
    check(condition(json!({})), &field(""), Error, Code::Empty);
    check(condition(json!("x")), &field(""), Error, Code::WrongType);
    let mut null = statement(json!({}));
    null["spec"]["statement"][0]["condition"] = Value::Null;
    check(null, &field(""), Error, Code::MissingField);
    let operator = |operator: &str| condition(json!({operator: {"jwt:x": "true"}}));
    check(operator("StringMatch"), &field(".StringMatch"), Error, Code::UnknownOperator);
    check(operator("ForAnyValue:Bool"), &field(".ForAnyValue:Bool"), Error, Code::UnknownOperator);
    check(condition(json!({"Bool": {}})), &field(".Bool"), Error, Code::Empty);
    check(condition(json!({"Bool": []})), &field(".Bool"), Error, Code::WrongType);
    check(condition(json!({"Bool": {"x": true}})), &field(".Bool.x"), Error, Code::UnknownKey);
    check(condition(json!({"Bool": {"jwt:exp": true}})), &field(".Bool.jwt:exp"), Error, Code::UnknownKey);
    check(condition(json!({"Bool": {"jwt:x": []}})), &field(".Bool.jwt:x"), Error, Code::Empty);
    check(
        condition(json!({"Bool": {"jwt:x": [true, null]}})),
        &field(".Bool.jwt:x[1]"),
        Error,
        Code::WrongType,
    );
    check(condition(json!({"Bool": {"jwt:x": "yes"}})), &field(".Bool.jwt:x"), Error, Code::InvalidValue);
    let variable = condition(json!({"StringLike": {"jwt:x": ["a", "${user}"]}}));
    check(variable, &field(".StringLike.jwt:x"), Error, Code::InvalidValue);
    let vacuous = condition(json!({"NullIfExists": {"jwt:x": "false"}}));
    check(vacuous, &field(".NullIfExists.jwt:x"), Warning, Code::VacuousCondition);
}

#[test]
fn fields_of_roles_are_checked() {
    let check = |spec: Value, field: &str, severity, code| {
        let role = object("Role", spec);
        let named = json!({"apiVersion": IAM_API_VERSION, "kind": "Policy", "metadata": {"name": "p"}, "spec":
            {"statement": [{"sid": "s", "effect": "Allow", "action": "*", "resource": "*"}]}});
        let found = diagnostics(&[role, named]);
        let [only] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((only.field.as_str(), only.severity, only.code), (field, severity, code));
    };
    let everyone = json!({"jwt:iss": "https://idp"});
    check(json!({"policy": "p"}), "spec", Warning, Code::MatchesNobody);
    check(json!({"principal": everyone}), "spec.policy", Warning, Code::GrantsNothing);
    check(json!({"policy": [], "principal": everyone}), "spec.policy", Error, Code::Empty);
    check(json!({"policy": ["p", null], "principal": everyone}), "spec.policy[1]", Error, Code::WrongType);
    check(
        json!({"policy": ["p", "gone"], "principal": everyone}),
        "spec.policy[1]",
        Warning,
        Code::MissingPolicy,
    );
    check(json!({"policy": "p", "principal": {}}), "spec.principal", Error, Code::Empty);
    check(json!({"policy": "p", "principal": ["x"]}), "spec.principal", Error, Code::WrongType);
    check(json!({"policy": "p", "principal": null}), "spec.principal", Error, Code::MissingField);
    check(json!({"policy": "p", "principal": {"sub": "x"}}), "spec.principal.sub", Error, Code::UnknownKey);
    check(json!({"policy": "p", "principal": {"jwt:sub": []}}), "spec.principal.jwt:sub", Error, Code::Empty);
    check(json!({"policy": "p", "condition": {}}), "spec.condition", Error, Code::Empty);
    let unknown = json!({"policy": "p", "condition": {"X": {"jwt:sub": "a"}}});
    check(unknown, "spec.condition.X", Error, Code::UnknownOperator);
}

#[test]
fn a_missing_policy_is_an_error_while_a_part_cannot_be_read() {
    let role = object("Role", json!({"policy": "gone", "principal": {"jwt:sub": "a"}}));
    let found = diagnostics(&[role, json!(null)]);
    let missing = found.iter().find(|d| d.code == Code::MissingPolicy).unwrap();
    assert_eq!((missing.severity, missing.field.as_str()), (Error, "spec.policy[0]"));
}

#[test]
fn fields_of_issuers_are_checked() {
    check(object("JwtIssuer", json!({"iss": "https://idp"})), "spec.aud", Error, Code::MissingField);
    check(object("JwtIssuer", json!({"aud": "gateway"})), "spec.iss", Error, Code::MissingField);
    check(issuer(json!({"aud": []})), "spec.aud", Error, Code::Empty);
    check(issuer(json!({"aud": [{}]})), "spec.aud[0]", Error, Code::WrongType);
    check(issuer(json!({"iss": 5})), "spec.iss", Error, Code::WrongType);
    for iss in
        ["", "idp", "http://idp", "https://", "https://idp?x", "https://idp#x", "https://a@idp", "ftp://idp"]
    {
        check(issuer(json!({"iss": iss})), "spec.iss", Error, Code::InvalidIssuer);
    }
    for iss in ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:1", "https://idp/realms/x"] {
        check_clean(issuer(json!({"iss": iss})));
    }
    check(issuer(json!({"issInternal": "dex"})), "spec.issInternal", Error, Code::InvalidIssuer);
    check(issuer(json!({"issInternal": 5})), "spec.issInternal", Error, Code::WrongType);
    check(issuer(json!({"tokenExpiry": 5})), "spec.tokenExpiry", Error, Code::WrongType);
    for expiry in ["5", "", "1d", "-1h", "0s"] {
        check(issuer(json!({"tokenExpiry": expiry})), "spec.tokenExpiry", Error, Code::InvalidDuration);
    }
}

#[test]
fn an_unreadable_issuer_admits_nothing() {
    assert!(bundle(&[issuer(json!({"audience": "x"}))]).issuers[0].spec.is_none());
    assert!(bundle(&[issuer(json!({}))]).issuers[0].spec.is_some());
}

#[test]
fn issuers_that_disagree_on_where_keys_are_fetched_are_all_closed() {
    let mut other = issuer(json!({"issInternal": "http://dex"}));
    other["metadata"]["name"] = json!("y");
    let documents = [issuer(json!({})), other];
    let found = diagnostics(&documents);
    assert_eq!(found.len(), 2);
    for diagnostic in found {
        assert_eq!((diagnostic.code, diagnostic.severity), (Code::ConflictingIssuer, Error));
        assert_eq!(diagnostic.field, "spec.issInternal");
    }
    let own = OwnIssuer::new("https://gateway", KeySet::default().into());
    assert!(compile(&bundle(&documents), &IssuerKeys::new(), &own).0.issuers.wanted().is_empty());
}

#[test]
fn objects_of_one_name_are_reported_where_they_stand() {
    let found = diagnostics(&[statement(json!({})), statement(json!({"effect": "Deny"}))]);
    let places: Vec<_> = found.iter().map(|d| d.origin.as_str()).collect();
    assert_eq!(places, ["test.yaml:0", "test.yaml:1"]);
    for diagnostic in &found {
        assert_eq!((diagnostic.code, diagnostic.severity), (Code::DuplicateObject, Error));
        assert!(diagnostic.message.contains("test.yaml:0, test.yaml:1"));
    }
    let mut elsewhere = statement(json!({}));
    elsewhere["metadata"]["namespace"] = json!("other");
    assert_eq!(diagnostics(&[statement(json!({})), elsewhere]), []);
}

#[test]
fn one_bad_statement_is_closed_alone() {
    let good = json!({"sid": "good", "effect": "Allow", "action": "*", "resource": "*"});
    let bad_deny = json!({"sid": "deny", "effect": "Deny", "action": "*", "resource": "dev"});
    let bad_allow = json!({"sid": "allow", "effect": "Allow", "action": "*", "resource": "dev"});
    let bundle = bundle(&[policy(json!({"statement": [good, bad_deny, bad_allow]}))]);
    let statements = &bundle.policies[0].spec.statements;
    let read: Vec<_> = statements.iter().map(|s| (s.sid.as_str(), s.closed)).collect();
    assert_eq!(read, [("good", false), ("deny", true)]);
}

#[test]
fn every_problem_is_reported_at_once() {
    let condition = json!({"X": {}, "Bool": {"x": 1}});
    let bad = json!({
        "effect": "deny", "action": [], "resource": ["dev", "a:b:c"], "condition": condition,
    });
    let found = diagnostics(&[policy(json!({"statement": [bad], "extra": 1}))]);
    let fields: Vec<_> = found.iter().map(|d| d.field.trim_start_matches("spec.").to_owned()).collect();
    assert_eq!(
        fields,
        [
            "extra",
            "statement[0].action",
            "statement[0].condition.Bool.x",
            "statement[0].condition.X",
            "statement[0].effect",
            "statement[0].resource[0]",
            "statement[0].resource[1]",
            "statement[0].sid",
        ]
    );
}

#[test]
fn a_function_asks_for_tokens_by_its_environment() {
    let asks = |spec: Value| {
        let function = json!({"apiVersion": FUNCTION_API_VERSION, "kind": "Function", "metadata": {"name": "x"},
            "spec": spec, "anything": 1});
        let bundle = bundle(&[function]);
        (bundle.functions[0].spec.jwt_auth, bundle.diagnostics.len())
    };
    for value in [json!("true"), json!("1"), json!(true), json!(1)] {
        assert_eq!(asks(json!({"name": "f", "environment": {"jwt_auth": value}})), (true, 0), "{value}");
    }
    for value in [json!("false"), json!("0"), json!(false), json!(null)] {
        assert_eq!(asks(json!({"name": "f", "environment": {"jwt_auth": value}})), (false, 0), "{value}");
    }
    assert_eq!(asks(json!({"name": "f"})), (false, 0));
    assert_eq!(asks(json!({"name": "f", "environment": []})), (true, 1));
    assert_eq!(asks(json!(null)), (true, 1));
}

#[test]
fn a_diagnostic_is_one_line_with_place_object_and_field() {
    let found = diagnostics(&[statement(json!({"effect": "deny"}))]);
    assert_eq!(
        found[0].to_string(),
        "test.yaml:0: error[invalid-effect] Policy openfaas/x spec.statement[0].effect: \
         `deny` is no effect: write `Allow` or `Deny`"
    );
}

#[test]
fn a_deployment_asks_for_tokens_where_a_container_does_or_may() {
    let read = |labels: Value, container: Value| {
        let pod = json!({"metadata": {"labels": {"faas_function": "called"}}, "spec": {"containers": [
            {"name": "sidecar"}, container,
        ]}});
        bundle(&[json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "named", "namespace": "fn", "labels": labels}, "spec": {"template": pod},
        })])
    };
    let env = |env: Value| json!({"env": env});
    let said =
        |value: Value| env(json!([{"name": "other", "value": "true"}, {"name": "jwt_auth", "value": value}]));
    let from = json!({"name": "jwt_auth", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}});
    let all_of = json!([{"configMapRef": {"name": "x"}}]);
    for (container, asks, problems) in [
        (json!({}), false, 0),
        (said(json!("true")), true, 0),
        (said(json!("1")), true, 0),
        (said(json!("false")), false, 0),
        (said(json!("True")), false, 0),
        (said(json!(null)), false, 0),
        (env(json!([{"name": "jwt_auth"}])), false, 0),
        (env(json!([{"name": "JWT_AUTH", "value": "true"}])), false, 0),
        (said(json!(true)), true, 1),
        (said(json!("$(OTHER)")), true, 1),
        (
            env(json!([{"name": "jwt_auth", "value": "true"}, {"name": "jwt_auth", "value": "false"}])),
            true,
            0,
        ),
        (env(json!([from])), true, 1),
        (env(json!({"jwt_auth": "false"})), true, 1),
        (json!({"envFrom": all_of}), true, 1),
        (json!({"envFrom": all_of, "env": [{"name": "jwt_auth", "value": "false"}]}), false, 0),
        (json!({"envFrom": []}), false, 0),
    ] {
        let bundle = read(json!({"faas_function": "labelled"}), container.clone());
        let [only] = bundle.functions.as_slice() else { panic!("{container}") };
        assert_eq!(only.spec.jwt_auth, asks, "{container}");
        assert_eq!(only.spec.names, ["called", "labelled", "named"].map(str::to_owned).into(), "{container}");
        assert_eq!(bundle.diagnostics.len(), problems, "{container} {:?}", bundle.diagnostics);
    }
    let other = read(json!({"app": "x"}), json!({}));
    assert!(other.functions.is_empty() && other.diagnostics.iter().all(|d| d.code == Code::IgnoredKind));
    let broken = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {},
        "metadata": {"name": "named", "labels": {"faas_function": "named"}}});
    let broken = bundle(&[broken]);
    assert!(broken.functions.iter().all(|function| function.spec.jwt_auth) && broken.diagnostics.len() == 1);
}

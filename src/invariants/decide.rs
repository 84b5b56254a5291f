//! The decision and the reference evaluator agree, and the laws hold.

use serde_json::{Map, Value, json};

use super::world::{Asking, World};
use crate::decide::reference::{Answer, Verdict};
use crate::json::parse_unambiguous_object;
use crate::policy::{Action, Context, Resource};

/// For the decision; the bytes are JSON:
///
/// ```json
/// {"documents": [], "unreadable": false, "claims": {}, "action": "Function:Get",
///  "namespace": "dev", "name": "f", "sourceIp": "10.0.0.1", "method": "GET", "now": 1704067200}
/// ```
pub fn decide(data: &[u8]) -> bool {
    let Ok(object) = parse_unambiguous_object(data) else { return false };
    let documents = object.get("documents").and_then(Value::as_array).cloned().unwrap_or_default();
    let unreadable_part = object.get("unreadable").and_then(Value::as_bool).unwrap_or_default();
    lawful(&World { documents, unreadable_part }, &asking(&object)) != Verdict::Deny
}

/// What holds for every world and every question; the answer.
pub(super) fn lawful(world: &World, asking: &Asking) -> Verdict {
    let answer = world.decision(asking);
    assert_eq!(answer, world.reference(asking), "the reference evaluator disagrees");

    let reversed = World { documents: world.documents.iter().rev().cloned().collect(), ..world.clone() };
    assert_eq!(answer, reversed.decision(asking), "the order counts");

    let with = |documents: &[Value]| World {
        documents: [world.documents.as_slice(), documents].concat(),
        unreadable_part: world.unreadable_part,
    };
    let denied = with(&everybody("Deny", &asking.claims)).decision(asking);
    assert_eq!(denied.verdict, Verdict::Deny, "a Deny on everything does not deny");
    let more = with(&everybody("Allow", &asking.claims)).decision(asking);
    assert!(openness(&more) >= openness(&answer), "another Allow denies: {answer:?} {more:?}");
    let less = World { unreadable_part: true, ..world.clone() }.decision(asking);
    assert!(openness(&less) <= openness(&answer), "an unreadable part allows: {answer:?} {less:?}");
    answer.verdict
}

/// A question; what is missing is the usual.
fn asking(object: &Map<String, Value>) -> Asking {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let mut claims = object.get("claims").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, usual) in [("iss", "https://idp"), ("sub", "alice")] {
        if !claims.get(name).is_some_and(Value::is_string) {
            claims.insert(name.to_owned(), usual.into());
        }
    }
    let action = text("action").and_then(Action::parse).unwrap_or(Action::FunctionGet);
    let (namespace, name) = (text("namespace").unwrap_or("dev"), text("name").unwrap_or("f"));
    let context = Context {
        source_ip: text("sourceIp").and_then(|address| address.parse().ok()),
        now: object.get("now").and_then(Value::as_i64).unwrap_or(1_704_067_200),
        method: text("method").map(str::to_owned),
    };
    Asking { claims, context, action, resource: resource(action, namespace, name) }
}

/// What the action is asked about.
pub(super) fn resource(action: Action, namespace: &str, name: &str) -> Resource {
    match action {
        Action::SystemInfo | Action::IamReview => Resource::Cluster,
        Action::NamespaceList => Resource::AllNamespaces,
        Action::FunctionList
        | Action::SecretList
        | Action::NamespaceGet
        | Action::NamespaceCreate
        | Action::NamespaceUpdate
        | Action::NamespaceDelete => Resource::Namespace(namespace.to_owned()),
        _ => Resource::object(namespace, name),
    }
}

/// A Policy on everything and a Role that binds the person who asks, with names that nobody else has.
fn everybody(effect: &str, claims: &Map<String, Value>) -> [Value; 2] {
    let object = |kind: &str, spec: Value| {
        let metadata = json!({"name": "added-by-the-invariants", "namespace": "openfaas"});
        json!({"apiVersion": "iam.openfaas.com/v1", "kind": kind, "metadata": metadata, "spec": spec})
    };
    let statement = json!({"sid": "all", "effect": effect, "action": ["*"], "resource": ["*"]});
    let issuer = json!({"jwt:iss": [claims.get("iss")]});
    [
        object("Policy", json!({"statement": [statement]})),
        object("Role", json!({"policy": ["added-by-the-invariants"], "principal": issuer})),
    ]
}

fn openness(answer: &Answer) -> u8 {
    match answer.verdict {
        Verdict::Deny => 0,
        Verdict::Filter => 1,
        Verdict::Allow => 2,
    }
}

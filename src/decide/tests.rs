//! The decision, held against the reference evaluator, against laws, and against tables.

mod agreement;
mod all;
mod combining;
mod laws;
mod lists;
mod operators;
mod resources;
mod roles;
mod worlds;

use serde_json::{Map, Value, json};

use super::StatementRef;
use super::reference::{Answer, Verdict};
use crate::invariants::world::{Asking, World};
use crate::policy::{Action, Context, Resource, Truth};
use crate::reason::Reason;

impl World {
    fn new(documents: impl IntoIterator<Item = Value>) -> Self {
        Self { documents: documents.into_iter().collect(), unreadable_part: false }
    }

    /// What both answer; they must agree.
    #[track_caller]
    fn ask(&self, asking: &Asking) -> Answer {
        let answer = self.decision(asking);
        assert_eq!(answer, self.reference(asking), "the reference disagrees: {self:?} {asking:?}");
        answer
    }
}

impl Asking {
    fn new(claims: Value, action: Action, resource: Resource) -> Self {
        let mut all = map(json!({"iss": "https://idp", "sub": "alice"}));
        all.extend(map(claims));
        let context = Context {
            source_ip: Some("10.1.2.3".parse().unwrap()),
            now: 1_704_067_200,
            method: Some("GET".into()),
        };
        Self { claims: all, context, action, resource }
    }

    /// Alice gets the function `dev:checkout`.
    fn plain() -> Self {
        Self::plain_with(json!({}))
    }

    /// As [`Asking::plain`], with more claims.
    fn plain_with(claims: Value) -> Self {
        Self::new(claims, Action::FunctionGet, Resource::object("dev", "checkout"))
    }
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "iam.openfaas.com/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn policy(name: &str, statements: Value) -> Value {
    object("Policy", name, json!({"statement": statements}))
}

/// A Role that binds everyone of the test's issuer to one Policy.
fn role(name: &str, policy: &str) -> Value {
    object("Role", name, json!({"policy": [policy], "principal": {"jwt:iss": "https://idp"}}))
}

/// One Role that names one Policy with these statements.
fn granted(statements: Value) -> World {
    World::new([role("r", "p"), policy("p", statements)])
}

fn statement(effect: &str, action: &str, resource: &str) -> Value {
    json!({"sid": "s", "effect": effect, "action": action, "resource": resource})
}

/// The value of a statement's condition, as the decisions show it: an Allow needs true, a Deny
/// applies unless it is false.
#[track_caller]
fn truth_of(condition: &Value, asking: &Asking) -> Truth {
    let with = |effect: &str| {
        let mut conditional = statement(effect, "*", "*");
        conditional["condition"] = condition.clone();
        conditional
    };
    let allows = granted(json!([with("Allow")])).ask(asking).verdict == Verdict::Allow;
    let denies = granted(json!([statement("Allow", "*", "*"), with("Deny")])).ask(asking);
    match (allows, denies.reason) {
        (true, Reason::ExplicitDeny) => Truth::True,
        (false, Reason::ExplicitDeny) => Truth::Indeterminate,
        (false, Reason::Allowed) => Truth::False,
        other => panic!("{condition}: {other:?}"),
    }
}

fn found(role: &str, policy: &str, sid: &str) -> StatementRef {
    StatementRef { role: role.into(), policy: policy.into(), sid: sid.into() }
}

//! Decisions over several resources, and the Policies that an identity has.

use super::super::{decide_all, policies_of};
use super::*;
use crate::identity::{Claims, Principal};

fn alice() -> Principal {
    let Asking { claims, .. } = Asking::plain();
    Principal { issuer: "https://idp".into(), subject: "alice".into(), claims: Claims::from_foreign(claims) }
}

#[track_caller]
fn check(resources: &[Resource], verdict: Verdict, sids: &[&str], decisive: Option<usize>) {
    let world = granted(json!([
        {"sid": "a", "effect": "Allow", "action": "*", "resource": "a:*"},
        {"sid": "b", "effect": "Allow", "action": "*", "resource": "b:*"},
        {"sid": "c", "effect": "Allow", "action": "*", "resource": "c:x*"},
        {"sid": "no", "effect": "Deny", "action": "*", "resource": "no:*"},
    ]));
    let context = Asking::plain().context;
    let (principal, snapshot) = (alice(), world.snapshot());
    let (decision, resource) = decide_all(&snapshot, &principal, Action::FunctionList, resources, &context);
    let answer = Answer::from(&decision);
    let statements: Vec<_> = sids.iter().map(|sid| found("r", "p", sid)).collect();
    assert_eq!((answer.verdict, answer.statements), (verdict, statements));
    assert_eq!(resource, decisive.map(|i| &resources[i]));
}

#[test]
fn each_of_several_resources_must_be_allowed() {
    let [a, b, c, no, other] = ["a", "b", "c", "no", "other"].map(|name| Resource::Namespace(name.into()));
    check(std::slice::from_ref(&a), Verdict::Allow, &["a"], Some(0));
    check(&[b.clone(), a.clone()], Verdict::Allow, &["a", "b"], Some(0));
    check(&[a.clone(), c.clone()], Verdict::Filter, &["a", "c"], Some(0));
    check(&[c.clone(), a.clone(), b], Verdict::Filter, &["a", "b", "c"], Some(0));
    check(&[a.clone(), no.clone(), c.clone()], Verdict::Deny, &["no"], Some(1));
    check(&[c, other, no], Verdict::Deny, &[], Some(1));
    check(&[], Verdict::Deny, &[], None);
}

#[test]
fn the_policies_of_an_identity_are_those_of_roles_that_match_for_certain() {
    let named = |name: &str, policies: Value, principal: Value| {
        object("Role", name, json!({"policy": policies, "principal": principal}))
    };
    let good = json!([statement("Allow", "*", "*")]);
    let world = World::new([
        named("r1", json!(["p2", "p1", "gone", "bad"]), json!({"jwt:sub": "alice"})),
        named("r2", json!(["p1"]), json!({"jwt:iss": "https://idp"})),
        named("r3", json!(["p3"]), json!({"jwt:sub": "bob"})),
        named("r4", json!(["p4"]), json!({})),
        policy("p1", good.clone()),
        policy("p2", good.clone()),
        policy("p3", good.clone()),
        policy("p4", good),
        policy("bad", json!(null)),
    ]);
    assert_eq!(policies_of(&world.snapshot(), &alice(), &Context::default()), ["p1", "p2"]);
}

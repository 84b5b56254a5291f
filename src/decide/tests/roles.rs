//! Whom Roles bind to what, and what is closed where something cannot be read or found.

use super::*;

const ALLOW: &str = "Allow";

/// The world of one Role with this spec, naming a Policy that allows everything.
fn bound(spec: Value) -> World {
    World::new([object("Role", "r", spec), policy("p", json!([statement(ALLOW, "*", "*")]))])
}

/// As [`bound`], beside a Role that allows everything, for a Policy that denies everything.
fn bound_to_deny(spec: Value) -> World {
    World::new([
        role("open", "open"),
        policy("open", json!([statement(ALLOW, "*", "*")])),
        object("Role", "r", spec),
        policy("p", json!([statement("Deny", "*", "*")])),
    ])
}

/// Whether the Role matches Alice, as its Allow and Deny statements show.
#[track_caller]
fn check(mut spec: Value, claims: Value, expected: Truth) {
    spec["policy"] = json!(["p"]);
    let asking = Asking::plain_with(claims);
    let allows = bound(spec.clone()).ask(&asking);
    let denies = bound_to_deny(spec.clone()).ask(&asking);
    let (allow, deny) = match expected {
        Truth::True => (Reason::Allowed, Reason::ExplicitDeny),
        Truth::Indeterminate => (Reason::NoMatchingRole, Reason::ExplicitDeny),
        Truth::False => (Reason::NoMatchingRole, Reason::Allowed),
    };
    assert_eq!((allows.reason, denies.reason), (allow, deny), "{spec}");
}

#[test]
fn principal_is_or_between_values_and_and_between_keys() {
    let check = |principal: Value, expected| {
        check(json!({"principal": principal}), json!({"n": 7, "l": ["a"], "team": "a"}), expected);
    };
    check(json!({"jwt:sub": "alice"}), Truth::True);
    check(json!({"jwt:sub": ["bob", "alice"]}), Truth::True);
    check(json!({"jwt:sub": ["bob"]}), Truth::False);
    check(json!({"jwt:sub": ["ALICE", "al*", "alice "]}), Truth::False);
    check(json!({"jwt:sub": "alice", "jwt:team": "a"}), Truth::True);
    check(json!({"jwt:sub": "alice", "jwt:team": "b"}), Truth::False);
    check(json!({"jwt:sub": "alice", "jwt:gone": "b"}), Truth::False);
    check(json!({"jwt:n": 7}), Truth::True);
    check(json!({"jwt:l": "a"}), Truth::Indeterminate);
    check(json!({"jwt:sub": "bob", "jwt:l": "a"}), Truth::False);
}

#[test]
fn values_of_principal_are_literal_text() {
    check(json!({"principal": {"jwt:sub": "${jwt:sub}"}}), json!({}), Truth::False);
    check(json!({"principal": {"jwt:sub": "${jwt:sub"}}), json!({"sub": "${jwt:sub"}), Truth::True);
}

#[test]
fn principal_and_condition_must_both_hold() {
    let spec = |sub: &str, team: &str| {
        let condition = json!({"StringEqual": {"jwt:team": team}});
        json!({"principal": {"jwt:sub": sub}, "condition": condition})
    };
    check(spec("alice", "a"), json!({"team": "a"}), Truth::True);
    check(spec("bob", "a"), json!({"team": "a"}), Truth::False);
    check(spec("alice", "b"), json!({"team": "a"}), Truth::False);
    check(spec("alice", "b"), json!({"team": ["a"]}), Truth::Indeterminate);
    check(spec("bob", "b"), json!({"team": ["a"]}), Truth::False);
    check(json!({"condition": {"StringLike": {"jwt:sub": "al*"}}}), json!({}), Truth::True);
}

#[test]
fn roles_about_subject_or_issuer_match_however_they_ask() {
    for (key, own, other) in [("jwt:sub", "alice", "bob"), ("jwt:iss", "https://idp", "https://other")] {
        for (operator, values, expected) in [
            ("StringEqual", json!([other, own]), Truth::True),
            ("StringEqual", json!([other]), Truth::False),
            ("StringEqual", json!([other, 1.5]), Truth::Indeterminate),
            ("StringEqual", json!([other, format!("${{{key}}}")]), Truth::True),
            ("StringEqual", json!([other, "${jwt:gone}"]), Truth::Indeterminate),
            ("StringEqualIfExists", json!([other]), Truth::False),
            ("StringNotEqual", json!([other]), Truth::True),
            ("StringNotEqual", json!([own]), Truth::False),
            ("StringNotLike", json!([other]), Truth::True),
            ("StringEqualIgnoreCase", json!([own.to_uppercase()]), Truth::True),
            ("StringLike", json!([own]), Truth::True),
            ("StringLike", json!([other, "*"]), Truth::True),
            ("StringLike", json!([other]), Truth::False),
            ("ForAnyValue:StringEqual", json!([own]), Truth::True),
            ("ForAnyValue:StringNotEqual", json!([other]), Truth::True),
            ("ForAllValues:StringNotLike", json!([other]), Truth::True),
            ("Null", json!(["false"]), Truth::True),
        ] {
            check(json!({"condition": {operator: {key: values}}}), json!({}), expected);
        }
    }
}

#[test]
fn a_role_with_neither_principal_nor_condition_matches_nobody() {
    check(json!({}), json!({}), Truth::False);
}

#[test]
fn what_cannot_be_read_of_a_role_closes_for_those_whom_the_rest_does_not_exclude() {
    for unreadable in
        [json!({}), json!(null), json!([]), json!("alice"), json!({"sub": "alice"}), json!({"jwt:sub": []})]
    {
        check(json!({"principal": unreadable}), json!({}), Truth::Indeterminate);
        let excluded = json!({"principal": unreadable, "condition": {"StringEqual": {"jwt:sub": "bob"}}});
        check(excluded, json!({}), Truth::False);
    }
    check(json!({"principal": {"jwt:sub": "alice"}, "condition": {}}), json!({}), Truth::Indeterminate);
    check(json!({"principal": {"jwt:sub": "alice"}, "conditions": {}}), json!({}), Truth::Indeterminate);
    check(json!({"principal": {"jwt:sub": "bob"}, "conditions": {}}), json!({}), Truth::False);
    check(json!({"principals": {"jwt:sub": "alice"}}), json!({}), Truth::Indeterminate);
}

#[test]
fn a_role_whose_spec_is_no_map_matches_nobody() {
    for spec in [json!(null), json!([]), json!("x")] {
        assert_eq!(bound(spec).ask(&Asking::plain()).reason, Reason::NoMatchingRole);
    }
}

#[track_caller]
fn check_closed(world: World, statements: &[StatementRef]) {
    let answer = world.ask(&Asking::plain());
    let reason = if statements.is_empty() { Reason::Allowed } else { Reason::InvalidPolicy };
    assert_eq!((answer.reason, answer.statements.as_slice()), (reason, statements), "{world:?}");
}

/// A Role that allows everything, with these documents beside it.
fn beside_open(documents: impl IntoIterator<Item = Value>) -> World {
    let open = [role("open", "open"), policy("open", json!([statement(ALLOW, "*", "*")]))];
    World::new(open.into_iter().chain(documents))
}

#[track_caller]
fn check_open(world: World) {
    let answer = world.ask(&Asking::plain());
    assert_eq!(answer.statements, [found("open", "open", "s")], "{world:?}");
    assert_eq!(answer.verdict, Verdict::Allow);
}

#[test]
fn an_unreadable_policy_closes_for_those_whose_roles_name_it() {
    for spec in [json!(null), json!([]), json!({}), json!({"statement": {}}), json!({"statement": null})] {
        let bad = object("Policy", "p", spec);
        check_closed(beside_open([role("r", "p"), bad.clone()]), &[found("r", "p", "unreadable")]);
        check_open(beside_open([bad]));
    }
}

#[test]
fn an_unknown_field_of_a_policy_closes_it() {
    let bad = object("Policy", "p", json!({"statement": [], "condition": {}}));
    check_closed(beside_open([role("r", "p"), bad]), &[found("r", "p", "spec")]);
}

#[test]
fn an_unreadable_statement_closes_unless_it_is_plainly_an_allow() {
    for bad in [
        json!(null),
        json!("Allow"),
        json!({}),
        json!({"effect": "allow", "action": "*", "resource": "*"}),
        json!({"action": "*", "resource": "*"}),
        json!({"effect": true, "action": "*", "resource": "*"}),
        json!({"effect": "Deny", "resource": "*"}),
        json!({"effect": "Deny", "action": "*"}),
        json!({"effect": "Deny", "action": "System:Info", "resource": "*", "conditions": {}}),
        json!({"effect": "Deny", "action": [], "resource": "*"}),
        json!({"effect": "Deny", "action": "Function:Read", "resource": "*"}),
        json!({"effect": "Deny", "action": ["System:Info", "Function:Read"], "resource": "*"}),
    ] {
        let world = beside_open([role("r", "p"), policy("p", json!([bad]))]);
        check_closed(world, &[found("r", "p", "#0")]);
    }
    for grants_nothing in [
        json!({"effect": "Allow"}),
        json!({"effect": "Allow", "action": "*", "resource": "dev"}),
        json!({"effect": "Allow", "action": "*", "resource": "*", "conditions": {}}),
        json!({"effect": "Allow", "action": "Function:Read", "resource": "*"}),
        json!({"effect": "Allow", "action": ["*", null], "resource": "*"}),
        json!({"effect": "Allow", "action": "*", "resource": "*", "condition": null}),
    ] {
        check_open(beside_open([role("r", "p"), policy("p", json!([grants_nothing]))]));
        let alone = granted(json!([grants_nothing])).ask(&Asking::plain());
        assert_eq!(alone.reason, Reason::NoMatchingAllow, "{grants_nothing}");
    }
}

#[test]
fn one_unreadable_allow_does_not_unmake_the_others() {
    let statements = json!([{"effect": "Allow", "action": "*"}, statement(ALLOW, "*", "*")]);
    assert_eq!(granted(statements).ask(&Asking::plain()).statements, [found("r", "p", "s")]);
    let unknown = json!([{"effect": "Allow", "action": ["Function:Read", "Function:Get"], "resource": "*"}]);
    assert_eq!(granted(unknown).ask(&Asking::plain()).statements, [found("r", "p", "#0")]);
}

#[test]
fn an_explicit_deny_among_unreadable_ones_is_the_reason() {
    let statements = json!([statement("Deny", "*", "*"), {"effect": "deny"}]);
    let answer = granted(statements).ask(&Asking::plain());
    assert_eq!(answer.reason, Reason::ExplicitDeny);
    assert_eq!(answer.statements, [found("r", "p", "#1"), found("r", "p", "s")]);
}

#[test]
fn a_missing_policy_is_nothing_and_closed_only_while_a_part_cannot_be_read() {
    let world = beside_open([role("r", "gone")]);
    check_open(world.clone());
    check_closed(World { unreadable_part: true, ..world.clone() }, &[found("r", "gone", "unreadable")]);
    for unreadable in [
        json!(null),
        json!({"kind": "Policy", "metadata": {"name": "gone"}, "spec": {}}),
        json!({"apiVersion": "iam.openfaas.com/v2", "kind": "Policy", "metadata": {"name": "gone"}}),
        json!({"apiVersion": "v1", "kind": "List", "items": "x"}),
        json!({"apiVersion": "v1", "kind": "List", "item": []}),
        json!({"apiVersion": "iam.openfaas.com/v1", "kind": "Policy", "metadata": {"name": 5}}),
        json!({
            "apiVersion": "iam.openfaas.com/v1", "kind": "Policy", "metadata": {"name": "gone", "namespace": 5},
        }),
    ] {
        let mut world = world.clone();
        world.documents.push(unreadable);
        check_closed(world, &[found("r", "gone", "unreadable")]);
    }
}

#[test]
fn an_unreadable_name_of_a_policy_closes_and_the_others_stand() {
    for names in [json!([]), json!(null), json!(["open", null]), json!({"p": 1})] {
        let spec = json!({"policy": names, "principal": {"jwt:sub": "alice"}});
        check_closed(beside_open([object("Role", "r", spec)]), &[found("r", "unreadable", "unreadable")]);
    }
}

#[test]
fn two_policies_of_one_name_are_both_closed() {
    let twice = [policy("p", json!([])), policy("p", json!([statement(ALLOW, "*", "*")]))];
    let world = beside_open([role("r", "p")].into_iter().chain(twice.clone()));
    check_closed(world, &[found("r", "p", "unreadable")]);
    check_open(beside_open(twice));
}

#[test]
fn two_roles_of_one_name_grant_nothing_and_still_deny() {
    let twice = [role("r", "p"), role("r", "p")];
    let allow =
        World::new(twice.clone().into_iter().chain([policy("p", json!([statement(ALLOW, "*", "*")]))]));
    assert_eq!(allow.ask(&Asking::plain()).reason, Reason::NoMatchingRole);
    let deny = beside_open(twice.into_iter().chain([policy("p", json!([statement("Deny", "*", "*")]))]));
    assert_eq!(deny.ask(&Asking::plain()).reason, Reason::ExplicitDeny);
}

#[test]
fn a_role_names_policies_of_its_own_namespace() {
    let mut elsewhere = policy("p", json!([statement(ALLOW, "*", "*")]));
    elsewhere["metadata"]["namespace"] = json!("other");
    let world = World::new([role("r", "p"), elsewhere.clone()]);
    assert_eq!(world.ask(&Asking::plain()).reason, Reason::NoMatchingAllow);
    let mut role_there = role("r", "p");
    role_there["metadata"]["namespace"] = json!("other");
    assert_eq!(World::new([role_there, elsewhere]).ask(&Asking::plain()).reason, Reason::Allowed);
}

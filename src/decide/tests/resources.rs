//! What resource patterns cover.

use super::*;
use Action::{
    FunctionGet, FunctionList, NamespaceDelete, NamespaceList, SecretDelete, SecretList, SystemInfo,
};
use Verdict::{Allow, Deny, Filter};

/// The verdicts where only an Allow names the pattern, and where a Deny names it beside an Allow on
/// everything.
#[track_caller]
fn check(pattern: &str, action: Action, resource: &Resource, allowing: Verdict, denying: Verdict) {
    check_with(json!({}), pattern, action, resource, allowing, denying);
}

#[track_caller]
fn check_with(
    claims: Value,
    pattern: &str,
    action: Action,
    resource: &Resource,
    allowing: Verdict,
    denying: Verdict,
) {
    let asking = Asking::new(claims, action, resource.clone());
    let allow = granted(json!([statement("Allow", "*", pattern)]));
    let deny = granted(json!([statement("Allow", "*", "*"), statement("Deny", "*", pattern)]));
    let verdicts = (allow.ask(&asking).verdict, deny.ask(&asking).verdict);
    assert_eq!(verdicts, (allowing, denying), "{pattern} {action} {resource}");
}

#[test]
fn the_cluster_is_matched_by_the_star_only() {
    check("*", SystemInfo, &Resource::Cluster, Allow, Deny);
    for pattern in ["*:*", "dev:*", "**:**"] {
        check(pattern, SystemInfo, &Resource::Cluster, Deny, Allow);
    }
}

#[test]
fn a_named_object_is_matched_when_both_halves_match() {
    let object = Resource::object("dev", "checkout");
    for pattern in ["*", "*:*", "dev:*", "dev:checkout", "d?v:check*", "*:*out", "dev*:checkout*"] {
        check(pattern, FunctionGet, &object, Allow, Deny);
    }
    for pattern in ["dev:check", "ev:checkout", "DEV:checkout", "dev:Checkout", "prod:*", "?:*", "*:?"] {
        check(pattern, FunctionGet, &object, Deny, Allow);
    }
}

#[test]
fn a_namespace_is_matched_where_every_name_is() {
    let namespace = Resource::Namespace("dev".into());
    for action in [FunctionList, SecretList, NamespaceDelete] {
        for pattern in ["*", "*:*", "dev:*", "d*:*", "dev:**"] {
            check(pattern, action, &namespace, Allow, Deny);
        }
        check("prod:*", action, &namespace, Deny, Allow);
    }
    for pattern in ["dev:check*", "dev:?*", "*:a", "dev:dev"] {
        check(pattern, SecretList, &namespace, Deny, Allow);
        check(pattern, NamespaceDelete, &namespace, Deny, Allow);
    }
}

#[test]
fn functions_are_listed_in_part_where_rights_are_on_some_of_them() {
    let namespace = Resource::Namespace("dev".into());
    for pattern in ["dev:check*", "dev:?*", "*:a"] {
        check(pattern, FunctionList, &namespace, Filter, Filter);
    }
    check("prod:a", FunctionList, &namespace, Deny, Allow);
}

#[test]
fn all_objects_at_once_are_matched_in_part_where_some_of_them_are() {
    let all = Resource::Objects("dev".into());
    for action in [FunctionGet, SecretDelete] {
        for pattern in ["*", "*:*", "dev:*", "d*:**"] {
            check(pattern, action, &all, Allow, Deny);
        }
        for pattern in ["dev:check*", "dev:?*", "*:a", "dev:dev"] {
            check(pattern, action, &all, Filter, Filter);
        }
        check("prod:*", action, &all, Deny, Allow);
    }
}

#[test]
fn namespaces_are_listed_in_part_where_rights_are_on_some_of_them() {
    let all = Resource::AllNamespaces;
    for pattern in ["*", "*:*"] {
        check(pattern, NamespaceList, &all, Allow, Deny);
    }
    for pattern in ["dev:*", "d*:*", "?*:*"] {
        check(pattern, NamespaceList, &all, Filter, Filter);
    }
    for pattern in ["dev:a", "*:a", "*:?*"] {
        check(pattern, NamespaceList, &all, Deny, Allow);
    }
}

#[test]
fn variables_are_replaced_by_dns_labels() {
    let object = Resource::object("team-acme", "checkout");
    let acme = || json!({"org": "acme", "deep": {"org": ["acme"]}, "https://idp/org": "acme"});
    for pattern in [
        "team-${jwt:org}:*",
        "team-${jwt:/deep/org/0}:check*",
        "*:*",
        "team-${jwt:https://idp/org}:*",
        "${jwt:gone}:*",
    ] {
        let allowing = if pattern.contains("gone") { Deny } else { Allow };
        check_with(acme(), pattern, FunctionGet, &object, allowing, Deny);
    }
    check_with(json!({"org": "other"}), "team-${jwt:org}:*", FunctionGet, &object, Deny, Allow);
    check_with(json!({"n": 7}), "ns-${jwt:n}:*", FunctionGet, &Resource::object("ns-7", "a"), Allow, Deny);
}

#[test]
fn a_variable_without_a_dns_label_matches_nothing_in_an_allow_and_any_text_in_a_deny() {
    let inside = Resource::object("team-acme", "checkout");
    let outside = Resource::object("dev", "checkout");
    for org in [
        json!(null),
        json!(""),
        json!("*"),
        json!("?cme"),
        json!("acme:x"),
        json!("Acme"),
        json!("acme-"),
        json!("a.b"),
        json!("${jwt:sub}"),
        json!("a".repeat(64)),
        json!(1.5),
        json!(-7),
        json!(["acme"]),
        json!({}),
    ] {
        let claims = json!({"org": org});
        check_with(claims.clone(), "team-${jwt:org}:*", FunctionGet, &inside, Deny, Deny);
        check_with(claims.clone(), "team-${jwt:org}:*", FunctionGet, &outside, Deny, Allow);
        check_with(claims, "team-acme:${jwt:org}", FunctionGet, &inside, Deny, Deny);
    }
    let namespace = Resource::Namespace("dev".into());
    check("dev:${jwt:org}", NamespaceDelete, &namespace, Deny, Deny);
    check("dev:a${jwt:org}", FunctionList, &namespace, Deny, Filter);
    check("${jwt:org}:*", NamespaceList, &Resource::AllNamespaces, Deny, Deny);
    check("a${jwt:org}:*", NamespaceList, &Resource::AllNamespaces, Deny, Filter);
}

#[test]
fn a_wildcard_beside_a_variable_stays_one() {
    let claims = || json!({"org": "acme"});
    check_with(claims(), "${jwt:org}*:*", FunctionGet, &Resource::object("acme-x", "a"), Allow, Deny);
    check_with(claims(), "${jwt:org}*:*", FunctionGet, &Resource::object("xacme", "a"), Deny, Allow);
    check_with(claims(), "$:*", FunctionGet, &Resource::object("acme", "a"), Deny, Allow);
}

#[test]
fn what_is_no_pattern_grants_nothing_and_closes() {
    let object = Resource::object("dev", "checkout");
    for resource in [
        json!("dev"),
        json!(""),
        json!("dev:"),
        json!(":checkout"),
        json!(":"),
        json!("dev:checkout:1"),
        json!("**"),
        json!("${jwt:org"),
        json!("${org}:*"),
        json!("${jwt:exp}:*"),
        json!("${jwt:}:*"),
        json!("${jwt:org}"),
        json!(null),
        json!([]),
        json!({}),
        json!(["*", null]),
        json!(["dev:*", "dev"]),
    ] {
        let unreadable = |effect: &str| {
            let mut unreadable = statement(effect, "*", "*");
            unreadable["resource"] = resource.clone();
            unreadable
        };
        let asking = Asking::new(json!({}), FunctionGet, object.clone());
        let allow = granted(json!([unreadable("Allow")])).ask(&asking);
        assert_eq!(allow.reason, Reason::NoMatchingAllow, "{resource}");
        let deny = granted(json!([statement("Allow", "*", "*"), unreadable("Deny")])).ask(&asking);
        assert_eq!(deny.reason, Reason::InvalidPolicy, "{resource}");
    }
}

#[test]
fn a_function_that_may_ask_for_tokens_does() {
    let function = |name: &str, jwt_auth: &str| {
        let spec = json!({"name": name, "environment": {"jwt_auth": jwt_auth}});
        json!({"apiVersion": "openfaas.com/v1", "kind": "Function", "metadata": {"name": name}, "spec": spec})
    };
    let asks = |world: &World, name: &str| world.snapshot().asks_for_token("openfaas-fn", name);
    let mut world = World::new([function("open", "false"), function("closed", "true")]);
    let found = |world: &World| ["open", "closed", "unknown"].map(|name| asks(world, name));
    assert_eq!(found(&world), [false, true, false]);
    // The unknown one may stand in the part that cannot be read.
    world.unreadable_part = true;
    assert_eq!(found(&world), [false, true, true]);

    let twice = World::new([function("open", "false"), function("open", "false")]);
    assert!(asks(&twice, "open"), "objects that stand twice are closed");
}

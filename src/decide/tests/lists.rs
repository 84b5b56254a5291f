//! Lists that are answered whole, in part, or not at all, and the statements that say so.

use super::*;

#[track_caller]
fn check(action: Action, statements: Value, verdict: Verdict, reason: Reason, sids: &[&str]) {
    let resource = match action {
        Action::NamespaceList => Resource::AllNamespaces,
        _ => Resource::Namespace("dev".into()),
    };
    let answer = granted(statements).ask(&Asking::new(json!({}), action, resource));
    let statements = sids.iter().map(|sid| found("r", "p", sid)).collect();
    assert_eq!(answer, Answer { verdict, reason, statements });
}

fn named(sid: &str, effect: &str, resource: &str) -> Value {
    json!({"sid": sid, "effect": effect, "action": "*:List", "resource": resource})
}

#[test]
fn a_namespace_is_listed_whole_by_an_allow_on_all_of_it() {
    let statements = json!([named("whole", "Allow", "dev:*"), named("part", "Allow", "dev:a*")]);
    check(Action::FunctionList, statements, Verdict::Allow, Reason::Allowed, &["whole"]);
}

#[test]
fn an_allow_on_some_functions_lists_in_part() {
    let statements = json!([named("b", "Allow", "dev:b*"), named("a", "Allow", "dev:a*")]);
    check(Action::FunctionList, statements.clone(), Verdict::Filter, Reason::Allowed, &["a", "b"]);
    check(Action::SecretList, statements, Verdict::Deny, Reason::NoMatchingAllow, &[]);
}

#[test]
fn a_deny_on_some_functions_cuts_the_list() {
    let statements = json!([named("whole", "Allow", "*"), named("cut", "Deny", "dev:a*")]);
    check(Action::FunctionList, statements.clone(), Verdict::Filter, Reason::Allowed, &["cut", "whole"]);
    check(Action::SecretList, statements, Verdict::Allow, Reason::Allowed, &["whole"]);
}

#[test]
fn a_deny_on_the_namespace_denies_the_list() {
    let statements =
        json!([named("whole", "Allow", "*"), named("no", "Deny", "d*:*"), named("cut", "Deny", "dev:a*"),]);
    check(Action::FunctionList, statements, Verdict::Deny, Reason::ExplicitDeny, &["no"]);
}

#[test]
fn a_deny_on_some_functions_alone_allows_nothing() {
    let statements = json!([named("cut", "Deny", "dev:a*")]);
    check(Action::FunctionList, statements, Verdict::Deny, Reason::NoMatchingAllow, &[]);
}

#[test]
fn namespaces_are_listed_whole_in_part_or_not_at_all() {
    let check = |statements, verdict, reason, sids: &[&str]| {
        check(Action::NamespaceList, statements, verdict, reason, sids);
    };
    check(json!([named("all", "Allow", "*:*")]), Verdict::Allow, Reason::Allowed, &["all"]);
    check(json!([named("one", "Allow", "dev:*")]), Verdict::Filter, Reason::Allowed, &["one"]);
    check(json!([named("object", "Allow", "dev:a")]), Verdict::Deny, Reason::NoMatchingAllow, &[]);
    let cut = json!([named("all", "Allow", "*"), named("cut", "Deny", "secret:*")]);
    check(cut, Verdict::Filter, Reason::Allowed, &["all", "cut"]);
    let none = json!([named("all", "Allow", "*"), named("none", "Deny", "*:*")]);
    check(none, Verdict::Deny, Reason::ExplicitDeny, &["none"]);
}

#[test]
fn an_unreadable_deny_closes_lists() {
    let statements = json!([named("whole", "Allow", "*"), named("bad", "Deny", "dev")]);
    for action in [Action::FunctionList, Action::NamespaceList] {
        check(action, statements.clone(), Verdict::Deny, Reason::InvalidPolicy, &["bad"]);
    }
}

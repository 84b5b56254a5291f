//! What a function token may hold: where its identity may invoke functions, and the claims that the
//! live decision will need again.

use std::collections::BTreeSet;

use crate::compile::{LinkedRole, Snapshot};
use crate::identity::Principal;
use crate::policy::key::ClaimKey;
use crate::policy::pattern::Glob;
use crate::policy::{Action, Context, Effect, Statement, Truth};

/// The resource patterns on which `Function:Invoke` is allowed, variables expanded: sorted, unique.
///
/// A pattern that a Deny may cut is left out, since a token cannot say what is cut; so is one that
/// holds `?`, which those who read the token may not know.
pub fn permissions(snapshot: &Snapshot, principal: &Principal, context: &Context) -> Vec<String> {
    let (mut allowed, mut denied) = (Vec::new(), Vec::new());
    for role in snapshot.candidates(principal) {
        let matches = role.role.matches(principal, context);
        for statement in statements(role).filter(|s| s.actions.matches(Action::FunctionInvoke)) {
            let applies =
                || statement.condition.as_ref().map_or(Truth::True, |c| c.truth(principal, context));
            let list = match statement.effect {
                Effect::Allow if matches == Truth::True && applies() == Truth::True => &mut allowed,
                Effect::Deny if matches != Truth::False && applies() != Truth::False => &mut denied,
                _ => continue,
            };
            let patterns = statement.resources.iter();
            list.extend(patterns.filter_map(|pattern| pattern.resolve(principal, statement.effect)));
        }
    }
    let cut = |pattern: &[Glob; 2]| denied.iter().any(|deny| intersect(pattern, deny));
    let whole = allowed.iter().filter(|pattern| !cut(pattern));
    let texts = whole.map(|[namespace, name]| match namespace.is_any() && name.is_any() {
        true => "*".to_owned(),
        false => format!("{namespace}:{name}"),
    });
    let texts: BTreeSet<String> = texts.filter(|text| !text.contains('?')).collect();
    texts.into_iter().collect()
}

/// The claims that the live decision about `Function:Invoke` looks at, by name or JSON Pointer: those
/// that the Roles that match, and their Policies, ask for; and of other Roles that could deny, those
/// that tell that they do not match. A claim that is not known grants nothing.
pub fn claims(snapshot: &Snapshot, principal: &Principal, context: &Context) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut name = |claim: &ClaimKey| {
        named.insert(claim.as_str().to_owned());
    };
    for role in snapshot.roles() {
        let matches = role.role.matches(principal, context) != Truth::False;
        let denies = |s: &Statement| s.effect == Effect::Deny && s.actions.matches(Action::FunctionInvoke);
        if matches || statements(role).any(denies) {
            role.role.claims().for_each(&mut name);
        }
        if matches {
            statements(role).flat_map(Statement::claims).for_each(&mut name);
        }
    }
    named
}

fn statements(role: &LinkedRole) -> impl Iterator<Item = &Statement> {
    role.policies.iter().flat_map(|linked| &linked.policy.statements)
}

fn intersect([namespace, name]: &[Glob; 2], [other_namespace, other_name]: &[Glob; 2]) -> bool {
    namespace.may_intersect(other_namespace) && name.may_intersect(other_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Bundle, IssuerKeys, compile};
    use crate::crd::Defaults;
    use crate::decide::{Request, decide};
    use crate::identity::verify::described;
    use crate::identity::{Claims, KeySet, OwnIssuer};
    use crate::policy::Resource;
    use crate::reason::Reason;
    use crate::source::files::read_documents;
    use serde_json::json;

    fn world(statements: &str) -> Snapshot {
        let objects = format!(
            r#"
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {{name: p}}
spec:
  statement:
{statements}
---
apiVersion: iam.openfaas.com/v1
kind: Role
metadata: {{name: r}}
spec: {{policy: [p], condition: {{StringEqual: {{"jwt:team": [dev]}}}}}}
---
apiVersion: iam.openfaas.com/v1
kind: Role
metadata: {{name: others}}
spec: {{policy: [p], condition: {{StringNotEqual: {{"jwt:dept": [hr]}}}}}}
"#
        );
        let mut bundle = Bundle::default();
        read_documents(&objects, "test", &Defaults::default(), &mut bundle);
        let own = OwnIssuer::new("https://gw", KeySet::default().into());
        let (snapshot, diagnostics) = compile(&bundle, &IssuerKeys::new(), &own);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        snapshot
    }

    fn alice() -> Principal {
        let claims = json!({
            "iss": "https://idp", "sub": "alice", "aud": "x", "team": "dev", "dept": "hr", "phone": "1"
        });
        described(claims.as_object().unwrap().clone()).unwrap()
    }

    #[track_caller]
    fn check(statements: &str, expected: &[&str]) {
        assert_eq!(permissions(&world(statements), &alice(), &Context::default()), expected);
    }

    #[test]
    fn permissions_are_what_is_allowed_with_variables_expanded() {
        check(
            r#"
  - {sid: a, effect: Allow, action: ["Function:*"], resource: ["${jwt:team}:*", "x:y", "x:y", "q?:*", "${jwt:none}:*"]}
  - {sid: b, effect: Allow, action: ["Function:Get"], resource: ["*"]}"#,
            &["dev:*", "x:y"],
        );
        check(r#"  - {sid: a, effect: Allow, action: ["*"], resource: ["*"]}"#, &["*"]);
    }

    #[test]
    fn what_a_deny_may_cut_is_left_out() {
        check(
            r#"
  - {sid: a, effect: Allow, action: ["*"], resource: ["dev:*", "dev:pay", "test:*", "prod:a*"]}
  - {sid: b, effect: Deny, action: ["Function:Invoke"], resource: ["dev:p*", "prod:*z"]}
  - {sid: c, effect: Deny, action: ["Function:Delete"], resource: ["test:*"]}"#,
            &["test:*"],
        );
    }

    #[test]
    fn a_role_that_could_deny_is_told_apart_by_its_claims() {
        let snapshot = world(
            r#"
  - {sid: a, effect: Allow, action: ["*"], resource: ["*"]}
  - {sid: b, effect: Deny, action: ["Function:Invoke"], resource: ["prod:*"]}"#,
        );
        let named = claims(&snapshot, &alice(), &Context::default());
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["dept", "team"]);
    }

    #[test]
    fn what_is_not_known_of_an_identity_closes() {
        let snapshot = world(
            r#"
  - {sid: a, effect: Allow, action: ["*"], resource: ["*"], condition: {StringNotEqual: {"jwt:phone": ["2"]}}}
  - {sid: b, effect: Deny, action: ["*"], resource: ["prod:*"], condition: {StringEqual: {"jwt:level": ["1"]}}}"#,
        );
        let with = |known: &[&str]| {
            let mut principal = alice();
            let mut claims = principal.claims.as_map().clone();
            claims.insert("level".into(), json!(null));
            claims.retain(|name, _| {
                known.contains(&name.as_str()) || ["iss", "sub", "aud"].contains(&name.as_str())
            });
            principal.claims = Claims::from_foreign(claims).in_part();
            principal
        };
        let context = Context::default();
        let ask = |principal: &Principal, namespace: &str| {
            let resource = Resource::object(namespace, "f");
            let action = Action::FunctionInvoke;
            decide(&snapshot, &Request { principal, action, resource: &resource, context: &context }).reason()
        };
        let whole = with(&["team", "dept", "phone", "level"]);
        assert_eq!((ask(&whole, "dev"), ask(&whole, "prod")), (Reason::Allowed, Reason::Allowed));
        let no_phone = with(&["team", "dept", "level"]);
        assert_eq!(ask(&no_phone, "dev"), Reason::NoMatchingAllow, "an Allow needs to be certain");
        let no_level = with(&["team", "dept", "phone"]);
        assert_eq!((ask(&no_level, "dev"), ask(&no_level, "prod")), (Reason::Allowed, Reason::ExplicitDeny));
        let no_team = with(&["dept", "phone", "level"]);
        assert_eq!(ask(&no_team, "dev"), Reason::NoMatchingRole);
    }

    #[test]
    fn only_the_claims_that_the_live_decision_needs_are_named() {
        let snapshot = world(
            r#"  - {sid: a, effect: Allow, action: ["*"], resource: ["${jwt:team}:*"], condition: {Bool: {"jwt:/a/b": ["true"]}}}"#,
        );
        let named = claims(&snapshot, &alice(), &Context::default());
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["/a/b", "team"]);
    }
}

//! What a function token may hold: where its identity may invoke functions, and the claims that the
//! live decision will need again.

use std::collections::BTreeSet;

use crate::compile::{LinkedRole, Snapshot};
use crate::identity::{Claims, Principal};
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
/// that the Roles that match, and their Policies, ask for; and of other Roles those without which
/// they would begin to match.
pub fn claims(snapshot: &Snapshot, principal: &Principal, context: &Context) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let roles: Vec<_> = snapshot.roles().map(|role| (role, role.role.matches(principal, context))).collect();
    for (role, _) in roles.iter().filter(|(_, matches)| *matches != Truth::False) {
        named.extend(role.role.claims().chain(statements(role).flat_map(Statement::claims)).map(name_of));
    }
    // Each round names the claims of one Role more, so there are no more rounds than Roles.
    for _ in 0..roles.len() {
        let reduced = reduce(principal, &named);
        let differs =
            |(role, matches): &&(&LinkedRole, Truth)| role.role.matches(&reduced, context) != *matches;
        let Some((role, _)) = roles.iter().find(differs) else { break };
        named.extend(role.role.claims().map(name_of));
    }
    named
}

fn statements(role: &LinkedRole) -> impl Iterator<Item = &Statement> {
    role.policies.iter().flat_map(|linked| &linked.policy.statements)
}

fn intersect([namespace, name]: &[Glob; 2], [other_namespace, other_name]: &[Glob; 2]) -> bool {
    namespace.may_intersect(other_namespace) && name.may_intersect(other_name)
}

fn name_of(claim: &ClaimKey) -> String {
    match claim {
        ClaimKey::Name(text) | ClaimKey::Pointer(text) => text.clone(),
    }
}

/// The identity with the top-level claims that are named, and those that travel anyway.
fn reduce(principal: &Principal, named: &BTreeSet<String>) -> Principal {
    let kept: BTreeSet<String> = named
        .iter()
        .filter_map(|name| ClaimKey::parse(name).ok())
        .map(|claim| claim.claim().into_owned())
        .chain(["iss", "sub", "aud"].map(str::to_owned))
        .collect();
    let mut claims = principal.claims.as_map().clone();
    claims.retain(|name, _| kept.contains(name));
    Principal { claims: Claims::from_foreign(claims), ..principal.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Bundle, IssuerKeys, compile};
    use crate::crd::Defaults;
    use crate::identity::verify::described;
    use crate::identity::{KeySet, OwnIssuer};
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
    fn only_the_claims_that_the_live_decision_needs_are_named() {
        let snapshot = world(
            r#"  - {sid: a, effect: Allow, action: ["*"], resource: ["${jwt:team}:*"], condition: {Bool: {"jwt:/a/b": ["true"]}}}"#,
        );
        let named = claims(&snapshot, &alice(), &Context::default());
        // Without `dept` the Role `others` would match.
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["/a/b", "dept", "team"]);
    }
}

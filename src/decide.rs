//! The decision: pure, total, synchronous.
//!
//! Allowed only if some statement allows, and none denies; the order of nothing matters.

pub mod authorize;
pub mod credentials;
pub mod decision;
pub mod invocations;
#[cfg(any(test, feature = "test-util"))]
pub mod reference;

pub use decision::{Decision, Denial, Permit, StatementRef};

use crate::compile::{LinkedRole, Snapshot};
use crate::identity::Principal;
use crate::policy::{Action, Context, Cover, Effect, Resource, Truth};
use crate::reason::Reason;

/// Who wants to do what, and under which circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The original identity.
    pub principal: &'a Principal,
    /// What is to be done.
    pub action: Action,
    /// What it is done to.
    pub resource: &'a Resource,
    /// The circumstances.
    pub context: &'a Context,
}

/// Decides one request.
pub fn decide(snapshot: &Snapshot, request: &Request<'_>) -> Decision {
    let mut findings = Findings::default();
    for role in snapshot.candidates(request.principal) {
        match role.role.matches(request.principal, request.context) {
            Truth::False => continue,
            Truth::Indeterminate => findings.consider(role, request, Truth::Indeterminate),
            Truth::True => {
                findings.role_matches = true;
                findings.consider(role, request, Truth::True);
            }
        }
    }
    findings.decide()
}

/// Decides a request that touches several resources: each must be allowed. The first that is not
/// decides; where all are, the permit names every determining statement.
pub fn decide_all<'a>(
    snapshot: &Snapshot,
    principal: &Principal,
    action: Action,
    resources: &'a [Resource],
    context: &Context,
) -> (Decision, Option<&'a Resource>) {
    let mut sum: Option<(Decision, &Resource)> = None;
    for resource in resources {
        let decision = decide(snapshot, &Request { principal, action, resource, context });
        sum = match (sum, decision) {
            (_, decision @ Decision::Deny(_)) => return (decision, Some(resource)),
            (None, decision) => Some((decision, resource)),
            (Some((earlier, first)), decision) => Some((earlier.and(decision), first)),
        };
    }
    match sum {
        Some((decision, resource)) => (decision, Some(resource)),
        None => (Decision::Deny(Denial::new(Reason::InternalError, Vec::new())), None),
    }
}

/// Names of the readable Policies of the Roles that match an identity for certain: sorted, unique.
pub fn policies_of(snapshot: &Snapshot, principal: &Principal, context: &Context) -> Vec<String> {
    let roles = snapshot.candidates(principal);
    let matching = roles.filter(|role| role.role.matches(principal, context) == Truth::True);
    let named = matching.flat_map(|role| role.policies.iter().filter(|policy| policy.readable));
    let mut names: Vec<String> = named.map(|policy| policy.name.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

/// Statements that bear on a request.
#[derive(Default)]
struct Findings {
    role_matches: bool,
    allows: Vec<(StatementRef, Cover)>,
    denies: Vec<(StatementRef, Cover, bool)>,
}

impl Findings {
    fn consider(&mut self, role: &LinkedRole, request: &Request<'_>, matches: Truth) {
        for linked in &role.policies {
            for statement in &linked.policy.statements {
                if statement.effect == Effect::Allow && matches != Truth::True {
                    continue;
                }
                let Request { principal, action, resource, context } = *request;
                let cover = statement.cover(action, resource, principal, context);
                if cover == Cover::None {
                    continue;
                }
                let found = StatementRef {
                    role: role.reference.name.clone(),
                    policy: linked.name.to_string(),
                    sid: statement.sid.clone(),
                };
                match statement.effect {
                    Effect::Allow => self.allows.push((found, cover)),
                    Effect::Deny => self.denies.push((found, cover, statement.closed)),
                }
            }
        }
    }

    fn decide(self) -> Decision {
        let Self { role_matches, allows, denies } = self;
        let whole_denies: Vec<_> = denies.iter().filter(|(_, cover, _)| *cover == Cover::Whole).collect();
        if !whole_denies.is_empty() {
            let all_closed = whole_denies.iter().all(|(_, _, closed)| *closed);
            let reason = if all_closed { Reason::InvalidPolicy } else { Reason::ExplicitDeny };
            let statements = whole_denies.into_iter().map(|(found, ..)| found.clone()).collect();
            return Decision::Deny(Denial::new(reason, statements));
        }
        if allows.is_empty() {
            let reason = if role_matches { Reason::NoMatchingAllow } else { Reason::NoMatchingRole };
            return Decision::Deny(Denial::new(reason, Vec::new()));
        }
        let whole_allows = allows.iter().filter(|(_, cover)| *cover == Cover::Whole).map(|(found, _)| found);
        let whole_allows: Vec<StatementRef> = whole_allows.cloned().collect();
        if !whole_allows.is_empty() && denies.is_empty() {
            return Decision::Allow(Permit::new(Reason::Allowed, whole_allows));
        }
        let allows = allows.into_iter().map(|(found, _)| found);
        let statements = allows.chain(denies.into_iter().map(|(found, ..)| found)).collect();
        Decision::Filter(Permit::new(Reason::Allowed, statements))
    }
}

#[cfg(test)]
mod tests;

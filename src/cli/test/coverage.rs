//! Which statements decided a case, and which none did.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::compile::Bundle;
use crate::decide::StatementRef;

/// The statements of all objects under test, and whether a case rests on them.
#[derive(Default)]
pub(super) struct Coverage(BTreeMap<Statement, bool>);

/// A statement of a Policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Statement {
    /// Where the Policy stands.
    pub(super) origin: String,
    pub(super) policy: String,
    pub(super) sid: String,
}

/// Where Policies stand.
pub(super) struct Places {
    /// Namespace and origin, by name.
    policies: BTreeMap<String, Vec<(String, String)>>,
    /// The namespaces of Roles, by name.
    roles: BTreeMap<String, BTreeSet<String>>,
}

// === impl Places ===

impl Places {
    pub(super) fn new(bundle: &Bundle) -> Self {
        let mut places = Self { policies: BTreeMap::new(), roles: BTreeMap::new() };
        for object in &bundle.policies {
            let place = (object.reference.namespace.clone(), object.origin.clone());
            places.policies.entry(object.reference.name.clone()).or_default().push(place);
        }
        for object in &bundle.roles {
            let namespace = object.reference.namespace.clone();
            places.roles.entry(object.reference.name.clone()).or_default().insert(namespace);
        }
        places
    }

    /// Namespace and origin of the Policy that a statement belongs to: a Role names those of its own
    /// namespace.
    fn of_policy(&self, statement: &StatementRef) -> impl Iterator<Item = (&str, &str)> {
        let namespaces = self.roles.get(&statement.role);
        let named = self.policies.get(&statement.policy).into_iter().flatten();
        named
            .filter(move |(namespace, _)| namespaces.is_some_and(|of_role| of_role.contains(namespace)))
            .map(|(namespace, origin)| (namespace.as_str(), origin.as_str()))
    }
}

// === impl Coverage ===

impl Coverage {
    pub(super) fn add(&mut self, bundle: &Bundle) {
        for object in &bundle.policies {
            for statement in &object.spec.statements {
                let (origin, sid) = (object.origin.clone(), statement.sid.clone());
                let policy = format!("{}/{}", object.reference.namespace, object.reference.name);
                self.0.entry(Statement { origin, policy, sid }).or_insert(false);
            }
        }
    }

    /// Notes that a decision rests on a statement. Returns where its Policy stands; a Policy that
    /// cannot be read stands in for its statements and is named without them.
    pub(super) fn decided(&mut self, places: &Places, statement: &StatementRef) -> Vec<String> {
        let of_policy = places.of_policy(statement).map(|(namespace, origin)| {
            let policy = format!("{namespace}/{}", statement.policy);
            let key = Statement { origin: origin.to_owned(), policy, sid: statement.sid.clone() };
            if let Some(decided) = self.0.get_mut(&key) {
                *decided = true;
            }
            key.origin
        });
        of_policy.collect()
    }

    pub(super) fn statements(&self) -> usize {
        self.0.len()
    }

    /// Those on which no case rests.
    pub(super) fn undecided(&self) -> Vec<&Statement> {
        self.0.iter().filter(|(_, decided)| !**decided).map(|(statement, _)| statement).collect()
    }
}

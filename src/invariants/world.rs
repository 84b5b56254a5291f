//! Objects and a question about them, which the decision and the reference evaluator both answer.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::compile::{Bundle, IssuerKeys, Snapshot, compile};
use crate::crd::{Defaults, read};
use crate::decide::reference::{Answer, Question, answer};
use crate::decide::{Request, decide};
use crate::identity::{Claims, KeySet, OwnIssuer, Principal};
use crate::policy::{Action, Context, Resource};

/// The objects of a source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct World {
    pub(crate) documents: Vec<Value>,
    pub(crate) unreadable_part: bool,
}

/// What is asked of a world.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) claims: Map<String, Value>,
    pub(crate) context: Context,
    pub(crate) action: Action,
    pub(crate) resource: Resource,
}

/// What is in force when these objects are.
pub(super) fn compiled(bundle: &Bundle) -> Snapshot {
    let own = OwnIssuer::new("https://gateway", Arc::new(KeySet::default()));
    compile(bundle, &IssuerKeys::new(), &own).0
}

// === impl World ===

impl World {
    pub(super) fn bundle(&self) -> Bundle {
        let mut bundle = Bundle { unreadable_part: self.unreadable_part, ..Bundle::default() };
        for document in &self.documents {
            read(document.clone(), "test", &Defaults::default(), &mut bundle);
        }
        bundle
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        compiled(&self.bundle())
    }

    /// What `decide` answers.
    pub(crate) fn decision(&self, asking: &Asking) -> Answer {
        asking.answer(&self.snapshot())
    }

    /// What the reference evaluator answers.
    pub(crate) fn reference(&self, asking: &Asking) -> Answer {
        let Asking { claims, context, action, resource } = asking;
        answer(&Question {
            documents: &self.documents,
            unreadable_part: self.unreadable_part,
            claims,
            context,
            action: *action,
            resource,
        })
    }
}

// === impl Asking ===

impl Asking {
    /// What `decide` answers from a snapshot.
    pub(super) fn answer(&self, snapshot: &Snapshot) -> Answer {
        let text = |name| self.claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let principal = Principal {
            issuer: text("iss"),
            subject: text("sub"),
            claims: Claims::from_foreign(self.claims.clone()),
        };
        let Self { claims: _, context, action, resource } = self;
        Answer::from(&decide(
            snapshot,
            &Request { principal: &principal, action: *action, resource, context },
        ))
    }
}

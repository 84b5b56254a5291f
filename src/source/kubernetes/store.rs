//! What is in the cluster, by kind and name: the pure part.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::compile::Bundle;
use crate::crd::{self, Defaults, IAM_API_VERSION};

/// Where objects come from, in diagnostics.
const ORIGIN: &str = "cluster";

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// Trusted issuers.
    JwtIssuer,
    /// Policies.
    Policy,
    /// Roles.
    Role,
}

/// What became of the objects of a kind.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// These are all.
    Listed(Vec<Value>),
    /// One is new or another than before.
    Put(Value),
    /// One is gone.
    Deleted(Value),
}

/// The objects of every kind that was listed.
#[derive(Debug, Clone, Default)]
pub(super) struct Store(BTreeMap<Watched, BTreeMap<Key, Value>>);

/// Namespace and name. Where they are no texts, which no API server sends, all of the metadata.
type Key = (String, String);

// === impl Watched ===

impl Watched {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::JwtIssuer, Self::Policy, Self::Role];

    /// As objects write it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::JwtIssuer => "JwtIssuer",
            Self::Policy => "Policy",
            Self::Role => "Role",
        }
    }

    /// As paths write it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::JwtIssuer => "jwtissuers",
            Self::Policy => "policies",
            Self::Role => "roles",
        }
    }

    /// As people and permissions write it: without its group, `roles` would be another.
    pub(super) fn resource(self) -> String {
        format!("{}.iam.openfaas.com", self.plural())
    }
}

// === impl Store ===

impl Store {
    /// Takes note of an event. True if anything differs now.
    pub(super) fn apply(&mut self, kind: Watched, event: Event) -> bool {
        match event {
            Event::Listed(objects) => {
                let all: BTreeMap<_, _> = objects.into_iter().map(|object| entry(kind, object)).collect();
                let before = self.0.insert(kind, all);
                before.as_ref() != self.0.get(&kind)
            }
            Event::Put(object) => {
                let (key, object) = entry(kind, object);
                let Some(all) = self.0.get_mut(&kind) else { return false };
                let differs = all.get(&key) != Some(&object);
                all.insert(key, object);
                differs
            }
            Event::Deleted(object) => {
                let (key, _) = entry(kind, object);
                self.0.get_mut(&kind).is_some_and(|all| all.remove(&key).is_some())
            }
        }
    }

    /// All objects; none before every kind was listed.
    pub(super) fn bundle(&self, defaults: &Defaults) -> Option<Bundle> {
        let mut bundle = Bundle::default();
        for kind in Watched::ALL {
            for object in self.0.get(&kind)?.values() {
                crd::read(object.clone(), ORIGIN, defaults, &mut bundle);
            }
        }
        Some(bundle)
    }
}

/// An object with its key, reduced to what is read of it: the API server's book-keeping changes
/// without a change of the object.
fn entry(kind: Watched, object: Value) -> (Key, Value) {
    let mut object = match object {
        Value::Object(object) => object,
        other => Map::from_iter([("spec".to_owned(), other)]),
    };
    object.remove("status");
    // What was asked for, whatever the object says.
    object.insert("apiVersion".to_owned(), IAM_API_VERSION.into());
    object.insert("kind".to_owned(), kind.kind().into());
    let metadata = object.remove("metadata").unwrap_or_default();
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).map(str::to_owned);
    let key = match (text("namespace"), text("name")) {
        (Some(namespace), Some(name)) => (namespace, name),
        _ => (String::new(), metadata.to_string()),
    };
    let read = ["namespace", "name"].iter();
    let read = read.filter_map(|name| Some(((*name).to_owned(), metadata.get(*name)?.clone())));
    object.insert("metadata".to_owned(), Value::Object(read.collect()));
    (key, Value::Object(object))
}

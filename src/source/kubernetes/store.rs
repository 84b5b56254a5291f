//! What is in the cluster, by kind and name: the pure part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

#[cfg(test)]
use super::reduce::kept;
use super::reduce::{Kept, Key, reduced};
use super::watched::{Functions, Scope, Watched};
use crate::compile::Bundle;
use crate::crd::{self, Defaults};

/// Where objects come from, in diagnostics.
const ORIGIN: &str = "cluster";

/// What became of the objects of a kind.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// These are all.
    Listed(BTreeMap<Key, Kept>),
    /// One is new or another than before.
    Put(Value),
    /// One is gone.
    Deleted(Value),
    /// There may be others than those that are known.
    Lost,
    /// What is known is too old to be used.
    Expired,
}

/// What is known.
#[derive(Debug, Clone)]
pub(super) struct Store {
    namespace: String,
    functions: Option<Functions>,
    held: BTreeMap<Scope, Held>,
}

/// What is known of a kind in a namespace.
#[derive(Debug, Clone, Default, PartialEq)]
struct Held {
    objects: BTreeMap<Key, Kept>,
    /// Whether these are all.
    complete: bool,
}

// === impl Event ===

#[cfg(test)]
impl Event {
    pub(super) fn listed(kind: Watched, objects: impl IntoIterator<Item = Value>) -> Self {
        Self::Listed(objects.into_iter().filter_map(|object| kept(kind, object)).collect())
    }
}

// === impl Store ===

impl Store {
    pub(super) fn new(namespace: String, functions: Option<Functions>) -> Self {
        Self { namespace, functions, held: BTreeMap::new() }
    }

    /// What is to be followed, as far as it is known by now.
    pub(super) fn wanted(&self) -> BTreeSet<Scope> {
        let mut wanted: BTreeSet<_> =
            Watched::IAM.into_iter().map(|kind| Scope::new(kind, &self.namespace)).collect();
        if self.functions.is_some() {
            wanted.insert(Scope::namespaces());
        }
        for namespace in self.function_namespaces() {
            let of_functions = [Watched::Deployment, Watched::Function];
            wanted.extend(of_functions.into_iter().map(|kind| Scope::new(kind, namespace)));
        }
        wanted
    }

    /// Takes note of an event. True if anything differs now.
    pub(super) fn apply(&mut self, scope: &Scope, event: Event) -> bool {
        // What a follower says that was sent away meanwhile.
        if !self.wanted().contains(scope) {
            return false;
        }
        let kind = scope.kind;
        let changed = match event {
            Event::Listed(objects) => {
                let now = Held { objects, complete: true };
                let before = self.held.insert(scope.clone(), now);
                before.as_ref() != self.held.get(scope)
            }
            Event::Put(object) => {
                let Some(held) = self.held.get_mut(scope) else { return false };
                match reduced(kind, object) {
                    (key, Some(object)) if held.objects.get(&key) == Some(&object) => false,
                    (key, Some(object)) => {
                        held.objects.insert(key, object);
                        true
                    }
                    (key, None) => held.objects.remove(&key).is_some(),
                }
            }
            Event::Deleted(object) => {
                let (key, _) = reduced(kind, object);
                self.held.get_mut(scope).is_some_and(|held| held.objects.remove(&key).is_some())
            }
            Event::Lost | Event::Expired if !kind.is_of_functions() => false,
            Event::Lost if self.held.contains_key(scope) => {
                self.held.get_mut(scope).is_some_and(|held| std::mem::replace(&mut held.complete, false))
            }
            Event::Lost if self.is_needed(scope) => false,
            Event::Lost => self.held.insert(scope.clone(), Held::default()).is_none(),
            Event::Expired => match self.held.get_mut(scope) {
                Some(held) if *held != Held::default() => {
                    *held = Held::default();
                    true
                }
                _ => false,
            },
        };
        if changed && kind == Watched::Namespace {
            let wanted = self.wanted();
            self.held.retain(|scope, _| wanted.contains(scope));
        }
        changed
    }

    /// Whether all that is wanted was listed, or at least tried where it is of one namespace alone: so
    /// that functions that are open stay so when a service starts.
    pub(super) fn has_heard_of_all(&self) -> bool {
        self.wanted().iter().all(|scope| self.held.contains_key(scope))
    }

    /// All objects. None before all that everybody needs was listed: our own kinds, and where functions
    /// declare that they want tokens, the namespaces and the functions of the default one. Another
    /// namespace whose functions are not known is closed by itself.
    pub(super) fn bundle(&self, defaults: &Defaults) -> Option<Bundle> {
        if self.wanted().iter().any(|scope| self.is_needed(scope) && !self.held.contains_key(scope)) {
            return None;
        }
        let function_namespaces = self.functions.as_ref().map(|_| self.known_namespaces());
        let mut bundle = Bundle { function_namespaces, ..Bundle::default() };
        for (_, held) in self.held.iter().filter(|(scope, _)| scope.kind != Watched::Namespace) {
            for object in held.objects.values() {
                // It was JSON before; if it were not now, what stands there would be unreadable.
                let object = serde_json::from_str(object).unwrap_or_default();
                crd::read(object, ORIGIN, defaults, &mut bundle);
            }
        }
        Some(bundle)
    }

    fn is_needed(&self, scope: &Scope) -> bool {
        let default = self.functions.as_ref().map(|functions| &functions.default_namespace);
        !scope.kind.is_of_functions() || Some(&scope.namespace) == default
    }

    /// The namespaces that OpenFaaS has functions in.
    fn function_namespaces(&self) -> BTreeSet<&str> {
        let Some(functions) = &self.functions else { return BTreeSet::new() };
        let annotated = self.held.get(&Scope::namespaces()).into_iter().flat_map(|held| held.objects.keys());
        let mut namespaces: BTreeSet<_> = annotated.map(|(_, name)| name.as_str()).collect();
        namespaces.insert(&functions.default_namespace);
        namespaces.retain(|&namespace| !functions.system_namespaces.contains(namespace));
        namespaces
    }

    /// The namespaces of which every function is known.
    fn known_namespaces(&self) -> BTreeSet<String> {
        let complete = |kind, namespace: &str| {
            self.held.get(&Scope::new(kind, namespace)).is_some_and(|held| held.complete)
        };
        let all = self.function_namespaces().into_iter();
        let known = all.filter(|&namespace| {
            complete(Watched::Deployment, namespace) && complete(Watched::Function, namespace)
        });
        known.map(str::to_owned).collect()
    }
}

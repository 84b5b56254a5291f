//! What should be in the cluster, and random steps that change it.

use std::collections::BTreeMap;

use faas_iam::compile::{Bundle, compile};
use faas_iam::crd::{self, Defaults};
use faas_iam::identity::OwnIssuer;
use serde_json::{Value, json};

use crate::support::splitmix::Random;

/// The kinds, as paths and as objects write them.
const KINDS: [(&str, &str); 3] = [("jwtissuers", "JwtIssuer"), ("policies", "Policy"), ("roles", "Role")];

/// So many names there are for objects of each kind.
const NAMES: usize = 24;

/// So many subjects and namespaces the objects are about.
pub(super) const SUBJECTS: usize = 6;
pub(super) const PLACES: usize = 6;

/// An object in the namespace: its kind as paths write it, and its name.
pub(super) type Key = (&'static str, String);

/// A change of one object: what it is from now on, or that it is gone.
pub(super) type Change = (Key, Option<Value>);

/// All objects by key.
#[derive(Debug)]
pub(super) struct Model {
    namespace: &'static str,
    objects: BTreeMap<Key, Value>,
    random: Random,
}

// === impl Model ===

impl Model {
    /// No objects yet. A seed settles all steps.
    pub(super) fn new(namespace: &'static str, seed: u64) -> Self {
        Self { namespace, objects: BTreeMap::new(), random: Random::new(seed) }
    }

    /// A create, an edit, a deletion, or a renaming, which is both.
    pub(super) fn step(&mut self) -> Vec<Change> {
        let kind = KINDS.get(self.random.below(KINDS.len())).map_or("", |(kind, _)| kind);
        let key = (kind, self.name());
        let old = self.objects.get(&key).map(|object| object.get("spec").cloned().unwrap_or_default());
        let changes = match (old, self.random.below(6)) {
            (Some(_), 0) => vec![(key, None)],
            (Some(spec), 1 | 2) => {
                let renamed = (kind, self.name());
                let object = self.object(&renamed, spec);
                if renamed == key { vec![(key, None)] } else { vec![(key, None), (renamed, Some(object))] }
            }
            _ => {
                let spec = self.spec(kind);
                let object = self.object(&key, spec);
                vec![(key, Some(object))]
            }
        };
        changes.iter().cloned().for_each(|change| self.note(change));
        changes
    }

    /// Takes note of a change that was made.
    pub(super) fn note(&mut self, (key, object): Change) {
        match object {
            Some(object) => self.objects.insert(key, object),
            None => self.objects.remove(&key),
        };
    }

    /// The revision of a snapshot of these objects, by the compiler alone.
    pub(super) fn revision(&self) -> String {
        let mut bundle = Bundle::default();
        for object in self.objects.values() {
            crd::read(object.clone(), "model", &Defaults::default(), &mut bundle);
        }
        let own = OwnIssuer::new(crate::service::ISSUER, Default::default());
        compile(&bundle, &Default::default(), &own).0.revision.to_string()
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    fn object(&self, (kind, name): &Key, spec: Value) -> Value {
        let kind = KINDS.into_iter().find(|(plural, _)| plural == kind).map_or("", |(_, kind)| kind);
        json!({
            "apiVersion": "iam.openfaas.com/v1", "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        })
    }

    /// Some of it is invalid, as far as the definitions let it pass.
    fn spec(&mut self, kind: &str) -> Value {
        match kind {
            // Nothing listens there.
            "jwtissuers" => json!({
                "iss": format!("https://127.0.0.1:9/{}", self.random.below(4)),
                "aud": [self.pick(&["a", "b"])], "tokenExpiry": self.pick(&["10m", "1h", "soon"]),
            }),
            "policies" => {
                let statements = 1 + self.random.below(2);
                json!({"statement": (0..statements).map(|sid| self.statement(sid)).collect::<Vec<_>>()})
            }
            _ => json!({
                "policy": [self.name(), self.name()],
                "principal": {"jwt:sub": [format!("u{}", self.random.below(SUBJECTS))]},
            }),
        }
    }

    fn statement(&mut self, sid: usize) -> Value {
        let place = format!("n{}:*", self.random.below(PLACES));
        json!({
            "sid": format!("s{sid}"),
            "effect": self.pick(&["Allow", "Allow", "Allow", "Allow", "Allow", "Deny", "Alow"]),
            "action": [self.pick(&["Function:List", "Function:*", "*", "Function:Read"])],
            "resource": [self.pick(&[&place, &place, "*", "n1"])],
        })
    }

    fn name(&mut self) -> String {
        format!("n{}", self.random.below(NAMES))
    }

    fn pick(&mut self, choices: &[&str]) -> String {
        let index = self.random.below(choices.len());
        choices.get(index).copied().unwrap_or_default().to_owned()
    }
}

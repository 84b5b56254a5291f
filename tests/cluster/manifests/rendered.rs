//! A set of manifests as `kubectl kustomize` prints it.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::support::json::text;

/// The objects of a set.
#[derive(Debug)]
pub(crate) struct Rendered(Vec<Value>);

// === impl Rendered ===

impl Rendered {
    /// Reads them.
    pub(crate) fn parse(printed: &str) -> Result<Self> {
        let documents = printed.split("\n---\n");
        let objects = documents.map(|document| Ok(serde_saphyr::from_str(document)?));
        Ok(Self(objects.collect::<Result<_>>()?))
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object.get("kind").is_some_and(|found| found == kind))
    }

    /// One object.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Result<&Value> {
        let found = self.all(kind).find(|object| text(object, "/metadata/name").is_ok_and(|n| n == name));
        found.with_context(|| format!("no {kind} {name}"))
    }

    /// The ConfigMap that was generated with this name: its own ends with a hash.
    pub(crate) fn config_map(&self, name: &str) -> Result<&Value> {
        let is_it = |object: &&Value| {
            let full = text(object, "/metadata/name").unwrap_or_default();
            full.rsplit_once('-').is_some_and(|(base, _)| base == name)
        };
        self.all("ConfigMap").find(is_it).with_context(|| format!("no ConfigMap {name}"))
    }

    /// A container of a Deployment.
    pub(crate) fn container(&self, deployment: &str, name: &str) -> Result<&Value> {
        let deployment = self.get("Deployment", deployment)?;
        let mut containers = list(deployment, "/spec/template/spec/containers");
        containers.find(|container| container.get("name").is_some_and(|n| n == name)).context("no container")
    }
}

/// The items of a list in an object, which may be missing.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The texts of such a list.
pub(crate) fn texts<'a>(object: &'a Value, pointer: &str) -> Vec<&'a str> {
    list(object, pointer).filter_map(Value::as_str).collect()
}

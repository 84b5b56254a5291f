//! What is kept of an object: no more than is read of it. The API server's book-keeping changes
//! without a change of the object, and a Deployment may hold secrets that are not ours.

use serde_json::{Map, Value, json};

use super::watched::Watched;
use crate::crd::FUNCTION_LABEL;

/// Namespace and name. Where they are no texts, which no API server sends, all of the metadata.
pub(super) type Key = (String, String);

/// The annotation of namespaces that hold functions, whatever its value.
const FUNCTIONS_ANNOTATION: &str = "openfaas";

/// What is kept of an object, as JSON text: a tree of small maps takes many times the memory.
pub(super) type Kept = Box<str>;

/// An object of a list, unless it does not matter.
pub(super) fn kept(kind: Watched, object: Value) -> Option<(Key, Kept)> {
    let (key, kept) = reduced(kind, object);
    Some((key, kept?))
}

/// The key of an object, and what is kept of it: nothing where it does not matter.
pub(super) fn reduced(kind: Watched, object: Value) -> (Key, Option<Kept>) {
    let mut object = match object {
        Value::Object(object) => object,
        other => Map::from_iter([("spec".to_owned(), other)]),
    };
    let metadata = object.remove("metadata").unwrap_or_default();
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).map(str::to_owned);
    let key = match (text("namespace"), text("name")) {
        (Some(namespace), Some(name)) => (namespace, name),
        (None, Some(name)) if kind == Watched::Namespace => (String::new(), name),
        _ => (String::new(), metadata.to_string()),
    };
    let mut kept: Map<_, _> = match kind {
        Watched::Namespace => {
            let holds_functions = member(&metadata, &["annotations", FUNCTIONS_ANNOTATION]).is_some();
            return (key, holds_functions.then(Kept::default));
        }
        Watched::Deployment => spec(object, deployment),
        Watched::Function => spec(object, function),
        Watched::JwtIssuer | Watched::Policy | Watched::Role => {
            object.remove("status");
            object
        }
    };
    // What was asked for, whatever the object says.
    kept.insert("apiVersion".to_owned(), kind.api_version().into());
    kept.insert("kind".to_owned(), kind.kind().into());
    let read = ["namespace", "name"].iter();
    let read = read.filter_map(|name| Some(((*name).to_owned(), metadata.get(*name)?.clone())));
    let mut read: Map<_, _> = read.collect();
    if let Some(label) = member(&metadata, &["labels", FUNCTION_LABEL]).filter(|_| kind.is_of_functions()) {
        read.insert("labels".to_owned(), json!({ FUNCTION_LABEL: label }));
    }
    kept.insert("metadata".to_owned(), Value::Object(read));
    (key, Some(Value::Object(kept).to_string().into()))
}

fn spec(mut object: Map<String, Value>, reduce: impl FnOnce(Value) -> Value) -> Map<String, Value> {
    Map::from_iter(object.remove("spec").map(|spec| ("spec".to_owned(), reduce(spec))))
}

/// Of the pods, the label and the variables that matter.
fn deployment(spec: Value) -> Value {
    let containers = match member(&spec, &["template", "spec", "containers"]) {
        Some(Value::Array(containers)) => containers.iter().map(container).collect(),
        Some(other) => other.clone(),
        None => Value::Null,
    };
    let label = member(&spec, &["template", "metadata", "labels", FUNCTION_LABEL]);
    let labels = Map::from_iter(label.map(|label| (FUNCTION_LABEL.to_owned(), label.clone())));
    json!({"template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}})
}

fn container(container: &Value) -> Value {
    let mut kept = Map::new();
    match container.get("env") {
        Some(Value::Array(variables)) => {
            let read =
                variables.iter().filter(|variable| member(variable, &["name"]) == Some(&json!("jwt_auth")));
            kept.insert("env".to_owned(), read.cloned().collect());
        }
        Some(other) => drop(kept.insert("env".to_owned(), other.clone())),
        None => {}
    }
    if let Some(Value::Array(sources)) = container.get("envFrom") {
        let there = sources.iter().map(|_| Value::Null);
        kept.insert("envFrom".to_owned(), there.take(1).collect());
    }
    Value::Object(kept)
}

/// The name and the variable that matters.
fn function(spec: Value) -> Value {
    let Value::Object(mut spec) = spec else { return spec };
    spec.retain(|field, _| field == "name" || field == "environment");
    if let Some(Value::Object(environment)) = spec.get_mut("environment") {
        environment.retain(|name, _| name == "jwt_auth");
    }
    Value::Object(spec)
}

fn member<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

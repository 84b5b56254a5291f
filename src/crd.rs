//! The objects as they are written (`iam.openfaas.com/v1`), read into the core's types.
//!
//! Reading never fails as a whole: what cannot be read becomes a closed value and a
//! [`Diagnostic`], and the rest of the object stands.

pub mod definition;

mod deployment;
mod function;
mod jwt_issuer;
mod policy;
mod reader;
mod role;

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use crate::compile::{Bundle, Code, Diagnostic, Kind, Object, ObjectRef, Severity};
use reader::Reader;

/// The API version of JwtIssuer, Policy and Role.
pub const IAM_API_VERSION: &str = "iam.openfaas.com/v1";
/// The API version of Function.
pub const FUNCTION_API_VERSION: &str = "openfaas.com/v1";
/// The API version of Deployment.
pub const DEPLOYMENT_API_VERSION: &str = "apps/v1";
/// The API version of tests, which stand beside objects.
pub const TEST_API_VERSION: &str = "faas-iam/v1alpha1";
/// The kind of tests.
pub const TEST_KIND: &str = "DecisionTest";
/// The label that makes a Deployment one of a function.
pub const FUNCTION_LABEL: &str = "faas_function";

/// Namespaces of objects that name none.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// For JwtIssuer, Policy and Role.
    pub iam_namespace: String,
    /// For Function.
    pub function_namespace: String,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { iam_namespace: "openfaas".to_owned(), function_namespace: "openfaas-fn".to_owned() }
    }
}

/// Adds a document to the bundle: one object, or a `List` of them. `origin` says where it stands.
pub fn read(document: Value, origin: &str, defaults: &Defaults, bundle: &mut Bundle) {
    let mut report = |severity, code, message: String| {
        let (origin, field) = (origin.to_owned(), String::new());
        bundle.diagnostics.push(Diagnostic { origin, object: None, field, severity, code, message });
    };
    let Value::Object(mut object) = document else {
        report(Severity::Error, Code::UnreadableDocument, "expected an object with `kind` and `spec`".into());
        bundle.unreadable_part = true;
        return;
    };
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let kind = match (api_version.as_str(), kind.as_str()) {
        (IAM_API_VERSION, "JwtIssuer") => Kind::JwtIssuer,
        (IAM_API_VERSION, "Policy") => Kind::Policy,
        (IAM_API_VERSION, "Role") => Kind::Role,
        (FUNCTION_API_VERSION, "Function") => Kind::Function,
        (DEPLOYMENT_API_VERSION, "Deployment") if deployment::is_of_a_function(&object) => Kind::Deployment,
        // Of `faas-iam test`: nothing comes into force by it.
        (TEST_API_VERSION, TEST_KIND) => return,
        ("v1", "List") => {
            match object.remove("items") {
                Some(Value::Array(items)) => {
                    items.into_iter().for_each(|item| read(item, origin, defaults, bundle));
                }
                // What Go programs write for an empty list.
                Some(Value::Null) => {}
                _ => {
                    report(Severity::Error, Code::UnreadableDocument, "expected a list in `items`".into());
                    bundle.unreadable_part = true;
                }
            }
            return;
        }
        ("", _) | (_, "") => {
            report(Severity::Error, Code::UnreadableDocument, "`apiVersion` or `kind` is missing".into());
            bundle.unreadable_part = true;
            return;
        }
        (version, kind) if version.starts_with("iam.openfaas.com/") => {
            let message = format!(
                "`{version}` has no kind `{kind}`: use `{IAM_API_VERSION}` with JwtIssuer, Policy or Role"
            );
            report(Severity::Error, Code::UnreadableDocument, message);
            bundle.unreadable_part = true;
            return;
        }
        (version, kind) => {
            report(Severity::Warning, Code::IgnoredKind, format!("`{kind}` of `{version}` is not looked at"));
            return;
        }
    };
    read_object(kind, object, origin, defaults, bundle);
}

fn read_object(
    kind: Kind,
    object: Map<String, Value>,
    origin: &str,
    defaults: &Defaults,
    bundle: &mut Bundle,
) {
    let metadata = |name: &str| object.get("metadata").and_then(|m| m.get(name));
    let default_namespace =
        if is_foreign(kind) { &defaults.function_namespace } else { &defaults.iam_namespace };
    let namespace = match metadata("namespace") {
        None | Some(Value::Null) => Some(default_namespace.as_str()),
        Some(Value::String(text)) if text.is_empty() => Some(default_namespace.as_str()),
        Some(other) => other.as_str(),
    };
    let reference = ObjectRef {
        kind,
        namespace: namespace.unwrap_or_default().to_owned(),
        name: metadata("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    let spec = object.get("spec").cloned().unwrap_or(Value::Null);
    let mut reader = Reader::new(&reference, origin, &mut bundle.diagnostics);
    for field in object.keys().filter(|name| !is_object_field(kind, name)) {
        reader.warning(field, Code::UnknownField, "is not a field of the object: it is ignored");
    }
    if reference.name.is_empty() {
        reader.error("metadata.name", Code::MissingField, "the object has no name: it is ignored");
        bundle.unreadable_part = true;
        return;
    }
    if namespace.is_none() {
        let message = "expected a text: the object's namespace cannot be read, so it is ignored";
        reader.error("metadata.namespace", Code::WrongType, message);
        bundle.unreadable_part = true;
        return;
    }
    let content = match kind {
        Kind::Deployment => serde_json::to_vec(&(metadata("labels"), &spec)),
        _ => serde_json::to_vec(&spec),
    };
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, &content.unwrap_or_default()).as_ref());
    let origin = origin.to_owned();
    macro_rules! add {
        ($list:ident, $spec:expr) => {{
            let spec = $spec;
            bundle.$list.push(Object { reference: reference.clone(), origin, digest: hash, spec });
        }};
    }
    match kind {
        Kind::JwtIssuer => add!(issuers, jwt_issuer::read(spec, &mut reader)),
        Kind::Policy => add!(policies, policy::read(spec, &mut reader)),
        Kind::Role => add!(roles, role::read(spec, &mut reader)),
        Kind::Function => add!(functions, function::read(&spec, &reference.name, &mut reader)),
        Kind::Deployment => add!(functions, deployment::read(&object, &reference.name, &mut reader)),
    }
}

fn is_object_field(kind: Kind, name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata" | "spec" | "status") || is_foreign(kind)
}

/// Objects of functions belong to other programs: most of their fields are not ours to judge.
fn is_foreign(kind: Kind) -> bool {
    matches!(kind, Kind::Function | Kind::Deployment)
}

#[cfg(test)]
mod tests;

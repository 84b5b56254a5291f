//! The three kinds as Kubernetes knows them: CustomResourceDefinitions, and admission policies for
//! clusters whose definitions are not ours.
//!
//! Group, version, names, columns and the type of every field are those of OpenFaaS. What is added are
//! rules (`rules.rs`) that refuse what [`crd`](super) could not read. They are one table: both outputs
//! are made of it. What can be read with a warning is never refused.
//!
//! A definition must bound the cost of its rules, whatever an object holds: lists under rules have a
//! longest length (`schema.rs`), a rule that would still cost too much is looser there, or stands in the
//! admission policies alone. Those are bounded by what an object does hold.
//!
//! What is stored already is not judged: the API server leaves out the rules of fields that an update
//! does not change, and the admission policies ask about an object only if its `spec` changes.

mod admission;
mod cel;
mod rules;
mod schema;

#[cfg(test)]
mod tests;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as ext;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::compile::Kind;

/// The group of the three kinds.
const GROUP: &str = "iam.openfaas.com";
/// Their one version.
const VERSION: &str = "v1";

/// A kind, with all that is said of it.
struct Definition {
    kind: Kind,
    singular: &'static str,
    plural: &'static str,
    description: &'static str,
    /// Name and path of what `kubectl get` shows.
    columns: &'static [(&'static str, &'static str)],
    spec: fn() -> ext::JSONSchemaProps,
    rules: fn() -> Vec<rules::Rule>,
}

const DEFINITIONS: [Definition; 3] = [
    Definition {
        kind: Kind::JwtIssuer,
        singular: "jwtissuer",
        plural: "jwtissuers",
        description: "An issuer whose tokens may be exchanged.",
        columns: &[("Issuer", ".spec.iss"), ("Audience", ".spec.aud"), ("Expiry", ".spec.tokenExpiry")],
        spec: schema::jwt_issuer,
        rules: rules::jwt_issuer,
    },
    Definition {
        kind: Kind::Policy,
        singular: "policy",
        plural: "policies",
        description: "What may be done, and to what.",
        columns: &[("Statement", ".spec.statement")],
        spec: schema::policy,
        rules: rules::policy,
    },
    Definition {
        kind: Kind::Role,
        singular: "role",
        plural: "roles",
        description: "Who has which Policies.",
        columns: &[
            ("Principal", ".spec.principal"),
            ("Condition", ".spec.condition"),
            ("Policy", ".spec.policy"),
        ],
        spec: schema::role,
        rules: rules::role,
    },
];

/// The CustomResourceDefinitions, as YAML documents with the names of their kinds.
///
/// # Errors
/// None that a test would not have shown: the objects are constant.
pub fn definitions() -> anyhow::Result<Vec<(String, String)>> {
    let document = |definition: &Definition| yaml(definition.plural, &definition.object());
    DEFINITIONS.iter().map(document).collect()
}

/// The ValidatingAdmissionPolicies with their bindings, as YAML documents with the names of their kinds:
/// those that refuse, then those that warn.
///
/// # Errors
/// None that a test would not have shown: the objects are constant.
pub fn admission_policies() -> anyhow::Result<Vec<(String, String)>> {
    let mut documents = Vec::new();
    for definition in &DEFINITIONS {
        for admission in admission::Admission::of(definition) {
            documents.push(yaml(definition.plural, &admission.policy)?);
            documents.push(yaml(definition.plural, &admission.binding)?);
        }
    }
    Ok(documents)
}

fn yaml(name: &str, object: &impl Serialize) -> anyhow::Result<(String, String)> {
    Ok((name.to_owned(), serde_saphyr::to_string(object)?))
}

// === impl Definition ===

impl Definition {
    fn object(&self) -> ext::CustomResourceDefinition {
        let kind = self.kind.to_string();
        let columns = self.columns.iter().map(|(name, path)| ext::CustomResourceColumnDefinition {
            name: (*name).to_owned(),
            json_path: (*path).to_owned(),
            type_: "string".to_owned(),
            ..Default::default()
        });
        let version = ext::CustomResourceDefinitionVersion {
            name: VERSION.to_owned(),
            served: true,
            storage: true,
            additional_printer_columns: Some(columns.collect()),
            schema: Some(ext::CustomResourceValidation { open_api_v3_schema: Some(self.schema()) }),
            ..Default::default()
        };
        ext::CustomResourceDefinition {
            metadata: ObjectMeta { name: Some(format!("{}.{GROUP}", self.plural)), ..Default::default() },
            spec: ext::CustomResourceDefinitionSpec {
                group: GROUP.to_owned(),
                scope: "Namespaced".to_owned(),
                names: ext::CustomResourceDefinitionNames {
                    list_kind: Some(format!("{kind}List")),
                    kind,
                    plural: self.plural.to_owned(),
                    singular: Some(self.singular.to_owned()),
                    ..Default::default()
                },
                versions: vec![version],
                ..Default::default()
            },
            status: None,
        }
    }

    /// The schema of the whole object, with its rules.
    fn schema(&self) -> ext::JSONSchemaProps {
        let mut schema = schema::object(self.description, (self.spec)());
        for rule in (self.rules)() {
            rule.add_to(&mut schema);
        }
        schema
    }
}

//! Admission policies: the same rules, for whatever definitions a cluster has.

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
    Validation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::rules::Rule;
use super::{Definition, GROUP, VERSION};
use crate::compile::Severity;

/// A policy, and its binding to the whole cluster.
pub(super) struct Admission {
    pub(super) policy: ValidatingAdmissionPolicy,
    pub(super) binding: ValidatingAdmissionPolicyBinding,
}

impl Admission {
    /// The policies of a kind: one that refuses, and one that warns where there is anything to warn of.
    pub(super) fn of(definition: &Definition) -> impl Iterator<Item = Self> {
        let with = |severity, suffix: &str, action: &str| {
            let rules = (definition.rules)().into_iter().filter(move |rule| rule.severity == severity);
            let validations: Vec<_> = rules.map(|rule| validation(&rule)).collect();
            let name = format!("{}{suffix}.{GROUP}", definition.plural);
            (!validations.is_empty()).then(|| Self::new(&name, definition.plural, action, validations))
        };
        [with(Severity::Error, "", "Deny"), with(Severity::Warning, "-advice", "Warn")].into_iter().flatten()
    }

    fn new(name: &str, plural: &str, action: &str, validations: Vec<Validation>) -> Self {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
        let only = |text: &str| Some(vec![text.to_owned()]);
        let matched = NamedRuleWithOperations {
            api_groups: only(GROUP),
            api_versions: only(VERSION),
            operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
            resources: only(plural),
            ..Default::default()
        };
        let spec = ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(MatchResources {
                resource_rules: Some(vec![matched]),
                ..Default::default()
            }),
            // What stands there already may be labelled, annotated and finalized as it is.
            match_conditions: Some(vec![MatchCondition {
                name: "spec-changed".to_owned(),
                expression:
                    "request.operation != 'UPDATE' || !has(oldObject.spec) || object.spec != oldObject.spec"
                        .to_owned(),
            }]),
            validations: Some(validations),
            ..Default::default()
        };
        let binding = ValidatingAdmissionPolicyBindingSpec {
            policy_name: name.to_owned(),
            validation_actions: vec![action.to_owned()],
            ..Default::default()
        };
        Self {
            policy: ValidatingAdmissionPolicy { metadata: metadata.clone(), spec: Some(spec), status: None },
            binding: ValidatingAdmissionPolicyBinding { metadata, spec: binding },
        }
    }
}

fn validation(rule: &Rule) -> Validation {
    Validation {
        expression: rule.holds_in("object"),
        message: Some(rule.message()),
        message_expression: Some(rule.message_in("object")),
        reason: Some("Invalid".to_owned()),
    }
}

//! What is followed.

use std::collections::BTreeSet;

use crate::crd::FUNCTION_LABEL;

/// A kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// Trusted issuers.
    JwtIssuer,
    /// Policies.
    Policy,
    /// Roles.
    Role,
    /// Namespaces, for those that hold functions.
    Namespace,
    /// Deployments of functions.
    Deployment,
    /// Functions, where that kind exists.
    Function,
}

/// A kind in a namespace. Namespaces are in none: theirs is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    pub(super) kind: Watched,
    pub(super) namespace: String,
}

/// Where functions are, whose declarations are wanted: in the default namespace and in each that
/// carries the annotation `openfaas`, as the provider has it.
#[derive(Debug, Clone)]
pub struct Functions {
    /// The namespace of functions that name none.
    pub default_namespace: String,
    /// Namespaces whose functions nobody may call.
    pub system_namespaces: BTreeSet<String>,
}

// === impl Watched ===

impl Watched {
    /// The kinds of our own.
    pub const IAM: [Self; 3] = [Self::JwtIssuer, Self::Policy, Self::Role];
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::JwtIssuer, Self::Policy, Self::Role, Self::Namespace, Self::Deployment, Self::Function];

    /// As objects write it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::JwtIssuer => "JwtIssuer",
            Self::Policy => "Policy",
            Self::Role => "Role",
            Self::Namespace => "Namespace",
            Self::Deployment => "Deployment",
            Self::Function => "Function",
        }
    }

    /// As paths write it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::JwtIssuer => "jwtissuers",
            Self::Policy => "policies",
            Self::Role => "roles",
            Self::Namespace => "namespaces",
            Self::Deployment => "deployments",
            Self::Function => "functions",
        }
    }

    const fn group(self) -> &'static str {
        match self {
            Self::JwtIssuer | Self::Policy | Self::Role => "iam.openfaas.com",
            Self::Namespace => "",
            Self::Deployment => "apps",
            Self::Function => "openfaas.com",
        }
    }

    /// As objects write the API version.
    pub(super) fn api_version(self) -> String {
        match self.group() {
            "" => "v1".to_owned(),
            group => format!("{group}/v1"),
        }
    }

    /// As people and permissions write it: without its group, `roles` would be another.
    pub(super) fn resource(self) -> String {
        match self.group() {
            "" => self.plural().to_owned(),
            group => format!("{}.{group}", self.plural()),
        }
    }

    /// Whether it tells of functions. What is known of those is used with more care: one that is not
    /// known may ask for tokens.
    pub(super) const fn is_of_functions(self) -> bool {
        matches!(self, Self::Deployment | Self::Function)
    }

    /// Whether a cluster may well not have it.
    pub(super) const fn may_be_absent(self) -> bool {
        matches!(self, Self::Function)
    }

    /// Whether no more than the metadata is wanted.
    pub(super) const fn is_metadata(self) -> bool {
        matches!(self, Self::Namespace)
    }

    /// The labels that objects must have.
    pub(super) const fn labels(self) -> Option<&'static str> {
        match self {
            Self::Deployment => Some(FUNCTION_LABEL),
            _ => None,
        }
    }
}

// === impl Scope ===

impl Scope {
    pub(super) fn new(kind: Watched, namespace: &str) -> Self {
        Self { kind, namespace: namespace.to_owned() }
    }

    pub(super) fn namespaces() -> Self {
        Self::new(Watched::Namespace, "")
    }

    /// The path of its group and version.
    pub(super) fn group_path(&self) -> String {
        match self.kind.group() {
            "" => "/api/v1".to_owned(),
            group => format!("/apis/{group}/v1"),
        }
    }

    /// The path of its objects.
    pub(super) fn path(&self) -> String {
        let (group, plural) = (self.group_path(), self.kind.plural());
        match self.namespace.as_str() {
            "" => format!("{group}/{plural}"),
            namespace => format!("{group}/namespaces/{namespace}/{plural}"),
        }
    }

    /// For people: what, and where.
    pub(super) fn shown(&self) -> String {
        match self.namespace.as_str() {
            "" => self.kind.resource(),
            namespace => format!("{} in the namespace `{namespace}`", self.kind.resource()),
        }
    }
}

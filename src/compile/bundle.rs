//! All objects of a source, read or closed, at one moment.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use crate::policy::{Policy, Role};

/// The kinds of objects that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A trusted issuer.
    JwtIssuer,
    /// A set of statements.
    Policy,
    /// A binding of identities to Policies.
    Role,
    /// An OpenFaaS function, for `--function-auth declared`.
    Function,
    /// The Deployment of a function, for the same.
    Deployment,
}

/// Names an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One object of a source. What could not be read of it is closed and stands in
/// [`Bundle::diagnostics`].
#[derive(Debug, Clone, PartialEq)]
pub struct Object<T> {
    /// Which object it is.
    pub reference: ObjectRef,
    /// Where it comes from.
    pub origin: String,
    /// SHA-256 of its content, so that equal content gives an equal revision.
    pub digest: [u8; 32],
    /// What it says.
    pub spec: T,
}

/// The spec of a `JwtIssuer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtIssuer {
    /// The `iss` of the tokens that it trusts, byte for byte.
    pub iss: String,
    /// The audiences that it accepts.
    pub aud: Vec<String>,
    /// Replaces the base URL that keys are fetched from.
    pub iss_internal: Option<String>,
    /// The lifetime of tokens given out in exchange.
    pub token_expiry: Duration,
}

/// A deployed function, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredFunction {
    /// The names that it is called by: one, unless labels and name of a Deployment disagree.
    pub names: BTreeSet<String>,
    /// Whether its environment asks for function tokens (`jwt_auth`).
    pub jwt_auth: bool,
}

/// All objects of a source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bundle {
    /// JwtIssuers; none where the object is unreadable: it then admits nothing.
    pub issuers: Vec<Object<Option<JwtIssuer>>>,
    /// Policies.
    pub policies: Vec<Object<Policy>>,
    /// Roles.
    pub roles: Vec<Object<Role>>,
    /// Functions.
    pub functions: Vec<Object<DeclaredFunction>>,
    /// In which namespaces all functions are known; none where that is so everywhere. A function that
    /// is not known in another one asks for a token.
    pub function_namespaces: Option<BTreeSet<String>>,
    /// What is wrong with them.
    pub diagnostics: Vec<Diagnostic>,
    /// Set while a part of the source cannot be read: a Policy that is missing may then stand there.
    pub unreadable_part: bool,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Bundle {
    /// Adds another source's objects.
    pub fn append(&mut self, other: Self) {
        let Self { issuers, policies, roles, functions, function_namespaces, diagnostics, unreadable_part } =
            other;
        self.issuers.extend(issuers);
        self.policies.extend(policies);
        self.roles.extend(roles);
        self.functions.extend(functions);
        self.function_namespaces = match (self.function_namespaces.take(), function_namespaces) {
            (Some(ours), Some(theirs)) => Some(&ours | &theirs),
            (ours, theirs) => ours.or(theirs),
        };
        self.diagnostics.extend(diagnostics);
        self.unreadable_part |= unreadable_part;
    }
}

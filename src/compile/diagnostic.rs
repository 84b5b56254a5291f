//! What is wrong with an object, for people and for programs.

use std::fmt;

use super::bundle::ObjectRef;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something was ignored or has no effect.
    Warning,
    /// Something could not be read and is closed.
    Error,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// What kind of problem it is. The text form is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// The stable kebab-case code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

codes! {
    /// A file cannot be opened or read.
    UnreadableFile = "unreadable-file",
    /// A YAML document cannot be parsed or is no object.
    UnreadableDocument = "unreadable-document",
    /// The object is of a kind that is not looked at.
    IgnoredKind = "ignored-kind",
    /// Two objects have the same kind, namespace and name.
    DuplicateObject = "duplicate-object",
    /// A field is not part of the object.
    UnknownField = "unknown-field",
    /// A field that must be there is not.
    MissingField = "missing-field",
    /// A field holds another type of value.
    WrongType = "wrong-type",
    /// A list or map that must have entries has none.
    Empty = "empty",
    /// `effect` is neither `Allow` nor `Deny`.
    InvalidEffect = "invalid-effect",
    /// No action matches.
    UnknownAction = "unknown-action",
    /// A resource is not `*` or `NAMESPACE:NAME`.
    InvalidResource = "invalid-resource",
    /// A condition operator does not exist.
    UnknownOperator = "unknown-operator",
    /// A condition key does not exist.
    UnknownKey = "unknown-key",
    /// A value is not what its place needs.
    InvalidValue = "invalid-value",
    /// A condition says the same of every identity.
    VacuousCondition = "vacuous-condition",
    /// Two statements of a Policy share a `sid`.
    DuplicateSid = "duplicate-sid",
    /// A Role names a Policy that does not exist.
    MissingPolicy = "missing-policy",
    /// A Role matches nobody.
    MatchesNobody = "matches-nobody",
    /// A Role or Policy grants nothing.
    GrantsNothing = "grants-nothing",
    /// An issuer is not a URL that keys may be fetched from.
    InvalidIssuer = "invalid-issuer",
    /// Registrations of one issuer disagree.
    ConflictingIssuer = "conflicting-issuer",
    /// A Role trusts an issuer that strangers have tokens of, and does not say whose it means.
    BroadTrust = "broad-trust",
    /// A Role does not say which issuer it is about.
    IssuerNotNamed = "issuer-not-named",
    /// A pattern begins or ends with a wildcard where a stranger's value fits.
    LoosePattern = "loose-pattern",
    /// A pattern matches names that can pass to others.
    RenamableSubject = "renamable-subject",
    /// A Role matches an e-mail address that need not be proven.
    UnverifiedEmail = "unverified-email",
    /// An audience is one that tokens for other services have.
    DefaultAudience = "default-audience",
    /// A duration is not written as Go writes it.
    InvalidDuration = "invalid-duration",
}

/// One problem of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where the object comes from: a file and line, or the cluster.
    pub origin: String,
    /// The object, where it is known.
    pub object: Option<ObjectRef>,
    /// The path of the field, such as `spec.statement[0].effect`; empty for the object itself.
    pub field: String,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of problem it is.
    pub code: Code,
    /// One line for a person: what is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Diagnostic {
    /// `policies.yaml:12: error[unknown-field] Policy openfaas/dev spec.statements: …`, on one line
    /// whatever the object holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}: {}[{}]", self.origin, self.severity, self.code.as_str());
        if let Some(object) = &self.object {
            text.push_str(&format!(" {object}"));
        }
        if !self.field.is_empty() {
            text.push_str(&format!(" {}", self.field));
        }
        text.push_str(&format!(": {}", self.message));
        for c in text.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

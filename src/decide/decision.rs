//! What a decision is.

use std::fmt;

use crate::reason::Reason;

/// A statement that a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementRef {
    /// The Role that matched.
    pub role: String,
    /// The Policy that it names.
    pub policy: String,
    /// The statement's `sid`, or `#INDEX`.
    pub sid: String,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Allowed.
    Allow(Permit),
    /// A list that the identity may see in part: allowed only if the answer is filtered.
    Filter(Permit),
    /// Denied.
    Deny(Denial),
}

/// Proof that a request is allowed. Only this module's parent makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    reason: Reason,
    statements: Vec<StatementRef>,
}

/// Why a request is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The reason.
    pub reason: Reason,
    /// The statements that deny: sorted, without repetition.
    pub statements: Vec<StatementRef>,
}

impl Decision {
    /// Both must hold.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (deny @ Self::Deny(_), _) | (_, deny @ Self::Deny(_)) => deny,
            (Self::Allow(a), Self::Allow(b)) => Self::Allow(a.join(b)),
            (Self::Allow(a) | Self::Filter(a), Self::Allow(b) | Self::Filter(b)) => Self::Filter(a.join(b)),
        }
    }

    /// The statements that the decision rests on.
    pub fn statements(&self) -> &[StatementRef] {
        match self {
            Self::Allow(permit) | Self::Filter(permit) => &permit.statements,
            Self::Deny(denial) => &denial.statements,
        }
    }

    /// The reason.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Allow(permit) | Self::Filter(permit) => permit.reason,
            Self::Deny(denial) => denial.reason,
        }
    }
}

impl Permit {
    pub(super) fn new(reason: Reason, statements: Vec<StatementRef>) -> Self {
        Self { reason, statements: sorted(statements) }
    }

    /// For a route that asks for no identity.
    pub(super) fn public() -> Self {
        Self::new(Reason::PublicRoute, Vec::new())
    }

    /// For the gateway's administrator.
    pub(super) fn admin() -> Self {
        Self::new(Reason::AdminCredentials, Vec::new())
    }

    /// Why it is allowed.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The statements that allow: sorted, without repetition.
    pub fn statements(&self) -> &[StatementRef] {
        &self.statements
    }

    fn join(self, other: Self) -> Self {
        Self::new(self.reason, [self.statements, other.statements].concat())
    }
}

impl Denial {
    /// A denial that rests on `statements`.
    pub fn new(reason: Reason, statements: Vec<StatementRef>) -> Self {
        Self { reason, statements: sorted(statements) }
    }
}

fn sorted(mut statements: Vec<StatementRef>) -> Vec<StatementRef> {
    statements.sort();
    statements.dedup();
    statements
}

impl fmt::Display for StatementRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.role, self.policy, self.sid)
    }
}

//! Why a request was answered as it was: one list of stable codes, the same in the response, in the
//! dynamic metadata, in metrics and in tests.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// The reason of an answer. The text form is stable: programs may rely on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable kebab-case code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

reasons! {
    /// A statement allows the request and none denies it.
    Allowed = "allowed",
    /// The route asks for no identity.
    PublicRoute = "public-route",
    /// The gateway's own administrator credentials were presented where they are accepted.
    AdminCredentials = "admin-credentials",

    /// No credentials were presented.
    NoToken = "no-token",
    /// More than one credential was presented, or one that is not a single Bearer token.
    AmbiguousCredentials = "ambiguous-credentials",
    /// Basic credentials were presented and are wrong, or are not accepted here.
    BadCredentials = "bad-credentials",
    /// The token is not a well-formed compact JWS with the claims that it must have.
    MalformedToken = "malformed-token",
    /// The token is signed with an algorithm that is never accepted, or not the key's own.
    UnsupportedAlgorithm = "unsupported-algorithm",
    /// No registered issuer has the token's `iss`.
    UnknownIssuer = "unknown-issuer",
    /// The issuer is registered but holds no key that fits the token.
    UnknownKey = "unknown-key",
    /// The signature does not verify.
    BadSignature = "bad-signature",
    /// The token's audience is not one that the issuer's registration accepts.
    AudienceMismatch = "audience-mismatch",
    /// The token's `exp` has passed.
    TokenExpired = "token-expired",
    /// The token's `nbf` or `iat` lies in the future.
    TokenNotYetValid = "token-not-yet-valid",
    /// A token of another kind was presented: a function token on the API or an API token on a function.
    WrongTokenKind = "wrong-token-kind",
    /// The function asks for a function token and none was presented.
    FunctionTokenRequired = "function-token-required",

    /// The path is not in the one form that every reader understands alike.
    MalformedPath = "malformed-path",
    /// The query is not in the one form that every reader understands alike.
    MalformedQuery = "malformed-query",
    /// The body is not one JSON object that every reader understands alike.
    MalformedBody = "malformed-body",
    /// Query, path and body name different namespaces or objects.
    ConflictingTarget = "conflicting-target",
    /// A namespace, function or secret name is not a DNS name.
    InvalidName = "invalid-name",
    /// A header that the decision needs is malformed or repeated.
    MalformedHeader = "malformed-header",
    /// The body is larger than what is buffered, or did not arrive whole.
    PartialBody = "partial-body",
    /// The path is not a route of the OpenFaaS API.
    UnknownRoute = "unknown-route",
    /// The route does not have this method.
    MethodNotAllowed = "method-not-allowed",
    /// The route is closed for everyone.
    ClosedRoute = "closed-route",
    /// The namespace belongs to the system.
    SystemNamespace = "system-namespace",
    /// The callback URL is not one that is allowed.
    CallbackNotAllowed = "callback-not-allowed",

    /// No Role matches the identity.
    NoMatchingRole = "no-matching-role",
    /// Roles match, but no statement allows the request.
    NoMatchingAllow = "no-matching-allow",
    /// A Deny statement applies.
    ExplicitDeny = "explicit-deny",
    /// A Policy of the identity's Roles cannot be read, so it counts as a Deny.
    InvalidPolicy = "invalid-policy",
    /// The function token's own permissions or audience do not cover the function.
    FunctionTokenScope = "function-token-scope",
    /// The list may be seen in part only, and filtering is not wired for the request.
    FilterNotWired = "filter-not-wired",

    /// No complete snapshot of the policies is loaded yet.
    SnapshotNotReady = "snapshot-not-ready",
    /// More checks are under way than are answered at once, or this one did not arrive in time.
    Overloaded = "overloaded",
    /// The service failed; the detail is in its log.
    InternalError = "internal-error",
}

impl Reason {
    /// What to change, where that is the same whatever the request was.
    pub const fn cure(self) -> Option<&'static str> {
        match self {
            Self::MalformedToken | Self::BadSignature => Some("get a new token, and send it unchanged"),
            Self::UnsupportedAlgorithm | Self::UnknownIssuer | Self::UnknownKey | Self::AudienceMismatch => {
                Some("exchange the token of your provider at /oauth/token, and send what comes back")
            }
            Self::TokenExpired => Some("get a new token"),
            Self::TokenNotYetValid => Some("set the clocks, or wait"),
            Self::NoMatchingRole => Some("no Role matches you, so ask for one"),
            Self::ExplicitDeny => Some("no permission outweighs a Deny, so ask for it to be changed"),
            Self::InvalidPolicy => Some("faas-iam validate names it, so have it corrected"),
            _ => None,
        }
    }

    /// A message with the cure at its end.
    pub(crate) fn with_cure(self, message: String) -> String {
        match self.cure() {
            Some(cure) => format!("{message}: {cure}"),
            None => message,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

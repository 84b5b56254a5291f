//! Names that RFC 6749 and RFC 8693 fix, in one place.

use std::fmt;

use serde_json::{Value, json};

use crate::identity::rejection::printable;

/// The grant type of a token exchange (RFC 8693 section 2.1).
pub const GRANT_TYPE_TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// An OpenID Connect ID token (RFC 8693 section 3).
pub const TOKEN_TYPE_ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// An OAuth 2.0 access token (RFC 8693 section 3).
pub const TOKEN_TYPE_ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A JWT of any sort (RFC 8693 section 3).
pub const TOKEN_TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What may be presented as `subject_token_type`.
pub const SUBJECT_TOKEN_TYPES: &[&str] = &[TOKEN_TYPE_ID_TOKEN, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_JWT];

/// The one `token_type` that is issued (RFC 6750).
pub const TOKEN_TYPE_BEARER: &str = "Bearer";

/// The scope that asks for a token for the invocation of functions.
pub const SCOPE_FUNCTION: &str = "function";

/// What went wrong, in the words of RFC 6749 section 5.2 and RFC 8693 section 2.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// A parameter is missing, repeated or malformed; or the subject token is invalid, or is not
    /// acceptable to the policies (RFC 8693 section 2.2.2).
    InvalidRequest,
    /// The grant type is not token exchange.
    UnsupportedGrantType,
    /// The scope is unknown, or exceeds what may be granted.
    InvalidScope,
    /// A token for the named `audience` or `resource` cannot be issued (RFC 8693 section 2.2.2).
    InvalidTarget,
}

/// An error response of the token endpoint (RFC 6749 section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    code: ErrorCode,
    description: String,
}

// === impl ErrorCode ===

impl ErrorCode {
    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
        }
    }
}

// === impl OAuthError ===

impl OAuthError {
    /// An error whose description tells a person what to mend. Characters that RFC 6749 section 5.2
    /// does not allow there are replaced.
    pub fn new(code: ErrorCode, description: impl AsRef<str>) -> Self {
        Self { code, description: printable(description.as_ref()) }
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The description, in the character set of RFC 6749 section 5.2.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The response body.
    pub fn to_json(&self) -> Value {
        json!({"error": self.code.name(), "error_description": self.description})
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.description)
    }
}

impl std::error::Error for OAuthError {}

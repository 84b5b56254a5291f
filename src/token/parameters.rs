//! The parameters of a token request (RFC 6749 section 3.2, RFC 8693 section 2.1).

use std::fmt;

use super::oauth::{self, ErrorCode, OAuthError};
use crate::identity::rejection::quotable;

/// The most parameters that a request may have.
const MAX_PARAMETERS: usize = 200;

/// Parameters that may stand more than once (RFC 8693 section 2.1).
const REPEATABLE: &[&str] = &["audience", "resource"];

/// Parameters as they were sent, by name. `Debug` prints names only: one value is a token.
#[derive(Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

/// A token request whose parameters are sound.
pub(super) struct TokenRequest {
    pub(super) subject_token: String,
    pub(super) grant: Grant,
    pub(super) audience: Vec<String>,
    pub(super) resource: Vec<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// A token for the API: no scope.
    Api,
    /// A token for functions: `scope=function`.
    Function,
}

// === impl Parameters ===

impl Parameters {
    /// Reads a query string and a form body (`application/x-www-form-urlencoded`). Both count
    /// alike: the public documentation shows the parameters in either place.
    pub fn from_form(query: Option<&str>, body: &[u8]) -> Self {
        let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let pairs = query.chain(form_urlencoded::parse(body)).take(MAX_PARAMETERS + 1);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// Phase 1 of the exchange.
    pub(super) fn validate(self) -> Result<TokenRequest, OAuthError> {
        self.check_repeats()?;
        match self.one("grant_type") {
            None => return Err(invalid("grant_type is missing")),
            Some(oauth::GRANT_TYPE_TOKEN_EXCHANGE) => {}
            Some(_) => {
                let why = format!("grant_type must be {}", oauth::GRANT_TYPE_TOKEN_EXCHANGE);
                return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, why));
            }
        }
        if self.one("actor_token").is_some() || self.one("actor_token_type").is_some() {
            return Err(invalid("actor_token is not supported"));
        }
        if self.one("requested_token_type").is_some_and(|asked| asked != oauth::TOKEN_TYPE_ID_TOKEN) {
            return Err(invalid(format!("requested_token_type must be {}", oauth::TOKEN_TYPE_ID_TOKEN)));
        }
        match self.one("subject_token_type") {
            None => return Err(invalid("subject_token_type is missing")),
            Some(stated) if oauth::SUBJECT_TOKEN_TYPES.contains(&stated) => {}
            Some(_) => {
                let types = oauth::SUBJECT_TOKEN_TYPES.join(", ");
                return Err(invalid(format!("subject_token_type must be one of {types}")));
            }
        }
        Ok(TokenRequest {
            subject_token: self
                .one("subject_token")
                .ok_or_else(|| invalid("subject_token is missing"))?
                .into(),
            grant: self.grant()?,
            audience: self.all("audience"),
            resource: self.all("resource"),
        })
    }

    fn grant(&self) -> Result<Grant, OAuthError> {
        match self.one("scope") {
            None => Ok(Grant::Api),
            Some(oauth::SCOPE_FUNCTION) => Ok(Grant::Function),
            Some(_) => {
                let why = format!(
                    "the only scope is {}; leave it out for a token for the API",
                    oauth::SCOPE_FUNCTION
                );
                Err(OAuthError::new(ErrorCode::InvalidScope, why))
            }
        }
    }

    /// RFC 6749 section 3.2: a parameter stands at most once.
    fn check_repeats(&self) -> Result<(), OAuthError> {
        if self.0.len() > MAX_PARAMETERS {
            return Err(invalid(format!("more than {MAX_PARAMETERS} parameters")));
        }
        let mut names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let repeated = names.windows(2).find_map(|pair| match pair {
            [a, b] if a == b && !REPEATABLE.contains(a) => Some(*a),
            _ => None,
        });
        match repeated {
            Some(name) => Err(invalid(format!("the parameter {} stands more than once", short(name)))),
            None => Ok(()),
        }
    }

    /// RFC 6749 section 3.2: an empty value counts as none.
    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, value)| own == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(own, value)| own == name && !value.is_empty());
        values.map(|(_, value)| value.clone()).collect()
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| short(name))).finish()
    }
}

fn invalid(description: impl AsRef<str>) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

/// A parameter's name, unless somebody put a token there.
fn short(name: &str) -> &str {
    if name.len() <= 32 { quotable(name, "(unprintable)") } else { "(long name)" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange";
    const TYPE: &str = "subject_token_type=urn:ietf:params:oauth:token-type:id_token";

    fn validate(query: &str, body: &str) -> Result<TokenRequest, (ErrorCode, String)> {
        let parameters = Parameters::from_form(Some(query), body.as_bytes());
        parameters.validate().map_err(|error| (error.code(), error.description().to_owned()))
    }

    #[track_caller]
    fn refused(rest: &str, code: ErrorCode, why: &str) {
        let Err((actual, description)) = validate("", rest) else { panic!("{rest} is accepted") };
        assert_eq!(actual, code, "{rest}");
        assert!(description.contains(why), "{description}");
    }

    #[test]
    fn parameters_may_stand_in_the_body_or_in_the_query() {
        let rest = "subject_token=a.b.c&audience=dev:a&audience=dev:b&resource=&unknown=1";
        for (query, body) in [
            ("", format!("{GRANT}&{TYPE}&{rest}")),
            (&format!("{GRANT}&{TYPE}"), rest.to_owned()),
            (&format!("{GRANT}&{TYPE}&{rest}"), String::new()),
        ] {
            let Ok(request) = validate(query, &body) else { panic!("{query} {body}") };
            assert_eq!((request.subject_token.as_str(), request.grant), ("a.b.c", Grant::Api));
            assert_eq!(request.audience, ["dev:a", "dev:b"]);
            assert!(request.resource.is_empty());
        }
    }

    #[test]
    fn each_wrong_parameter_has_its_code() {
        use ErrorCode::*;
        let good = format!("{GRANT}&{TYPE}&subject_token=a.b.c");
        refused("", InvalidRequest, "grant_type is missing");
        refused("grant_type=", InvalidRequest, "grant_type is missing");
        refused("grant_type=password", UnsupportedGrantType, "grant_type must be");
        refused(GRANT, InvalidRequest, "subject_token_type is missing");
        refused(&format!("{GRANT}&{TYPE}"), InvalidRequest, "subject_token is missing");
        let saml = "subject_token_type=urn:ietf:params:oauth:token-type:saml2";
        refused(&format!("{GRANT}&{saml}"), InvalidRequest, "subject_token_type must be");
        refused(&format!("{good}&actor_token=x"), InvalidRequest, "actor_token");
        refused(&format!("{good}&requested_token_type=x"), InvalidRequest, "requested_token_type");
        refused(&format!("{good}&scope=admin"), InvalidScope, "scope");
        refused(&format!("{good}&scope=function+admin"), InvalidScope, "scope");
        refused(&format!("{good}&scope=Function"), InvalidScope, "scope");
        refused(&"a=1&".repeat(300), InvalidRequest, "more than 200");
        for twice in ["subject_token=x", TYPE, GRANT, "x=1&x=2", "scope=&scope="] {
            refused(&format!("{good}&{twice}"), InvalidRequest, "more than once");
        }
        let Err((code, _)) = validate(GRANT, &good) else { panic!("once in the query, once in the body") };
        assert_eq!(code, InvalidRequest);
    }

    #[test]
    fn the_function_scope_is_a_grant_of_its_own() {
        let Ok(request) = validate(GRANT, &format!("{TYPE}&subject_token=t&scope=function")) else {
            panic!()
        };
        assert_eq!(request.grant, Grant::Function);
    }

    #[test]
    fn debug_prints_names_only() {
        let text = format!("a=secret&{}=1", "eyJ".repeat(20));
        let parameters = Parameters::from_form(None, text.as_bytes());
        assert_eq!(format!("{parameters:?}"), r#"["a", "(long name)"]"#);
    }
}

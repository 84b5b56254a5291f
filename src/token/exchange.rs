//! Token exchange (RFC 8693): an identity provider's token goes in, one of ours comes out.
//!
//! The steps are numbered in [`exchange`]; each can only refuse or hand on.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use ulid::Ulid;

use super::mint::{self, Envelope};
use super::oauth::{self, ErrorCode, OAuthError};
use super::parameters::{Grant, Parameters, TokenRequest};
use super::signer::SigningKeys;
use crate::identity::rejection::{TokenRejection, printable};
use crate::identity::verify::claimed_issuer;
use crate::identity::{Issuers, OwnIssuer, Principal, TokenKind, TrustedIssuer, verify_foreign, verify_own};
use crate::policy::resource::is_dns_label;
use crate::reason::Reason;

/// The longest token that is issued, in bytes: the longest that is read.
pub const MAX_ISSUED: usize = 16 * 1024;

/// The most functions that one token may be asked for.
const MAX_AUDIENCE: usize = 100;

/// What the policies give an identity.
pub trait Grants {
    /// The names of the existing, valid Policies of the Roles that match `principal`: sorted, each
    /// once.
    fn policies(&self, principal: &Principal, context: &ExchangeContext) -> Vec<String>;

    /// The functions that `principal` may invoke.
    fn invocations(&self, principal: &Principal, context: &ExchangeContext) -> Invocations;

    /// Whether `principal` may invoke one function now.
    fn may_invoke(
        &self,
        principal: &Principal,
        context: &ExchangeContext,
        namespace: &str,
        function: &str,
    ) -> bool;
}

/// What is known of a token request beside its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeContext {
    /// The client's address, as the proxy states it.
    pub source_ip: Option<IpAddr>,
    /// Seconds since 1970.
    pub now: i64,
}

/// What a function token may hold for an identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invocations {
    /// Resource patterns on which `Function:Invoke` is allowed and which no Deny can cut, variables
    /// expanded.
    pub permissions: Vec<String>,
    /// The claims that the live decision will look at: names, or JSON Pointers that begin with `/`.
    pub claims: BTreeSet<String>,
}

/// One consistent view of everything that an exchange reads.
pub struct Inputs<'a> {
    /// Our issuer.
    pub own: &'a OwnIssuer,
    /// The registered identity providers.
    pub issuers: &'a Issuers,
    /// The policies.
    pub grants: &'a dyn Grants,
    /// The keys that sign.
    pub signing: &'a SigningKeys,
}

/// An issued token. `Debug` leaves the token out.
#[derive(Clone, PartialEq, Eq)]
pub struct Success {
    /// The token.
    pub access_token: String,
    /// Its lifetime in seconds.
    pub expires_in: i64,
    /// The scope that was asked for and granted.
    pub scope: Option<&'static str>,
    /// The token's `jti`, for the log.
    pub token_id: String,
    /// Whom the token is about, for the log.
    pub principal: Principal,
}

/// Why no token was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request is at fault.
    Request {
        /// The answer.
        error: OAuthError,
        /// The stable code, where the request came as far as the token.
        reason: Option<Reason>,
        /// The issuer whose keys may be out of date.
        refetch: Option<String>,
    },
    /// The token could not be signed.
    SigningFailed,
}

/// Whom the token is for.
struct Subject {
    principal: Principal,
    issuer: Arc<TrustedIssuer>,
    /// When the token of ours that was presented expires; the result must not outlive it.
    not_after: Option<i64>,
}

/// Answers a token request.
///
/// # Errors
/// [`Refusal::Request`] with a code of RFC 6749 section 5.2 or RFC 8693 section 2.2.2; a subject
/// token that is invalid or not acceptable is `invalid_request`, as the latter asks.
pub fn exchange(
    parameters: Parameters,
    inputs: &Inputs<'_>,
    context: &ExchangeContext,
) -> Result<Success, Refusal> {
    // 1. The parameters are complete and unambiguous.
    let request = parameters.validate()?;
    // 2. The subject token is valid, and of a kind that may be exchanged for what is asked.
    let subject = verify_subject(&request, inputs, context)?;
    // 3. Roles match and give Policies.
    let policies = inputs.grants.policies(&subject.principal, context);
    if policies.is_empty() {
        return Err(no_policies(&subject.principal));
    }
    match request.grant {
        Grant::Api => {
            // 4. The token is for us, whatever else is named.
            check_target(&request, inputs.own)?;
            // 5. Mint.
            let (envelope, expires_in) = envelope(&subject, inputs, context);
            let token_id = envelope.token_id.clone();
            let claims = mint::api_claims(envelope, &subject.principal, &policies);
            issue(claims, expires_in, token_id, None, subject, inputs.signing)
        }
        Grant::Function => {
            // 4. The functions that are named, or all that the policies allow.
            let (permissions, named) = function_scope(&request, &subject.principal, inputs, context)?;
            let audience = if request.audience.is_empty() { &[][..] } else { &permissions };
            // 5. Mint.
            let (envelope, expires_in) = envelope(&subject, inputs, context);
            let token_id = envelope.token_id.clone();
            let claims = mint::function_claims(envelope, &subject.principal, &permissions, audience, &named);
            issue(claims, expires_in, token_id, Some(oauth::SCOPE_FUNCTION), subject, inputs.signing)
        }
    }
}

fn verify_subject(
    request: &TokenRequest,
    inputs: &Inputs<'_>,
    context: &ExchangeContext,
) -> Result<Subject, Refusal> {
    let token = &request.subject_token;
    if claimed_issuer(token)? != inputs.own.url() {
        let foreign = verify_foreign(token, inputs.issuers, context.now)?;
        return Ok(Subject { principal: foreign.principal, issuer: foreign.issuer, not_after: None });
    }
    let own = verify_own(token, inputs.own, inputs.issuers, context.now)?;
    match (own.kind, request.grant) {
        (TokenKind::Api, Grant::Function) => {
            let principal = Arc::unwrap_or_clone(own.principal);
            Ok(Subject { principal, issuer: own.issuer, not_after: Some(own.exp) })
        }
        (TokenKind::Api, Grant::Api) => {
            let why =
                "the subject_token is a token of this service; renewal needs a token of the provider again";
            Err(invalid_request(why, Some(Reason::WrongTokenKind)))
        }
        (TokenKind::Function { .. }, _) => {
            Err(invalid_request("a function token is not exchanged", Some(Reason::WrongTokenKind)))
        }
    }
}

/// An API token is for this service alone. Another target is refused and not passed over, so that no
/// client takes the token for one that it is not.
fn check_target(request: &TokenRequest, own: &OwnIssuer) -> Result<(), Refusal> {
    if request.audience.iter().chain(&request.resource).all(|target| target == own.url()) {
        return Ok(());
    }
    let why = format!("a token for the API is for {} alone; for functions add scope=function", own.url());
    Err(OAuthError::new(ErrorCode::InvalidTarget, why).into())
}

/// What a function token is good for, and the claims that it must carry.
fn function_scope(
    request: &TokenRequest,
    principal: &Principal,
    inputs: &Inputs<'_>,
    context: &ExchangeContext,
) -> Result<(Vec<String>, BTreeSet<String>), Refusal> {
    let target = |why: String| OAuthError::new(ErrorCode::InvalidTarget, why);
    let scope = |why: &str| OAuthError::new(ErrorCode::InvalidScope, why);
    let invocations = inputs.grants.invocations(principal, context);
    if !request.resource.is_empty() {
        return Err(target("name functions by audience, as namespace:name".into()).into());
    }
    let mut audience = request.audience.clone();
    audience.sort_unstable();
    audience.dedup();
    if audience.len() > MAX_AUDIENCE {
        return Err(target(format!("more than {MAX_AUDIENCE} functions")).into());
    }
    for entry in &audience {
        let allowed = entry.split_once(':').is_some_and(|(namespace, function)| {
            is_dns_label(namespace)
                && is_dns_label(function)
                && inputs.grants.may_invoke(principal, context, namespace, function)
        });
        if !allowed {
            let why = format!("{} may not be invoked, or is not namespace:name", abridged(entry));
            return Err(target(why).into());
        }
    }
    let permissions = if audience.is_empty() { invocations.permissions } else { audience };
    if permissions.is_empty() {
        return Err(scope("no policy of the subject allows Function:Invoke").into());
    }
    Ok((permissions, invocations.claims))
}

/// The claims of every token of ours, and its lifetime in seconds.
fn envelope<'a>(subject: &Subject, inputs: &'a Inputs<'_>, context: &ExchangeContext) -> (Envelope<'a>, i64) {
    let now = context.now;
    let lifetime = i64::try_from(subject.issuer.token_lifetime.as_secs()).unwrap_or(i64::MAX);
    let expires_at = now.saturating_add(lifetime).min(subject.not_after.unwrap_or(i64::MAX));
    let moment = UNIX_EPOCH + Duration::from_secs(now.unsigned_abs());
    let token_id = Ulid::from_datetime(moment).to_string();
    let envelope = Envelope { issuer: inputs.own.url(), token_id, issued_at: now, expires_at };
    (envelope, expires_at.saturating_sub(now))
}

fn issue(
    claims: serde_json::Map<String, Value>,
    expires_in: i64,
    token_id: String,
    scope: Option<&'static str>,
    subject: Subject,
    signing: &SigningKeys,
) -> Result<Success, Refusal> {
    let access_token = signing.sign(&claims).map_err(|_| Refusal::SigningFailed)?;
    if access_token.len() > MAX_ISSUED {
        let why = format!(
            "the token would be longer than {MAX_ISSUED} bytes; have the provider state fewer claims"
        );
        return Err(invalid_request(&why, None));
    }
    Ok(Success { access_token, expires_in, scope, token_id, principal: subject.principal })
}

fn no_policies(principal: &Principal) -> Refusal {
    let why = format!("No policies found for subject: {}", abridged(&principal.subject));
    invalid_request(&why, Some(Reason::NoMatchingRole))
}

fn invalid_request(why: &str, reason: Option<Reason>) -> Refusal {
    Refusal::Request { error: OAuthError::new(ErrorCode::InvalidRequest, why), reason, refetch: None }
}

/// Foreign text, made printable and at most 200 characters long.
fn abridged(text: &str) -> String {
    printable(&text.chars().take(200).collect::<String>())
}

// === impl Success ===

impl Success {
    /// The response body (RFC 8693 section 2.2.1).
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "access_token": self.access_token,
            "issued_token_type": oauth::TOKEN_TYPE_ID_TOKEN,
            "token_type": oauth::TOKEN_TYPE_BEARER,
            "expires_in": self.expires_in,
        });
        if let (Some(scope), Some(members)) = (self.scope, body.as_object_mut()) {
            members.insert("scope".into(), scope.into());
        }
        body
    }
}

impl fmt::Debug for Success {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Success")
            .field("access_token", &"[redacted]")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .field("token_id", &self.token_id)
            .finish_non_exhaustive()
    }
}

// === impl Refusal ===

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        Self::Request { error, reason: None, refetch: None }
    }
}

impl From<TokenRejection> for Refusal {
    fn from(rejection: TokenRejection) -> Self {
        let TokenRejection { reason, description, refetch } = rejection;
        // RFC 8693 section 2.2.2: an invalid subject token is an invalid request.
        let error = OAuthError::new(ErrorCode::InvalidRequest, format!("subject_token: {description}"));
        Self::Request { error, reason: Some(reason), refetch }
    }
}

#[cfg(test)]
mod tests;

//! From an HTTP request and its credentials to a verdict: reading, authentication, decision, in the
//! order in which refusals come first.

use std::fmt;
use std::sync::Arc;

use super::credentials::Credentials;
use super::{Decision, Denial, Permit, StatementRef, decide_all};
use crate::compile::Snapshot;
use crate::identity::rejection::TokenRejection;
use crate::identity::verify::{OwnToken, TokenKind, claims_to_be_api_token, still_admitted};
use crate::identity::{Principal, TokenVerifier};
use crate::policy::{Action, Context, Effect, Resource, ResourcePattern};
use crate::reason::Reason;
use crate::route::{self, Access, ApiCall, Closed, HttpRequest, Rules};

/// Which functions are called with a token only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FunctionAuth {
    /// None.
    #[default]
    Off,
    /// Those that declare it (`jwt_auth`).
    Declared,
    /// All.
    Required,
}

/// What a verdict depends on beside the snapshot and the request.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How requests are read.
    pub rules: Rules,
    /// Which functions are called with a token only.
    pub function_auth: FunctionAuth,
}

/// Tells the user of encoded Basic credentials, if they are the gateway administrator's.
pub type AdminCheck<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Who makes a request, as far as it is known beforehand.
#[derive(Debug, Clone, Copy)]
pub enum Identity<'a> {
    /// What the `Authorization` header says; repeated ones are joined with a comma.
    Header(Option<&'a str>),
    /// Somebody about whom the question is asked (`explain`): as if they had presented a fresh token.
    Known(&'a Principal),
}

/// A request to be authorized.
pub struct Inquiry<'a> {
    /// The request.
    pub http: HttpRequest<'a>,
    /// Who makes it.
    pub identity: Identity<'a>,
    /// Verifies the token.
    pub verifier: &'a dyn TokenVerifier,
    /// The circumstances.
    pub context: Context,
    /// Where the gateway's administrator credentials are accepted: tells the user of valid ones.
    pub admin: Option<&'a AdminCheck<'a>>,
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An identity of a registered issuer.
    Federated(Arc<Principal>),
    /// The gateway's administrator, by user name.
    Admin(String),
}

/// The answer to a request.
#[derive(Debug)]
pub struct Verdict {
    /// Who made it, where that was proven.
    pub actor: Option<Actor>,
    /// What it does, where that was read.
    pub action: Option<Action>,
    /// What it touches; of a refused request what it was refused for.
    pub resources: Vec<Resource>,
    /// Yes or no.
    pub answer: Answer,
}

/// Yes or no.
#[derive(Debug)]
pub enum Answer {
    /// The request may go on, so changed.
    Allow(Permit, Upstream),
    /// The request is refused.
    Refuse(Refused),
}

/// What becomes of an allowed request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// To the gateway's API: its own credentials take the place of the client's.
    Gateway {
        /// The value that the query parameter `namespace` is given.
        set_namespace: Option<String>,
    },
    /// To a route that asks for no identity: nobody's credentials go there.
    Anonymous,
    /// To a function, as it is: the gateway's credentials are never added.
    Unchanged,
}

/// A refusal, and what the client is told.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// One line for a person.
    pub message: String,
    /// How to authenticate, on a 401.
    pub challenge: Option<Challenge>,
    /// The methods of the route, on a 405.
    pub allow: &'static [&'static str],
    /// The statements that deny.
    pub statements: Vec<StatementRef>,
}

/// What a 401 asks for (RFC 9110 section 11.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Which part of the service asks.
    pub realm: Realm,
    /// What is wrong with the token that was presented, if one was.
    pub error: Option<String>,
    /// Whether Basic credentials are accepted as well.
    pub basic: bool,
}

/// The protection spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    /// The REST API.
    Api,
    /// The functions.
    Function,
}

/// Answers a request.
pub fn authorize(snapshot: &Snapshot, settings: &Settings, inquiry: &Inquiry<'_>) -> Verdict {
    match route::resolve(&inquiry.http, &settings.rules) {
        Err(refusal) => {
            let refused = Refused { allow: refusal.allow, ..Refused::new(refusal.reason, refusal.message) };
            Verdict::refuse(refused)
        }
        Ok(Access::Public) => Verdict::allow(Permit::public(), Upstream::Anonymous),
        Ok(Access::StaticFile) => Verdict::allow(Permit::public(), Upstream::Gateway { set_namespace: None }),
        Ok(Access::Closed(closed)) => Verdict::refuse(closed.into()),
        Ok(Access::Api(call)) => api(snapshot, inquiry, call),
        Ok(Access::Invoke { function, closed }) => invoke(snapshot, settings, inquiry, function, closed),
    }
}

fn api(snapshot: &Snapshot, inquiry: &Inquiry<'_>, call: ApiCall) -> Verdict {
    let ApiCall { action, resources, set_namespace, closed } = call;
    let verdict = |actor, answer, resources| Verdict { actor, action, resources, answer };
    let actor = match authenticate_api(snapshot, inquiry) {
        Ok(actor) => actor,
        Err(refused) => return verdict(None, Answer::Refuse(refused), resources),
    };
    let admin = matches!(actor, Actor::Admin(_));
    match closed {
        Some(closed) if !(admin && closed.open_to_admin) => {
            return verdict(Some(actor), Answer::Refuse(closed.into()), resources);
        }
        _ => {}
    }
    let upstream = Upstream::Gateway { set_namespace };
    let (Actor::Federated(principal), Some(action)) = (&actor, action) else {
        let answer = if admin {
            Answer::Allow(Permit::admin(), upstream)
        } else {
            Answer::Refuse(Refused::new(Reason::ClosedRoute, "this route is closed"))
        };
        return verdict(Some(actor), answer, resources);
    };
    let (answer, resources) =
        permitted(snapshot, &actor, principal, action, resources, &inquiry.context, upstream);
    verdict(Some(actor), answer, resources)
}

/// Answers whether somebody may do something, whatever request asks for it: as if they had presented
/// a fresh token.
pub fn may(
    snapshot: &Snapshot,
    rules: &Rules,
    principal: &Principal,
    (action, resource): (Action, Resource),
    context: &Context,
) -> Verdict {
    let verdict = |answer, resources| Verdict { actor: None, action: Some(action), resources, answer };
    if let Err(TokenRejection { reason, description, .. }) = still_admitted(principal, &snapshot.issuers) {
        let answer = Answer::Refuse(Refused::new(reason, reason.with_cure(description)));
        return verdict(answer, vec![resource]);
    }
    if let Some(closed) = rules.closed([&resource]) {
        return verdict(Answer::Refuse(closed.into()), vec![resource]);
    }
    let actor = Actor::Federated(Arc::new(principal.clone()));
    let upstream = Upstream::Unchanged;
    let (answer, resources) =
        permitted(snapshot, &actor, principal, action, vec![resource], context, upstream);
    verdict(answer, resources)
}

/// Whether an identity may do something, and to which of the resources.
fn permitted(
    snapshot: &Snapshot,
    actor: &Actor,
    principal: &Principal,
    action: Action,
    resources: Vec<Resource>,
    context: &Context,
    upstream: Upstream,
) -> (Answer, Vec<Resource>) {
    let (decision, at) = decide_all(snapshot, principal, action, &resources, context);
    match decision {
        Decision::Allow(permit) => (Answer::Allow(permit, upstream), resources),
        Decision::Filter(permit) => {
            let message = format!(
                "{actor} may see this list in part only: ask for each namespace, or set up filtering"
            );
            let statements = permit.statements().to_vec();
            (
                Answer::Refuse(Refused { statements, ..Refused::new(Reason::FilterNotWired, message) }),
                resources,
            )
        }
        Decision::Deny(denial) => {
            let refused_for = at.cloned();
            (Answer::Refuse(forbidden(denial, actor, action, at)), refused_for.into_iter().collect())
        }
    }
}

fn authenticate_api(snapshot: &Snapshot, inquiry: &Inquiry<'_>) -> Result<Actor, Refused> {
    let unauthenticated = |reason, message: String, error| {
        let challenge = Some(Challenge { realm: Realm::Api, error, basic: inquiry.admin.is_some() });
        Refused { challenge, ..Refused::new(reason, message) }
    };
    let rejected = |reason: Reason, description: String| {
        unauthenticated(reason, reason.with_cure(description.clone()), Some(description))
    };
    let header = match inquiry.identity {
        Identity::Header(header) => header,
        Identity::Known(principal) => {
            return match still_admitted(principal, &snapshot.issuers) {
                Ok(_) => Ok(Actor::Federated(Arc::new(principal.clone()))),
                Err(rejection) => Err(rejected(rejection.reason, rejection.description)),
            };
        }
    };
    match Credentials::read(header) {
        Credentials::None => {
            Err(unauthenticated(Reason::NoToken, "sign in: the request carries no token".into(), None))
        }
        Credentials::Other => {
            let message = "send one Authorization header with one Bearer token";
            Err(unauthenticated(Reason::AmbiguousCredentials, message.into(), Some(message.into())))
        }
        Credentials::Basic(encoded) => match inquiry.admin.and_then(|admin| admin(encoded)) {
            Some(user) => Ok(Actor::Admin(user)),
            None => {
                let message = match inquiry.admin {
                    Some(_) => {
                        "the user name or password is wrong, or was tried too often: correct it, or wait"
                    }
                    None => "user names and passwords are not accepted here: send a Bearer token",
                };
                Err(unauthenticated(Reason::BadCredentials, message.into(), None))
            }
        },
        Credentials::Bearer(token) => {
            let now = inquiry.context.now;
            let verified = inquiry.verifier.verify_own(token, &snapshot.own, &snapshot.issuers, now);
            match verified {
                Ok(OwnToken { kind: TokenKind::Api, principal, .. }) => Ok(Actor::Federated(principal)),
                Ok(OwnToken { kind: TokenKind::Function { .. }, .. }) => Err(rejected(
                    Reason::WrongTokenKind,
                    "a function token does not open the API: present an API token".into(),
                )),
                Err(TokenRejection { reason, description, .. }) => Err(rejected(reason, description)),
            }
        }
    }
}

fn invoke(
    snapshot: &Snapshot,
    settings: &Settings,
    inquiry: &Inquiry<'_>,
    function: Resource,
    closed: Option<Closed>,
) -> Verdict {
    let verdict = |actor, answer| Verdict {
        actor,
        action: Some(Action::FunctionInvoke),
        resources: vec![function.clone()],
        answer,
    };
    let needs_token = match (settings.function_auth, &function) {
        (FunctionAuth::Off, _) => false,
        (FunctionAuth::Declared, Resource::Object { namespace, name }) => {
            snapshot.asks_for_token(namespace, name)
        }
        _ => true,
    };
    if let Some(refused) = api_token_on_function(snapshot, inquiry) {
        return verdict(None, Answer::Refuse(refused));
    }
    let token = match needs_token.then(|| function_token(snapshot, inquiry)) {
        None => None,
        Some(Ok(token)) => Some(token),
        Some(Err(refused)) => return verdict(None, Answer::Refuse(refused)),
    };
    let actor = token.as_ref().map(|(principal, ..)| Actor::Federated(principal.clone()));
    if let Some(closed) = closed {
        return verdict(actor, Answer::Refuse(closed.into()));
    }
    let Some((principal, permissions, audience)) = token else {
        return verdict(None, Answer::Allow(Permit::public(), Upstream::Unchanged));
    };
    if !within(&permissions, &function, &principal)
        || !audience.is_empty() && !within(&audience, &function, &principal)
    {
        let message = format!("the token was not made for {function}: exchange one with it as audience");
        let refused = Refused::new(Reason::FunctionTokenScope, message);
        return verdict(actor, Answer::Refuse(refused));
    }
    let resources = [function.clone()];
    let action = Action::FunctionInvoke;
    let (decision, at) = decide_all(snapshot, &principal, action, &resources, &inquiry.context);
    let denial = match decision {
        Decision::Allow(permit) => return verdict(actor, Answer::Allow(permit, Upstream::Unchanged)),
        Decision::Deny(denial) => denial,
        Decision::Filter(_) => Denial::new(Reason::NoMatchingAllow, Vec::new()),
    };
    let answer = Answer::Refuse(forbidden(denial, &Actor::Federated(principal), action, at));
    verdict(actor, answer)
}

/// An API token on its way to a function, in whatever form: a function that received it could act
/// as its owner.
fn api_token_on_function(snapshot: &Snapshot, inquiry: &Inquiry<'_>) -> Option<Refused> {
    let is_api_token = |token: &str| claims_to_be_api_token(token, snapshot.own.url());
    let Identity::Header(header) = inquiry.identity else { return None };
    Credentials::candidates(header).any(is_api_token).then(|| {
        let message = "an API token must not reach a function: exchange it for a function token";
        unauthenticated_call(Reason::WrongTokenKind, message.to_owned(), true)
    })
}

type FunctionToken = (Arc<Principal>, Vec<String>, Vec<String>);

fn function_token(snapshot: &Snapshot, inquiry: &Inquiry<'_>) -> Result<FunctionToken, Refused> {
    let header = match inquiry.identity {
        Identity::Header(header) => header,
        Identity::Known(principal) => {
            return match still_admitted(principal, &snapshot.issuers) {
                Ok(_) => Ok((Arc::new(principal.clone()), vec!["*".to_owned()], Vec::new())),
                Err(rejection) => Err(unauthenticated_call(rejection.reason, rejection.description, true)),
            };
        }
    };
    let token = match Credentials::read(header) {
        Credentials::Bearer(token) => token,
        Credentials::None => {
            let message = "the function asks for a function token: exchange yours for one".to_owned();
            return Err(unauthenticated_call(Reason::FunctionTokenRequired, message, false));
        }
        Credentials::Basic(_) | Credentials::Other => {
            let message = "send one Authorization header with one Bearer token".to_owned();
            return Err(unauthenticated_call(Reason::AmbiguousCredentials, message, true));
        }
    };
    match inquiry.verifier.verify_own(token, &snapshot.own, &snapshot.issuers, inquiry.context.now) {
        Ok(OwnToken { kind: TokenKind::Function { permissions, audience }, principal, .. }) => {
            Ok((principal, permissions, audience))
        }
        Ok(OwnToken { kind: TokenKind::Api, .. }) => {
            let message = "an API token does not open functions: exchange it for a function token".to_owned();
            Err(unauthenticated_call(Reason::WrongTokenKind, message, true))
        }
        Err(TokenRejection { reason, description, .. }) => {
            Err(unauthenticated_call(reason, description, true))
        }
    }
}

fn unauthenticated_call(reason: Reason, message: String, presented: bool) -> Refused {
    let error = presented.then(|| message.clone());
    let challenge = Some(Challenge { realm: Realm::Function, error, basic: false });
    Refused { challenge, ..Refused::new(reason, reason.with_cure(message)) }
}

/// Whether one of a token's own patterns covers the function.
fn within(patterns: &[String], function: &Resource, principal: &Principal) -> bool {
    let covers = |pattern: ResourcePattern| {
        pattern.cover(Action::FunctionInvoke, function, principal, Effect::Allow)
            == crate::policy::Cover::Whole
    };
    patterns.iter().filter_map(|text| ResourcePattern::parse(text).ok()).any(covers)
}

fn forbidden(denial: Denial, actor: &Actor, action: Action, resource: Option<&Resource>) -> Refused {
    let on = resource.map(|resource| format!(" on {resource}")).unwrap_or_default();
    let message = match denial.reason {
        Reason::ExplicitDeny => format!("{actor} is denied {action}{on}"),
        Reason::InvalidPolicy => format!("{actor} is denied {action}{on} while a policy cannot be read"),
        _ => format!("{actor} needs {action}{on}"),
    };
    Refused { statements: denial.statements, ..Refused::new(denial.reason, denial.reason.with_cure(message)) }
}

// === impl Verdict ===

impl Verdict {
    fn allow(permit: Permit, upstream: Upstream) -> Self {
        let answer = Answer::Allow(permit, upstream);
        Self { actor: None, action: None, resources: Vec::new(), answer }
    }

    /// A refusal of a request of which nothing else is known.
    pub fn refuse(refused: Refused) -> Self {
        Self { actor: None, action: None, resources: Vec::new(), answer: Answer::Refuse(refused) }
    }

    /// The reason of the answer.
    pub fn reason(&self) -> Reason {
        match &self.answer {
            Answer::Allow(permit, _) => permit.reason(),
            Answer::Refuse(refused) => refused.reason,
        }
    }

    /// The statements that the answer rests on.
    pub fn statements(&self) -> &[StatementRef] {
        match &self.answer {
            Answer::Allow(permit, _) => permit.statements(),
            Answer::Refuse(refused) => &refused.statements,
        }
    }

    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        matches!(self.answer, Answer::Allow(..))
    }
}

// === impl Refused ===

impl Refused {
    /// A refusal with nothing but a reason and a line for a person.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), challenge: None, allow: &[], statements: Vec::new() }
    }
}

impl From<Closed> for Refused {
    fn from(closed: Closed) -> Self {
        Self::new(closed.reason, closed.message)
    }
}

// === impl Actor ===

impl fmt::Display for Actor {
    /// What a person calls the identity: its e-mail address, its user name, or its subject.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin(user) => write!(f, "basic:{user}"),
            Self::Federated(principal) => {
                let claim = |name: &str| principal.claims.get(name).and_then(serde_json::Value::as_str);
                let name =
                    claim("email").or_else(|| claim("preferred_username")).unwrap_or(&principal.subject);
                f.write_str(name)
            }
        }
    }
}

#[cfg(test)]
mod tests;

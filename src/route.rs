//! What a request asks of OpenFaaS: from an HTTP request to an [`Access`].
//!
//! The gateway and the providers behind it read a request each in their own way: one takes the
//! namespace from the query, the other from the body; JSON keys are matched without regard to case;
//! paths are decoded more than once. So a request is first brought down to what can only be read one
//! way, and everything else is refused:
//!
//! 1. `path` and `query` read the target, strictly,
//! 2. `table` finds the route and the method,
//! 3. `body` reads the body where the route has one,
//! 4. `target` and `function` say what is touched.
//!
//! The refusals come in that order: malformed (400) before unknown route (404) before method (405),
//! then what is wrong with the names and the body of the route that was found (400, 413).

mod body;
mod callback;
mod escape;
mod function;
mod name;
mod path;
mod query;
mod table;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use self::callback::UrlPattern;
use self::query::Query;
use self::table::Endpoint;
use crate::policy::{Action, Resource};
use crate::reason::Reason;

/// The parts of an HTTP request that its meaning depends on.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// The method, as received.
    pub method: &'a str,
    /// The request target in origin form, path and query, as received.
    pub target: &'a str,
    /// `Content-Length`, where there is one.
    pub content_length: Option<&'a str>,
    /// Whether Envoy marked the body as cut off (`x-envoy-auth-partial-body: true`).
    pub partial_body: bool,
    /// `X-Callback-Url`; repeated headers arrive joined with a comma.
    pub callback_url: Option<&'a str>,
    /// The body, as far as it was buffered; empty where none was.
    pub body: &'a [u8],
}

/// How requests are read: settings of the installation.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The namespace of functions and secrets that name none.
    pub default_namespace: String,
    /// Which provider's reading of a request counts.
    pub provider: Provider,
    /// Namespaces that no request may touch.
    pub system_namespaces: BTreeSet<String>,
    /// The URLs that `X-Callback-Url` may hold.
    pub callback_allow: Vec<UrlPattern>,
    /// Whether the static files of the dashboard are let through.
    pub ui: Ui,
}

/// The provider behind the gateway. They read some requests differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Whatever any known provider would read must be allowed.
    Any,
    /// faas-netes, on Kubernetes.
    FaasNetes,
    /// faasd, on one host.
    Faasd,
}

/// Whether `/ui/` is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ui {
    /// Denied.
    Deny,
    /// Static files are open; the calls that the page makes are authorized like any other.
    Open,
}

/// What a well-formed request on a known route asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A route that asks for no identity.
    Public,
    /// A file of the dashboard, where it is open.
    StaticFile,
    /// A call of the REST API.
    Api(ApiCall),
    /// A call of a function.
    Invoke {
        /// `ns:name`, always a [`Resource::Object`].
        function: Resource,
        /// Set where the call is refused whoever asks: a system namespace or a callback.
        closed: Option<Closed>,
    },
    /// A closed route among the functions, where an identity may not be asked for: refused at once.
    Closed(Closed),
}

/// A call of the REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCall {
    /// What it does; none for routes that no action stands for.
    pub action: Option<Action>,
    /// All that it may touch: each must be allowed.
    pub resources: Vec<Resource>,
    /// The value that the query parameter `namespace` is to have on the way upstream.
    pub set_namespace: Option<String>,
    /// Set where the call is refused whoever asks.
    pub closed: Option<Closed>,
}

/// A refusal that comes after authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Why.
    pub reason: Reason,
    /// One line for a person.
    pub message: String,
    /// Whether the gateway's administrator may do it all the same (`/system/alert`).
    pub open_to_admin: bool,
}

/// A refusal that comes before authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why: one of the request reasons.
    pub reason: Reason,
    /// One line for a person: what to change.
    pub message: String,
    /// For [`Reason::MethodNotAllowed`]: the methods that the route has.
    pub allow: &'static [&'static str],
}

/// Reads what `request` asks for.
///
/// # Errors
/// A [`Refusal`] where the request is malformed, ambiguous, or on no route of OpenFaaS.
pub fn resolve(request: &HttpRequest<'_>, rules: &Rules) -> Result<Access, Refusal> {
    let (raw_path, raw_query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let path = path::read(raw_path)?;
    let query = if path::is_api(&path) { Query::read(raw_query)? } else { Query::default() };

    let (row, name) = table::find(&path).ok_or_else(Refusal::unknown_route)?;
    let endpoint = row.endpoint(request.method).map_err(Refusal::method_not_allowed)?;
    match endpoint {
        Endpoint::Public => Ok(Access::Public),
        Endpoint::StaticFiles if rules.ui == Ui::Open => Ok(Access::StaticFile),
        Endpoint::StaticFiles | Endpoint::Closed => Ok(Access::Api(ApiCall::closed(Closed::route()))),
        Endpoint::ClosedButToAdmin => {
            Ok(Access::Api(ApiCall::closed(Closed { open_to_admin: true, ..Closed::route() })))
        }
        Endpoint::CancelAsync => Ok(Access::Closed(Closed::route())),
        Endpoint::Invoke => function::invoke(name, None, rules),
        Endpoint::InvokeAsync => function::invoke(name, request.callback_url, rules),
        Endpoint::Call(action, reading) => {
            target::Call { request, rules, name, query: &query }.read(action, reading).map(Access::Api)
        }
    }
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        let system = ["openfaas", "kube-system", "kube-public", "kube-node-lease"];
        Self {
            default_namespace: "openfaas-fn".to_owned(),
            provider: Provider::Any,
            system_namespaces: system.map(str::to_owned).into(),
            callback_allow: vec![UrlPattern::parse("https://*")],
            ui: Ui::Deny,
        }
    }
}

impl Rules {
    /// The refusal of the first system namespace among `resources`.
    pub(crate) fn closed<'a>(&self, resources: impl IntoIterator<Item = &'a Resource>) -> Option<Closed> {
        let namespace = resources
            .into_iter()
            .filter_map(Resource::namespace)
            .find(|namespace| self.system_namespaces.contains(*namespace))?;
        Some(Closed::new(
            Reason::SystemNamespace,
            format!("the namespace {namespace} belongs to the system: use a namespace for functions"),
        ))
    }
}

// === impl ApiCall ===

impl ApiCall {
    fn closed(closed: Closed) -> Self {
        Self { action: None, resources: Vec::new(), set_namespace: None, closed: Some(closed) }
    }
}

// === impl Closed ===

impl Closed {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), open_to_admin: false }
    }

    fn route() -> Self {
        Self::new(Reason::ClosedRoute, "this route is closed: no permission opens it")
    }
}

// === impl Refusal ===

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), allow: &[] }
    }

    fn unknown_route() -> Self {
        Self::new(
            Reason::UnknownRoute,
            "no such route: check the path, which must match exactly, up to a slash at its end",
        )
    }

    fn method_not_allowed(allow: &'static [&'static str]) -> Self {
        let message = "the route does not have this method: use one that the allow header lists";
        Self { allow, ..Self::new(Reason::MethodNotAllowed, message) }
    }
}

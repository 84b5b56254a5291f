//! What a request asks of OpenFaaS: from an HTTP request to an [`Access`].

use std::collections::BTreeSet;

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
    /// Globs over URLs that `X-Callback-Url` may hold.
    pub callback_allow: Vec<crate::policy::pattern::Glob>,
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
    /// A call of the REST API.
    Api(ApiCall),
    /// A call of a function.
    Invoke {
        /// `ns:name`, always a [`Resource::Object`].
        function: Resource,
        /// Set where the call is refused whoever asks: a system namespace or a callback.
        closed: Option<Closed>,
    },
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

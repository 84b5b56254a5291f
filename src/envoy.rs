//! Reviews the configuration of an Envoy: does every way to the gateway lead past the decision, and
//! does nothing change a request after it?
//!
//! The document is a bootstrap file or what the admin interface answers on `/config_dump`, in the
//! spelling of either (`failure_mode_allow`, `failureModeAllow`). What cannot be seen in it, such as
//! routes that come from a control plane, is a finding, too: nothing is taken for safe unseen.
//!
//! An **error** opens something: a request gets to the gateway undecided, or other than it was decided,
//! or a denial looks like a success. A **warning** closes what should work, or rests on what this
//! document does not tell.

mod clusters;
mod connection_manager;
mod document;
mod filter;
mod filter_chain;
mod node;
mod routes;

use std::fmt;

use serde_json::Value;

use clusters::Clusters;
use connection_manager::Manager;
use document::Document;
use node::Node;

/// How bad a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It opens something.
    Error,
    /// It closes what should work, or is right under some condition only.
    Warning,
}

/// A setting that should not be as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it is in the document, such as `static_resources.listeners[0].name`.
    pub path: String,
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of the problem.
    pub code: &'static str,
    /// What it does, and what to write instead.
    pub message: String,
}

/// All that a review found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// By path.
    pub findings: Vec<Finding>,
    /// How many listeners there are.
    pub listeners: usize,
    /// How many routes were looked at that lead past the decision.
    pub routes: usize,
}

/// The document is no configuration of an Envoy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no Envoy configuration: {0}")]
pub struct NotEnvoy(String);

/// Reviews a document.
///
/// # Errors
/// It is neither a bootstrap nor a configuration dump.
pub fn review(document: &Value) -> Result<Review, NotEnvoy> {
    let document = Document::read(document)?;
    let mut findings = Findings::default();
    document.visibility(&mut findings);
    if let Some(bootstrap) = &document.bootstrap {
        admin(bootstrap, &mut findings);
        runtime(bootstrap, &mut findings);
    }
    let managers: Vec<Manager<'_>> =
        document.listeners.iter().flat_map(|listener| Manager::of_listener(listener, &document)).collect();
    let guarded: Vec<_> = managers.iter().filter(|manager| manager.is_guarded()).collect();
    if guarded.is_empty() {
        let cure = "put envoy.filters.http.ext_authz with faas-iam's cluster before the router";
        findings.at(&document.root, "no-ext-authz", "no listener asks for a decision", cure);
    }
    let mut review = Review { listeners: document.listeners.len(), ..Review::default() };
    for manager in &guarded {
        manager.review(&document, &mut findings);
        review.routes += manager.routes.len();
    }
    let clusters = Clusters::of(&document, &guarded);
    let services: Vec<_> = guarded.iter().flat_map(|manager| manager.services()).collect();
    clusters.review(&services, &mut findings);
    for listener in &document.listeners {
        clusters.ways_around(listener, &document, &mut findings);
    }
    review.findings = findings.0;
    review.findings.sort_unstable();
    review.findings.dedup();
    Ok(review)
}

/// The admin interface can do anything, without a password.
fn admin(bootstrap: &Node<'_>, findings: &mut Findings) {
    let Some(address) = bootstrap.at("admin.address.socket_address") else { return };
    if !document::is_loopback(&address) {
        let opens = "whoever reaches the admin interface can change the runtime, read secrets or stop Envoy";
        findings.at(&address, "admin-exposed", opens, "listen on 127.0.0.1, or on a Unix socket");
    }
}

/// Protections that are on by default and can be turned off by name.
fn runtime(bootstrap: &Node<'_>, findings: &mut Findings) {
    for layer in bootstrap.list("layered_runtime.layers") {
        layer.get("static_layer").iter().for_each(|values| features(values, "", findings));
        if let Some(rtds) = layer.get("rtds_layer") {
            let opens = "whoever serves the runtime can turn protections off";
            findings.warn(&rtds, "runtime-feature", opens, "remove the layer, or make sure of who serves it");
        }
    }
}

/// Keys may be written whole, or as maps in maps.
fn features(values: &Node<'_>, prefix: &str, findings: &mut Findings) {
    for (name, value) in values.members() {
        let key = format!("{prefix}{name}");
        let guard =
            key.starts_with("envoy.reloadable_features.") || key.starts_with("envoy.restart_features.");
        if guard && value.flag() == Some(false) {
            let opens = "turns off a protection or a correction that this Envoy has on by default";
            findings.warn(&value, "runtime-feature", opens, "remove the line");
        }
        features(&value, &format!("{key}."), findings);
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// An error at a node.
    fn at(&mut self, node: &Node<'_>, code: &'static str, opens: &str, cure: &str) {
        self.add(Severity::Error, &node.path, code, opens, cure);
    }

    /// A warning at a node.
    fn warn(&mut self, node: &Node<'_>, code: &'static str, what: &str, cure: &str) {
        self.add(Severity::Warning, &node.path, code, what, cure);
    }

    /// An error about a setting that is not there.
    fn missing(&mut self, node: &Node<'_>, name: &str, code: &'static str, opens: &str, cure: &str) {
        self.add(Severity::Error, &node.below(name), code, opens, cure);
    }

    fn add(&mut self, severity: Severity, path: &str, code: &'static str, what: &str, cure: &str) {
        let path = if path.is_empty() { "(document)" } else { path };
        self.0.push(Finding { path: path.to_owned(), severity, code, message: format!("{what}: {cure}") });
    }
}

impl Severity {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}[{}] {}", self.path, self.severity.as_str(), self.code, self.message)
    }
}

#[cfg(test)]
mod tests;

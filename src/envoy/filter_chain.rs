//! The order of HTTP filters: what runs before the decision, and what may still change after it.

use super::Findings;
use super::filter::ExtAuthz;
use super::node::Node;

/// Filters that leave the request as it was decided, or answer it themselves, by their configuration.
const HARMLESS_AFTER: &[&str] = &[
    "Router",
    "RBAC",
    "LocalRateLimit",
    "RateLimit",
    "Buffer",
    "Cors",
    "CsrfPolicy",
    "HTTPFault",
    "Compressor",
    "AdmissionControl",
    "AdaptiveConcurrency",
    "BandwidthLimit",
    "HealthCheck",
    "StatefulSession",
    "UpstreamCodec",
];

/// Filters that run code of somebody's, which can answer or forward a request by itself.
const RUN_CODE: &[&str] = &["Lua", "Wasm", "DynamicModuleFilter", "ExternalProcessor"];

pub(super) fn review(filters: &[Node<'_>], checks: &[ExtAuthz<'_>], findings: &mut Findings) {
    let decided = checks.first().map(|check| check.entry.path.as_str());
    let mut after = false;
    for filter in filters {
        let is_check = checks.iter().any(|check| check.entry.path == filter.path);
        after |= Some(filter.path.as_str()) == decided;
        if is_check {
            entry(filter, findings);
            continue;
        }
        let typed = filter.get("typed_config").and_then(|config| config.typed());
        let name = typed.as_ref().map(|(name, _)| *name);
        if let Some((_, config)) = typed.as_ref().filter(|(name, _)| *name == "Router") {
            for filter in config.list("upstream_http_filters") {
                upstream(&filter, findings);
            }
        }
        match name {
            Some("Router") if !after => {
                let opens = "requests leave here before anything is decided";
                findings.at(filter, "filter-order", opens, "put ext_authz before it");
            }
            None if filter.get("config_discovery").is_none() => {}
            _ if after && !name.is_some_and(|name| HARMLESS_AFTER.contains(&name)) => {
                let opens = "it can change a request after it was decided";
                findings.at(filter, "filter-order", opens, "put it before ext_authz, or remove it");
            }
            _ if !after
                && name.is_none_or(|name| RUN_CODE.contains(&name) || is_go(filter))
                && !is_ours(&typed, checks) =>
            {
                let opens = "it can answer or forward a request before anything is decided";
                findings.at(filter, "filter-order", opens, "remove it");
            }
            _ => {}
        }
    }
}

/// Whether it is the filter for programs in Go, whose message has a name that others have, too.
fn is_go(filter: &Node<'_>) -> bool {
    filter.text_of("typed_config.@type").is_some_and(|url| url.contains(".golang."))
}

/// The entry of the decision's filter itself.
fn entry(filter: &Node<'_>, findings: &mut Findings) {
    if let Some(node) = filter.is_set("disabled") {
        let opens = "no decision is asked for except where a route turns the filter on";
        findings.at(&node, "disabled", opens, "remove it");
    }
    if let Some(node) = filter.is_set("is_optional") {
        let opens = "an Envoy that cannot make the filter leaves it out";
        findings.at(&node, "optional", opens, "remove it");
    }
    let wrapper = filter.get("typed_config").and_then(|config| config.typed());
    if let Some((_, node)) = wrapper.filter(|(name, _)| *name == "ExtensionWithMatcher") {
        let opens = "the decision is asked for under a condition";
        findings.at(&node, "conditional", opens, "let the filter stand by itself");
    }
    if let Some(node) = filter.get("config_discovery") {
        let opens = "the filter's settings come from elsewhere and are not in this document";
        findings.at(&node, "not-visible", opens, "write them in the listener");
    }
}

/// Whether a filter asks the same cluster as the decision, which is faas-iam's.
fn is_ours(typed: &Option<(&str, Node<'_>)>, checks: &[ExtAuthz<'_>]) -> bool {
    let cluster =
        typed.as_ref().and_then(|(_, config)| config.text_of("grpc_service.envoy_grpc.cluster_name"));
    cluster.is_some() && checks.iter().any(|check| check.cluster() == cluster)
}

/// A filter on the way to a cluster.
pub(super) fn upstream(filter: &Node<'_>, findings: &mut Findings) {
    let name = filter.get("typed_config").and_then(|config| config.typed()).map(|(name, _)| name);
    if !name.is_some_and(|name| HARMLESS_AFTER.contains(&name)) {
        let opens = "it can change a request after it was decided";
        findings.at(filter, "filter-order", opens, "remove it, or put it before ext_authz");
    }
}

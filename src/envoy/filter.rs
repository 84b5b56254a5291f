//! The settings of the ext_authz filter, and of routes for it.

use super::Findings;
use super::node::Node;
use super::routes::{Route, could_match};

/// The ext_authz filter of a connection manager.
#[derive(Debug)]
pub(super) struct ExtAuthz<'a> {
    /// Its entry in `http_filters`.
    pub(super) entry: Node<'a>,
    name: &'a str,
    config: Option<Node<'a>>,
}

/// What faas-iam reads, and what a request could get by without it.
const READ: &[(&str, &str)] = &[
    ("authorization", "an API token on its way to a function is not noticed"),
    ("content-length", "a body that is cut off is not noticed"),
    ("x-callback-url", "a function's result is sent to any URL"),
];

/// The settings of Envoy 1.40, but for those that are looked at.
const OTHER_SETTINGS: &[&str] = &[
    "@type",
    "grpc_service",
    "failure_mode_allow",
    "failure_mode_allow_header_add",
    "with_request_body",
    "clear_route_cache",
    "status_on_error",
    "validate_mutations",
    "filter_enabled",
    "filter_enabled_metadata",
    "deny_at_disable",
    "allowed_headers",
    "disallowed_headers",
    "encode_raw_headers",
    "shadow_mode",
    "decoder_header_mutation_rules",
    "transport_api_version",
    "metadata_context_namespaces",
    "typed_metadata_context_namespaces",
    "route_metadata_context_namespaces",
    "route_typed_metadata_context_namespaces",
    "include_peer_certificate",
    "include_tls_session",
    "stat_prefix",
    "bootstrap_metadata_labels_key",
    "charge_cluster_response_stats",
    "enable_dynamic_metadata_ingestion",
    "filter_metadata",
    "emit_filter_state_stats",
    "max_denied_response_body_bytes",
    "enforce_response_header_limits",
    "emit_client_span",
    "http_service",
    "clear_route_cache_headers",
];

/// Paths whose requests are judged by their body too.
const BODY_PATHS: [&str; 4] =
    ["/system/functions", "/system/secrets", "/system/scale-function/f", "/system/namespace/n"];

/// Bodies below this are common: a deploy with its labels and annotations.
const SMALL_BODY: f64 = 65536.0;

impl<'a> ExtAuthz<'a> {
    /// The filter, if an entry of `http_filters` is or holds one.
    pub(super) fn of(entry: &Node<'a>) -> Option<Self> {
        let name = entry.text_of("name").unwrap_or_default();
        let typed = entry.get("typed_config").and_then(|config| config.typed());
        let config = match typed {
            Some(("ExtAuthz", config)) => Some(config),
            Some(("ExtensionWithMatcher", wrapper)) => {
                let (inner, config) = wrapper.at("extension_config.typed_config")?.typed()?;
                (inner == "ExtAuthz").then_some(config.clone())?;
                Some(config)
            }
            // By discovery: only its name tells what it is.
            _ if entry.get("config_discovery").is_some() && name == "envoy.filters.http.ext_authz" => None,
            _ => return None,
        };
        Some(Self { entry: entry.clone(), name, config })
    }

    /// The cluster that is asked.
    pub(super) fn cluster(&self) -> Option<&'a str> {
        self.config.as_ref()?.text_of("grpc_service.envoy_grpc.cluster_name")
    }

    fn settings_at<'b>(&self, holder: &Node<'b>) -> Option<Node<'b>> {
        holder.get("typed_per_filter_config")?.get(self.name)?.get("check_settings")
    }

    pub(super) fn review(&self, findings: &mut Findings) {
        let Some(config) = &self.config else { return };
        service(config, findings);
        failures(config, findings);
        always(config, findings);
        headers(config, findings);
        if let Some(body) = config.get("with_request_body") {
            partial(&body, findings);
            if body.is_set("pack_as_bytes").is_none() {
                let what = "faas-iam reads bodies as bytes alone and refuses requests without one";
                let path = body.below("pack_as_bytes");
                findings.add(super::Severity::Warning, &path, "body-not-bytes", what, "set it to true");
            }
        }
        for (name, node) in config.members() {
            let known = OTHER_SETTINGS
                .iter()
                .any(|known| config.get(known).is_some_and(|known| known.path == node.path));
            if !known {
                let what = format!("`{name}` is not known to this check, which is made for Envoy 1.40");
                findings.warn(&node, "unknown-setting", &what, "see what it does");
            }
        }
    }

    /// What a route configuration, a host, a route or a weighted cluster says about the filter.
    pub(super) fn per_route(&self, holder: &Node<'a>, is_local: bool, findings: &mut Findings) {
        let configs = holder.get("typed_per_filter_config");
        for (name, entry) in configs.iter().flat_map(Node::members) {
            let Some((kind, node)) = entry.typed() else { continue };
            let inner = node.get("config").and_then(|config| config.typed());
            let settings = match (kind, inner) {
                ("ExtAuthzPerRoute", _) => node.clone(),
                ("FilterConfig", _) if name == self.name && node.is_set("disabled").is_some() => node.clone(),
                ("FilterConfig", Some(("ExtAuthzPerRoute", inner))) => inner,
                _ => continue,
            };
            if let Some(node) = settings.is_set("disabled") {
                let opens = "requests here are not asked about";
                findings.at(&node, "disabled", opens, "remove it: faas-iam lets pass what needs no token");
            }
            let Some(check) = settings.get("check_settings") else { continue };
            if let Some(body) = check.get("with_request_body") {
                partial(&body, findings);
            }
            for name in ["grpc_service", "http_service"] {
                let other = check.get(name).filter(|node| {
                    let cluster = node.text_of("envoy_grpc.cluster_name");
                    cluster.is_none() || cluster != self.cluster()
                });
                if let Some(node) = other {
                    findings.at(&node, "other-service", "somebody else decides here", "remove it");
                }
            }
            let admin =
                check.get("context_extensions").and_then(|extensions| extensions.get("admin-basic-auth"));
            if let Some(node) = admin.filter(|node| !is_local && node.text() == Some("allow")) {
                let what = "the gateway's own password, which may do everything, is accepted here";
                findings.warn(
                    &node,
                    "admin-basic-auth",
                    what,
                    "only on a listener that administrators alone can reach",
                );
            }
        }
    }
}

/// Who is asked, and for how long an answer is waited for.
fn service(config: &Node<'_>, findings: &mut Findings) {
    let Some(service) = config.get("grpc_service") else {
        let opens = "any answer with status 200 lets a request through, and faas-iam speaks gRPC only";
        let node = config.get("http_service").unwrap_or_else(|| config.clone());
        return findings.at(&node, "not-grpc", opens, "use grpc_service with faas-iam's cluster");
    };
    const CURE: &str = "set it to 2s";
    let Some(timeout) = service.get("timeout") else {
        let what =
            "0.2 s by default, which a busy machine exceeds: what then happens is failure_mode_allow's";
        return findings.missing(&service, "timeout", "timeout", what, CURE);
    };
    match timeout.seconds() {
        Some(seconds) if seconds > 0.0 && seconds <= 10.0 => {}
        Some(seconds) if seconds > 10.0 => {
            findings.warn(&timeout, "timeout", "requests wait long while faas-iam does not answer", CURE);
        }
        _ => findings.at(&timeout, "timeout", "requests wait for ever while faas-iam does not answer", CURE),
    }
}

fn failures(config: &Node<'_>, findings: &mut Findings) {
    if let Some(node) = config.is_set("failure_mode_allow") {
        let opens = "while faas-iam does not answer, or answers too late, everything is allowed";
        findings.at(&node, "failure-mode-allow", opens, "set it to false");
    }
    if let Some(node) = config.is_set("failure_mode_allow_header_add") {
        let what = "it has a meaning only where failures allow";
        findings.warn(&node, "failure-mode-allow", what, "remove it");
    }
    let code = config.at("status_on_error.code");
    let text = code.as_ref().and_then(Node::text);
    let number = code.as_ref().and_then(Node::number);
    let is_server_error = number.is_some_and(|code| code >= 500.0)
        || matches!(
            text,
            Some(
                "InternalServerError"
                    | "NotImplemented"
                    | "BadGateway"
                    | "ServiceUnavailable"
                    | "GatewayTimeout"
            )
        );
    let cure = "set it to ServiceUnavailable";
    match code {
        Some(node) if !is_server_error => {
            let opens =
                "an outage looks like an answer: a success, or a refusal that clients do not try again";
            findings.at(&node, "status-on-error", opens, cure);
        }
        Some(_) => {}
        None => {
            let what = "an outage looks like a refusal (403), which clients do not try again";
            let path = config.below("status_on_error");
            findings.add(super::Severity::Warning, &path, "status-on-error", what, cure);
        }
    }
    if config.is_set("validate_mutations").is_none() {
        let what = "an answer with an invalid header is repaired in place of refused";
        let path = config.below("validate_mutations");
        findings.add(super::Severity::Warning, &path, "mutations-not-validated", what, "set it to true");
    }
}

/// Whether every request is asked about, and the answer obeyed.
fn always(config: &Node<'_>, findings: &mut Findings) {
    if let Some(node) = config.is_set("shadow_mode") {
        findings.at(&node, "shadow-mode", "denials are noted, not obeyed", "remove it");
    }
    let fraction = config.get("filter_enabled");
    let whole = fraction.as_ref().is_none_or(|node| is_whole(node) && node.get("runtime_key").is_none());
    if let Some(node) = fraction.filter(|_| !whole) {
        let opens = "only a share of requests is asked about, or the runtime says how many";
        findings.at(&node, "not-always-enabled", opens, "remove filter_enabled");
    }
    if let Some(node) = config.get("filter_enabled_metadata") {
        let opens = "only requests with some metadata are asked about";
        findings.at(&node, "not-always-enabled", opens, "remove it");
    }
    if let Some(node) = config.is_set("clear_route_cache").or_else(|| config.get("clear_route_cache_headers"))
    {
        let opens =
            "after an allow, the changed request may take another route than the decision was made for";
        findings.at(&node, "clear-route-cache", opens, "remove it");
    }
    if let Some(node) = config.get("decoder_header_mutation_rules") {
        let what = "the changes that faas-iam makes to an allowed request, such as the removal of its token, may \
                    be dropped";
        findings.warn(&node, "mutation-rules", what, "remove it");
    }
}

/// Whether a `RuntimeFractionalPercent` is all.
fn is_whole(fraction: &Node<'_>) -> bool {
    let Some(default) = fraction.get("default_value") else { return false };
    let numerator = default.get("numerator").and_then(|node| node.number()).unwrap_or_default();
    let denominator = match default.text_of("denominator") {
        Some("TEN_THOUSAND") => 10_000.0,
        Some("MILLION") => 1_000_000.0,
        _ => 100.0,
    };
    numerator >= denominator
}

fn partial(body: &Node<'_>, findings: &mut Findings) {
    if let Some(node) = body.is_set("allow_partial_message") {
        let opens = "a decision about the beginning of a body, and the whole goes to the gateway";
        findings.at(&node, "partial-body", opens, "set it to false");
    }
}

/// The headers that are sent along.
fn headers(config: &Node<'_>, findings: &mut Findings) {
    if let Some(node) = config.is_set("encode_raw_headers") {
        let opens = "faas-iam does not see the headers, X-Callback-Url among them";
        findings.at(&node, "headers-unseen", opens, "remove it");
    }
    let matches =
        |list: &Node<'_>, name: &str| list.list("patterns").iter().any(|pattern| fits(pattern, name));
    for (name, opens) in READ {
        if let Some(list) = config.get("allowed_headers").filter(|list| !matches(list, name)) {
            let opens = format!("faas-iam does not see `{name}`: {opens}");
            findings.at(&list, "headers-unseen", &opens, "add it");
        }
        if let Some(list) = config.get("disallowed_headers").filter(|list| matches(list, name)) {
            let opens = format!("faas-iam does not see `{name}`: {opens}");
            findings.at(&list, "headers-unseen", &opens, "remove it");
        }
    }
    let address = "x-envoy-external-address";
    let hidden = config.get("allowed_headers").filter(|list| !matches(list, address));
    if let Some(list) =
        hidden.or_else(|| config.get("disallowed_headers").filter(|list| matches(list, address)))
    {
        let what =
            "faas-iam does not see the client's address: what has a condition on request:SourceIp is closed";
        findings.warn(&list, "headers-unseen", what, "let x-envoy-external-address through");
    }
}

/// Whether a `StringMatcher` fits; a regular expression counts as one that does not.
fn fits(pattern: &Node<'_>, name: &str) -> bool {
    let of = |kind| pattern.text_of(kind).map(str::to_ascii_lowercase);
    of("exact").is_some_and(|exact| exact == name)
        || of("prefix").is_some_and(|prefix| name.starts_with(&prefix))
        || of("suffix").is_some_and(|suffix| name.ends_with(&suffix))
        || of("contains").is_some_and(|part| name.contains(&part))
}

/// Whether the routes of a host hand over the bodies that decide.
pub(super) fn bodies(checks: &[ExtAuthz<'_>], routes: &[&Route<'_>], findings: &mut Findings) {
    for path in BODY_PATHS {
        let Some(route) = routes.iter().find(|route| could_match(&route.node, path)) else { continue };
        for check in checks {
            let Some(config) = &check.config else { continue };
            let own = check.settings_at(&route.node).or_else(|| check.settings_at(&route.host));
            let off = own.as_ref().and_then(|own| own.is_set("disable_request_body_buffering"));
            let body =
                own.and_then(|own| own.get("with_request_body")).or_else(|| config.get("with_request_body"));
            let size = body.as_ref().and_then(|body| body.get("max_request_bytes")).filter(|_| off.is_none());
            let small = size.as_ref().is_none_or(|size| size.number().is_none_or(|bytes| bytes < SMALL_BODY));
            if small {
                let what = format!(
                    "faas-iam gets no body of {path}, or one of less than 64 KiB, and refuses what is longer"
                );
                let node = size.unwrap_or_else(|| route.node.clone());
                findings.warn(
                    &node,
                    "body-missing",
                    &what,
                    "set with_request_body.max_request_bytes to 1048576",
                );
            }
        }
    }
}

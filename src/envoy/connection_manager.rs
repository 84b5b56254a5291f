//! The HTTP connection manager: which request it takes a request for.

use super::Findings;
use super::document::{Document, is_loopback};
use super::filter::{self, ExtAuthz};
use super::node::Node;
use super::routes::{self, Route};
use super::{clusters, filter_chain};

/// An HTTP connection manager of a listener.
#[derive(Debug)]
pub(super) struct Manager<'a> {
    node: Node<'a>,
    listener: Node<'a>,
    filters: Vec<Node<'a>>,
    route_configs: Vec<Node<'a>>,
    pub(super) routes: Vec<Route<'a>>,
    /// Where its routes come from, if the document does not hold them.
    pub(super) unseen: Vec<Node<'a>>,
    checks: Vec<ExtAuthz<'a>>,
}

/// The network filters of a listener, of all its filter chains.
pub(super) fn network_filters<'a>(listener: &Node<'a>) -> Vec<Node<'a>> {
    let chains = listener.list("filter_chains").into_iter().chain(listener.get("default_filter_chain"));
    chains.flat_map(|chain| chain.list("filters")).collect()
}

impl<'a> Manager<'a> {
    pub(super) fn of_listener(listener: &Node<'a>, document: &Document<'a>) -> Vec<Self> {
        let configs = network_filters(listener).into_iter().filter_map(|filter| filter.get("typed_config"));
        let api = listener.at("api_listener.api_listener");
        configs
            .chain(api)
            .filter_map(|config| config.typed())
            .filter(|(name, _)| matches!(*name, "HttpConnectionManager" | "EnvoyMobileHttpConnectionManager"))
            .map(|(_, node)| Self::new(node, listener.clone(), document))
            .collect()
    }

    fn new(node: Node<'a>, listener: Node<'a>, document: &Document<'a>) -> Self {
        let mut route_configs: Vec<_> = node.get("route_config").into_iter().collect();
        let mut unseen: Vec<_> = node.get("scoped_routes").into_iter().collect();
        if let Some(rds) = node.get("rds") {
            match rds.text_of("route_config_name").and_then(|name| document.route_config(name)) {
                Some(config) => route_configs.push(config),
                None => unseen.push(rds),
            }
        }
        unseen.extend(route_configs.iter().filter_map(|config| config.get("vhds")));
        // A tree of matchers in place of routes.
        let hosts = route_configs.iter().flat_map(|config| config.list("virtual_hosts"));
        unseen.extend(hosts.filter_map(|host| host.get("matcher")));
        let filters = node.list("http_filters");
        let checks = filters.iter().filter_map(ExtAuthz::of).collect();
        let routes = route_configs.iter().flat_map(routes::of).collect();
        Self { node, listener, filters, route_configs, routes, unseen, checks }
    }

    /// Whether its requests are asked about.
    pub(super) fn is_guarded(&self) -> bool {
        !self.checks.is_empty()
    }

    /// The clusters behind the decision, but for the token service's.
    pub(super) fn behind(&self) -> Vec<&'a str> {
        let routes = self.routes.iter().filter(|route| !routes::is_token_service(&route.node));
        routes.flat_map(|route| routes::destinations(&route.node)).filter_map(|(_, name)| name).collect()
    }

    /// The clusters that decide for it.
    pub(super) fn services(&self) -> impl Iterator<Item = &'a str> {
        self.checks.iter().filter_map(ExtAuthz::cluster)
    }

    pub(super) fn review(&self, document: &Document<'a>, findings: &mut Findings) {
        self.path(findings);
        self.client(findings);
        self.http1(findings);
        self.replies(findings);
        for node in self.node.list("upgrade_configs") {
            routes::upgrade(&node, findings);
        }
        if let Some(node) = self.node.is_set("http2_protocol_options.allow_connect") {
            let opens = "extended CONNECT opens a tunnel that no decision sees into";
            findings.at(&node, "upgrade", opens, "remove it");
        }
        for node in &self.unseen {
            let opens = "the routes come from elsewhere and are not in this document";
            findings.at(node, "not-visible", opens, "check a /config_dump of an Envoy that has them");
        }
        filter_chain::review(&self.filters, &self.checks, findings);
        for check in &self.checks {
            check.review(findings);
        }
        self.review_routes(findings);
        clusters::admin_clusters(document, findings);
    }

    /// One reading of the path.
    fn path(&self, findings: &mut Findings) {
        if self.node.is_set("normalize_path").is_none() {
            let opens =
                "routes are chosen by a path with `..` and escapes in it, and the gateway resolves them";
            findings.missing(&self.node, "normalize_path", "path-not-normalised", opens, "set it to true");
        }
        let action = self.node.get("path_with_escaped_slashes_action");
        match action
            .as_ref()
            .and_then(|node| node.text().map(str::to_owned).or(node.number().map(|n| n.to_string())))
        {
            Some(reject) if matches!(reject.as_str(), "REJECT_REQUEST" | "2") => {}
            Some(other) if other.starts_with("UNESCAPE") || matches!(other.as_str(), "3" | "4") => {
                let what = "a path with %2F becomes another one before faas-iam can refuse it";
                let path = self.node.below("path_with_escaped_slashes_action");
                let cure = "set it to REJECT_REQUEST";
                findings.add(super::Severity::Warning, &path, "escaped-slashes", what, cure);
            }
            _ => {
                let opens =
                    "routes are chosen by a path in which %2F and %5C are no slashes; the gateway's are";
                let name = "path_with_escaped_slashes_action";
                findings.missing(&self.node, name, "escaped-slashes", opens, "set it to REJECT_REQUEST");
            }
        }
        if let Some(node) = self.node.get("path_normalization_options") {
            let opens = "filters and the gateway may get different paths";
            findings.at(&node, "split-path", opens, "remove it: normalize_path is enough");
        }
    }

    /// Who is calling, and what a client cannot say of itself.
    fn client(&self, findings: &mut Findings) {
        if self.node.is_set("use_remote_address").is_none() {
            let opens = "a client can state any address in x-envoy-external-address, and so pass for another in \
                         conditions on request:SourceIp";
            findings.missing(&self.node, "use_remote_address", "forged-address", opens, "set it to true");
        }
        for name in ["internal_address_config", "original_ip_detection_extensions"] {
            if let Some(node) = self.node.get(name) {
                let opens = "for some clients, Envoy does not state their address itself";
                findings.at(
                    &node,
                    "forged-address",
                    opens,
                    "remove it: use xff_num_trusted_hops behind a proxy",
                );
            }
        }
        if let Some(node) = self.node.get("xff_num_trusted_hops").filter(|hops| hops.number() != Some(0.0)) {
            let what = "right only if every client comes through exactly so many proxies that append to \
                        X-Forwarded-For; otherwise a client chooses its address";
            findings.warn(&node, "trusted-hops", what, "make sure, or remove it");
        }
        let removed = self.removed_prefixes();
        for prefix in ["x-envoy-", "x-faas-iam-"] {
            if !removed.iter().any(|removed| prefix.starts_with(*removed)) {
                let opens = "what only Envoy or faas-iam may say";
                let opens =
                    format!("a client's {prefix}* headers reach faas-iam or functions, and pass for {opens}");
                let cure = "let a header_mutation remove the prefix";
                let name = "early_header_mutation_extensions";
                findings.missing(&self.node, name, "spoofed-headers", &opens, cure);
            }
        }
        let underscores = self.node.text_of("common_http_protocol_options.headers_with_underscores_action");
        if !matches!(underscores, Some("REJECT_REQUEST" | "DROP_HEADER")) {
            let opens = "a function cannot tell x_faas_iam_subject from x-faas-iam-subject, which is removed";
            let path = "common_http_protocol_options.headers_with_underscores_action";
            let path = format!("{}.{path}", self.node.path);
            findings.add(super::Severity::Error, &path, "spoofed-headers", opens, "set it to REJECT_REQUEST");
        }
    }

    /// The prefixes of header names that are removed before anything else looks at them.
    fn removed_prefixes(&self) -> Vec<&'a str> {
        let early = self.node.list("early_header_mutation_extensions");
        let configs = early.iter().filter_map(|extension| extension.get("typed_config")?.typed());
        let mutations = configs
            .filter(|(name, _)| *name == "HeaderMutation")
            .flat_map(|(_, node)| node.list("mutations"));
        let matchers = mutations.filter_map(|mutation| mutation.at("remove_on_match.key_matcher"));
        matchers.filter_map(|matcher| matcher.text_of("prefix")).collect()
    }

    fn http1(&self, findings: &mut Findings) {
        for (name, opens) in [
            (
                "accept_http_10",
                "requests without a Host, and with lengths that readers differ about, are let in",
            ),
            (
                "allow_chunked_length",
                "a body with two lengths is one request to Envoy and may be two behind it",
            ),
            ("allow_custom_methods", "methods that the gateway's parts may read differently are let in"),
        ] {
            if let Some(node) = self.node.at("http_protocol_options").and_then(|options| options.is_set(name))
            {
                findings.at(&node, "lenient-http1", opens, "remove it");
            }
        }
    }

    /// Answers that Envoy makes itself.
    fn replies(&self, findings: &mut Findings) {
        for mapper in self.node.list("local_reply_config.mappers") {
            let Some(code) = mapper.get("status_code") else { continue };
            if code.number().is_none_or(|code| code < 400.0) {
                let opens = "a denial looks like a success";
                findings.at(&code, "denial-as-success", opens, "leave the status as it is");
            }
        }
    }

    fn review_routes(&self, findings: &mut Findings) {
        for config in &self.route_configs {
            self.holder(config, findings);
            for host in config.list("virtual_hosts") {
                self.holder(&host, findings);
            }
        }
        for route in &self.routes {
            self.holder(&route.node, findings);
            for entry in route.node.list("route.weighted_clusters.clusters") {
                self.holder(&entry, findings);
            }
            routes::review(route, findings);
        }
        for host in self.route_configs.iter().flat_map(|config| config.list("virtual_hosts")) {
            let routes: Vec<_> = self.routes.iter().filter(|route| route.host.path == host.path).collect();
            filter::bodies(&self.checks, &routes, findings);
        }
    }

    /// What stands at a route configuration, a host, a route or a weighted cluster.
    fn holder(&self, holder: &Node<'a>, findings: &mut Findings) {
        routes::headers(holder, findings);
        routes::mirrors(holder, findings);
        let is_local =
            self.listener.at("address.socket_address").is_some_and(|address| is_loopback(&address))
                || self.listener.at("address.pipe").is_some();
        for check in &self.checks {
            check.per_route(holder, is_local, findings);
        }
    }
}

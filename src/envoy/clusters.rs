//! Which clusters lead to the gateway, and who reaches them undecided.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use super::connection_manager::{Manager, network_filters};
use super::document::{Document, is_loopback};
use super::node::Node;
use super::routes::destinations;

/// The clusters of a document.
pub(super) struct Clusters<'a> {
    by_name: BTreeMap<&'a str, Node<'a>>,
    /// Those that are reached past the decision, and others with the same endpoints.
    protected: BTreeSet<&'a str>,
}

const OPENS: &str = "leads to the gateway without a decision";
const CURE: &str = "remove it, or put ext_authz with faas-iam before it";

impl<'a> Clusters<'a> {
    pub(super) fn of(document: &Document<'a>, guarded: &[&Manager<'a>]) -> Self {
        let named = document.clusters.iter().filter_map(|node| Some((node.text_of("name")?, node.clone())));
        let by_name: BTreeMap<_, _> = named.collect();
        let mut protected: BTreeSet<&str> = guarded.iter().flat_map(|manager| manager.behind()).collect();
        let endpoints: BTreeSet<_> =
            protected.iter().filter_map(|name| by_name.get(name)).flat_map(endpoints).collect();
        let shares =
            |node: &Node<'a>| self::endpoints(node).iter().any(|endpoint| endpoints.contains(endpoint));
        protected.extend(by_name.iter().filter(|(_, node)| shares(node)).map(|(name, _)| *name));
        Self { by_name, protected }
    }

    /// Settings of the clusters themselves; `services` are those that decide.
    pub(super) fn review(&self, services: &[&str], findings: &mut Findings) {
        for cluster in services.iter().filter_map(|name| self.by_name.get(name)) {
            let one = cluster.get("transport_socket").into_iter();
            let matches = cluster.list("transport_socket_matches");
            let sockets = one.chain(matches.iter().filter_map(|found| found.get("transport_socket")));
            sockets.for_each(|socket| verified(&socket, findings));
        }
        for name in &self.protected {
            let Some(cluster) = self.by_name.get(name) else { continue };
            for (_, options) in cluster.get("typed_extension_protocol_options").iter().flat_map(Node::members)
            {
                for filter in options.list("http_filters") {
                    super::filter_chain::upstream(&filter, findings);
                }
            }
        }
    }

    /// Looks for ways to the gateway on a listener that lead past no decision.
    pub(super) fn ways_around(&self, listener: &Node<'a>, document: &Document<'a>, findings: &mut Findings) {
        for manager in Manager::of_listener(listener, document).iter().filter(|manager| !manager.is_guarded())
        {
            let found = manager.routes.iter().flat_map(|route| destinations(&route.node));
            for (node, _) in found.filter(|(_, name)| name.is_none_or(|name| self.leads_in(name))) {
                findings.at(&node, "bypass", OPENS, CURE);
            }
            for node in &manager.unseen {
                let opens = "its routes come from elsewhere and may lead to the gateway without a decision";
                findings.at(node, "not-visible", opens, "check a /config_dump of an Envoy that has them");
            }
        }
        for filter in network_filters(listener) {
            let typed = filter.get("typed_config").and_then(|config| config.typed());
            if typed.as_ref().is_some_and(|(name, _)| *name == "HttpConnectionManager") {
                continue;
            }
            for (path, _) in filter.texts().iter().filter(|(_, text)| self.leads_in(text)) {
                findings.add(super::Severity::Error, path, "bypass", OPENS, CURE);
            }
        }
    }

    /// Whether it is the gateway's cluster, or one that goes wherever a client says.
    fn leads_in(&self, name: &str) -> bool {
        let anywhere = |cluster: &Node<'_>| {
            cluster.text_of("type") == Some("ORIGINAL_DST")
                || cluster.text_of("cluster_type.name") == Some("envoy.clusters.dynamic_forward_proxy")
        };
        self.protected.contains(name) || self.by_name.get(name).is_some_and(anywhere)
    }
}

/// Whether Envoy knows who answers in the place of faas-iam: without a certificate to go by, it takes
/// any (`CertificateValidationContext`).
fn verified(socket: &Node<'_>, findings: &mut Findings) {
    const ROOTS: [&str; 6] = [
        "trusted_ca",
        "system_root_certs",
        "ca_certificate_provider_instance",
        "verify_certificate_hash",
        "verify_certificate_spki",
        "custom_validator_config",
    ];
    let Some((name, tls)) = socket.get("typed_config").and_then(|config| config.typed()) else { return };
    if name != "UpstreamTlsContext" {
        return;
    }
    let context = |name: &str| tls.at(&format!("common_tls_context.{name}"));
    let combined = |name: &str| context(&format!("combined_validation_context.{name}"));
    let by_sds = context("validation_context_sds_secret_config")
        .or_else(|| combined("validation_context_sds_secret_config"));
    let own = context("validation_context").or_else(|| combined("default_validation_context"));
    let trusts = own.as_ref().is_some_and(|own| ROOTS.iter().any(|root| own.get(root).is_some()));
    let anybody =
        own.as_ref().and_then(|own| own.text_of("trust_chain_verification")) == Some("ACCEPT_UNTRUSTED");
    let opens = "whoever is on the way can decide in the place of faas-iam: its certificate is not verified";
    if anybody || (by_sds.is_none() && !trusts) {
        findings.at(&tls, "service-not-verified", opens, "set validation_context.trusted_ca");
    } else if by_sds.is_none() && own.is_some_and(|own| own.list("match_typed_subject_alt_names").is_empty())
    {
        let what = "every holder of a certificate of this authority can decide in the place of faas-iam";
        findings.warn(&tls, "service-not-verified", what, "set match_typed_subject_alt_names");
    }
}

/// Routes to Envoy's own admin interface.
pub(super) fn admin_clusters(document: &Document<'_>, findings: &mut Findings) {
    let admin =
        document.bootstrap.as_ref().and_then(|bootstrap| bootstrap.at("admin.address.socket_address"));
    let Some(port) = admin.and_then(|address| address.get("port_value")?.number()) else { return };
    for cluster in &document.clusters {
        for address in socket_addresses(cluster) {
            let same = address.get("port_value").and_then(|port| port.number()) == Some(port);
            if same && is_loopback(&address) {
                let opens = "this cluster is Envoy's own admin interface, which can do anything";
                findings.at(&address, "admin-exposed", opens, "remove the cluster, and the routes to it");
            }
        }
    }
}

fn socket_addresses<'a>(cluster: &Node<'a>) -> Vec<Node<'a>> {
    let localities = cluster.list("load_assignment.endpoints");
    let hosts = localities.iter().flat_map(|locality| locality.list("lb_endpoints"));
    hosts.filter_map(|host| host.at("endpoint.address.socket_address")).collect()
}

/// Where a cluster leads: host and port. A Service of Kubernetes has names of several lengths.
fn endpoints(cluster: &Node<'_>) -> Vec<(String, u64)> {
    let of = |address: &Node<'_>| {
        let port = address.get("port_value")?.number()?;
        let host = address.text_of("address")?.to_ascii_lowercase();
        let host = host.trim_end_matches('.').trim_end_matches(".cluster.local").trim_end_matches(".svc");
        Some((host.to_owned(), port.to_bits()))
    };
    socket_addresses(cluster).iter().filter_map(of).collect()
}

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

    /// Settings of the clusters themselves.
    pub(super) fn review(&self, findings: &mut Findings) {
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

/// Where a cluster leads: host and port.
fn endpoints<'a>(cluster: &Node<'a>) -> Vec<(&'a str, u64)> {
    let of = |address: &Node<'a>| {
        let port = address.get("port_value")?.number()?;
        Some((address.text_of("address")?, port.to_bits()))
    };
    socket_addresses(cluster).iter().filter_map(of).collect()
}

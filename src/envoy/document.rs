//! What the two sorts of documents hold, brought to one form.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::node::Node;
use super::{Findings, NotEnvoy};

/// The parts of a document that are looked at.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) root: Node<'a>,
    pub(super) bootstrap: Option<Node<'a>>,
    pub(super) listeners: Vec<Node<'a>>,
    pub(super) clusters: Vec<Node<'a>>,
    /// Those that are not written inside of their listener, by name.
    route_configs: BTreeMap<&'a str, Node<'a>>,
    is_dump: bool,
}

impl<'a> Document<'a> {
    pub(super) fn read(value: &'a Value) -> Result<Self, NotEnvoy> {
        let root = Node::root(value);
        let mut document = Self {
            root: root.clone(),
            bootstrap: None,
            listeners: Vec::new(),
            clusters: Vec::new(),
            route_configs: BTreeMap::new(),
            is_dump: false,
        };
        if let Some(configs) = root.get("configs") {
            document.read_dump(&configs)?;
        } else if root.get("static_resources").is_some() || root.get("dynamic_resources").is_some() {
            document.listeners = root.list("static_resources.listeners");
            document.clusters = root.list("static_resources.clusters");
            document.bootstrap = Some(root);
        } else {
            let expected = "neither `static_resources`, as in a bootstrap file, nor `configs`, as in the answer \
                            of the admin interface on /config_dump";
            return Err(NotEnvoy(format!("it holds {expected}")));
        }
        Ok(document)
    }

    fn read_dump(&mut self, configs: &Node<'a>) -> Result<(), NotEnvoy> {
        self.is_dump = true;
        let (mut bootstrap, mut has_listeners, mut has_clusters) = (None, false, false);
        for config in configs.entries() {
            match config.text_of("@type").and_then(|url| url.rsplit(['.', '/']).next()) {
                Some("BootstrapConfigDump") => bootstrap = config.get("bootstrap"),
                Some("ListenersConfigDump") => {
                    has_listeners = true;
                    self.listeners
                        .extend(config.list("static_listeners").iter().filter_map(|l| l.get("listener")));
                    let dynamic = config.list("dynamic_listeners");
                    self.listeners.extend(dynamic.iter().flat_map(dynamic_listener));
                }
                Some("DynamicListener") => {
                    has_listeners = true;
                    self.listeners.extend(dynamic_listener(&config));
                }
                Some("ClustersConfigDump") => {
                    has_clusters = true;
                    let lists = ["static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters"];
                    let all = lists.iter().flat_map(|list| config.list(list));
                    self.clusters.extend(all.filter_map(|cluster| cluster.get("cluster")));
                }
                Some("RoutesConfigDump") => {
                    for route_config in
                        config.list("dynamic_route_configs").iter().filter_map(|c| c.get("route_config"))
                    {
                        if let Some(name) = route_config.text_of("name") {
                            self.route_configs.insert(name, route_config);
                        }
                    }
                }
                _ => {}
            }
        }
        if bootstrap.is_none() && !has_listeners {
            return Err(NotEnvoy("`configs` holds neither a bootstrap nor listeners".to_owned()));
        }
        // The lists are what is in force; the bootstrap is what it began with.
        if let Some(bootstrap) = &bootstrap {
            if !has_listeners {
                self.listeners = bootstrap.list("static_resources.listeners");
            }
            if !has_clusters {
                self.clusters = bootstrap.list("static_resources.clusters");
            }
        }
        self.bootstrap = bootstrap;
        Ok(())
    }

    /// A route configuration that is kept by itself.
    pub(super) fn route_config(&self, name: &str) -> Option<Node<'a>> {
        self.route_configs.get(name).cloned()
    }

    /// What comes from elsewhere and is not in the document.
    pub(super) fn visibility(&self, findings: &mut Findings) {
        if self.is_dump {
            return;
        }
        for name in ["lds_config", "cds_config", "ads_config"] {
            let dynamic = self.root.at("dynamic_resources").and_then(|dynamic| dynamic.get(name));
            if let Some(node) = dynamic {
                let opens = "listeners, routes or clusters come from elsewhere and are not in this file";
                findings.at(
                    &node,
                    "not-visible",
                    opens,
                    "check what the admin interface answers on /config_dump",
                );
            }
        }
    }
}

/// The listener that is in force and the one that comes next.
fn dynamic_listener<'a>(listener: &Node<'a>) -> Vec<Node<'a>> {
    ["active_state", "warming_state"]
        .iter()
        .filter_map(|state| listener.get(state)?.get("listener"))
        .collect()
}

/// Whether a `socket_address` is of this host only.
pub(super) fn is_loopback(socket_address: &Node<'_>) -> bool {
    let address = socket_address.text_of("address").unwrap_or_default();
    address == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

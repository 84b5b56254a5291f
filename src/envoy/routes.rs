//! Routes: where they lead, and what they change.

use super::Findings;
use super::node::Node;

/// A route, and the host that it is of.
#[derive(Debug)]
pub(super) struct Route<'a> {
    pub(super) node: Node<'a>,
    pub(super) host: Node<'a>,
}

/// The routes of a route configuration.
pub(super) fn of<'a>(route_config: &Node<'a>) -> Vec<Route<'a>> {
    let of_host = |host: Node<'a>| {
        let routes = host.list("routes").into_iter();
        routes.map(move |node| Route { node, host: host.clone() })
    };
    route_config.list("virtual_hosts").into_iter().flat_map(of_host).collect()
}

/// Where a route leads: clusters by name, or nowhere that this document tells.
pub(super) fn destinations<'a>(route: &Node<'a>) -> Vec<(Node<'a>, Option<&'a str>)> {
    let Some(action) = route.get("route") else { return Vec::new() };
    let fixed = action.get("cluster").into_iter();
    let weighted = action.list("weighted_clusters.clusters");
    let fixed = fixed.chain(weighted.iter().filter_map(|entry| entry.get("name")));
    let mut found: Vec<_> = fixed.map(|node| (node.clone(), node.text())).collect();
    let unknown = ["cluster_header", "cluster_specifier_plugin", "inline_cluster_specifier_plugin"];
    found.extend(unknown.iter().filter_map(|name| Some((action.get(name)?, None))));
    found.extend(weighted.iter().filter_map(|entry| Some((entry.get("cluster_header")?, None))));
    found
}

/// Whether a route is for the token service alone.
pub(super) fn is_token_service(route: &Node<'_>) -> bool {
    let match_ = route.get("match");
    let of = |name| match_.as_ref().and_then(|node| node.text_of(name));
    of("path") == Some("/oauth/token")
        || of("prefix").is_some_and(|prefix| prefix.starts_with("/.well-known/"))
}

/// Whether a route could be the one for this path. A pattern that cannot be judged here is not.
pub(super) fn could_match(route: &Node<'_>, path: &str) -> bool {
    let Some(match_) = route.get("match") else { return false };
    let of = |name| match_.text_of(name);
    of("path").is_some_and(|exact| exact == path)
        || of("prefix").is_some_and(|prefix| path.starts_with(prefix))
        || of("path_separated_prefix").is_some_and(|prefix| {
            path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.chars().next(), None | Some('/')))
        })
}

/// What changes a request after it was decided, or lets it go another way.
pub(super) fn review(route: &Route<'_>, findings: &mut Findings) {
    if let Some(node) = route.node.at("match.connect_matcher") {
        findings.at(
            &node,
            "upgrade",
            "CONNECT opens a tunnel that no decision sees into",
            "remove the route",
        );
    }
    let Some(action) = route.node.get("route") else { return };
    for name in ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"] {
        if let Some(node) = action.get(name) {
            let opens = "the gateway gets another path than was decided about";
            findings.at(&node, "rewritten-path", opens, "remove it: rewrite in front of Envoy, if at all");
        }
    }
    for (node, name) in destinations(&route.node) {
        if name.is_none() {
            let opens = "the request, or something that is not in this document, chooses where it goes";
            findings.at(&node, "chosen-destination", opens, "name the cluster");
        }
    }
    mirrors(&action, findings);
    for node in action.list("upgrade_configs") {
        upgrade(&node, findings);
    }
    for (node, code, what) in [
        (
            action.get("internal_redirect_policy"),
            "internal-redirect",
            "a redirect of the gateway is followed by Envoy, to where it was not asked",
        ),
        (
            action.get("retry_policy").or_else(|| route.host.get("retry_policy")),
            "retries",
            "a call of a function or a deploy may be repeated unasked",
        ),
    ] {
        if let Some(node) = node {
            findings.warn(&node, code, what, "remove it");
        }
    }
}

/// An upgrade that is allowed on a listener or a route.
pub(super) fn upgrade(config: &Node<'_>, findings: &mut Findings) {
    if config.get("enabled").is_none_or(|enabled| enabled.flag() == Some(true)) {
        let opens =
            "after the upgrade a tunnel is open, and no decision is asked for about what goes through it";
        findings.at(config, "upgrade", opens, "remove it: neither the gateway nor its clients use upgrades");
    }
}

/// Copies of requests, as a route, a host or the whole may ask for.
pub(super) fn mirrors(holder: &Node<'_>, findings: &mut Findings) {
    for node in holder.list("request_mirror_policies") {
        let opens = "copies of allowed requests, which carry the gateway's credentials, go elsewhere";
        findings.at(&node, "mirrored", opens, "remove it");
    }
}

/// Header changes of a route, a host or the whole that undo what the decision says about credentials.
pub(super) fn headers(holder: &Node<'_>, findings: &mut Findings) {
    for addition in holder.list("request_headers_to_add") {
        let Some(name) = addition.get("header").and_then(|header| header.get("key")) else { continue };
        if name.text().is_some_and(|name| name.eq_ignore_ascii_case("authorization")) {
            let opens = "everyone's requests get these credentials after the decision, functions' included";
            findings.at(
                &name,
                "sets-authorization",
                opens,
                "remove it: faas-iam sets the gateway's credentials",
            );
        }
    }
    for name in holder.list("request_headers_to_remove") {
        if name.text().is_some_and(|name| name.eq_ignore_ascii_case("authorization")) {
            let what = "the gateway's credentials and functions' tokens are removed after the decision";
            findings.warn(&name, "removes-authorization", what, "remove the line");
        }
    }
}

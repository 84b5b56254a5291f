//! Holes, each made by one edit of the shipped configuration.

use anyhow::{Result, ensure};

/// One edit, and what is to be found after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    /// A text that stands once in the file, and what takes its place.
    from: &'static str,
    to: &'static str,
    /// The only code that may be found.
    pub(crate) code: &'static str,
    /// A part of the path of each finding in the file.
    pub(crate) path: &'static str,
}

impl Mutation {
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        let found = text.matches(self.from).count();
        ensure!(found == 1, "`{}` stands {found} times in the file", self.from);
        Ok(text.replace(self.from, self.to))
    }
}

const fn edit(
    name: &'static str,
    [from, to]: [&'static str; 2],
    code: &'static str,
    path: &'static str,
) -> Mutation {
    Mutation { name, from, to, code, path }
}

const ALLOW: &str = "failure_mode_allow: false\n";
const PATHS: &str = "                normalize_path: true\n";
const FUNCTION: &str = "route: { cluster: gateway, timeout: 0s, idle_timeout: 3600s }\n                          \
                        typed_per_filter_config: *stream\n                        - name: async-function";
const FUNCTION_ROUTE: &str =
    "match: { prefix: /function/ }\n                          route: { cluster: gateway, ";
const HOST: &str = "domains: [\"*\"]\n";
const ROUTER: &str = "                  - name: envoy.filters.http.router\n";
const FILTERS: &str = "                http_filters:\n";
const BODY: &str = "                      with_request_body:\n                        max_request_bytes: 1048576\n                        \
                    allow_partial_message: false\n                        pack_as_bytes: true\n";
const LISTENERS: &str = "  listeners:\n";
const MANAGER: &str = "codec_type: AUTO\n";

const LUA: &str = "                  - name: lua
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
                      default_source_code: { inline_string: 'function envoy_on_request(h) end' }\n";

macro_rules! after {
    ($at:expr, $added:expr) => {
        [$at, concat_once(&[$at, $added])]
    };
}

/// Texts are made once and kept: they are few.
fn concat_once(parts: &[&str]) -> &'static str {
    Box::leak(parts.concat().into_boxed_str())
}

/// Every hole.
pub(crate) fn mutations() -> Vec<Mutation> {
    [settings(), coverage(), reading(), order(), ways_around(), routes()].concat()
}

/// What the filter does with failures, bodies and headers.
fn settings() -> Vec<Mutation> {
    vec![
        edit(
            "failures allow",
            [ALLOW, "failure_mode_allow: true\n"],
            "failure-mode-allow",
            "typed_config.failure_mode_allow",
        ),
        edit(
            "failures are told",
            after!(ALLOW, "                      failure_mode_allow_header_add: true\n"),
            "failure-mode-allow",
            "_header_add",
        ),
        edit(
            "failures are 403",
            ["status_on_error: { code: ServiceUnavailable }", "status_on_error: { code: Forbidden }"],
            "status-on-error",
            "status_on_error.code",
        ),
        edit(
            "failures are 200",
            ["status_on_error: { code: ServiceUnavailable }", "status_on_error: { code: OK }"],
            "status-on-error",
            "status_on_error.code",
        ),
        edit(
            "failures have no status",
            ["                      status_on_error: { code: ServiceUnavailable }\n", ""],
            "status-on-error",
            "typed_config.status_on_error",
        ),
        edit(
            "mutations are repaired",
            ["validate_mutations: true", "validate_mutations: false"],
            "mutations-not-validated",
            "validate_mutations",
        ),
        edit(
            "the route is chosen anew",
            ["clear_route_cache: false", "clear_route_cache: true"],
            "clear-route-cache",
            "clear_route_cache",
        ),
        edit(
            "raw headers",
            ["encode_raw_headers: false", "encode_raw_headers: true"],
            "headers-unseen",
            "encode_raw_headers",
        ),
        edit(
            "no authorization",
            ["                          - { exact: authorization }\n", ""],
            "headers-unseen",
            "allowed_headers",
        ),
        edit(
            "no callback URL",
            ["                          - { exact: x-callback-url }\n", ""],
            "headers-unseen",
            "allowed_headers",
        ),
        edit(
            "no length",
            ["                          - { exact: content-length }\n", ""],
            "headers-unseen",
            "allowed_headers",
        ),
        edit(
            "no address",
            ["                          - { exact: x-envoy-external-address }\n", ""],
            "headers-unseen",
            "allowed_headers",
        ),
        edit(
            "hidden headers",
            after!(
                "                      encode_raw_headers: false\n",
                "                      disallowed_headers: { patterns: [{ prefix: x-callback }] }\n"
            ),
            "headers-unseen",
            "disallowed_headers",
        ),
        edit("no time", ["                        timeout: 2s\n", ""], "timeout", "grpc_service.timeout"),
        edit(
            "much time",
            ["                        timeout: 2s\n", "                        timeout: 60s\n"],
            "timeout",
            "grpc_service.timeout",
        ),
        edit(
            "part of a body",
            [
                BODY,
                concat_once(&[BODY])
                    .replace("allow_partial_message: false", "allow_partial_message: true")
                    .leak(),
            ],
            "partial-body",
            "with_request_body.allow_partial_message",
        ),
        edit(
            "part of a body on a route",
            [
                "max_request_bytes: 8388608\n                                  allow_partial_message: false",
                "max_request_bytes: 8388608\n                                  allow_partial_message: true",
            ],
            "partial-body",
            "routes[5]",
        ),
        edit(
            "bodies as text",
            [BODY, BODY.replace("pack_as_bytes: true", "pack_as_bytes: false").leak()],
            "body-not-bytes",
            "pack_as_bytes",
        ),
        edit("no bodies", [BODY, ""], "body-missing", "virtual_hosts[0].routes["),
        edit(
            "small bodies",
            [BODY, BODY.replace("1048576", "1000").leak()],
            "body-missing",
            "with_request_body.max_request_bytes",
        ),
    ]
}

/// Whether every request is asked about.
fn coverage() -> Vec<Mutation> {
    const DISABLED: &str = "envoy.filters.http.ext_authz: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true }";
    let disabled = |key: &'static str| concat_once(&[key, "typed_per_filter_config: { ", DISABLED, " }\n"]);
    let half = "                      filter_enabled: { default_value: { numerator: 50 } }\n";
    let by_key =
        "                      filter_enabled: { default_value: { numerator: 100 }, runtime_key: authz }\n";
    let metadata = "                      filter_enabled_metadata: { filter: a, path: [{ key: b }], value: { bool_match: true } }\n";
    let weighted = concat_once(&[
        FUNCTION_ROUTE.trim_end_matches("cluster: gateway, "),
        "weighted_clusters: { clusters: [{ name: gateway, weight: 1, typed_per_filter_config: { ",
        DISABLED,
        " } }] }, ",
    ]);
    let wrapped = "typed_per_filter_config: { envoy.filters.http.ext_authz: { \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true } }\n";
    vec![
        edit("a share of requests", after!(ALLOW, half), "not-always-enabled", "filter_enabled"),
        edit("as the runtime says", after!(ALLOW, by_key), "not-always-enabled", "filter_enabled"),
        edit("by metadata", after!(ALLOW, metadata), "not-always-enabled", "filter_enabled_metadata"),
        edit(
            "shadow mode",
            after!(ALLOW, "                      shadow_mode: true\n"),
            "shadow-mode",
            "shadow_mode",
        ),
        edit(
            "off on a route",
            [FUNCTION, FUNCTION.replace("typed_per_filter_config: *stream\n", disabled("")).leak()],
            "disabled",
            "routes[2].typed_per_filter_config[\"envoy.filters.http.ext_authz\"].disabled",
        ),
        edit(
            "off on a host",
            after!(HOST, disabled("                      ")),
            "disabled",
            "virtual_hosts[0].typed_per_filter_config",
        ),
        edit(
            "off for all",
            after!("                  name: openfaas\n", disabled("                  ")),
            "disabled",
            "route_config.typed_per_filter_config",
        ),
        edit(
            "off on a weighted cluster",
            [FUNCTION_ROUTE, weighted],
            "disabled",
            "weighted_clusters.clusters[0]",
        ),
        edit(
            "off by the filter's switch",
            after!(HOST, concat_once(&["                      ", wrapped])),
            "disabled",
            "virtual_hosts[0].typed_per_filter_config",
        ),
        edit(
            "off by default",
            after!(
                "                  - name: envoy.filters.http.ext_authz\n",
                "                    disabled: true\n"
            ),
            "disabled",
            "http_filters[0].disabled",
        ),
        edit(
            "optional",
            after!(
                "                  - name: envoy.filters.http.ext_authz\n",
                "                    is_optional: true\n"
            ),
            "optional",
            "http_filters[0].is_optional",
        ),
    ]
}

/// How requests are read, and what a client may say of itself.
fn reading() -> Vec<Mutation> {
    let remove = "                        - remove_on_match: { key_matcher: { prefix: ";
    let prefix = |name: &str| concat_once(&[remove, name, ", ignore_case: true } }\n"]);
    vec![
        edit(
            "paths as they are",
            [PATHS, "                normalize_path: false\n"],
            "path-not-normalised",
            "normalize_path",
        ),
        edit(
            "escaped slashes stay",
            [
                "path_with_escaped_slashes_action: REJECT_REQUEST",
                "path_with_escaped_slashes_action: KEEP_UNCHANGED",
            ],
            "escaped-slashes",
            "escaped_slashes",
        ),
        edit(
            "escaped slashes are slashes",
            [
                "path_with_escaped_slashes_action: REJECT_REQUEST",
                "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD",
            ],
            "escaped-slashes",
            "escaped_slashes",
        ),
        edit(
            "the client says its address",
            ["use_remote_address: true", "use_remote_address: false"],
            "forged-address",
            "use_remote_address",
        ),
        edit(
            "internal addresses",
            after!(
                PATHS,
                "                internal_address_config: { cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }\n"
            ),
            "forged-address",
            "internal_address_config",
        ),
        edit(
            "trusted hops",
            after!(PATHS, "                xff_num_trusted_hops: 1\n"),
            "trusted-hops",
            "xff_num_trusted_hops",
        ),
        edit(
            "x-envoy headers",
            [prefix("x-envoy-"), ""],
            "spoofed-headers",
            "early_header_mutation_extensions",
        ),
        edit(
            "x-faas-iam headers",
            [prefix("x-faas-iam-"), ""],
            "spoofed-headers",
            "early_header_mutation_extensions",
        ),
        edit(
            "underscores",
            ["headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW"],
            "spoofed-headers",
            "headers_with_underscores_action",
        ),
        edit(
            "HTTP/1.0",
            after!(
                PATHS,
                "                http_protocol_options: { accept_http_10: true, default_host_for_http_10: a }\n"
            ),
            "lenient-http1",
            "accept_http_10",
        ),
        edit(
            "two lengths",
            after!(PATHS, "                http_protocol_options: { allow_chunked_length: true }\n"),
            "lenient-http1",
            "allow_chunked_length",
        ),
        edit(
            "extended CONNECT",
            [
                "http2_protocol_options:\n                  max_concurrent_streams: 100",
                "http2_protocol_options:\n                  allow_connect: true\n                  max_concurrent_streams: 100",
            ],
            "upgrade",
            "http2_protocol_options.allow_connect",
        ),
        edit(
            "upgrades",
            after!(MANAGER, "                upgrade_configs: [{ upgrade_type: websocket }]\n"),
            "upgrade",
            "upgrade_configs[0]",
        ),
        edit(
            "denials as successes",
            [
                "                  mappers:\n",
                "                  mappers:\n                    - filter: { status_code_filter: { comparison: { op: EQ, value: { default_value: 403, runtime_key: a } } } }\n                      status_code: 200\n",
            ],
            "denial-as-success",
            "mappers[0].status_code",
        ),
        edit(
            "a protection is off",
            [
                "static_resources:\n",
                "layered_runtime: { layers: [{ name: a, static_layer: { envoy.reloadable_features.http_reject_path_with_fragment: false } }] }\nstatic_resources:\n",
            ],
            "runtime-feature",
            "layered_runtime.layers[0]",
        ),
    ]
}

/// What stands before and after the decision.
fn order() -> Vec<Mutation> {
    let header = "                  - name: header-mutation
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
                      mutations: { request_mutations: [{ remove: authorization }] }\n";
    vec![
        edit("Lua after", [ROUTER, concat_once(&[LUA, ROUTER])], "filter-order", "http_filters[1]"),
        edit("Lua before", after!(FILTERS, LUA), "filter-order", "http_filters[0]"),
        edit(
            "header mutation after",
            [ROUTER, concat_once(&[header, ROUTER])],
            "filter-order",
            "http_filters[1]",
        ),
        edit(
            "header mutation upstream",
            [
                "suppress_envoy_headers: true\n",
                concat_once(&[
                    "suppress_envoy_headers: true\n                      upstream_http_filters:\n",
                    &header.replace("                  ", "                      "),
                    "                      - { name: codec, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec } }\n",
                ]),
            ],
            "filter-order",
            "upstream_http_filters[0]",
        ),
    ]
}

/// Other ways to the gateway.
fn ways_around() -> Vec<Mutation> {
    const OPEN: &str = "    - name: open
      address: { pipe: { path: \"@faas-iam-open-@\" } }
      filter_chains:
        - filters:
            - name: m
              typed_config:
                \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: open
                http_filters: [{ name: r, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }]
                route_config: { virtual_hosts: [{ name: a, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: CLUSTER } }] }] }\n";
    const TCP: &str = "    - name: open
      address: { pipe: { path: \"@faas-iam-tcp-@\" } }
      filter_chains:
        - filters:
            - name: t
              typed_config:
                \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: open
                cluster: gateway\n";
    let open =
        |cluster: &str| OPEN.replace("CLUSTER", cluster).replace("-@", &format!("-{}", std::process::id()));
    let tcp = TCP.replace("-@", &format!("-{}", std::process::id()));
    vec![
        edit(
            "another listener",
            after!(LISTENERS, &open("gateway")),
            "bypass",
            "static_resources.listeners[0]",
        ),
        edit("a TCP proxy", after!(LISTENERS, &tcp), "bypass", "static_resources.listeners[0]"),
    ]
}

/// Routes that change the request, or where it goes.
fn routes() -> Vec<Mutation> {
    let with = |added: &str| [FUNCTION_ROUTE, concat_once(&[FUNCTION_ROUTE, added, ", "])];
    let authorization = "request_headers_to_add: [{ header: { key: Authorization, value: 'Basic YTpi' } }]\n";
    vec![
        edit(
            "another path",
            with("prefix_rewrite: /system/"),
            "rewritten-path",
            "routes[2].route.prefix_rewrite",
        ),
        edit(
            "mirrored",
            with("request_mirror_policies: [{ cluster: faas-iam-http }]"),
            "mirrored",
            "request_mirror_policies",
        ),
        edit(
            "upgrade on a route",
            with("upgrade_configs: [{ upgrade_type: websocket }]"),
            "upgrade",
            "routes[2].route.upgrade_configs",
        ),
        edit("retries", with("retry_policy: { retry_on: 5xx }"), "retries", "retry_policy"),
        edit(
            "internal redirects",
            with("internal_redirect_policy: {}"),
            "internal-redirect",
            "internal_redirect_policy",
        ),
        edit(
            "a header chooses",
            [FUNCTION_ROUTE, FUNCTION_ROUTE.replace("cluster: gateway", "cluster_header: x-to").leak()],
            "chosen-destination",
            "cluster_header",
        ),
        edit(
            "credentials for everyone",
            after!(HOST, concat_once(&["                      ", authorization])),
            "sets-authorization",
            "virtual_hosts[0]",
        ),
        edit(
            "credentials for nobody",
            after!(HOST, "                      request_headers_to_remove: [authorization]\n"),
            "removes-authorization",
            "virtual_hosts[0]",
        ),
        edit(
            "admin open to all",
            [
                "admin:\n  address:\n    socket_address: { address: 127.0.0.1",
                "admin:\n  address:\n    socket_address: { address: 0.0.0.0",
            ],
            "admin-exposed",
            "admin.address",
        ),
    ]
}

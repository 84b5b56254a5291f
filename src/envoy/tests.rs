use serde_json::{Value, json};

use super::*;

/// A listener that guards the cluster `gateway`, with everything as it should be.
fn listener() -> Value {
    json!({
        "name": "clients",
        "address": {"socketAddress": {"address": "0.0.0.0", "portValue": 8080}},
        "filterChains": [{"filters": [{"name": "hcm", "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "normalizePath": true, "useRemoteAddress": true,
            "pathWithEscapedSlashesAction": "REJECT_REQUEST",
            "commonHttpProtocolOptions": {"headersWithUnderscoresAction": "DROP_HEADER"},
            "earlyHeaderMutationExtensions": [{"name": "m", "typedConfig": {
                "@type": "type.googleapis.com/x.HeaderMutation",
                "mutations": [{"removeOnMatch": {"keyMatcher": {"prefix": "x-"}}}]}}],
            "httpFilters": [
                {"name": "authz", "typedConfig": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
                    "grpcService": {"envoyGrpc": {"clusterName": "iam"}, "timeout": "1.5s"},
                    "statusOnError": {"code": "ServiceUnavailable"}, "validateMutations": true,
                    "withRequestBody": {"maxRequestBytes": 1_048_576, "packAsBytes": true}}},
                {"name": "router", "typedConfig": {"@type": "type.googleapis.com/x.Router"}}],
            "routeConfig": {"virtualHosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "gateway"}}]}]}}}]}]
    })
}

fn bootstrap(listeners: &[Value]) -> Value {
    json!({"staticResources": {"listeners": listeners, "clusters": [
        {"name": "gateway", "loadAssignment": {"endpoints": [{"lbEndpoints": [{"endpoint": {
            "address": {"socketAddress": {"address": "gateway", "portValue": 8080}}}}]}]}},
        {"name": "alias", "loadAssignment": {"endpoints": [{"lbEndpoints": [{"endpoint": {
            "address": {"socketAddress": {"address": "gateway", "portValue": 8080}}}}]}]}},
        {"name": "longer", "loadAssignment": {"endpoints": [{"lbEndpoints": [{"endpoint": {
            "address": {"socketAddress": {"address": "Gateway.svc.cluster.local.", "portValue": 8080}}}}]}]}},
        {"name": "elsewhere"}, {"name": "anywhere", "type": "ORIGINAL_DST"}]}})
}

fn manager(listener: &mut Value) -> &mut Value {
    listener.pointer_mut("/filterChains/0/filters/0/typedConfig").unwrap()
}

/// Codes and paths.
fn found(document: &Value) -> Vec<(&'static str, String)> {
    let review = review(document).unwrap();
    review.findings.into_iter().map(|finding| (finding.code, finding.path)).collect()
}

#[test]
fn both_spellings_and_a_typed_struct_are_read() {
    let mut sound = listener();
    assert_eq!(found(&bootstrap(&[sound.clone()])), []);
    let entry = manager(&mut sound).pointer_mut("/httpFilters/0/typedConfig").unwrap();
    entry["failure_mode_allow"] = json!(true);
    let path =
        "staticResources.listeners[0].filterChains[0].filters[0].typedConfig.httpFilters[0].typedConfig";
    let expected = ("failure-mode-allow", format!("{path}.failure_mode_allow"));
    assert_eq!(found(&bootstrap(&[sound.clone()])), [expected]);
    // As YAML spells it, and as protobuf's JSON does.
    for (name, value) in [("failure_mode_allow", json!("yes")), ("failureModeAllow", json!(true))] {
        let mut fields = entry_of(&mut sound).clone();
        fields.as_object_mut().unwrap().remove("failure_mode_allow");
        fields[name] = value;
        let url = fields["@type"].take();
        *entry_of(&mut sound) = json!({"@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "typeUrl": url, "value": fields});
        assert_eq!(found(&bootstrap(&[sound.clone()]))[0].0, "failure-mode-allow", "{name}");
        let back = entry_of(&mut sound)["value"].take();
        *entry_of(&mut sound) = back;
        entry_of(&mut sound)["@type"] = url_of_the_filter();
    }
}

fn entry_of(listener: &mut Value) -> &mut Value {
    manager(listener).pointer_mut("/httpFilters/0/typedConfig").unwrap()
}

fn url_of_the_filter() -> Value {
    json!("type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz")
}

#[test]
fn every_way_around_is_found_and_unrelated_listeners_are_left_alone() {
    let around = |cluster: &str| {
        let mut open = listener();
        manager(&mut open)["httpFilters"].as_array_mut().unwrap().remove(0);
        manager(&mut open)["routeConfig"]["virtualHosts"][0]["routes"][0]["route"] =
            json!({"cluster": cluster});
        found(&bootstrap(&[listener(), open])).into_iter().map(|(code, _)| code).collect::<Vec<_>>()
    };
    for cluster in ["gateway", "alias", "longer", "anywhere"] {
        assert_eq!(around(cluster), ["bypass"], "{cluster}");
    }
    assert!(around("elsewhere").is_empty());
    let proxy = |cluster: &str| {
        let listener_ = json!({"defaultFilterChain": {"filters": [{"typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "cluster": cluster}}]}});
        found(&bootstrap(&[listener(), listener_])).len()
    };
    assert_eq!((proxy("gateway"), proxy("alias"), proxy("elsewhere")), (1, 1, 0));
}

#[test]
fn who_answers_for_the_service_has_to_be_known() {
    let with = |context: Value| {
        let mut document = bootstrap(&[listener()]);
        let clusters = document["staticResources"]["clusters"].as_array_mut().unwrap();
        clusters.push(json!({"name": "iam", "transportSocket": {"typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "commonTlsContext": context}}}));
        let findings = review(&document).unwrap().findings;
        findings.into_iter().map(|finding| (finding.severity, finding.code)).collect::<Vec<_>>()
    };
    let (ca, names) =
        (json!({"filename": "ca.crt"}), json!([{"sanType": "DNS", "matcher": {"exact": "iam"}}]));
    let (error, warning) =
        ([(Severity::Error, "service-not-verified")], [(Severity::Warning, "service-not-verified")]);
    assert_eq!(with(json!({})), error);
    assert_eq!(with(json!({"validationContext": {"matchTypedSubjectAltNames": names}})), error);
    let anybody = json!({"trustedCa": ca, "trustChainVerification": "ACCEPT_UNTRUSTED"});
    assert_eq!(with(json!({"combinedValidationContext": {"defaultValidationContext": anybody}})), error);
    assert_eq!(with(json!({"validationContext": {"trustedCa": ca}})), warning);
    let known = json!({"trustedCa": ca, "matchTypedSubjectAltNames": names});
    assert_eq!(with(json!({"validationContext": known})), []);
    assert_eq!(with(json!({"validationContextSdsSecretConfig": {"name": "ca"}})), []);
}

#[test]
fn protections_that_are_turned_off_and_copies_are_found_however_they_are_written() {
    let mut document = bootstrap(&[listener()]);
    let feature = "envoy.reloadable_features.x";
    for layer in [json!({feature: false}), json!({"envoy": {"reloadable_features": {"x": "false"}}})] {
        document["layeredRuntime"] = json!({"layers": [{"staticLayer": layer}]});
        assert_eq!(found(&document).iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["runtime-feature"]);
    }
    for pointer in
        ["/routeConfig", "/routeConfig/virtualHosts/0", "/routeConfig/virtualHosts/0/routes/0/route"]
    {
        let mut copies = listener();
        let holder = manager(&mut copies).pointer_mut(pointer).unwrap();
        holder["requestMirrorPolicies"] = json!([{"cluster": "elsewhere"}]);
        let codes: Vec<_> = found(&bootstrap(&[copies])).iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, ["mirrored"], "{pointer}");
    }
}

#[test]
fn a_dump_is_read_by_what_is_in_force() {
    let dump = |listeners: Value, routes: Value| {
        json!({"configs": [
            {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": bootstrap(&[])},
            {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": listeners},
            {"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs": routes},
        ]})
    };
    let mut by_rds = listener();
    let routes = manager(&mut by_rds)["routeConfig"].take();
    manager(&mut by_rds)["rds"] = json!({"route_config_name": "r"});
    let state = json!([{"name": "clients", "active_state": {"listener": by_rds}}]);
    let unseen = found(&dump(state.clone(), json!([])));
    assert_eq!(unseen.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["not-visible"]);
    let mut named = routes;
    named["name"] = json!("r");
    assert_eq!(found(&dump(state.clone(), json!([{"route_config": named}]))), []);
    named["virtualHosts"][0]["routes"][0]["typedPerFilterConfig"] = json!({"authz": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        "disabled": true}});
    let expected = "configs[2].dynamic_route_configs[0].route_config.virtualHosts[0].routes[0]\
                    .typedPerFilterConfig.authz.disabled";
    let disabled = found(&dump(state, json!([{"route_config": named}])));
    assert_eq!(disabled, [("disabled", expected.to_owned())]);
}

#[test]
fn administrators_credentials_are_for_loopback_or_a_warning() {
    let with = |address: &str| {
        let mut listener = listener();
        listener["address"]["socketAddress"]["address"] = json!(address);
        manager(&mut listener)["routeConfig"]["virtualHosts"][0]["typedPerFilterConfig"] = json!({"authz": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "checkSettings": {"contextExtensions": {"admin-basic-auth": "allow"}}}});
        review(&bootstrap(&[listener])).unwrap().findings
    };
    assert!(with("127.0.0.1").is_empty());
    let found = with("0.0.0.0");
    assert_eq!((found.len(), found[0].severity, found[0].code), (1, Severity::Warning, "admin-basic-auth"));
}

#[test]
fn what_is_no_configuration_is_said_to_be_none() {
    for value in
        [json!(null), json!([]), json!({}), json!({"configs": []}), json!({"kind": "Policy"}), json!("x")]
    {
        assert!(review(&value).unwrap_err().to_string().starts_with("no Envoy configuration: "), "{value}");
    }
    let empty = found(&json!({"static_resources": {}}));
    assert_eq!(empty, [("no-ext-authz", "(document)".to_owned())]);
    // Wrong types anywhere are no panic.
    for value in [json!(1), json!("x"), json!([[]]), json!({"a": [1]})] {
        let mut odd = listener();
        for name in ["httpFilters", "routeConfig", "earlyHeaderMutationExtensions", "localReplyConfig"] {
            manager(&mut odd)[name] = value.clone();
            assert!(!found(&bootstrap(&[odd.clone()])).is_empty() || name == "localReplyConfig");
        }
        assert!(!found(&json!({"static_resources": {"listeners": value, "clusters": value}})).is_empty());
    }
}

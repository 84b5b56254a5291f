//! What is touched: sources that may differ, providers that read differently, real clients.

use super::*;

const PROVIDERS: [Provider; 3] = [Provider::Any, Provider::FaasNetes, Provider::Faasd];

/// The three calls whose namespace the providers take from different places.
const SPLIT: [(&str, &str, &str); 3] = [
    ("DELETE", "/system/functions", r#""functionName":"f""#),
    ("POST", "/system/scale-function/f", r#""serviceName":"f""#),
    ("DELETE", "/system/secrets", r#""name":"f""#),
];

fn target(path: &str, query: Option<&str>) -> String {
    query.map_or(path.to_owned(), |namespace| format!("{path}?namespace={namespace}"))
}

fn body(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        None => format!("{{{name}}}"),
        Some(namespace) => format!(r#"{{{name},"namespace":"{namespace}"}}"#),
    }
}

#[track_caller]
fn check_split(query: Option<&str>, in_body: Option<&str>, expected: [[&str; 3]; 3]) {
    for ((method, path, name), expected) in SPLIT.into_iter().zip(expected) {
        for (provider, expected) in PROVIDERS.into_iter().zip(expected) {
            let (target, body) = (target(path, query), body(name, in_body));
            let shown = show(&resolve(&request(method, &target, &body), &rules(provider)));
            let shown =
                shown.split_once(' ').filter(|(first, _)| first.contains(':')).map_or(&*shown, |(_, it)| it);
            assert_eq!(shown, expected, "{provider:?} {method} {target} {body}");
        }
    }
}

#[test]
fn a_namespace_in_the_body_alone_is_written_into_the_query() {
    check_split(None, Some("dev"), [["dev:f set:dev"; 3]; 3]);
    check_split(None, None, [["openfaas-fn:f set:openfaas-fn"; 3]; 3]);
    check_split(None, Some(""), [["openfaas-fn:f set:openfaas-fn"; 3]; 3]);
}

#[test]
fn a_namespace_in_the_query_alone_is_read_by_one_provider_only() {
    let (query, default) = ("dev:f", "openfaas-fn:f");
    check_split(
        Some("dev"),
        None,
        [
            ["dev:f openfaas-fn:f", query, default],
            ["dev:f openfaas-fn:f", query, default],
            ["openfaas-fn:f dev:f", default, query],
        ],
    );
    check_split(Some("openfaas-fn"), None, [["openfaas-fn:f"; 3]; 3]);
    check_split(Some(""), None, [["openfaas-fn:f"; 3]; 3]);
}

#[test]
fn an_empty_namespace_in_the_query_is_the_default_and_stays() {
    let (default, body) = ("openfaas-fn:f", "dev:f");
    check_split(
        Some(""),
        Some("dev"),
        [
            ["openfaas-fn:f dev:f", default, body],
            ["openfaas-fn:f dev:f", default, body],
            ["dev:f openfaas-fn:f", body, default],
        ],
    );
}

#[test]
fn namespaces_that_differ_are_a_conflict_for_every_provider() {
    check_split(Some("dev"), Some("dev"), [["dev:f"; 3]; 3]);
    for (query, body) in [("a", "b"), ("dev", "openfaas-fn"), ("openfaas-fn", "dev")] {
        check_split(Some(query), Some(body), [["conflicting-target"; 3]; 3]);
    }
    check_split(Some("A"), Some("A"), [["invalid-name"; 3]; 3]);
    check_split(Some("../x"), Some("dev"), [["invalid-name"; 3]; 3]);
}

#[test]
fn whatever_a_provider_reads_from_the_result_is_asked_for() {
    let places = [None, Some(""), Some("a"), Some("b"), Some("openfaas-fn"), Some("openfaas")];
    for (at, (method, path, name)) in SPLIT.into_iter().enumerate() {
        for (query, in_body) in places.into_iter().flat_map(|query| places.map(|body| (query, body))) {
            for provider in PROVIDERS {
                let (target, body) = (target(path, query), body(name, in_body));
                let Ok(access) = resolve(&request(method, &target, &body), &rules(provider)) else {
                    continue;
                };
                let Access::Api(call) = access else { panic!("{method} {path}") };
                // The query on the way upstream; then the providers, as their handlers are written.
                let upstream = query.or(call.set_namespace.as_deref());
                let or_default = |place: Option<&str>| match place {
                    None | Some("") => "openfaas-fn".to_owned(),
                    Some(namespace) => namespace.to_owned(),
                };
                let secrets = at == 2;
                let netes = or_default(if secrets { in_body } else { upstream });
                let faasd = or_default(if secrets { upstream } else { in_body });
                let read: BTreeSet<String> = match provider {
                    Provider::Any => [netes, faasd].into(),
                    Provider::FaasNetes => [netes].into(),
                    Provider::Faasd => [faasd].into(),
                };
                let asked: BTreeSet<String> =
                    call.resources.iter().filter_map(|it| it.namespace().map(str::to_owned)).collect();
                assert_eq!(asked, read, "{provider:?} {method} {target} {body}");
                assert_eq!(
                    call.closed.is_some(),
                    read.contains("openfaas"),
                    "{provider:?} {method} {target} {body}"
                );
                assert!(query.is_none() || call.set_namespace.is_none(), "{method} {target}");
            }
        }
    }
}

#[test]
fn the_name_to_scale_is_the_same_in_path_and_body() {
    let path = "/system/scale-function/f";
    check("POST", path, r#"{"replicas":1}"#, "Function:Scale openfaas-fn:f set:openfaas-fn");
    check("POST", path, r#"{"serviceName":"g"}"#, "conflicting-target");
    check("POST", path, r#"{"serviceName":""}"#, "invalid-name");
    check("POST", "/system/scale-function/f.dev", r#"{"serviceName":"f.dev"}"#, "invalid-name");
}

#[test]
fn deployments_and_secrets_lie_in_the_namespace_of_the_body() {
    for (method, path, name, action) in [
        ("POST", "/system/functions", r#""service":"f""#, "Function:Create"),
        ("PUT", "/system/functions", r#""service":"f""#, "Function:Update"),
        ("POST", "/system/secrets", r#""name":"f""#, "Secret:Create"),
        ("PUT", "/system/secrets", r#""name":"f""#, "Secret:Update"),
    ] {
        for (query, in_body, expected) in [
            (None, None, "openfaas-fn:f"),
            (None, Some(""), "openfaas-fn:f"),
            (None, Some("dev"), "dev:f"),
            (Some("dev"), Some("dev"), "dev:f"),
            (Some(""), Some("dev"), "dev:f"),
            // Both providers ignore the query here.
            (Some("dev"), None, "openfaas-fn:f"),
            (Some("dev"), Some(""), "openfaas-fn:f"),
            (None, Some("openfaas"), "openfaas:f closed:system-namespace"),
        ] {
            let expected = format!("{action} {expected}");
            for provider in PROVIDERS {
                let (target, body) = (target(path, query), body(name, in_body));
                check_with(&rules(provider), &request(method, &target, &body), &expected);
            }
        }
        check(method, &target(path, Some("a")), &body(name, Some("b")), "conflicting-target");
        check(method, &target(path, Some("a/b")), &body(name, Some("b")), "invalid-name");
    }
}

#[test]
fn queries_name_the_namespace_of_reads() {
    for (target, action, object) in [
        ("/system/functions?", "Function:List", "*"),
        ("/system/secrets?", "Secret:List", "*"),
        ("/system/function/f?", "Function:Get", "f"),
        ("/system/logs?name=f", "Function:Logs", "f"),
    ] {
        for (query, namespace) in [
            ("", "openfaas-fn"),
            ("&namespace=", "openfaas-fn"),
            ("&namespace", "openfaas-fn"),
            ("&Namespace=dev", "openfaas-fn"),
            ("&namespace=dev", "dev"),
            ("&%6eamespace=%64ev", "dev"),
            ("&namespace=kube-public", "kube-public"),
        ] {
            let closed = if namespace == "kube-public" { " closed:system-namespace" } else { "" };
            let expected = format!("{action} {namespace}:{object}{closed}");
            check("GET", &format!("{target}{query}"), "", &expected);
        }
        for namespace in
            ["Dev", "a.b", "KUBE-SYSTEM", "%2e%2e", "a%00", "a+", "*", "%ff", "a%26namespace%3Db"]
        {
            check("GET", &format!("{target}&namespace={namespace}"), "", "invalid-name");
        }
        for query in ["&namespace=a&namespace=a", "&namespace=a;", "&x=%zz", "&x=1#&namespace=a"] {
            check("GET", &format!("{target}{query}"), "", "malformed-query");
        }
    }
}

#[test]
fn logs_name_one_function() {
    for query in ["", "?name=", "?name", "?Name=f", "?name=F", "?name=f.dev", "?name=%2e%2e"] {
        check("GET", &format!("/system/logs{query}"), "", "invalid-name");
    }
    check("GET", "/system/logs?name=f&name=f", "", "malformed-query");
}

/// faas-netes reads the logs of the default namespace instead. Where the namespace is open, that is
/// asked for, too.
#[test]
fn logs_of_kube_system_are_those_of_the_default_namespace_in_faas_netes() {
    let both = "Function:Logs kube-system:f openfaas-fn:f";
    for (provider, expected) in
        [(Provider::FaasNetes, both), (Provider::Any, both), (Provider::Faasd, "Function:Logs kube-system:f")]
    {
        let request = request("GET", "/system/logs?name=f&namespace=kube-system", "");
        check_with(&rules(provider), &request, &format!("{expected} closed:system-namespace"));
        let open = Rules { system_namespaces: BTreeSet::new(), ..rules(provider) };
        check_with(&open, &request, expected);
    }
}

#[test]
fn names_in_paths_are_dns_labels() {
    for name in ["f.dev", "F", "f_g", "-f", "...", &"f".repeat(64)] {
        check("GET", &format!("/system/function/{name}"), "", "invalid-name");
        check("GET", &format!("/system/namespace/{name}"), "", "invalid-name");
        check("POST", &format!("/system/scale-function/{name}"), "{}", "invalid-name");
        check("DELETE", &format!("/system/namespace/{name}"), "{}", "invalid-name");
    }
}

#[test]
fn namespaces_are_named_by_path_and_body_alike() {
    let dev = r#"{"name":"dev"}"#;
    check("GET", "/system/namespace/", "", "invalid-name");
    check("POST", "/system/namespace/", dev, "Namespace:Create dev:*");
    check("POST", "/system/namespace/dev", "{}", "Namespace:Create dev:*");
    check("POST", "/system/namespace/other", dev, "conflicting-target");
    check("POST", "/system/namespace/", "{}", "invalid-name");
    for (method, action) in [("PUT", "Namespace:Update"), ("DELETE", "Namespace:Delete")] {
        check(method, "/system/namespace/dev", dev, &format!("{action} dev:*"));
        check(method, "/system/namespace/dev", "{}", &format!("{action} dev:*"));
        check(method, "/system/namespace/", dev, "invalid-name");
        check(method, "/system/namespace/other", dev, "conflicting-target");
        check(method, "/system/namespace/dev", r#"{"name":""}"#, "invalid-name");
    }
}

#[test]
fn system_namespaces_are_closed_for_every_action() {
    let named =
        r#"{"service":"f","functionName":"f","serviceName":"f","name":"f","namespace":"kube-public"}"#;
    for (method, target) in [
        ("GET", "/system/functions?namespace=kube-public"),
        ("POST", "/system/functions"),
        ("PUT", "/system/functions"),
        ("DELETE", "/system/functions"),
        ("GET", "/system/function/f?namespace=kube-public"),
        ("POST", "/system/scale-function/f"),
        ("GET", "/system/secrets?namespace=kube-public"),
        ("POST", "/system/secrets"),
        ("PUT", "/system/secrets"),
        ("DELETE", "/system/secrets"),
        ("GET", "/system/logs?name=f&namespace=kube-public"),
        ("POST", "/function/f.kube-public"),
        ("POST", "/async-function/f.kube-public"),
    ] {
        let shown = show(&resolve(&request(method, target, named), &Rules::default()));
        assert!(shown.contains(" closed:system-namespace"), "{method} {target}: {shown}");
    }
    for (method, action) in [("GET", "Get"), ("POST", "Create"), ("PUT", "Update"), ("DELETE", "Delete")] {
        let expected = format!("Namespace:{action} openfaas:* closed:system-namespace");
        check(method, "/system/namespace/openfaas", r#"{"name":"openfaas"}"#, &expected);
    }
    // One of two readings is enough.
    let body = r#"{"functionName":"f"}"#;
    let expected = "Function:Delete openfaas:f openfaas-fn:f closed:system-namespace";
    check("DELETE", "/system/functions?namespace=openfaas", body, expected);
    let rules = Rules { system_namespaces: BTreeSet::new(), ..Rules::default() };
    check_with(&rules, &request("GET", "/function/f.openfaas", ""), "invoke openfaas:f");
}

#[test]
fn official_clients_are_understood() {
    let deployment = r#"{"service":"f","image":"docker.io/x/f:1","namespace":"dev","envProcess":"node index.js",
        "envVars":{"A":"b"},"constraints":["a == b"],"secrets":["api-key"],"labels":{"Canary":"true"},
        "annotations":null,"limits":{"memory":"1Gi"},"requests":null,"readOnlyRootFilesystem":true}"#;
    let labels = r#""annotations":{"openfaas":"1"},"labels":{"openfaas":"1"}"#;
    let namespace = format!(r#"{{"name":"dev",{labels}}}"#);
    for (method, target, body, expected) in [
        // faas-cli and the Go SDK.
        ("GET", "/system/functions", "", "Function:List openfaas-fn:*"),
        ("GET", "/system/functions?namespace=dev", "", "Function:List dev:*"),
        ("GET", "/system/function/f?namespace=dev&usage=1", "", "Function:Get dev:f"),
        ("GET", "/system/function/f?usage=1", "", "Function:Get openfaas-fn:f"),
        ("PUT", "/system/functions", deployment, "Function:Update dev:f"),
        ("POST", "/system/functions", deployment, "Function:Create dev:f"),
        (
            "PUT",
            "/system/functions",
            r#"{"service":"f","image":"i","labels":{},"annotations":{}}"#,
            "Function:Update openfaas-fn:f",
        ),
        (
            "DELETE",
            "/system/functions",
            r#"{"functionName":"f"}"#,
            "Function:Delete openfaas-fn:f set:openfaas-fn",
        ),
        (
            "DELETE",
            "/system/functions",
            r#"{"functionName":"f","namespace":"dev"}"#,
            "Function:Delete dev:f set:dev",
        ),
        (
            "GET",
            "/system/logs?name=f&namespace=dev&follow=true&instance=f-1&since=2026-01-02T03%3A04%3A05%2B01%3A00&tail=-1",
            "",
            "Function:Logs dev:f",
        ),
        ("GET", "/system/logs?follow=1&name=f", "", "Function:Logs openfaas-fn:f"),
        (
            "POST",
            "/system/scale-function/f",
            r#"{"serviceName":"f","replicas":3,"namespace":"dev"}"#,
            "Function:Scale dev:f set:dev",
        ),
        ("GET", "/system/secrets?namespace=dev", "", "Secret:List dev:*"),
        (
            "POST",
            "/system/secrets",
            r#"{"name":"s","namespace":"dev","value":"v","rawValue":"dg=="}"#,
            "Secret:Create dev:s",
        ),
        ("PUT", "/system/secrets", r#"{"name":"s","value":"v"}"#, "Secret:Update openfaas-fn:s"),
        ("DELETE", "/system/secrets", r#"{"name":"s","namespace":"dev"}"#, "Secret:Delete dev:s set:dev"),
        ("GET", "/system/namespaces", "", "Namespace:List *:*"),
        ("GET", "/system/namespace/dev", "", "Namespace:Get dev:*"),
        ("POST", "/system/namespace/", &namespace, "Namespace:Create dev:*"),
        ("PUT", "/system/namespace/dev", &namespace, "Namespace:Update dev:*"),
        (
            "DELETE",
            "/system/namespace/dev",
            r#"{"name":"dev","labels":{"openfaas":"1"}}"#,
            "Namespace:Delete dev:*",
        ),
        ("GET", "/system/info", "", "System:Info *"),
        ("GET", "/healthz", "", "public"),
        ("POST", "/function/f.openfaas-fn?a=b;c", "payload", "invoke openfaas-fn:f"),
        ("POST", "/async-function/f.openfaas-fn", "payload", "invoke openfaas-fn:f"),
        ("POST", "/oauth/token", "grant_type=x", "public"),
        // The dashboard of the gateway, and its scaler.
        (
            "DELETE",
            "/system/functions?namespace=dev",
            r#"{"functionName":"f"}"#,
            "Function:Delete dev:f openfaas-fn:f",
        ),
        (
            "POST",
            "/system/scale-function/f?namespace=dev",
            r#"{"serviceName":"f","replicas":1}"#,
            "Function:Scale dev:f openfaas-fn:f",
        ),
    ] {
        check(method, target, body, expected);
    }
}

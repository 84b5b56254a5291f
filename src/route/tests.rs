//! Requests in, readings out. A reading is written as one line of text, see [`show`].

mod bodies;
mod properties;
mod targets;

use super::*;

const METHODS: [&str; 14] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "get", "Post", "GET ",
    "", "*",
];

fn request<'a>(method: &'a str, target: &'a str, body: &'a str) -> HttpRequest<'a> {
    HttpRequest {
        method,
        target,
        content_length: None,
        partial_body: false,
        callback_url: None,
        body: body.as_bytes(),
    }
}

fn rules(provider: Provider) -> Rules {
    Rules { provider, ..Rules::default() }
}

/// A result as one line: what is asked for, or the code of the refusal.
fn show(result: &Result<Access, Refusal>) -> String {
    let closed = |closed: &Option<Closed>| {
        closed.as_ref().map_or(String::new(), |closed| {
            check_message(&closed.message);
            format!(" closed:{}{}", closed.reason, if closed.open_to_admin { "(admin)" } else { "" })
        })
    };
    match result {
        Ok(Access::Public) => "public".to_owned(),
        Ok(Access::StaticFile) => "static file".to_owned(),
        Ok(Access::Closed(it)) => format!("no identity{}", closed(&Some(it.clone()))),
        Ok(Access::Invoke { function, closed: it }) => format!("invoke {function}{}", closed(it)),
        Ok(Access::Api(call)) => {
            let action = call.action.map_or("no action", Action::name);
            let resources: String = call.resources.iter().map(|resource| format!(" {resource}")).collect();
            let set = call.set_namespace.as_ref().map_or(String::new(), |ns| format!(" set:{ns}"));
            format!("{action}{resources}{set}{}", closed(&call.closed))
        }
        Err(refusal) => {
            check_message(&refusal.message);
            assert_eq!(refusal.allow.is_empty(), refusal.reason != Reason::MethodNotAllowed);
            [&[refusal.reason.code()], refusal.allow].concat().join(" ")
        }
    }
}

/// A message is one line of plain lower-case text that says what to do. Only the fields of bodies
/// are spelled as they must be.
#[track_caller]
fn check_message(message: &str) {
    assert!(message.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{message:?}");
    let quoted = message.split('\'').find(|text| body::KNOWN_FIELDS.contains(text)).unwrap_or_default();
    let rest = message.replace(quoted, "");
    assert!(!rest.bytes().any(|byte| byte.is_ascii_uppercase()), "{message:?}");
    assert!(message.contains(": "), "{message:?}");
}

#[track_caller]
fn check(method: &str, target: &str, body: &str, expected: &str) {
    check_with(&Rules::default(), &request(method, target, body), expected);
}

#[track_caller]
fn check_with(rules: &Rules, request: &HttpRequest<'_>, expected: &str) {
    let HttpRequest { method, target, .. } = request;
    assert_eq!(show(&resolve(request, rules)), expected, "{method} {target}");
}

/// Checks one path with every method: those listed, and 405 for the others.
#[track_caller]
fn check_row(rules: &Rules, target: &str, body: &str, expected: &[(&str, &str)]) {
    let allow: Vec<&str> = expected.iter().map(|(method, _)| *method).collect();
    let refused = format!("method-not-allowed {}", allow.join(" "));
    for method in METHODS {
        let found = expected.iter().find(|(known, _)| *known == method);
        check_with(rules, &request(method, target, body), found.map_or(&refused, |(_, expected)| expected));
    }
}

#[test]
fn every_function_route_has_its_methods() {
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    for (target, expected) in [
        ("/function/f", "invoke openfaas-fn:f"),
        ("/function/f/", "invoke openfaas-fn:f"),
        ("/function/f.dev/a/b.c?namespace=x&namespace=y;#", "invoke dev:f"),
        ("/function/f.kube-system", "invoke kube-system:f closed:system-namespace"),
        ("/function/gateway.openfaas/x", "invoke openfaas:gateway closed:system-namespace"),
    ] {
        check_row(&Rules::default(), target, "not read", &methods.map(|method| (method, expected)));
    }
    for (target, expected) in [
        ("/async-function/f", "invoke openfaas-fn:f"),
        ("/async-function/f.dev/", "invoke dev:f"),
        ("/async-function/f.dev/%C3%A9?x=1", "invoke dev:f"),
        ("/async-function/gateway.openfaas", "invoke openfaas:gateway closed:system-namespace"),
    ] {
        let cancel = ("DELETE", "no identity closed:closed-route");
        check_row(&Rules::default(), target, "not read", &[("POST", expected), cancel]);
    }
    check("DELETE", "/async-function/3F2504E0-4F89", "", "no identity closed:closed-route");
}

#[test]
fn every_api_route_has_its_methods() {
    let default = Rules::default();
    let body = r#"{"service":"f","functionName":"f","serviceName":"f","name":"s","namespace":"dev"}"#;
    check_row(
        &default,
        "/system/functions?namespace=dev",
        body,
        &[
            ("GET", "Function:List dev:*"),
            ("POST", "Function:Create dev:f"),
            ("PUT", "Function:Update dev:f"),
            ("DELETE", "Function:Delete dev:f"),
        ],
    );
    check_row(&default, "/system/function/f?usage=1", "", &[("GET", "Function:Get openfaas-fn:f")]);
    check_row(&default, "/system/scale-function/f", body, &[("POST", "Function:Scale dev:f set:dev")]);
    check_row(
        &default,
        "/system/secrets",
        body,
        &[
            ("GET", "Secret:List openfaas-fn:*"),
            ("POST", "Secret:Create dev:s"),
            ("PUT", "Secret:Update dev:s"),
            ("DELETE", "Secret:Delete dev:s set:dev"),
        ],
    );
    check_row(&default, "/system/logs?name=f&namespace=dev", "", &[("GET", "Function:Logs dev:f")]);
    check_row(&default, "/system/namespaces", "", &[("GET", "Namespace:List *:*")]);
    check_row(
        &default,
        "/system/namespace/dev",
        r#"{"name":"dev"}"#,
        &[
            ("GET", "Namespace:Get dev:*"),
            ("POST", "Namespace:Create dev:*"),
            ("PUT", "Namespace:Update dev:*"),
            ("DELETE", "Namespace:Delete dev:*"),
        ],
    );
    check_row(&default, "/system/info", "", &[("GET", "System:Info *")]);
    check_row(&default, "/system/telemetry", "", &[("GET", "no action closed:closed-route")]);
    check_row(&default, "/system/alert", "not read", &[("POST", "no action closed:closed-route(admin)")]);
}

#[test]
fn every_other_route_has_its_methods() {
    let (deny, open) = (Rules::default(), Rules { ui: Ui::Open, ..Rules::default() });
    for target in ["/", "/ui/", "/ui/script/bootstrap.js", "/?x=;#"] {
        check_row(&deny, target, "", &[("GET", "no action closed:closed-route")]);
        check_row(&open, target, "", &[("GET", "static file")]);
    }
    for target in ["/healthz", "/.well-known/openid-configuration", "/.well-known/jwks.json"] {
        check_row(&deny, target, "", &[("GET", "public")]);
    }
    check_row(&deny, "/oauth/token?subject_token=a;b", "", &[("POST", "public")]);
    check_row(&deny, "/metrics", "", &METHODS.map(|method| (method, "no action closed:closed-route")));
}

#[test]
fn a_path_must_match_in_full() {
    for target in [
        "/system",
        "/system/",
        "/system/functions/",
        "/system/Functions",
        "/System/functions",
        "/system/function",
        "/system/function/",
        "/system/function/f/",
        "/system/function/f/g",
        "/system/scale-function/",
        "/system/scale-function/f/",
        "/system/secrets/",
        "/system/secrets/s",
        "/system/logs/",
        "/system/namespace",
        "/system/namespaces/",
        "/system/namespaces/dev",
        "/system/namespace/dev/",
        "/system/info/",
        "/system/alert/",
        "/function",
        "/function/",
        "/functions/f",
        "/async-function",
        "/async-function/",
        "/FUNCTION/f",
        "/ui",
        "/uix",
        "/UI/",
        "/healthz/",
        "/metrics/",
        "/oauth/token/",
        "/oauth",
        "/.well-known/",
        "/.well-known/jwks.json/",
        "/index.html",
        "/systemx/functions",
        "/x/system/functions",
        "/a~b",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "FOO"] {
            check(method, target, "{}", "unknown-route");
        }
    }
}

#[test]
fn refusals_come_in_their_order() {
    check("FOO", "/nowhere/../x?%zz", "", "malformed-path");
    check("FOO", "/system/a/../b?namespace=a;", "", "malformed-path");
    check("FOO", "/system/nowhere?namespace=a;", "", "malformed-query");
    check("FOO", "/system?x=%", "", "malformed-query");
    check("FOO", "/nowhere?x=%", "", "unknown-route");
    check("FOO", "/system/info?x=%", "", "malformed-query");
    check("PATCH", "/system/scale-function/NOT.A.NAME", "nonsense", "method-not-allowed POST");
    check("GET", "/async-function/NOT_A_NAME", "", "method-not-allowed POST DELETE");
    check("POST", "/system/scale-function/NOT.A.NAME", "{}", "invalid-name");
    // A closed namespace is known only once the request is well-formed.
    check("POST", "/system/scale-function/f?namespace=openfaas", "{", "malformed-body");
}

#[test]
fn a_path_is_matched_as_it_decodes() {
    check("GET", "/system/%66unctions", "", "Function:List openfaas-fn:*");
    check("GET", "/%73ystem/functions?%6eamespace=dev", "", "Function:List dev:*");
    check("GET", "/%73ystem/functions?namespace=dev;", "", "malformed-query");
    check("GET", "/function/%66.dev/x", "", "invoke dev:f");
    for target in [
        "/system%2Ffunctions",
        "/system/functions%2f",
        "/system/functions%00",
        "/system/functions%20",
        "/system/functions%3Fnamespace=dev",
        "/system/functions%23",
        "/system/%2e%2e/function/f",
        "/function/f/%2e%2e/g",
        "/function/f/%252e%252e/g",
        "/function/f%2Fx",
        "/function/f/a%3Fb",
        "/function/f/%23",
        "/function/f/%25zz",
        "/function/f%2Edev",
        "/function/f/..",
        "/function/../system/functions",
        "/function/f\\..\\g",
        "//system/functions",
        "/system//functions",
        "http://x/system/functions",
        "*",
        "",
        "/function/f/\n",
        "/function/f/%0a",
        "/function/f.dev#/x",
        "/ui/../system/functions",
        "/ui/%2e%2e/x",
    ] {
        for method in ["GET", "POST"] {
            check(method, target, "{}", "malformed-path");
        }
    }
}

#[test]
fn functions_are_named_by_one_label_and_a_namespace() {
    for name in
        ["f.a.b", "f.", ".ns", "F", "f.NS", "f_g", "-f", "f-", "...", "f..ns", "f.n_s", "a~b", "f;x", "%20"]
    {
        for plane in ["/function", "/async-function"] {
            check("POST", &format!("{plane}/{name}/x"), "", "invalid-name");
        }
    }
    check("POST", &format!("/function/{}", "f".repeat(64)), "", "invalid-name");
    let rules = Rules { default_namespace: "fn".to_owned(), ..Rules::default() };
    check_with(&rules, &request("GET", "/function/f", ""), "invoke fn:f");
}

#[test]
fn callbacks_count_on_queued_calls_only() {
    let rules = Rules::default();
    let check = |method, target, url, expected: &str| {
        let request = HttpRequest { callback_url: Some(url), ..request(method, target, "") };
        check_with(&rules, &request, expected);
    };
    let queued = "/async-function/f.dev";
    check("POST", queued, "https://example.com/hook", "invoke dev:f");
    for url in ["http://gateway.openfaas:8080/function/g", "https://10.0.0.1/", "ftp://example.com/"] {
        check("POST", queued, url, "invoke dev:f closed:callback-not-allowed");
    }
    for url in ["", "https://a.example/,https://b.example/", "https://a.example/#", "not a url"] {
        check("POST", queued, url, "malformed-header");
        check("POST", "/function/f.dev", url, "invoke dev:f");
        check("DELETE", queued, url, "no identity closed:closed-route");
    }
    check("POST", "/async-function/f.openfaas", "ftp://x", "invoke openfaas:f closed:system-namespace");
}

#[test]
fn the_default_rules_are_the_documented_ones() {
    let rules = Rules::default();
    assert_eq!(rules.default_namespace, "openfaas-fn");
    assert_eq!((rules.provider, rules.ui), (Provider::Any, Ui::Deny));
    assert_eq!(rules.callback_allow, [UrlPattern::parse("https://*")]);
    let system: Vec<_> = rules.system_namespaces.iter().map(String::as_str).collect();
    assert_eq!(system, ["kube-node-lease", "kube-public", "kube-system", "openfaas"]);
}

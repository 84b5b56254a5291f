//! The routes of the OpenFaaS gateway and what becomes of each request, as data.

/// A request and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) body: &'static str,
    pub(crate) wants: Wants,
}

/// What a request needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wants {
    /// An API token that allows the action on each of the resources. The request then reaches the
    /// gateway with this target and the gateway's own credentials.
    Permission { action: &'static str, resources: &'static [&'static str], upstream: &'static str },
    /// Nothing opens it: 401 without a token, 403 with any.
    Closed,
    /// 403, and nobody is asked who they are.
    ClosedToAll,
    /// No token, and none goes along: it reaches the gateway without.
    Nothing,
    /// No token, and an API token may not be sent along.
    NothingOrNoApiToken,
    /// No token: `faas-iam` itself answers so.
    TokenService(u16),
    /// It is refused before anybody is asked who they are.
    Refused(u16),
    /// 405, with these methods in `Allow`.
    NotAMethod(&'static str),
}

/// A path and its methods; all others are refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Methods {
    pub(crate) path: &'static str,
    pub(crate) allow: &'static str,
}

const fn api(
    method: &'static str,
    target: &'static str,
    body: &'static str,
    action: &'static str,
    resource: &'static [&'static str],
) -> Row {
    let wants = Wants::Permission { action, resources: resource, upstream: target };
    Row { method, target, body, wants }
}

const fn get(target: &'static str, action: &'static str, resource: &'static [&'static str]) -> Row {
    api("GET", target, "", action, resource)
}

const fn row(method: &'static str, target: &'static str, wants: Wants) -> Row {
    Row { method, target, body: "", wants }
}

const fn bad(status: u16, method: &'static str, target: &'static str, body: &'static str) -> Row {
    Row { method, target, body, wants: Wants::Refused(status) }
}

impl Row {
    const fn becomes(self, to: &'static str) -> Self {
        let Wants::Permission { action, resources, .. } = self.wants else { return self };
        Self { wants: Wants::Permission { action, resources, upstream: to }, ..self }
    }
}

use Wants::{Closed, ClosedToAll, Nothing, NothingOrNoApiToken, TokenService};

/// The methods of each path.
pub(crate) const METHODS: &[Methods] = &[
    Methods { path: "/function/f", allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" },
    Methods { path: "/function/f.dev/", allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" },
    Methods { path: "/function/f/a/b", allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" },
    Methods { path: "/async-function/f", allow: "POST, DELETE" },
    Methods { path: "/async-function/f/a", allow: "POST, DELETE" },
    Methods { path: "/system/functions", allow: "GET, POST, PUT, DELETE" },
    Methods { path: "/system/function/f", allow: "GET" },
    Methods { path: "/system/scale-function/f", allow: "POST" },
    Methods { path: "/system/secrets", allow: "GET, POST, PUT, DELETE" },
    Methods { path: "/system/logs", allow: "GET" },
    Methods { path: "/system/namespaces", allow: "GET" },
    Methods { path: "/system/namespace/", allow: "GET, POST, PUT, DELETE" },
    Methods { path: "/system/namespace/dev", allow: "GET, POST, PUT, DELETE" },
    Methods { path: "/system/info", allow: "GET" },
    Methods { path: "/system/telemetry", allow: "GET" },
    Methods { path: "/system/alert", allow: "POST" },
    Methods { path: "/ui/", allow: "GET" },
    Methods { path: "/", allow: "GET" },
    Methods { path: "/healthz", allow: "GET" },
    Methods { path: "/oauth/token", allow: "POST" },
    Methods { path: "/.well-known/openid-configuration", allow: "GET" },
    Methods { path: "/.well-known/jwks.json", allow: "GET" },
];

/// The routes.
pub(crate) const ROWS: &[Row] = &[
    // Calls of functions: any method, and the query and the rest of the path are the function's.
    row("GET", "/function/f", NothingOrNoApiToken),
    row("HEAD", "/function/f", NothingOrNoApiToken),
    Row { body: "data", ..row("POST", "/function/f.dev", NothingOrNoApiToken) },
    Row { body: "{\"namespace\": 1", ..row("PUT", "/function/f.dev/", NothingOrNoApiToken) },
    row("PATCH", "/function/f/a/b", NothingOrNoApiToken),
    row("DELETE", "/function/f?namespace=x&namespace=y", NothingOrNoApiToken),
    row("OPTIONS", "/function/f/a?b=c;d", NothingOrNoApiToken),
    Row { body: "data", ..row("POST", "/async-function/f", NothingOrNoApiToken) },
    row("POST", "/async-function/f.dev/a?b=c", NothingOrNoApiToken),
    row("DELETE", "/async-function/0c5a9f0e", ClosedToAll),
    // Functions.
    get("/system/functions?namespace=dev", "Function:List", &["dev:*"]),
    get("/system/functions", "Function:List", &["openfaas-fn:*"]),
    get("/system/functions?namespace=", "Function:List", &["openfaas-fn:*"]),
    api("POST", "/system/functions", DEPLOY, "Function:Create", &["dev:f"]),
    api("POST", "/system/functions?namespace=dev", DEPLOY, "Function:Create", &["dev:f"]),
    api("POST", "/system/functions", r#"{"service":"f"}"#, "Function:Create", &["openfaas-fn:f"]),
    api("PUT", "/system/functions", DEPLOY, "Function:Update", &["dev:f"]),
    api("DELETE", "/system/functions", DELETE, "Function:Delete", &["dev:f"])
        .becomes("/system/functions?namespace=dev"),
    api("DELETE", "/system/functions?namespace=dev", DELETE, "Function:Delete", &["dev:f"]),
    api("DELETE", "/system/functions?a=b", r#"{"functionName":"f"}"#, "Function:Delete", &["openfaas-fn:f"])
        .becomes("/system/functions?a=b&namespace=openfaas-fn"),
    // Only the query says where: one provider reads it, the other takes the default.
    api(
        "DELETE",
        "/system/functions?namespace=dev",
        r#"{"functionName":"f"}"#,
        "Function:Delete",
        &["dev:f", "openfaas-fn:f"],
    ),
    get("/system/function/f?namespace=dev", "Function:Get", &["dev:f"]),
    get("/system/function/f?usage=1", "Function:Get", &["openfaas-fn:f"]),
    api("POST", "/system/scale-function/f", SCALE, "Function:Scale", &["dev:f"])
        .becomes("/system/scale-function/f?namespace=dev"),
    api("POST", "/system/scale-function/f?namespace=dev", SCALE, "Function:Scale", &["dev:f"]),
    api(
        "POST",
        "/system/scale-function/f?namespace=dev",
        r#"{"serviceName":"f","replicas":2}"#,
        "Function:Scale",
        &["dev:f", "openfaas-fn:f"],
    ),
    // Secrets.
    get("/system/secrets?namespace=dev", "Secret:List", &["dev:*"]),
    get("/system/secrets", "Secret:List", &["openfaas-fn:*"]),
    api("POST", "/system/secrets", SECRET, "Secret:Create", &["dev:s.txt"]),
    api("PUT", "/system/secrets", SECRET, "Secret:Update", &["dev:s.txt"]),
    api("DELETE", "/system/secrets", SECRET, "Secret:Delete", &["dev:s.txt"])
        .becomes("/system/secrets?namespace=dev"),
    api(
        "DELETE",
        "/system/secrets?namespace=dev",
        r#"{"name":"s.txt"}"#,
        "Secret:Delete",
        &["dev:s.txt", "openfaas-fn:s.txt"],
    ),
    // Logs.
    get("/system/logs?name=f&namespace=dev&tail=1", "Function:Logs", &["dev:f"]),
    get("/system/logs?name=f", "Function:Logs", &["openfaas-fn:f"]),
    // Namespaces. The list is whole or, as here, where filtering is not set up, refused.
    get("/system/namespaces", "Namespace:List", &["*"]),
    get("/system/namespace/dev", "Namespace:Get", &["dev:*"]),
    api("POST", "/system/namespace/", r#"{"name":"dev"}"#, "Namespace:Create", &["dev:*"]),
    api("POST", "/system/namespace/dev", r#"{"name":"dev"}"#, "Namespace:Create", &["dev:*"]),
    api("PUT", "/system/namespace/dev", r#"{"name":"dev"}"#, "Namespace:Update", &["dev:*"]),
    api("DELETE", "/system/namespace/dev", r#"{"name":"dev"}"#, "Namespace:Delete", &["dev:*"]),
    // The rest of the gateway.
    get("/system/info", "System:Info", &["*"]),
    row("GET", "/system/telemetry", Closed),
    Row { body: r#"{"alerts":[]}"#, ..row("POST", "/system/alert", Closed) },
    row("GET", "/ui/", Closed),
    row("GET", "/ui/index.html", Closed),
    row("GET", "/", Closed),
    row("GET", "/metrics", Closed),
    row("PUT", "/metrics", Closed),
    row("GET", "/healthz", Nothing),
    // The token service.
    row("POST", "/oauth/token", TokenService(400)),
    row("GET", "/.well-known/openid-configuration", TokenService(200)),
    row("GET", "/.well-known/jwks.json", TokenService(200)),
    // No route: a slash or a letter more or less.
    bad(404, "GET", "/system", ""),
    bad(404, "GET", "/system/", ""),
    bad(404, "GET", "/system/functions/", ""),
    bad(404, "GET", "/system/Functions", ""),
    bad(404, "GET", "/System/functions", ""),
    bad(404, "GET", "/system/function/", ""),
    bad(404, "GET", "/system/function/f/", ""),
    bad(404, "POST", "/system/scale-function/", ""),
    bad(404, "GET", "/system/namespaces/", ""),
    bad(404, "PUT", "/system/namespaces/dev", r#"{"name":"dev"}"#),
    bad(404, "GET", "/system/namespace", ""),
    bad(404, "GET", "/system/namespace/dev/", ""),
    bad(404, "GET", "/system/info/", ""),
    bad(404, "GET", "/ui", ""),
    bad(404, "GET", "/function", ""),
    bad(404, "GET", "/function/", ""),
    bad(404, "GET", "/functions/f", ""),
    bad(404, "GET", "/oauth/token/", ""),
    bad(404, "POST", "/oauth/authorize", ""),
    bad(404, "GET", "/.well-known/", ""),
    bad(404, "GET", "/.well-known/oauth-authorization-server", ""),
    bad(404, "GET", "/favicon.ico", ""),
    // What can be read in two ways comes before all else, an unknown route included.
    bad(400, "GET", "/system/functions?namespace=dev&namespace=other", ""),
    bad(400, "GET", "/system/functions?namespace=dev;x=y", ""),
    bad(400, "GET", "/system/functions?namespace=%zz", ""),
    bad(400, "GET", "/system/nowhere?a;b", ""),
    bad(400, "PATCH", "/system/functions?namespace=dev&%6eamespace=other", ""),
    bad(400, "GET", "/system/functions?namespace=Dev", ""),
    bad(400, "GET", "/system/function/f.dev", ""),
    bad(400, "GET", "/system/function/F", ""),
    bad(400, "GET", "/system/logs?namespace=dev", ""),
    bad(400, "GET", "/system/logs?name=f&name=g", ""),
    bad(400, "GET", "/function/f.a.b", ""),
    bad(400, "GET", "/function/F", ""),
    bad(400, "GET", "/function/f.", ""),
    bad(400, "POST", "/system/functions", ""),
    bad(400, "POST", "/system/functions", "[]"),
    bad(400, "POST", "/system/functions", r#"{"service":"f","namespace":"dev","namespace":"other"}"#),
    bad(400, "POST", "/system/functions", r#"{"service":"f","Namespace":"dev"}"#),
    bad(400, "POST", "/system/functions", r#"{"service":"f","secrets":["../s"]}"#),
    bad(400, "POST", "/system/functions?namespace=other", DEPLOY),
    bad(400, "DELETE", "/system/functions?namespace=other", DELETE),
    bad(400, "DELETE", "/system/functions", r#"{"functionName":"f"} {}"#),
    bad(400, "POST", "/system/scale-function/g", SCALE),
    bad(400, "POST", "/system/secrets", r#"{"name":"../s","namespace":"dev"}"#),
    bad(400, "POST", "/system/secrets", r#"{"name":"s","namespace":"../dev"}"#),
    bad(400, "GET", "/system/namespace/", ""),
    bad(400, "POST", "/system/namespace/dev", r#"{"name":"other"}"#),
    bad(400, "DELETE", "/system/namespace/dev", r#"{"name":"other"}"#),
];

const DEPLOY: &str = r#"{"service":"f","image":"i","namespace":"dev","secrets":["s"]}"#;
const DELETE: &str = r#"{"functionName":"f","namespace":"dev"}"#;
const SCALE: &str = r#"{"serviceName":"f","replicas":2,"namespace":"dev"}"#;
const SECRET: &str = r#"{"name":"s.txt","namespace":"dev","value":"v"}"#;

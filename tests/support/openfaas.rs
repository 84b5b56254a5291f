//! An OpenFaaS API in memory. It keeps every request that reached it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The namespace of requests that name none.
pub(crate) const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// A running API. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OpenFaas {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

/// A request that reached the API.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// The method.
    pub(crate) method: String,
    /// Path and query, as received.
    pub(crate) target: String,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

#[derive(Debug)]
struct Shared {
    /// The value of `Authorization` that `/system` asks for.
    authorization: String,
    namespaces: BTreeMap<String, Namespace>,
    recorded: Vec<Recorded>,
}

#[derive(Debug, Default)]
struct Namespace {
    functions: BTreeMap<String, Value>,
    secrets: BTreeMap<String, Value>,
}

// === impl OpenFaas ===

impl OpenFaas {
    /// Starts one on a free port, with the given user and password on `/system` and these
    /// namespaces beside the default one.
    pub(crate) async fn start(user: &str, password: &str, namespaces: &[&str]) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(address, user, password, namespaces).await
    }

    /// Starts one on a given address.
    pub(crate) async fn start_at(
        address: SocketAddr,
        user: &str,
        password: &str,
        namespaces: &[&str],
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        let namespaces = namespaces
            .iter()
            .chain([&DEFAULT_NAMESPACE])
            .map(|name| ((*name).to_owned(), Namespace::default()))
            .collect();
        let shared = Arc::new(Mutex::new(Shared {
            authorization: format!("Basic {credentials}"),
            namespaces,
            recorded: Vec::new(),
        }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.ok();
        });
        Ok(Self { address, shared, server })
    }

    /// Every request since the start or the last [`reset`](Self::reset), in order.
    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        lock(&self.shared).recorded.clone()
    }

    /// Forgets the requests so far.
    pub(crate) fn reset(&self) {
        lock(&self.shared).recorded.clear();
    }

    /// Puts a function there without a request.
    pub(crate) fn add_function(&self, namespace: &str, name: &str) {
        let function = json!({ "name": name, "namespace": namespace, "image": "demo", "replicas": 1 });
        let mut shared = lock(&self.shared);
        let namespace = shared.namespaces.entry(namespace.to_owned()).or_default();
        namespace.functions.insert(name.to_owned(), function);
    }
}

impl Drop for OpenFaas {
    fn drop(&mut self) {
        self.server.abort();
    }
}

// === impl Recorded ===

impl Recorded {
    /// A header as text, where there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, without its `?`.
    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a query parameter.
    fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query().as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .filter(|value| !value.is_empty())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The namespace that the body names, or else the query, or else the default.
    fn namespace(&self, body: &Value) -> String {
        text(body, "namespace")
            .or_else(|| self.parameter("namespace"))
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())
    }
}

async fn serve(State(shared): State<Arc<Mutex<Shared>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 * 1024 * 1024).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let request = Recorded {
        method: parts.method.as_str().to_owned(),
        target: target.to_owned(),
        headers: parts.headers,
        body,
    };
    let mut shared = lock(&shared);
    shared.recorded.push(request.clone());
    shared.answer(&request)
}

// === impl Shared ===

impl Shared {
    fn answer(&mut self, request: &Recorded) -> Response {
        let path = request.path().to_owned();
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["healthz"]) => StatusCode::OK.into_response(),
            (_, ["function", name, ..]) => invoke(name, request),
            ("POST", ["async-function", _, ..]) => StatusCode::ACCEPTED.into_response(),
            (_, ["system", rest @ ..]) => {
                if request.header("authorization") == Some(&self.authorization) {
                    return self.system(rest, request);
                }
                let realm = [(header::WWW_AUTHENTICATE, "Basic realm=\"Restricted\"")];
                (StatusCode::UNAUTHORIZED, realm, "invalid credentials").into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn system(&mut self, path: &[&str], request: &Recorded) -> Response {
        let body = request.json();
        match (request.method.as_str(), path) {
            (_, ["functions"]) => self.functions(request, &body),
            ("GET", ["function", name]) => self.function(name, request),
            ("POST", ["scale-function", name]) => self.scale(name, request, &body),
            (_, ["secrets"]) => self.secrets(request, &body),
            ("GET", ["namespaces"]) => ok(&json!(self.namespaces.keys().collect::<Vec<_>>())),
            (_, ["namespace", name]) => self.namespace(name, request, &body),
            ("GET", ["info"]) => ok(&json!({
                "provider": {
                    "provider": "in-memory", "orchestration": "none", "version": { "release": "demo" },
                },
                "version": { "release": "demo" }, "arch": "x86_64",
            })),
            ("GET", ["logs"]) => logs(request),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn functions(&mut self, request: &Recorded, body: &Value) -> Response {
        let name = text(body, "service").or_else(|| text(body, "functionName"));
        let namespace_name = request.namespace(body);
        let Some(namespace) = self.namespaces.get_mut(&namespace_name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let functions = &mut namespace.functions;
        match (request.method.as_str(), name) {
            ("GET", _) => ok(&json!(functions.values().collect::<Vec<_>>())),
            ("PUT" | "DELETE", Some(name)) if !functions.contains_key(&name) => {
                StatusCode::NOT_FOUND.into_response()
            }
            ("POST" | "PUT", Some(name)) => {
                let image = text(body, "image").unwrap_or_default();
                let function = json!({
                    "name": name, "namespace": namespace_name, "image": image, "replicas": 1,
                });
                functions.insert(name, function);
                StatusCode::ACCEPTED.into_response()
            }
            ("DELETE", Some(name)) => {
                functions.remove(&name);
                StatusCode::ACCEPTED.into_response()
            }
            ("POST" | "PUT" | "DELETE", None) => StatusCode::BAD_REQUEST.into_response(),
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }

    fn function(&self, name: &str, request: &Recorded) -> Response {
        let namespace = request.namespace(&Value::Null);
        let function = self.namespaces.get(&namespace).and_then(|namespace| namespace.functions.get(name));
        function.map_or_else(|| StatusCode::NOT_FOUND.into_response(), ok)
    }

    fn scale(&mut self, name: &str, request: &Recorded, body: &Value) -> Response {
        let namespace = request.namespace(body);
        let function = self
            .namespaces
            .get_mut(&namespace)
            .and_then(|namespace| namespace.functions.get_mut(name))
            .and_then(Value::as_object_mut);
        let Some(function) = function else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let replicas = body.get("replicas").cloned().unwrap_or(json!(1));
        function.insert("replicas".to_owned(), replicas);
        StatusCode::ACCEPTED.into_response()
    }

    fn secrets(&mut self, request: &Recorded, body: &Value) -> Response {
        let namespace_name = request.namespace(body);
        let Some(namespace) = self.namespaces.get_mut(&namespace_name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let secrets = &mut namespace.secrets;
        match (request.method.as_str(), text(body, "name")) {
            ("GET", _) => ok(&json!(secrets.values().collect::<Vec<_>>())),
            ("POST" | "PUT", Some(name)) => {
                // Like the real API, a list of secrets has no values.
                let secret = json!({ "name": name, "namespace": namespace_name });
                secrets.insert(name, secret);
                let created = request.method == "POST";
                if created { StatusCode::CREATED } else { StatusCode::ACCEPTED }.into_response()
            }
            ("DELETE", Some(name)) => match secrets.remove(&name) {
                Some(_) => StatusCode::ACCEPTED.into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            },
            ("POST" | "PUT" | "DELETE", None) => StatusCode::BAD_REQUEST.into_response(),
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }

    fn namespace(&mut self, name: &str, request: &Recorded, body: &Value) -> Response {
        match request.method.as_str() {
            "GET" if self.namespaces.contains_key(name) => ok(&json!({ "name": name })),
            "GET" => StatusCode::NOT_FOUND.into_response(),
            "POST" | "PUT" => {
                let name = text(body, "name").unwrap_or_else(|| name.to_owned());
                self.namespaces.entry(name).or_default();
                StatusCode::CREATED.into_response()
            }
            "DELETE" => {
                self.namespaces.remove(name);
                StatusCode::ACCEPTED.into_response()
            }
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }
}

/// A function answers with what it got.
fn invoke(name: &str, request: &Recorded) -> Response {
    let (function, namespace) = name.rsplit_once('.').unwrap_or((name, DEFAULT_NAMESPACE));
    ok(&json!({
        "function": function, "namespace": namespace, "method": request.method,
        "target": request.target, "bytes": request.body.len(),
    }))
}

/// Three lines, and for `follow` then one every second.
fn logs(request: &Recorded) -> Response {
    let name = request.parameter("name").unwrap_or_default();
    let follow = request.parameter("follow").is_some_and(|value| value == "true" || value == "1");
    let lines = stream::unfold(0_u32, move |count| {
        let line = json!({ "name": name, "instance": "demo", "text": format!("line {count}") });
        async move {
            if count >= 3 {
                if !follow {
                    return None;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Some((Ok::<_, std::convert::Infallible>(format!("{line}\n")), count + 1))
        }
    });
    let ndjson = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (ndjson, Body::from_stream(lines)).into_response()
}

fn ok(value: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, value.to_string()).into_response()
}

/// A member that is text and not empty.
fn text(body: &Value, name: &str) -> Option<String> {
    let value = body.get(name)?.as_str()?;
    (!value.is_empty()).then(|| value.to_owned())
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

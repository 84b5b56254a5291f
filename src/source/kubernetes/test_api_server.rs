//! As much of an API server as is needed to be listed and watched, over plain HTTP, with mishaps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use http::Uri;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const NAMESPACE: &str = "openfaas";

pub(crate) struct ApiServer {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) lists: AtomicUsize,
    world: Mutex<World>,
    /// Told of every change of the world.
    version: watch::Sender<usize>,
    _dir: tempfile::TempDir,
}

#[derive(Default)]
struct World {
    /// By folder and name.
    objects: BTreeMap<(String, String), Value>,
    /// Every event so far, with its folder.
    log: Vec<(String, Value)>,
    /// What lists of a folder are answered with instead.
    list_status: BTreeMap<String, u16>,
    /// Folders whose lists are not answered.
    held: Vec<String>,
    /// Watches from before this event are too old.
    forgotten: usize,
    /// Counts up to end all open watches: the message that they end with.
    ended: usize,
    last_words: Option<Value>,
    watch_status: Option<u16>,
    no_namespace: bool,
    has_functions: bool,
}

impl ApiServer {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let server = Arc::new(Self {
            kubeconfig,
            lists: AtomicUsize::new(0),
            world: Mutex::default(),
            version: watch::Sender::new(0),
            _dir: dir,
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn put(&self, plural: &str, name: &str, spec: Value) {
        self.change(plural, name, Some(spec));
    }

    pub(crate) fn delete(&self, plural: &str, name: &str) {
        self.change(plural, name, None);
    }

    fn change(&self, plural: &str, name: &str, spec: Option<Value>) {
        let kind = match plural {
            "jwtissuers" => "JwtIssuer",
            "policies" => "Policy",
            _ => "Role",
        };
        let object = json!({
            "apiVersion": "iam.openfaas.com/v1", "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
        });
        self.change_in(&folder(plural), object, spec.is_none());
    }

    /// Puts an object into a folder, or takes it out.
    pub(crate) fn change_in(&self, folder: &str, mut object: Value, delete: bool) {
        self.with(|world| {
            object["metadata"]["resourceVersion"] = (world.log.len() + 1).to_string().into();
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let key = (folder.to_owned(), name);
            let of = match (!delete).then_some(()) {
                Some(()) => world.objects.insert(key, object.clone()).map_or("ADDED", |_| "MODIFIED"),
                None => world.objects.remove(&key).map_or("DELETED", |_| "DELETED"),
            };
            world.log.push((folder.to_owned(), json!({"type": of, "object": object})));
        });
    }

    /// Lists of the plural are answered with an error.
    pub(crate) fn refuse_lists(&self, plural: &str, status: Option<u16>) {
        self.with(|world| match status {
            Some(status) => drop(world.list_status.insert(folder(plural), status)),
            None => drop(world.list_status.remove(&folder(plural))),
        });
    }

    pub(crate) fn hold_lists(&self, plurals: &[&str]) {
        self.with(|world| world.held = plurals.iter().map(|plural| folder(plural)).collect());
    }

    pub(crate) fn namespace_is_missing(&self, missing: bool) {
        self.with(|world| world.no_namespace = missing);
    }

    /// Whether the kind `Function` is defined.
    pub(crate) fn has_functions(&self, has: bool) {
        self.with(|world| world.has_functions = has);
    }

    /// Ends all watches, with a last message where there is one.
    pub(crate) fn end_watches(&self, last_words: Option<Value>) {
        self.with(|world| {
            world.ended += 1;
            world.last_words = last_words;
        });
    }

    /// New watches are answered with an error.
    pub(crate) fn refuse_watches(&self, status: Option<u16>) {
        self.with(|world| world.watch_status = status);
    }

    /// Watches from versions until now are answered with 410.
    pub(crate) fn forget(&self) {
        self.with(|world| world.forgotten = world.log.len());
    }

    fn with(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world());
        self.version.send_modify(|version| *version += 1);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

/// The path of all objects of a kind: one of our own, by its plural, or any, by the path itself.
fn folder(plural: &str) -> String {
    match plural.starts_with('/') {
        true => plural.to_owned(),
        false => format!("/apis/iam.openfaas.com/v1/namespaces/{NAMESPACE}/{plural}"),
    }
}

fn status(code: u16) -> Response {
    let body =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "so"});
    Response::builder().status(code).body(Body::from(body.to_string())).unwrap()
}

async fn answer(State(server): State<Arc<ApiServer>>, uri: Uri) -> Response {
    let plural = uri.path().to_owned();
    if uri.path().starts_with("/api/v1/namespaces/") {
        return status(if server.world().no_namespace { 404 } else { 403 });
    }
    if uri.path() == "/apis/openfaas.com/v1" {
        return match server.world().has_functions {
            true => Response::new(Body::from(json!({"resources": [{"name": "functions"}]}).to_string())),
            false => status(404),
        };
    }
    let query: BTreeMap<_, _> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    if query.get("watch").is_some_and(|watch| watch == "true") {
        return watch_from(server, plural, query["resourceVersion"].parse().unwrap());
    }
    server.lists.fetch_add(1, Ordering::SeqCst);
    let mut version = server.version.subscribe();
    while server.world().held.contains(&plural) {
        version.changed().await.unwrap();
    }
    let world = server.world();
    if let Some(&code) = world.list_status.get(&plural) {
        return status(code);
    }
    let items: Vec<_> = world.objects.iter().filter(|((of, _), _)| *of == plural).map(|(_, o)| o).collect();
    let list =
        json!({"kind": "List", "metadata": {"resourceVersion": world.log.len().to_string()}, "items": items});
    Response::new(Body::from(list.to_string()))
}

fn watch_from(server: Arc<ApiServer>, plural: String, from: usize) -> Response {
    let ended = {
        let world = server.world();
        if let Some(code) = world.watch_status {
            return status(code);
        }
        if from < world.forgotten {
            return status(410);
        }
        world.ended
    };
    let version = server.version.subscribe();
    let start = (server, version, plural, from, false);
    let lines = stream::unfold(start, move |(server, mut version, plural, mut at, over)| async move {
        loop {
            if over {
                return None;
            }
            let (line, over) = {
                let world = server.world();
                match world.log.get(at) {
                    _ if world.ended != ended => (Some(world.last_words.clone()?), true),
                    Some((of, event)) => ((*of == plural).then(|| event.clone()), false),
                    None => (None, false),
                }
            };
            let more = server.world().log.len() > at;
            if let Some(line) = line {
                let next = (server, version, plural, at + 1, over);
                return Some((Ok::<_, std::io::Error>(format!("{line}\n")), next));
            }
            if more {
                at += 1;
            } else if version.changed().await.is_err() {
                return None;
            }
        }
    });
    Response::new(Body::from_stream(lines))
}

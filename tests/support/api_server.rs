//! The real Kubernetes API server with an etcd of its own (`tests/apiserver`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Certificate, Method};
use rustix::process::Signal;
use serde_json::Value;

use super::envoy::root;
use super::process::{Process, free_port};

/// How long it may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a compaction may take.
const COMPACTED_WITHIN: Duration = Duration::from_secs(15);

/// How long a definition may take until its kind is served.
const SERVED_WITHIN: Duration = Duration::from_secs(15);

/// The kinds, as paths write them.
const KINDS: [&str; 3] = ["jwtissuers", "policies", "roles"];

/// Who owns what these tests apply.
const FIELD_MANAGER: &str = "faas-iam-tests";

/// How watches are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watches {
    /// From the server's memory, as everywhere.
    FromMemory,
    /// From etcd, so that [`ApiServer::compact`] makes older resource versions 410 Gone at once.
    FromEtcd,
}

/// A running API server. There is nothing behind it: no controllers, so a namespace has no service
/// account by itself, and one that is deleted stays `Terminating`.
#[derive(Debug)]
pub(crate) struct ApiServer {
    /// Where it listens; also the issuer of its tokens.
    pub(crate) url: String,
    /// The process.
    pub(crate) process: Process,
    port: u16,
    watches: Watches,
    dir: PathBuf,
    client: reqwest::Client,
}

/// What the server said to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body: JSON, or else its text.
    pub(crate) body: Value,
}

// === impl ApiServer ===

impl ApiServer {
    /// Starts it with all its files in `DIR/apiserver`, and waits until it is ready. Its log is
    /// `DIR/apiserver.log`.
    pub(crate) async fn start(watches: Watches, dir: &Path) -> Result<Self> {
        let port = free_port()?;
        let url = format!("https://127.0.0.1:{port}");
        let process = Process::start("apiserver", command(port, watches, dir)?, dir)?;
        let (dir, client) = (dir.to_owned(), reqwest::Client::new());
        let mut server = Self { url, process, port, watches, dir, client };
        server.wait_for_line("ready ", 0, READY_WITHIN).await?;
        server.client = server.new_client()?;
        Ok(server)
    }

    /// The configuration of a client that may do everything.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// The authority of its certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// The token of somebody who may do everything.
    pub(crate) fn admin_token(&self) -> Result<String> {
        Ok(fs::read_to_string(self.file("token"))?)
    }

    /// The key that signs the tokens of service accounts.
    pub(crate) fn service_account_key(&self) -> PathBuf {
        self.file("service-account.key")
    }

    /// Stops it; watches end in order.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// Ends it at once (SIGKILL); nothing answers until [`restart`](Self::restart).
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, with its state and on its port, and waits until it is ready.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.process.stop();
        let before = self.lines("ready ");
        self.process = Process::start("apiserver", command(self.port, self.watches, &self.dir)?, &self.dir)?;
        self.wait_for_line("ready ", before, READY_WITHIN).await?;
        // Without connections to the one that has ended.
        self.client = self.new_client()?;
        Ok(())
    }

    /// Makes it forget all revisions before the present one.
    pub(crate) async fn compact(&mut self) -> Result<()> {
        let before = self.lines("compacted ");
        self.process.signal(Signal::USR1)?;
        self.wait_for_line("compacted ", before, COMPACTED_WITHIN).await
    }

    /// A client that knows the server's certificate, and nobody's token.
    pub(crate) const fn client(&self) -> &reqwest::Client {
        &self.client
    }

    fn new_client(&self) -> Result<reqwest::Client> {
        let ca = Certificate::from_pem(&fs::read(self.ca_file())?)?;
        Ok(reqwest::Client::builder()
            .tls_certs_only([ca])
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?)
    }

    /// Sends a request, with a token or without.
    pub(crate) async fn call(
        &self,
        method: Method,
        target: &str,
        token: Option<&str>,
        body: Option<(&str, String)>,
    ) -> Result<Answer> {
        let mut request = self.client.request(method, format!("{}{target}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some((media_type, text)) = body {
            request = request.header("content-type", media_type).body(text);
        }
        let answer = request.send().await.with_context(|| target.to_owned())?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    /// Reads something, as somebody who may do everything.
    pub(crate) async fn get(&self, target: &str) -> Result<Answer> {
        self.call(Method::GET, target, Some(&self.admin_token()?), None).await
    }

    /// Creates something, as somebody who may do everything.
    pub(crate) async fn create(&self, target: &str, object: &Value) -> Result<Answer> {
        let body = ("application/json", object.to_string());
        self.call(Method::POST, target, Some(&self.admin_token()?), Some(body)).await
    }

    /// Applies an object (YAML or JSON) on the server's side, as somebody who may do everything. The
    /// target is the object's own. A member of the wrong type is a 500 here, and a 422 on creation.
    pub(crate) async fn apply(&self, target: &str, object: &str) -> Result<Answer> {
        let target = format!("{target}?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict");
        let body = ("application/apply-patch+yaml", object.to_owned());
        self.call(Method::PATCH, &target, Some(&self.admin_token()?), Some(body)).await
    }

    /// Defines the three kinds, and waits until they are served.
    pub(crate) async fn define_kinds(&self) -> Result<()> {
        self.define(|definition| definition).await
    }

    /// The same with definitions that let everything pass.
    pub(crate) async fn define_loosely(&self) -> Result<()> {
        let anything = serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        self.define(|mut definition| {
            if let Some(schema) = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
                *schema = anything.clone();
            }
            definition
        })
        .await
    }

    async fn define(&self, change: impl Fn(Value) -> Value) -> Result<()> {
        const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for kind in KINDS {
            let definition = fs::read_to_string(root().join(format!("tests/apiserver/crds/{kind}.yaml")))?;
            let definition = change(serde_saphyr::from_str(&definition)?).to_string();
            self.apply(&format!("{DEFINITIONS}/{kind}.iam.openfaas.com"), &definition).await?.expect(201)?;
        }
        for kind in KINDS {
            self.wait_until_served(&format!("/apis/iam.openfaas.com/v1/{kind}")).await?;
        }
        Ok(())
    }

    /// Lets everybody read the keys with which tokens of service accounts are signed.
    pub(crate) async fn publish_issuer(&self) -> Result<()> {
        let binding = serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "issuer-discovery-for-everybody"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:service-account-issuer-discovery",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Group",
                "name": "system:unauthenticated",
            }],
        });
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        self.create(bindings, &binding).await?.expect(201)?;
        // The authorizer learns of it from a watch.
        self.wait_for(SERVED_WITHIN, "the discovery document", || async {
            Ok(self.call(Method::GET, "/openid/v1/jwks", None, None).await?.status == 200)
        })
        .await
    }

    /// A token of a service account for an audience.
    pub(crate) async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
    ) -> Result<String> {
        let request = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 600},
        });
        let target = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let answer = self.create(&target, &request).await?.expect(201)?;
        let token = answer.pointer("/status/token").and_then(Value::as_str);
        Ok(token.context("the answer holds no token")?.to_owned())
    }

    async fn wait_until_served(&self, target: &str) -> Result<()> {
        self.wait_for(SERVED_WITHIN, target, || async { Ok(self.get(target).await?.status == 200) }).await
    }

    async fn wait_for<Done>(&self, limit: Duration, what: &str, done: impl Fn() -> Done) -> Result<()>
    where
        Done: Future<Output = Result<bool>>,
    {
        let end = Instant::now() + limit;
        while !done().await? {
            ensure!(Instant::now() < end, "{what} is not there after {limit:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join("apiserver").join(name)
    }

    /// How many lines with this beginning it has printed, in all its runs.
    fn lines(&self, beginning: &str) -> usize {
        self.process.output().lines().filter(|line| line.starts_with(beginning)).count()
    }

    async fn wait_for_line(&mut self, beginning: &str, before: usize, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while self.lines(beginning) <= before {
            self.process.check_running()?;
            if Instant::now() > end {
                bail!("the API server has not printed `{beginning}` after {limit:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

// === impl Answer ===

impl Answer {
    /// The body, if the status is this one; an application that changed something may say 200 where
    /// one that made it says 201.
    pub(crate) fn expect(self, status: u16) -> Result<Value> {
        let good = self.status == status || (status == 201 && self.status == 200);
        ensure!(good, "{} instead of {status}: {}", self.status, self.body);
        Ok(self.body)
    }
}

/// The API server's binary: `APISERVER_BIN`, or the one that `make apiserver` builds.
pub(crate) fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("APISERVER_BIN") {
        return Ok(path.into());
    }
    let path = root().join(format!(".tools/apiserver-{}/apiserver", version()?));
    ensure!(path.is_file(), "no API server: run `make apiserver`");
    Ok(path)
}

/// The `kubectl` that is built beside it.
pub(crate) fn kubectl() -> Result<PathBuf> {
    let path = binary()?.with_file_name("kubectl");
    ensure!(path.is_file(), "no kubectl: run `make apiserver`");
    Ok(path)
}

/// The version of Kubernetes that is linked.
fn version() -> Result<&'static str> {
    let required = include_str!("../apiserver/go.mod").lines();
    let version = required.filter_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v")).next();
    version.context("tests/apiserver/go.mod names no Kubernetes")
}

fn command(port: u16, watches: Watches, dir: &Path) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .arg(format!("-dir={}", dir.join("apiserver").display()))
        .arg(format!("-port={port}"))
        .arg(format!("-watch-cache={}", watches == Watches::FromMemory));
    Ok(command)
}

//! Service accounts with permissions that a test names.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::account;
use crate::support::api_server::ApiServer;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// The name of each account, and of what it is given.
const NAME: &str = "follower";

/// A service account of a namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) server: &'a ApiServer,
    pub(crate) namespace: &'a str,
}

/// What the service needs in the namespace of its objects to follow them.
pub(crate) fn follow() -> Value {
    json!([{"apiGroups": ["iam.openfaas.com"], "resources": ["jwtissuers", "policies", "roles"],
            "verbs": ["get", "list", "watch"]}])
}

/// What it needs there to write Events.
pub(crate) fn tell() -> Value {
    json!([
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
         "resourceNames": ["faas-iam-events"], "verbs": ["get", "update"]},
    ])
}

/// What it needs in each namespace with functions, where those declare that they want tokens.
pub(crate) fn declared() -> Value {
    json!([
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]},
        {"apiGroups": ["openfaas.com"], "resources": ["functions"], "verbs": ["list", "watch"]},
    ])
}

/// What it needs in the whole cluster for the same.
pub(crate) fn namespaces() -> Value {
    json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}])
}

// === impl Account ===

impl Account<'_> {
    /// Makes it. Returns the configuration of a client that is it, in `dir`.
    pub(crate) async fn make(&self, dir: &Path) -> Result<PathBuf> {
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", self.namespace);
        self.server.create(&accounts, &json!({"metadata": {"name": NAME}})).await?.expect(201)?;
        let token = self.server.service_account_token(self.namespace, NAME, &self.server.url).await?;
        account::kubeconfig(self.server, &token, dir)
    }

    /// Gives it permissions in a namespace, and takes those away that an earlier call under this name
    /// gave there.
    pub(crate) async fn allow_in(&self, namespace: &str, name: &str, rules: &Value) -> Result<()> {
        let folder = format!("{RBAC}/namespaces/{namespace}");
        self.bind(&folder, "Role", name, rules).await
    }

    /// The same in the whole cluster.
    pub(crate) async fn allow(&self, name: &str, rules: &Value) -> Result<()> {
        self.bind(RBAC, "ClusterRole", &format!("{}-{name}", self.namespace), rules).await
    }

    async fn bind(&self, folder: &str, kind: &str, name: &str, rules: &Value) -> Result<()> {
        let version = "rbac.authorization.k8s.io/v1";
        let role = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "rules": rules});
        let binding = json!({
            "apiVersion": version, "kind": format!("{kind}Binding"), "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": self.namespace}],
        });
        let plural = kind.to_lowercase();
        self.server.apply(&format!("{folder}/{plural}s/{name}"), &role.to_string()).await?.expect(201)?;
        let at = format!("{folder}/{plural}bindings/{name}");
        self.server.apply(&at, &binding.to_string()).await?.expect(201)?;
        Ok(())
    }
}

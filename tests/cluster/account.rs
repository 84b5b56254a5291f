//! The service account that the service runs as, with its permissions, its token and its key.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::api_server::ApiServer;
use crate::support::envoy::root;
use crate::support::json::text;
use crate::support::objects::write_private;

/// The manifests of the account and its permissions.
const MANIFESTS: [&str; 2] = ["manifests/base/service-account.yaml", "manifests/base/rbac.yaml"];

/// The namespace that they are written for.
pub(crate) const NAMESPACE: &str = "openfaas";

/// The name of the account in them.
const NAME: &str = "faas-iam";

/// The group of the three kinds.
const GROUP: &str = "iam.openfaas.com";

/// Applies the manifests, without one verb on one kind if so asked.
pub(crate) async fn apply(server: &ApiServer, without: Option<(&str, &str)>) -> Result<()> {
    for manifest in MANIFESTS {
        let manifest = fs::read_to_string(root().join(manifest))?;
        for document in manifest.split("\n---") {
            let mut object: Value = serde_saphyr::from_str(document)?;
            if let Some((verb, resource)) = without {
                remove(&mut object, verb, resource);
            }
            server.apply(&path(&object)?, &object.to_string()).await?.expect(201)?;
        }
    }
    Ok(())
}

/// Takes a verb on a resource out of the rules of a role.
fn remove(role: &mut Value, verb: &str, resource: &str) {
    let Some(rules) = role.get_mut("rules").and_then(Value::as_array_mut) else { return };
    let has = |rule: &Value, member: &str, what: &str| {
        rule.get(member).and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == what))
    };
    let without = |rule: &Value, member: &str, what: &str| -> Value {
        let all = rule.get(member).and_then(Value::as_array).into_iter().flatten();
        all.filter(|one| *one != what).cloned().collect()
    };
    let mut narrowed = Vec::new();
    for rule in rules.iter_mut() {
        if has(rule, "apiGroups", GROUP) && has(rule, "resources", resource) && has(rule, "verbs", verb) {
            let verbs = without(rule, "verbs", verb);
            narrowed.push(json!({"apiGroups": [GROUP], "resources": [resource], "verbs": verbs}));
            let others = without(rule, "resources", resource);
            if let Some(rule) = rule.as_object_mut() {
                rule.insert("resources".to_owned(), others);
            }
        }
    }
    rules.retain(|rule| rule.get("resources") != Some(&json!([])));
    rules.append(&mut narrowed);
}

/// Where an object of the manifests is.
fn path(object: &Value) -> Result<String> {
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    let (kind, name) = (text(object, "/kind")?, text(object, "/metadata/name")?);
    let folder = match kind {
        "Namespace" => "/api/v1/namespaces".to_owned(),
        "ServiceAccount" => format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
        "Role" => format!("{RBAC}/namespaces/{NAMESPACE}/roles"),
        "RoleBinding" => format!("{RBAC}/namespaces/{NAMESPACE}/rolebindings"),
        "ClusterRole" => format!("{RBAC}/clusterroles"),
        "ClusterRoleBinding" => format!("{RBAC}/clusterrolebindings"),
        other => return Err(anyhow!("the manifests hold a {other}")),
    };
    Ok(format!("{folder}/{name}"))
}

/// A token of the account for the API server itself.
pub(crate) async fn token(server: &ApiServer) -> Result<String> {
    server.service_account_token(NAMESPACE, NAME, &server.url).await
}

/// The same token as the API server would have given it out at another time: valid from `from` for
/// `seconds`, relative to now.
pub(crate) fn at_another_time(server: &ApiServer, token: &str, from: i64, seconds: i64) -> Result<String> {
    let (signed, _) = token.rsplit_once('.').context("no token")?;
    let (header, claims) = signed.split_once('.').context("no token")?;
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let start = faas_iam::transport::now() + from;
    for (name, value) in [("iat", start), ("nbf", start), ("exp", start + seconds)] {
        let claims = claims.as_object_mut().context("no claims")?;
        claims.insert(name.to_owned(), value.into());
    }
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let pem = fs::read_to_string(server.service_account_key())?;
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der)?).map_err(|error| anyhow!("{error}"))?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| anyhow!("cannot sign"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A pod's view of the cluster: a kubeconfig that leads to files with the token and the authority, in
/// `dir`. [`replace_token`] changes the token.
pub(crate) fn kubeconfig(server: &ApiServer, token: &str, dir: &Path) -> Result<PathBuf> {
    replace_token(token, dir)?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "pod",
        "contexts": [{"name": "pod", "context": {"cluster": "here", "user": "account"}}],
        "clusters": [{"name": "here", "cluster": {
            "server": server.url, "certificate-authority": server.ca_file(),
        }}],
        "users": [{"name": "account", "user": {"tokenFile": dir.join("token")}}],
    });
    let path = dir.join("kubeconfig");
    write_private(&path, &config.to_string())?;
    Ok(path)
}

/// Puts another token into the place of the one that is there.
pub(crate) fn replace_token(token: &str, dir: &Path) -> Result<()> {
    let draft = dir.join("token.draft");
    write_private(&draft, token)?;
    Ok(fs::rename(draft, dir.join("token"))?)
}

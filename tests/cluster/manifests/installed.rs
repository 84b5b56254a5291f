//! What runs in the pods: `faas-iam` and Envoy with the arguments, the variables and the files of the
//! manifests. Only addresses and folders are replaced.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::envoy_files::localised;
use super::rendered::{Rendered, list, texts};
use crate::account;
use crate::support::api_server::ApiServer;
use crate::support::envoy::{Addresses, Envoy};
use crate::support::faas_iam::Ports;
use crate::support::http;
use crate::support::json::text;
use crate::support::openfaas::OpenFaas;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::process::{Process, wait_for_ok};

/// The gateway's own user and password.
const USER: &str = "admin";
const PASSWORD: &str = "only-faas-iam-knows-this";

/// Where the pods have the socket between Envoy and the service.
const SOCKET: &str = "/run/faas-iam/grpc.sock";

/// A running `faas-iam`, as in its container.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) ports: Ports,
    /// The socket, where the manifests have one.
    pub(crate) socket: PathBuf,
}

// === impl Service ===

impl Service {
    /// Starts it as its service account, with all its files in `dir`. A pod has its token and the API
    /// server's address from files and variables at fixed places; here they are in a kubeconfig.
    pub(crate) async fn start(server: &ApiServer, set: &Rendered, dir: &Path) -> Result<Self> {
        write_secrets(dir)?;
        let kubeconfig = account::kubeconfig(server, &account::token(server).await?, dir)?;
        let container = set.container("faas-iam", "faas-iam")?;
        let ports = Ports::free()?;
        let socket = dir.join("grpc.sock");
        let replaced = [
            ("0.0.0.0:9000", ports.grpc.to_string()),
            ("0.0.0.0:8080", ports.http.to_string()),
            ("127.0.0.1:8081", ports.http.to_string()),
            ("0.0.0.0:9090", ports.admin.to_string()),
            (SOCKET, socket.display().to_string()),
            ("/var/secrets", dir.join("secrets").display().to_string()),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_faas-iam"));
        command.args(texts(container, "/args")).env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info");
        for (name, value) in variables(set, container)? {
            let value = replaced.iter().fold(value, |value, (from, to)| value.replace(from, to));
            command.env(name, value);
        }
        Ok(Self { process: Process::start("faas-iam", command, dir)?, ports, socket })
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn wait_until_ready(&mut self) -> Result<()> {
        let url = format!("http://{}/readyz", self.ports.admin);
        wait_for_ok(&mut self.process, &url, PATIENCE).await
    }
}

/// Every variable in a ConfigMap is one that the program reads: it would not complain of another.
pub(crate) fn every_variable_is_a_flag(sets: &BTreeMap<&str, Rendered>) -> Result<()> {
    let help = Command::new(env!("CARGO_BIN_EXE_faas-iam")).args(["serve", "--help"]).output()?;
    // Lines are broken where the terminal ends.
    let help: Vec<String> = String::from_utf8(help.stdout)?.split_whitespace().map(str::to_owned).collect();
    let mut known = 0;
    for (name, set) in sets {
        let Ok(map) = set.config_map("faas-iam") else { continue };
        let data = map.get("data").and_then(Value::as_object).context("no data")?;
        for variable in data.keys() {
            ensure!(
                help.iter().any(|word| word.starts_with(&format!("{variable}="))),
                "{name}: no flag has {variable}"
            );
            known += 1;
        }
    }
    ensure!(known > 0, "no variables");
    Ok(())
}

/// The container's variables. Files that they name lie in what is mounted.
fn variables(set: &Rendered, container: &Value) -> Result<Vec<(String, String)>> {
    ensure!(list(container, "/env").next().is_none(), "variables that this does not know of");
    let data = set.config_map("faas-iam")?.get("data").and_then(Value::as_object).context("no data")?;
    let mounts: Vec<&str> =
        list(container, "/volumeMounts").map(|mount| text(mount, "/mountPath")).collect::<Result<_>>()?;
    let mut variables = Vec::new();
    for (name, value) in data {
        let value = value.as_str().context("no text")?;
        let path = value.trim_start_matches("unix:");
        let mounted = mounts.iter().any(|mount| Path::new(path).starts_with(mount));
        ensure!(!path.starts_with('/') || mounted, "{name}: {path} is not mounted");
        variables.push((name.clone(), value.to_owned()));
    }
    Ok(variables)
}

/// The Secrets as they are mounted.
fn write_secrets(dir: &Path) -> Result<()> {
    let secrets = dir.join("secrets");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?.serialize_der();
    let key = STANDARD.encode(key);
    let key = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    for (path, content) in [
        ("issuer-key/issuer.key", key.as_str()),
        ("gateway/basic-auth-user", USER),
        ("gateway/basic-auth-password", PASSWORD),
    ] {
        let path = secrets.join(path);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(path, content)?;
    }
    Ok(())
}

/// The pod of `sidecar`, and what comes through it.
pub(crate) async fn sidecar(server: &ApiServer, set: &Rendered, dir: &Path) -> Result<()> {
    let dir = dir.join("sidecar");
    let gateway = OpenFaas::start(USER, PASSWORD, &[]).await?;
    let mut service = Service::start(server, set, &dir).await?;
    service.wait_until_ready().await?;
    ensure!(service.socket.exists(), "no socket");
    let addresses = Addresses::in_front_of(gateway.address, service.ports.grpc, service.ports.http)?;
    let socket = format!("path: {} ", service.socket.display());
    let config = localised(
        text(set.config_map("faas-iam-envoy")?, "/data/envoy.yaml")?,
        &[
            ("address: gateway.openfaas, port_value: 8080 ", address(addresses.gateway)),
            ("path: /run/faas-iam/grpc.sock ", socket),
            ("address: 127.0.0.1, port_value: 8081 ", address(addresses.token_service)),
        ],
        &addresses,
    )?;
    let envoy = Envoy::start_with(&config, addresses, &dir).await?;
    let clients = envoy.addresses.listener;
    decided(clients).await?;

    // The socket is there again, and Envoy goes on.
    service.process.stop();
    let closed = http::request(clients, "GET", "/healthz", &[], b"").await?;
    ensure!(closed.status == 503, "{} while nobody decides", closed.status);
    let mut service = Service::start(server, set, &dir).await?;
    service.wait_until_ready().await?;
    eventually("Envoy goes on", async || {
        let answer = http::request(clients, "GET", "/healthz", &[], b"").await?;
        Ok(if answer.status == 200 { Ok(()) } else { Err(answer.text()) })
    })
    .await
}

/// What goes through, and what is refused, wherever Envoy is.
async fn decided(clients: SocketAddr) -> Result<()> {
    for (method, target, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/.well-known/openid-configuration", 200),
        ("GET", "/system/functions", 401),
        ("POST", "/function/hello", 200),
    ] {
        let answer = http::request(clients, method, target, &[], b"").await?;
        ensure!(answer.status == status, "{method} {target}: {} {}", answer.status, answer.text());
        let from_us = answer.header("x-faas-iam-decision").is_some();
        ensure!(status != 401 || from_us, "{target} was refused by somebody else");
    }
    Ok(())
}

/// Envoy as `gateway`: the watchdogs find the keys there, Alertmanager gets through with the gateway's
/// password, and with it nothing else.
pub(crate) async fn front(server: &ApiServer, set: &Rendered, dir: &Path) -> Result<()> {
    let dir = dir.join("front");
    let gateway = OpenFaas::start(USER, PASSWORD, &[]).await?;
    let mut service = Service::start(server, set, &dir).await?;
    service.wait_until_ready().await?;
    let addresses = Addresses::in_front_of(gateway.address, service.ports.grpc, service.ports.http)?;
    let config = localised(
        text(set.config_map("faas-iam-envoy")?, "/data/envoy.yaml")?,
        &[
            ("address: gateway-upstream.openfaas, port_value: 8080 ", address(addresses.gateway)),
            ("address: faas-iam.openfaas, port_value: 9000 ", address(addresses.decisions)),
            ("address: faas-iam.openfaas, port_value: 8080 ", address(addresses.token_service)),
        ],
        &addresses,
    )?;
    let envoy = Envoy::start_with(&config, addresses, &dir).await?;
    let clients = envoy.addresses.listener;
    decided(clients).await?;

    let credentials = |password: &str| format!("Basic {}", STANDARD.encode(format!("{USER}:{password}")));
    let right = credentials(PASSWORD);
    let alert = json!({"alerts": [{"labels": {"function_name": "hello.openfaas-fn"}}]}).to_string();
    let send = async |method: &str, target: &str, authorization: &str, body: &str| {
        gateway.reset();
        let headers = [("Authorization", authorization), ("Content-Type", "application/json")];
        let answer = http::request(clients, method, target, &headers, body.as_bytes()).await?;
        anyhow::Ok((answer.status, gateway.recorded()))
    };
    let (_, passed) = send("POST", "/system/alert", &right, &alert).await?;
    ensure!(passed.len() == 1, "an alert did not get through");
    ensure!(passed.iter().all(|request| request.body == alert.as_bytes()), "{passed:?}");
    for (method, target, authorization, body) in [
        ("POST", "/system/alert", credentials("guessed").as_str(), alert.as_str()),
        ("POST", "/system/secrets", &right, r#"{"name":"s"}"#),
        ("GET", "/system/functions", &right, ""),
        ("GET", "/system/namespaces", &right, ""),
        ("POST", "/system/alert/", &right, &alert),
        ("POST", "/system/alert/../secrets", &right, r#"{"name":"s"}"#),
    ] {
        let (status, passed) = send(method, target, authorization, body).await?;
        ensure!(matches!(status, 401 | 404) && passed.is_empty(), "{method} {target}: {status} {passed:?}");
    }
    Ok(())
}

fn address(address: SocketAddr) -> String {
    format!("address: {}, port_value: {} ", address.ip(), address.port())
}

//! The files of Envoy: `envoy/envoy.yaml`, and those that differ from it in listed lines.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::rendered::{Rendered, list, texts};
use crate::support::envoy::{self, Addresses, root};
use crate::support::json::text;
use crate::support::process::Process;

/// Where the pods have their file.
const ENVOY_DIR: &str = "/etc/envoy";

const GENERATED: (&str, &str) = (
    "# Envoy in front of an OpenFaaS gateway, with faas-iam deciding on every request.\n",
    "# Generated from envoy/envoy.yaml, which is the one to change, by a test, which lists the differences:\n\
     # `UPDATE_EXPECT=1 cargo test --all-features --test cluster` writes it anew.\n#\n\
     # Envoy in front of an OpenFaaS gateway, with faas-iam deciding on every request.\n",
);

/// All that is different beside the service in one pod.
const SIDECAR: [(&str, &str); 6] = [
    GENERATED,
    (
        "#   faas-iam.openfaas:9000   the decisions of faas-iam, gRPC (cluster \"faas-iam-grpc\")\n",
        "#   /run/faas-iam/grpc.sock  the decisions of faas-iam, gRPC (cluster \"faas-iam-grpc\")\n",
    ),
    (
        "#   faas-iam.openfaas:8080   its token service, HTTP (cluster \"faas-iam-http\")\n",
        "#   127.0.0.1:8081           its token service, HTTP (cluster \"faas-iam-http\")\n",
    ),
    (
        "    - name: faas-iam-grpc\n      type: STRICT_DNS\n",
        "    - name: faas-iam-grpc\n      type: STATIC\n",
    ),
    (
        "socket_address: { address: faas-iam.openfaas, port_value: 9000 }",
        "pipe: { path: /run/faas-iam/grpc.sock }",
    ),
    (
        "socket_address: { address: faas-iam.openfaas, port_value: 8080 }",
        "socket_address: { address: 127.0.0.1, port_value: 8081 }",
    ),
];

/// All that is different where Envoy has the name `gateway`.
const FRONT: [(&str, &str); 4] = [
    GENERATED,
    (
        "#   gateway.openfaas:8080    the OpenFaaS gateway (cluster \"gateway\")\n",
        "#   gateway-upstream.openfaas:8080   the OpenFaaS gateway (cluster \"gateway\")\n",
    ),
    ("address: gateway.openfaas, port_value: 8080 ", "address: gateway-upstream.openfaas, port_value: 8080 "),
    (
        "                        # All else. What is not a route of OpenFaaS gets 404 from faas-iam, and\n",
        "                        # Alertmanager, which has nothing but the gateway's own password. This is\n\
         \x20                       # the only route that takes it.\n\
         \x20                       - name: alert\n\
         \x20                         match: { path: /system/alert }\n\
         \x20                         route: { cluster: gateway, timeout: 60s }\n\
         \x20                         typed_per_filter_config:\n\
         \x20                           envoy.filters.http.ext_authz:\n\
         \x20                             \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute\n\
         \x20                             check_settings:\n\
         \x20                               disable_request_body_buffering: true\n\
         \x20                               context_extensions: { admin-basic-auth: allow }\n\
         \n\
         \x20                       # All else. What is not a route of OpenFaaS gets 404 from faas-iam, and\n",
    ),
];

/// The ConfigMap of `envoy` is the file itself; those of the others are made of it.
pub(crate) fn check(sets: &BTreeMap<&str, Rendered>) -> Result<()> {
    let shipped = fs::read_to_string(root().join("envoy/envoy.yaml"))?;
    let sidecar = changed(&shipped, &SIDECAR)?;
    let front = changed(&shipped, &FRONT)?;
    for (name, expected) in
        [("manifests/envoy", &shipped), ("manifests/sidecar", &sidecar), ("manifests/front", &front)]
    {
        let file = root().join(if *expected == shipped { "envoy" } else { name }).join("envoy.yaml");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&file, expected)?;
            continue;
        }
        let differs = || format!("{} is not what it is made of: UPDATE_EXPECT=1 writes it", file.display());
        ensure!(fs::read_to_string(&file)? == *expected, differs());
        let set = sets.get(name).with_context(|| name.to_owned())?;
        let mounted = text(set.config_map("faas-iam-envoy")?, "/data/envoy.yaml")?;
        ensure!(mounted == expected.as_str(), "{name} mounts another file");
    }
    Ok(())
}

/// A text with some places changed, each of which is there once.
fn changed(shipped: &str, changes: &[(&str, &str)]) -> Result<String> {
    let mut text = shipped.to_owned();
    for (from, to) in changes {
        let found = text.matches(from).count();
        ensure!(found == 1, "`{from}` stands there {found} times");
        text = text.replace(from, to);
    }
    Ok(text)
}

/// A file with the addresses of this run: the given ones, and those of Envoy itself.
pub(crate) fn localised(file: &str, upstream: &[(&str, String)], addresses: &Addresses) -> Result<String> {
    let to =
        |address: std::net::SocketAddr| format!("address: {}, port_value: {} ", address.ip(), address.port());
    let (listener, admin) = (to(addresses.listener), to(addresses.admin));
    let mut changes: Vec<(&str, &str)> = upstream.iter().map(|(from, to)| (*from, to.as_str())).collect();
    changes.push(("address: 0.0.0.0, port_value: 8080 ", &listener));
    changes.push(("address: 127.0.0.1, port_value: 9901 ", &admin));
    changed(file, &changes)
}

/// Envoy itself says that a file is good, told so by the container's arguments.
pub(crate) async fn validate(sets: &BTreeMap<&str, Rendered>, dir: &Path) -> Result<()> {
    let mut validated = 0;
    for (name, set) in sets {
        for deployment in set.all("Deployment") {
            for container in list(deployment, "/spec/template/spec/containers") {
                if text(container, "/name")? == "envoy" {
                    let file = text(set.config_map("faas-iam-envoy")?, "/data/envoy.yaml")?;
                    let folder = dir.join(format!("validate-{validated}"));
                    validate_one(container, file, &folder).with_context(|| (*name).to_owned())?;
                    validated += 1;
                }
            }
        }
    }
    ensure!(validated >= 3, "only {validated} were validated");
    Ok(())
}

fn validate_one(container: &serde_json::Value, file: &str, folder: &Path) -> Result<()> {
    ensure!(
        list(container, "/volumeMounts").any(|m| text(m, "/mountPath").is_ok_and(|path| path == ENVOY_DIR))
    );
    fs::create_dir_all(folder)?;
    fs::write(folder.join("envoy.yaml"), file)?;
    let place = folder.display().to_string();
    let mut command = Command::new(envoy::binary()?);
    command.args(texts(container, "/args").iter().map(|arg| arg.replace(ENVOY_DIR, &place)));
    command.args(["--mode", "validate"]);
    let mut process = Process::start("envoy", command, folder)?;
    ensure!(process.wait(std::time::Duration::from_secs(60)), "Envoy did not end");
    let output = process.output();
    let success = process.exited().is_some_and(|status| status.success());
    ensure!(success && output.contains("configuration") && output.contains("OK"), "{output}");
    Ok(())
}

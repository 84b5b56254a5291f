//! Compiles our protocol, and the descriptors that gRPC reflection serves: ours, and those of
//! Envoy's external authorization, from the protobuf files of the very crate that we link.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use prost::Message;

const OURS: &[&str] = &["faas_iam/v1/issuers.proto", "faas_iam/v1/snapshot.proto"];
const EXT_AUTHZ: &str = "envoy/service/auth/v3/external_auth.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=Cargo.lock");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let ours = protox::compile(OURS, ["proto"])?;
    fs::write(out.join("faas_iam.bin"), ours.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(ours)?;

    let protos = envoy_types()?.join("proto");
    let roots = ["data-plane-api", "googleapis", "protoc-gen-validate", "xds"].map(|root| protos.join(root));
    let ext_authz = protox::compile([EXT_AUTHZ], roots)?;
    fs::write(out.join("ext_authz.bin"), ext_authz.encode_to_vec())?;
    Ok(())
}

/// Where the sources of the envoy-types crate are.
fn envoy_types() -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--offline", "--manifest-path"])
        .arg(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        // Packages for other platforms need not be there.
        .args(["--filter-platform", &env::var("TARGET")?])
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata
        .get("packages")
        .and_then(serde_json::Value::as_array)
        .ok_or("cargo metadata lists no packages")?;
    let package =
        packages.iter().find(|package| package.get("name").is_some_and(|name| name == "envoy-types"));
    let manifest = package.and_then(|package| package.get("manifest_path")?.as_str());
    let manifest = Path::new(manifest.ok_or("envoy-types is not among the packages")?);
    Ok(manifest.parent().ok_or("envoy-types has no folder")?.to_owned())
}

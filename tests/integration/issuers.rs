//! The identity providers' keys in the running service: what is told of them, and its flags.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use faas_iam::transport::admin::pb::ListIssuersRequest;
use faas_iam::transport::admin::pb::issuer_service_client::IssuerServiceClient;

use crate::support::faas_iam::{FaasIam, Ports};
use crate::support::http;
use crate::support::identity_provider::IdentityProvider;

const BINARY: &str = env!("CARGO_BIN_EXE_faas-iam");

fn register(directory: &Path, iss: &str) -> Result<()> {
    let object = format!(
        "apiVersion: iam.openfaas.com/v1\nkind: JwtIssuer\nmetadata: {{name: idp}}\n\
         spec: {{iss: \"{iss}\", aud: [faas], tokenExpiry: 10m}}\n"
    );
    Ok(std::fs::write(directory.join("issuer.yaml"), object)?)
}

#[tokio::test]
async fn the_admin_address_tells_of_the_issuers_keys() -> Result<()> {
    let files = tempfile::tempdir()?;
    let provider = IdentityProvider::start().await?;
    register(files.path(), &provider.issuer)?;
    let flags =
        ["--issuer=https://gw.example.com".to_owned(), format!("--policy-dir={}", files.path().display())];
    let logs = tempfile::tempdir()?;
    let service = FaasIam::start(Path::new(BINARY), &flags, Ports::free()?, logs.path()).await?;
    let admin = service.ports.admin;

    let mut client = IssuerServiceClient::connect(format!("http://{admin}")).await?;
    let mut issuers = Vec::new();
    for _ in 0..200 {
        issuers = client.list_issuers(ListIssuersRequest {}).await?.into_inner().issuers;
        if issuers.first().is_some_and(|issuer| issuer.keys > 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!((issuers.len(), issuers[0].iss.as_str()), (1, provider.issuer.as_str()));
    assert_eq!(issuers[0].kids, ["key-1"]);

    let metrics = http::request(admin, "GET", "/metrics", &[], b"").await?;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let keys = format!("faas_iam_issuer_keys{{issuer=\"{}\"}} 1", provider.issuer);
    for line in [keys.as_str(), "faas_iam_token_cache_hits_total 0", "faas_iam_ready 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    Ok(())
}

#[test]
fn a_ca_bundle_that_cannot_be_used_is_named() -> Result<()> {
    let files = tempfile::tempdir()?;
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, content, problem) in [
        ("missing.pem", None, "No such file"),
        ("empty.pem", Some("nothing"), "holds no certificate"),
        ("broken.pem", Some(broken), "a certificate that cannot be used"),
    ] {
        let path = files.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content)?;
        }
        let output = Command::new(BINARY)
            .args(["serve", "--issuer=https://gw.example.com", "--policy-dir"])
            .arg(files.path())
            .arg("--ca-bundle")
            .arg(&path)
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(1) || !told.contains(&format!("{name}: ")) || !told.contains(problem)
        {
            bail!("{name}: {:?}: {told}", output.status);
        }
    }
    Ok(())
}

//! A cluster that is not as it should be: each time the service says what to do, goes on trying, and
//! is ready by itself when it was done.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::namespace::Namespace;
use crate::service::{LIST, Service};
use crate::stage::Stage;
use crate::support::api_server::ApiServer;
use crate::support::objects::write_private;
use crate::support::process::free_port;
use crate::support::report::Report;

const NAMESPACE: &str = "openfaas";

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let server = &*stage.bare().await?;
    let dir = stage.folder("bad-input/kinds")?;
    report.step("the three kinds are defined later", defined_later(server, &dir)).await;
    let dir = stage.folder("bad-input/namespace")?;
    report.step("the namespace is made later", made_later(server, &dir)).await;
    let dir = stage.folder("bad-input/none")?;
    report.step("no cluster is configured", not_configured(server, &dir)).await;
    let dir = stage.folder("bad-input/silent")?;
    report.step("nothing answers where the cluster should be", not_there(server, &dir)).await;
    Ok(())
}

/// Says why, decides nothing, and is ready after `cure`.
async fn recovers(mut service: Service, whys: &[&str], cure: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    for why in whys {
        service.until_unready(why).await?;
    }
    let status = service.check("any", "GET", LIST).await?;
    ensure!(status == 503, "a decision was made: {status}");
    cure().await?;
    service.faas_iam.wait_until_ready().await
}

async fn defined_later(server: &ApiServer, dir: &Path) -> Result<()> {
    Namespace::make(server, NAMESPACE).await?;
    let service = Service::spawn(&server.kubeconfig(), NAMESPACE, &[], dir)?;
    let whys = ["does not know jwtissuers.iam.openfaas.com (404): install the CustomResourceDefinitions"];
    recovers(service, &whys, async || server.define_loosely().await).await
}

async fn made_later(server: &ApiServer, dir: &Path) -> Result<()> {
    let service = Service::spawn(&server.kubeconfig(), "later", &[], dir)?;
    let whys = ["the namespace `later` does not exist: is --namespace right?"];
    recovers(service, &whys, async || Namespace::make(server, "later").await.map(drop)).await
}

async fn not_configured(server: &ApiServer, dir: &Path) -> Result<()> {
    let kubeconfig = dir.join("kubeconfig");
    let sound = std::fs::read_to_string(server.kubeconfig())?;
    let service = Service::spawn(&kubeconfig, NAMESPACE, &[], dir)?;
    let whys = ["no cluster can be asked: neither KUBECONFIG", "nor a service account in a pod"];
    recovers(service, &whys, async || write_private(&kubeconfig, &sound)).await
}

async fn not_there(server: &ApiServer, dir: &Path) -> Result<()> {
    let kubeconfig = dir.join("kubeconfig");
    let sound = std::fs::read_to_string(server.kubeconfig())?;
    let nobody = format!("https://127.0.0.1:{}", free_port()?);
    write_private(&kubeconfig, &sound.replace(&server.url, &nobody))?;
    let service = Service::spawn(&kubeconfig, NAMESPACE, &[], dir)?;
    let whys = ["cannot list policies.iam.openfaas.com", "refused"];
    recovers(service, &whys, async || write_private(&kubeconfig, &sound)).await
}

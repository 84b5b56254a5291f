//! What is wrong with objects becomes Events on them: soon, once, from one replica at a time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::figures::shown;
use crate::namespace::Namespace;
use crate::permissions::{Account, follow, tell};
use crate::service::Service;
use crate::stage::Stage;
use crate::support::api_server::ApiServer;
use crate::support::json::text;
use crate::support::patience::eventually;
use crate::support::report::Report;

const NAMESPACE: &str = "events";

/// Longer than two replicas would need to tell the same twice.
const A_WHILE: Duration = Duration::from_secs(5);

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let server = &*stage.loose().await?;
    let namespace = Namespace::make(server, NAMESPACE).await?;
    let account = Account { server, namespace: NAMESPACE };
    let kubeconfig = account.make(&stage.folder("events")?).await?;
    account.allow_in(NAMESPACE, "follow", &follow()).await?;
    account.allow_in(NAMESPACE, "tell", &tell()).await?;
    let mut replicas = Vec::new();
    for name in ["a", "b"] {
        let dir = stage.folder(&format!("events/{name}"))?;
        replicas.push(Some(Service::start(&kubeconfig, NAMESPACE, &[], &dir).await?));
    }
    let bench = Bench { server, namespace, kubeconfig };
    if let Some(time) = report.step("a bad Policy has an Event that says where", bench.bad("first")).await {
        report.figure("from a bad object to its Event", shown(time));
    }
    report.step("one only, from two replicas", bench.once("first", &replicas)).await;
    kubectl(report, &bench);
    let check = "the one that writes is killed: the other goes on";
    if let Some(time) = report.step(check, bench.taken_over(&mut replicas)).await {
        report.figure("from the kill to the next Event", shown(time));
    }
    report.step("mended, one Event says so, and no more come", bench.mended("first")).await;
    let dir = stage.folder("events/c")?;
    if let Some(time) = report.step("stopped, it gives the Lease back", bench.released(replicas, &dir)).await
    {
        report.figure("from the stop to the next Event", shown(time));
    }
    let dir = stage.folder("events/forbidden")?;
    report.step("without a permission all else goes on", forbidden(server, &dir)).await;
    let dir = stage.folder("events/keys")?;
    report.step("an issuer whose keys cannot be fetched has one, too", bench.keys(&dir)).await;
    Ok(())
}

struct Bench<'a> {
    server: &'a ApiServer,
    namespace: Namespace<'a>,
    kubeconfig: PathBuf,
}

/// A Policy with two problems, in one field each.
fn bad_policy(name: &str) -> String {
    let statements = json!([
        {"sid": "a", "effect": "Permit", "action": ["Function:List"], "resource": ["dev:*"]},
        {"sid": "b", "effect": "Allow", "action": ["Function:List"], "resource": ["dev"]},
    ]);
    policy(name, &statements)
}

fn good_policy(name: &str) -> String {
    let statement =
        json!({"sid": "a", "effect": "Allow", "action": ["Function:List"], "resource": ["dev:*"]});
    policy(name, &json!([statement]))
}

fn policy(name: &str, statements: &Value) -> String {
    let metadata = json!({"name": name});
    json!({"apiVersion": "iam.openfaas.com/v1", "kind": "Policy", "metadata": metadata,
           "spec": {"statement": statements}})
    .to_string()
}

/// All Events of a namespace on the object of this name, by the field selector of `kubectl describe`.
async fn events(server: &ApiServer, namespace: &str, name: &str) -> Result<Vec<Value>> {
    let target = format!("/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name={name}");
    let list = server.get(&target).await?.expect(200)?;
    Ok(list.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn count(event: &Value) -> u64 {
    event.pointer("/series/count").and_then(Value::as_u64).unwrap_or(1)
}

/// Whether a replica is the one that writes.
async fn leads(service: &Service) -> Result<bool> {
    Ok(service.metric("faas_iam_events_leader").await? == [1.0])
}

// === impl Bench ===

impl Bench<'_> {
    async fn of(&self, name: &str) -> Result<Vec<Value>> {
        events(self.server, NAMESPACE, name).await
    }

    /// Applies a bad Policy and waits for its Events. Returns how long they took.
    async fn bad(&self, name: &str) -> Result<Duration> {
        self.namespace.apply("policies", name, &bad_policy(name)).await?;
        let begin = Instant::now();
        let found = eventually("two Events", async || {
            let found = self.of(name).await?;
            Ok(if found.len() == 2 { Ok(found) } else { Err(format!("{found:?}")) })
        })
        .await?;
        let time = begin.elapsed();
        let object = self.server.get(&self.namespace.path("policies", name)).await?.expect(200)?;
        for event in &found {
            let about = event.get("involvedObject").context("no object")?;
            ensure!(text(about, "/uid")? == text(&object, "/metadata/uid")?, "{about}");
            ensure!(text(about, "/kind")? == "Policy" && text(about, "/name")? == name, "{about}");
            ensure!(text(about, "/apiVersion")? == "iam.openfaas.com/v1", "{about}");
            ensure!(text(event, "/type")? == "Warning", "{event}");
        }
        let told: Vec<_> = found.iter().filter_map(|event| event.get("message")?.as_str()).collect();
        for part in ["spec.statement[0].effect", "spec.statement[1].resource"] {
            ensure!(told.iter().any(|note| note.contains(part)), "no {part} in {told:?}");
        }
        Ok(time)
    }

    async fn once(&self, name: &str, replicas: &[Option<Service>]) -> Result<()> {
        tokio::time::sleep(A_WHILE).await;
        let found = self.of(name).await?;
        ensure!(found.len() == 2 && found.iter().all(|event| count(event) == 1), "{found:?}");
        let mut leading = 0;
        for replica in replicas.iter().flatten() {
            leading += usize::from(leads(replica).await?);
            ensure!(replica.metric("faas_iam_object_errors").await? == [2.0], "it counts otherwise");
            let told = replica.snapshot().await?.diagnostics;
            ensure!(told.len() == 2 && told.iter().all(|told| told.name == name), "{told:?}");
        }
        ensure!(leading == 1, "{leading} replicas write");
        Ok(())
    }

    async fn taken_over(&self, replicas: &mut [Option<Service>]) -> Result<Duration> {
        for replica in replicas.iter_mut() {
            if let Some(service) = replica
                && leads(service).await?
            {
                service.faas_iam.kill();
                *replica = None;
                break;
            }
        }
        ensure!(replicas.iter().flatten().count() == 1, "no replica was killed");
        let begin = Instant::now();
        self.bad("second").await?;
        Ok(begin.elapsed())
    }

    async fn mended(&self, name: &str) -> Result<()> {
        let before: u64 = self.of(name).await?.iter().map(count).sum();
        self.namespace.apply("policies", name, &good_policy(name)).await?;
        eventually("it is told that it is mended", async || {
            let found = self.of(name).await?;
            let normal = found.iter().filter(|event| event.get("type") == Some(&json!("Normal"))).count();
            Ok(if normal == 1 && found.len() == 3 { Ok(()) } else { Err(format!("{found:?}")) })
        })
        .await?;
        tokio::time::sleep(A_WHILE).await;
        let after: u64 = self.of(name).await?.iter().map(count).sum();
        ensure!(after == before + 1, "{before} were told before, and {after} now");
        Ok(())
    }

    /// Stops the one that writes in good order, and starts another: that need not wait.
    async fn released(&self, replicas: Vec<Option<Service>>, dir: &Path) -> Result<Duration> {
        for mut replica in replicas.into_iter().flatten() {
            ensure!(leads(&replica).await?, "the last replica does not write");
            replica.faas_iam.process.stop();
        }
        let begin = Instant::now();
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/faas-iam-events");
        let lease = self.server.get(&lease).await?.expect(200)?;
        ensure!(text(&lease, "/spec/holderIdentity")?.is_empty(), "{lease}");
        let _next = Service::start(&self.kubeconfig, NAMESPACE, &[], dir).await?;
        self.bad("third").await?;
        // It would have waited for 15 seconds.
        ensure!(begin.elapsed() < Duration::from_secs(12), "it waited for {:?}", begin.elapsed());
        Ok(begin.elapsed())
    }

    async fn keys(&self, dir: &Path) -> Result<()> {
        let port = crate::support::process::free_port()?;
        let issuer = json!({
            "apiVersion": "iam.openfaas.com/v1", "kind": "JwtIssuer", "metadata": {"name": "nobody"},
            "spec": {"iss": format!("http://127.0.0.1:{port}"), "aud": ["faas"]},
        });
        self.namespace.apply("jwtissuers", "nobody", &issuer.to_string()).await?;
        let _service = Service::start(&self.kubeconfig, NAMESPACE, &[], dir).await?;
        eventually("an Event of the issuer", async || {
            let found = self.of("nobody").await?;
            let [only] = found.as_slice() else { return Ok(Err(format!("{found:?}"))) };
            ensure!(text(only, "/reason")? == "KeysNotFetched", "{only}");
            Ok(Ok(()))
        })
        .await
    }
}

/// What people see.
fn kubectl(report: &mut Report, bench: &Bench<'_>) {
    const CHECK: &str = "`kubectl describe` shows them";
    let mut command = Command::new("kubectl");
    command.args(["describe", "policies.iam.openfaas.com", "first", "--namespace", NAMESPACE]);
    command.arg("--kubeconfig").arg(bench.server.kubeconfig());
    match command.output() {
        Err(error) => report.skip(CHECK, &format!("kubectl: {error}")),
        Ok(output) => {
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            let there = shown.contains("InvalidEffect") && shown.contains("spec.statement[0].effect");
            report.count(CHECK, there.then_some(()).with_context(|| format!("{shown}{output:?}")));
        }
    }
}

/// It says which permission is missing, once, counts, and is ready all the same.
async fn forbidden(server: &ApiServer, dir: &Path) -> Result<()> {
    const NAMESPACE: &str = "events-forbidden";
    let namespace = Namespace::make(server, NAMESPACE).await?;
    let account = Account { server, namespace: NAMESPACE };
    let kubeconfig = account.make(dir).await?;
    account.allow_in(NAMESPACE, "follow", &follow()).await?;
    namespace.apply("policies", "bad", &bad_policy("bad")).await?;
    let service = Service::start(&kubeconfig, NAMESPACE, &[], dir).await?;
    let why = "no permission to get leases.coordination.k8s.io in the namespace `events-forbidden` (403)";
    eventually("three failures", async || {
        let failed = service.metric("faas_iam_events_errors_total").await?;
        Ok(if failed.iter().all(|&failed| failed >= 3.0) { Ok(()) } else { Err(service.log()) })
    })
    .await?;
    ensure!(service.log().matches(why).count() == 1, "not said once:\n{}", service.log());
    ensure!(service.ready().await?.status == 200, "it is not ready");
    ensure!(events(server, NAMESPACE, "bad").await?.is_empty(), "there are Events");
    account.allow_in(NAMESPACE, "tell", &tell()).await?;
    eventually("then it tells", async || {
        let found = events(server, NAMESPACE, "bad").await?;
        Ok(if found.len() == 2 { Ok(()) } else { Err(format!("{found:?}")) })
    })
    .await
}

//! Functions that declare that they want tokens: by their Deployments, and by `Function` objects where
//! that kind exists.

use std::time::Instant;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::figures::{Times, shown};
use crate::namespace::Namespace;
use crate::permissions::{Account, declared, follow, namespaces, tell};
use crate::service::Service;
use crate::stage::Stage;
use crate::support::api_server::ApiServer;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::report::Report;

/// Where the objects are, where functions are, and where a tenant has some.
const NAMESPACE: &str = "functions";
const DEFAULT: &str = "functions-fn";
const TENANT: &str = "functions-tenant";

/// How many edits are measured.
const EDITS: usize = 50;

/// How many namespaces with functions there are in the end.
const MANY: usize = 100;

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let server = &*stage.loose().await?;
    for namespace in [NAMESPACE, DEFAULT, TENANT] {
        Namespace::make(server, namespace).await?;
    }
    let account = Account { server, namespace: NAMESPACE };
    let dir = stage.folder("functions")?;
    let kubeconfig = account.make(&dir).await?;
    account.allow_in(NAMESPACE, "follow", &follow()).await?;
    account.allow_in(NAMESPACE, "tell", &tell()).await?;
    let flags = ["--function-auth=declared".to_owned(), format!("--default-namespace={DEFAULT}")];
    let service = Service::spawn(&kubeconfig, NAMESPACE, &flags, &dir)?;

    let mut bench = Bench { server, account, service };
    report.step("without a permission it is not ready and says which", bench.permissions()).await;
    report.step("a Deployment declares: created, edited, unlabelled, deleted", bench.deployment()).await;
    if let Some(times) = report.step("50 edits of a Deployment, one by one", bench.edits()).await {
        report.figure("declaration in force, from sending it to the API server", times.summary());
    }
    report.step("a namespace counts once it is annotated and may be read", bench.tenant()).await;
    report.step("a Function declares, once the kind is defined", bench.function()).await;
    if let Some(figure) = report.step("100 namespaces more", bench.many()).await {
        report.figure("100 namespaces more, one Deployment in each", figure);
    }
    if let Some(figure) = report.step("1,000 Deployments more", bench.large()).await {
        report.figure("1,000 Deployments more, of 8 KiB", figure);
    }
    let restarted = Service::start(&kubeconfig, NAMESPACE, &flags, &dir).await;
    report.step("fresh from the lists it is the same", bench.restarted(restarted)).await;
    Ok(())
}

struct Bench<'a> {
    server: &'a ApiServer,
    account: Account<'a>,
    service: Service,
}

fn deployment(name: &str, jwt_auth: Option<&str>) -> Value {
    let labels = json!({"faas_function": name});
    let env = jwt_auth.map(|value| json!({"name": "jwt_auth", "value": value}));
    let mut variables = vec![json!({"name": "fprocess", "value": "cat"})];
    variables.extend(env);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": name, "image": "example.com/function:1", "env": variables}]},
        }},
    })
}

fn path(namespace: &str, name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
}

// === impl Bench ===

impl Bench<'_> {
    async fn put(&self, namespace: &str, name: &str, jwt_auth: Option<&str>) -> Result<()> {
        let object = deployment(name, jwt_auth).to_string();
        self.server.apply(&path(namespace, name), &object).await?.expect(201)?;
        Ok(())
    }

    /// Waits until a call without one of our tokens has this status.
    async fn until(&self, namespace: &str, name: &str, status: u16) -> Result<()> {
        self.service.until_status("none-of-ours", &format!("/function/{name}.{namespace}"), status).await
    }

    async fn status(&self, namespace: &str, name: &str) -> Result<u16> {
        self.service.check("none-of-ours", "GET", &format!("/function/{name}.{namespace}")).await
    }

    async fn permissions(&mut self) -> Result<()> {
        self.service.until_unready("no permission to list namespaces (403)").await?;
        let deployments =
            format!("no permission to list deployments.apps in the namespace `{DEFAULT}` (403)");
        self.service.until_unready(&deployments).await?;
        ensure!(self.status(DEFAULT, "any").await? == 503, "a decision was made");
        self.account.allow("namespaces", &namespaces()).await?;
        let only_list = json!([{"apiGroups": ["apps", "openfaas.com"], "verbs": ["list"],
                                "resources": ["deployments", "functions"]}]);
        self.account.allow_in(DEFAULT, "declared", &only_list).await?;
        let watch = format!("no permission to watch deployments.apps in the namespace `{DEFAULT}` (403)");
        self.service.until_unready(&watch).await?;
        self.account.allow_in(DEFAULT, "declared", &declared()).await?;
        self.service.faas_iam.wait_until_ready().await
    }

    async fn deployment(&self) -> Result<()> {
        self.until(DEFAULT, "hello", 200).await?;
        self.put(DEFAULT, "hello", Some("true")).await?;
        self.until(DEFAULT, "hello", 401).await?;
        self.put(DEFAULT, "hello", Some("false")).await?;
        self.until(DEFAULT, "hello", 200).await?;
        self.put(DEFAULT, "hello", Some("1")).await?;
        self.until(DEFAULT, "hello", 401).await?;
        // Without the label it is no function any more.
        let token = self.server.admin_token()?;
        let patch = json!({"metadata": {"labels": {"faas_function": null}}}).to_string();
        let body = Some(("application/merge-patch+json", patch));
        self.server.call(Method::PATCH, &path(DEFAULT, "hello"), Some(&token), body).await?.expect(200)?;
        self.until(DEFAULT, "hello", 200).await?;
        self.put(DEFAULT, "hello", Some("true")).await?;
        self.until(DEFAULT, "hello", 401).await?;
        self.server.call(Method::DELETE, &path(DEFAULT, "hello"), Some(&token), None).await?.expect(200)?;
        self.until(DEFAULT, "hello", 200).await?;
        self.put(DEFAULT, "stays", Some("true")).await
    }

    async fn edits(&self) -> Result<Times> {
        let mut times = Times::default();
        for edit in 0..EDITS {
            let (value, status) = if edit % 2 == 0 { ("true", 401) } else { ("false", 200) };
            let before = Instant::now();
            self.put(DEFAULT, "edited", Some(value)).await?;
            while self.status(DEFAULT, "edited").await? != status {
                ensure!(before.elapsed() < PATIENCE, "edit {edit} is not in force");
            }
            times.add(before.elapsed());
        }
        Ok(times)
    }

    async fn tenant(&self) -> Result<()> {
        self.put(TENANT, "open", None).await?;
        self.put(TENANT, "closed", Some("true")).await?;
        ensure!(self.status(TENANT, "open").await? == 401, "nothing is known of it");
        self.annotate(&json!({"openfaas": "1"})).await?;
        let why = format!("no permission to list deployments.apps in the namespace `{TENANT}` (403)");
        eventually("the missing permission is named", async || {
            Ok(if self.service.log().contains(&why) { Ok(()) } else { Err(self.service.log()) })
        })
        .await?;
        ensure!(self.status(TENANT, "open").await? == 401, "nothing is known of it");
        ensure!(self.status(DEFAULT, "unheard-of").await? == 200, "another namespace is concerned");
        self.account.allow_in(TENANT, "declared", &declared()).await?;
        self.until(TENANT, "open", 200).await?;
        self.until(TENANT, "closed", 401).await?;
        self.annotate(&json!({"openfaas": null})).await?;
        self.until(TENANT, "open", 401).await?;
        self.annotate(&json!({"openfaas": "1"})).await?;
        self.until(TENANT, "open", 200).await
    }

    async fn annotate(&self, annotations: &Value) -> Result<()> {
        let token = self.server.admin_token()?;
        let patch = json!({"metadata": {"annotations": annotations}}).to_string();
        let target = format!("/api/v1/namespaces/{TENANT}");
        let body = Some(("application/merge-patch+json", patch));
        self.server.call(Method::PATCH, &target, Some(&token), body).await?.expect(200)?;
        Ok(())
    }

    async fn function(&self) -> Result<()> {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let version =
            json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "functions.openfaas.com"},
            "spec": {
                "group": "openfaas.com", "scope": "Namespaced", "versions": [version],
                "names": {"kind": "Function", "plural": "functions", "singular": "function"},
            },
        });
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let at = format!("{definitions}/functions.openfaas.com");
        self.server.apply(&at, &definition.to_string()).await?.expect(201)?;
        self.put(DEFAULT, "described", None).await?;
        let function = |jwt_auth: &str| {
            let environment = json!({"jwt_auth": jwt_auth});
            let spec =
                json!({"name": "described", "image": "example.com/function:1", "environment": environment});
            let metadata = json!({"name": "described"});
            json!({"apiVersion": "openfaas.com/v1", "kind": "Function", "metadata": metadata, "spec": spec})
                .to_string()
        };
        let at = format!("/apis/openfaas.com/v1/namespaces/{DEFAULT}/functions/described");
        eventually("the kind is served", async || {
            let answer = self.server.apply(&at, &function("true")).await?;
            Ok(answer.expect(201).map(drop).map_err(|error| error.to_string()))
        })
        .await?;
        self.until(DEFAULT, "described", 401).await?;
        // Once it is followed, a change is in force at once.
        self.server.apply(&at, &function("false")).await?.expect(201)?;
        self.until(DEFAULT, "described", 200).await
    }

    /// What each namespace costs.
    async fn many(&self) -> Result<String> {
        self.account.allow("declared", &declared()).await?;
        let before = self.service.memory()?;
        let begin = Instant::now();
        for i in 0..MANY {
            let name = format!("functions-many-{i}");
            let metadata = json!({"name": name, "annotations": {"openfaas": "1"}});
            self.server.create("/api/v1/namespaces", &json!({"metadata": metadata})).await?.expect(201)?;
            self.put(&name, "closed", Some("true")).await?;
        }
        let written = begin.elapsed();
        for i in 0..MANY {
            self.until(&format!("functions-many-{i}"), "open", 200).await?;
            ensure!(self.status(&format!("functions-many-{i}"), "closed").await? == 401, "namespace {i}");
        }
        let (all, memory) = (begin.elapsed(), self.service.memory()?.saturating_sub(before));
        Ok(format!("known {} after the last was made, {memory} KiB", shown(all.saturating_sub(written))))
    }

    /// What a Deployment costs: of all that it holds, little is kept.
    async fn large(&self) -> Result<String> {
        let before = self.service.memory()?;
        for i in 0..1000 {
            let mut object = deployment(&format!("large-{i}"), Some("true"));
            if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.insert("annotations".to_owned(), json!({"example.com/text": "x".repeat(8 * 1024)}));
            }
            let deployments = format!("/apis/apps/v1/namespaces/{DEFAULT}/deployments");
            self.server.create(&deployments, &object).await?.expect(201)?;
        }
        self.until(DEFAULT, "large-999", 401).await?;
        Ok(format!("{} KiB", self.service.memory()?.saturating_sub(before)))
    }

    async fn restarted(&self, other: Result<Service>) -> Result<()> {
        // From its first moment on.
        let (ours, theirs) = (self.service.snapshot().await?, other?.snapshot().await?);
        ensure!(ours == theirs, "{ours:?} is not {theirs:?}");
        ensure!(self.status(DEFAULT, "stays").await? == 401, "a declaration is lost");
        Ok(())
    }
}

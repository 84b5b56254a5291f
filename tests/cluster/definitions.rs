//! Our definitions of the three kinds, and the admission policies for clusters that have others.
//!
//! The same objects are judged three times: under the definitions of OpenFaaS with our admission
//! policies, under ours alone, and, at random, beside what reading them reports.

#![expect(clippy::indexing_slicing, reason = "of JSON that is made here, or that the API server sends")]
#![expect(clippy::print_stdout, reason = "figures for the report")]

mod generate;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use faas_iam::compile::{Bundle, Code, Severity};
use faas_iam::crd::{Defaults, definition};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::api_server::{Answer, ApiServer, Watches};
use crate::support::report::Report;
use table::{ADVICE, Invalid, invalid};

const KINDS: [&str; 3] = ["jwtissuers", "policies", "roles"];
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

/// How long a definition or a policy may take until it is in force.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(15);

/// Random objects for each of the two ways to judge them.
const RANDOM: usize = 400;

/// Runs the part, on a server of its own.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let server = ApiServer::start(Watches::FromMemory, &stage.folder("definitions")?).await?;
    server.create("/api/v1/namespaces", &json!({"metadata": {"name": "openfaas"}})).await?.expect(201)?;
    let cluster = Cluster { server, good: table::good()? };

    report
        .step("OpenFaaS's own definitions are in force", cluster.server.define_kinds())
        .await
        .context("no kinds")?;
    report.step("they keep good and bad objects", cluster.store_all()).await.context("nothing is stored")?;
    report
        .step("the admission policies apply and take effect", cluster.apply_admission())
        .await
        .context("no policies")?;
    report.step("with the policies: invalid objects are refused", cluster.refuses(Judge::Admission)).await;
    report.step("with the policies: good objects are accepted", cluster.accepts_good()).await;
    report.step("with the policies: advice is given as a warning", cluster.warns()).await;
    report.step("with the policies: what is stored may be edited", cluster.edits(Judge::Admission)).await;
    report.step("with the policies: as objects are read, at random", cluster.random(Judge::Admission)).await;
    report.step("with the policies: a large object is accepted", cluster.accepts_large()).await;

    report
        .step("the admission policies are deleted", cluster.delete_admission())
        .await
        .context("they stay")?;
    report
        .step("our definitions replace them, established and structural", cluster.replace_definitions())
        .await
        .context("not ours")?;
    report
        .step("with our definitions: what was stored may be edited", cluster.edits(Judge::Definition))
        .await;
    report
        .step("with our definitions: invalid objects are refused", cluster.refuses(Judge::Definition))
        .await;
    report.step("with our definitions: good objects are accepted", cluster.accepts_good()).await;
    report.step("with our definitions: unknown fields are refused", cluster.refuses_unknown_fields()).await;
    report
        .step("with our definitions: as objects are read, at random", cluster.random(Judge::Definition))
        .await;
    report.step("with our definitions: a large object is accepted", cluster.accepts_large()).await;
    report.step("with both: invalid objects are refused", cluster.both()).await;
    Ok(())
}

/// Who judges an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judge {
    /// Our definitions.
    Definition,
    /// Our admission policies, under the definitions of OpenFaaS.
    Admission,
}

struct Cluster {
    server: ApiServer,
    /// Objects without a problem: kind and spec.
    good: Vec<(String, Value)>,
}

impl Cluster {
    /// Creates an object, and forgets it again.
    async fn try_create(&self, kind: &str, spec: &Value) -> Result<Answer> {
        self.server.create(&format!("{}?dryRun=All", folder(kind)?), &object(kind, "tried", spec)).await
    }

    /// Stores every good object, and every bad one that the definitions of OpenFaaS take.
    async fn store_all(&self) -> Result<()> {
        for (i, (kind, spec)) in self.good.iter().enumerate() {
            let stored = object(kind, &format!("good-{i}"), spec);
            self.server.create(&folder(kind)?, &stored).await?.expect(201)?;
        }
        for (i, row) in invalid().enumerate() {
            let stored = object(row.kind, &format!("bad-{i}"), &row.spec()?);
            self.server.create(&folder(row.kind)?, &stored).await?.expect(201).context(row.spec)?;
        }
        println!("          {} good and {} bad objects are stored", self.good.len(), invalid().count());
        Ok(())
    }

    async fn apply_admission(&self) -> Result<()> {
        for (_, document) in definition::admission_policies()? {
            let (target, _) = admission_target(&document)?;
            self.server.apply(&target, &document).await?.expect(201)?;
        }
        // Those that our definitions refuse tell nothing of the policies.
        for row in first_of_each_kind(Judge::Admission) {
            let telling =
                invalid().find(|other| other.kind == row.kind && other.expected(Judge::Definition).is_none());
            self.until(telling.unwrap_or(row), true).await?;
        }
        Ok(())
    }

    async fn delete_admission(&self) -> Result<()> {
        let token = self.server.admin_token()?;
        for (_, document) in definition::admission_policies()? {
            let (target, _) = admission_target(&document)?;
            self.server.call(Method::DELETE, &target, Some(&token), None).await?.expect(200)?;
        }
        for row in first_of_each_kind(Judge::Admission) {
            self.until(row, false).await?;
        }
        Ok(())
    }

    async fn replace_definitions(&self) -> Result<()> {
        for (kind, document) in definition::definitions()? {
            let target = format!("{DEFINITIONS}/{kind}.iam.openfaas.com");
            self.server.apply(&target, &document).await?.expect(200)?;
            let end = Instant::now() + IN_FORCE_WITHIN;
            loop {
                let defined = self.server.get(&target).await?.expect(200)?;
                let conditions = defined.pointer("/status/conditions").cloned().unwrap_or_default();
                let has = |name: &str| {
                    let is = |c: &Value| c["type"] == name && c["status"] == "True";
                    conditions.as_array().is_some_and(|all| all.iter().any(is))
                };
                ensure!(!has("NonStructuralSchema"), "{conditions}");
                if has("Established") && has("NamesAccepted") {
                    break;
                }
                ensure!(Instant::now() < end, "{kind}: {conditions}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        for row in first_of_each_kind(Judge::Definition) {
            self.until(row, true).await?;
        }
        Ok(())
    }

    async fn until(&self, row: &Invalid, refused: bool) -> Result<()> {
        let end = Instant::now() + IN_FORCE_WITHIN;
        while (self.try_create(row.kind, &row.spec()?).await?.status == 422) != refused {
            ensure!(Instant::now() < end, "{}: refused is not {refused} after {IN_FORCE_WITHIN:?}", row.spec);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Every row of the table is refused with a message that names the field and the cure, or is not
    /// refused where the table says so.
    async fn refuses(&self, judge: Judge) -> Result<()> {
        let (mut refused, mut left) = (0, 0);
        for row in invalid() {
            ensure!(!errors(row.kind, &row.spec()?).is_empty(), "{} can be read", row.spec);
            let answer = self.try_create(row.kind, &row.spec()?).await?;
            match row.expected(judge) {
                Some(parts) => {
                    let message = answer.expect(422).context(row.spec)?["message"].to_string();
                    let missing = parts.iter().find(|part| !message.contains(**part));
                    ensure!(missing.is_none(), "{}: no `{missing:?}` in {message}", row.spec);
                    refused += 1;
                }
                None => {
                    answer.expect(201).with_context(|| format!("{} is refused after all", row.spec))?;
                    left += 1;
                }
            }
        }
        println!("          {refused} refused, {left} left to the admission policies");
        Ok(())
    }

    async fn accepts_good(&self) -> Result<()> {
        let more = ADVICE.iter().map(|(kind, spec, _)| Ok(((*kind).to_owned(), table::parse(spec)?)));
        let more = more.collect::<Result<Vec<_>>>()?;
        for (kind, spec) in self.good.iter().chain(&more) {
            ensure!(errors(kind, spec).is_empty(), "{spec} cannot be read");
            self.try_create(kind, spec).await?.expect(201).with_context(|| spec.to_string())?;
        }
        println!("          {} accepted", self.good.len() + more.len());
        Ok(())
    }

    async fn warns(&self) -> Result<()> {
        let client = self.server.client();
        for (kind, spec, advice) in ADVICE {
            let target = format!("{}{}?dryRun=All", self.server.url, folder(kind)?);
            let tried = object(kind, "tried", &table::parse(spec)?).to_string();
            let request = client.post(target).bearer_auth(self.server.admin_token()?);
            let answer = request.header("content-type", "application/json").body(tried).send().await?;
            ensure!(answer.status() == 201, "{spec}: {}", answer.status());
            let warnings: Vec<_> = answer.headers().get_all("warning").iter().map(|w| w.to_str()).collect();
            let given = warnings.iter().flatten().any(|warning| warning.contains(advice));
            ensure!(given, "{spec}: no `{advice}` in {warnings:?}");
        }
        Ok(())
    }

    /// What is stored, bad or good, may be labelled; a good one may be changed, and a bad one repaired,
    /// but not rewritten as another bad one.
    async fn edits(&self, judge: Judge) -> Result<()> {
        let round = format!("{judge:?}").to_lowercase();
        let label = json!({"metadata": {"labels": {"edited": round}, "annotations": {"note": round}}});
        for (i, (kind, spec)) in self.good.iter().enumerate() {
            let target = format!("{}/good-{i}", folder(kind)?);
            self.merge(&target, &label).await?.expect(200)?;
            let changed = json!({"spec": changed(kind, spec, &round)});
            self.merge(&target, &changed).await?.expect(200).with_context(|| spec.to_string())?;
        }
        for (i, row) in invalid().enumerate() {
            let target = format!("{}/bad-{i}", folder(row.kind)?);
            self.merge(&target, &label).await?.expect(200).context(row.spec)?;
            if row.expected(judge).is_some() {
                let rewritten = json!({"spec": changed(row.kind, &row.spec()?, &round)});
                let answer = self.merge(&target, &rewritten).await?;
                // The API server judges a field that stays as it is no more: a list is one.
                let expected = if judge == Judge::Definition && row.kind != "Policy" { 200 } else { 422 };
                answer.expect(expected).context(row.spec)?;
            }
            let good = self.good.iter().find(|(kind, _)| kind == row.kind).context("no good object")?;
            let mut repaired = self.server.get(&target).await?.expect(200)?;
            repaired["spec"] = good.1.clone();
            let body = ("application/json", repaired.to_string());
            let token = self.server.admin_token()?;
            let target = format!("{target}?dryRun=All");
            self.server.call(Method::PUT, &target, Some(&token), Some(body)).await?.expect(200)?;
        }
        Ok(())
    }

    async fn merge(&self, target: &str, patch: &Value) -> Result<Answer> {
        let body = ("application/merge-patch+json", patch.to_string());
        self.server.call(Method::PATCH, target, Some(&self.server.admin_token()?), Some(body)).await
    }

    /// An object is refused where reading it reports an error, and only there. Our definitions may
    /// leave some mistakes to the admission policies.
    async fn random(&self, judge: Judge) -> Result<()> {
        let (mut accepted, mut refused, mut left) = (0, 0, 0);
        for (kind, spec) in generate::objects(RANDOM)? {
            let found = errors(kind, &spec);
            let answer = self.try_create(kind, &spec).await?;
            match (answer.status, found.is_empty()) {
                (201, true) => accepted += 1,
                (422, false) => refused += 1,
                (201, false) if judge == Judge::Definition && found.iter().all(may_be_left) => left += 1,
                (status, _) => bail!("{kind} {spec}: {status}, but {found:?}: {}", answer.body),
            }
        }
        println!(
            "          {RANDOM} objects: {accepted} accepted, {refused} refused, {left} left to the admission policies"
        );
        ensure!(accepted * 5 > RANDOM && refused * 5 > RANDOM, "the objects are too much alike");
        Ok(())
    }

    async fn accepts_large(&self) -> Result<()> {
        let resources: Vec<_> = (0..60).map(|i| format!("team-${{jwt:org}}-{i}:checkout-{i}")).collect();
        let addresses: Vec<_> = (0..60).map(|i| format!("10.{i}.0.0/16")).collect();
        let statement = |i: usize| {
            json!({"sid": format!("s{i}"), "effect": if i.is_multiple_of(2) { "Allow" } else { "Deny" },
                "action": ["Function:*", "Secret:List", "Namespace:Get"], "resource": resources,
                "condition": {"IpAddress": {"request:SourceIp": addresses}}})
        };
        let spec = json!({"statement": (0..100).map(statement).collect::<Vec<_>>()});
        let start = Instant::now();
        self.try_create("Policy", &spec).await?.expect(201)?;
        println!("          {} KiB in {:?}", spec.to_string().len() / 1024, start.elapsed());
        Ok(())
    }

    /// By those who ask for strict validation, as kubectl does, and by server-side apply.
    async fn refuses_unknown_fields(&self) -> Result<()> {
        let spec = json!({"policy": ["p"], "principal": {"jwt:sub": ["a"]}, "conditions": {}});
        let tried = object("Role", "tried", &spec);
        let strict = format!("{}?dryRun=All&fieldValidation=Strict", folder("Role")?);
        let answer = self.server.create(&strict, &tried).await?.expect(400)?;
        ensure!(answer.to_string().contains("spec.conditions"), "{answer}");
        let answer = self.server.apply(&format!("{}/tried", folder("Role")?), &tried.to_string()).await?;
        ensure!(
            answer.status >= 400 && answer.body.to_string().contains(".spec.conditions"),
            "{}",
            answer.body
        );
        Ok(())
    }

    async fn both(&self) -> Result<()> {
        self.apply_admission().await?;
        for row in invalid() {
            self.try_create(row.kind, &row.spec()?).await?.expect(422).context(row.spec)?;
        }
        self.accepts_good().await?;
        self.random(Judge::Admission).await
    }
}

/// What our definitions do not refuse: values of operators that do not compare texts, patterns of
/// actions that match none, and variables of claims about the token.
fn may_be_left((_, code, message): &(String, Code, String)) -> bool {
    match code {
        Code::InvalidValue | Code::UnknownAction => true,
        Code::InvalidResource => message.contains("about the token"),
        _ => false,
    }
}

/// What reading an object reports as errors.
fn errors(kind: &str, spec: &Value) -> Vec<(String, Code, String)> {
    let mut bundle = Bundle::default();
    faas_iam::crd::read(object(kind, "tried", spec), "test", &Defaults::default(), &mut bundle);
    let errors = bundle.diagnostics.into_iter().filter(|found| found.severity == Severity::Error);
    errors.map(|found| (found.field, found.code, found.message)).collect()
}

/// The spec with another value, which is good.
fn changed(kind: &str, spec: &Value, how: &str) -> Value {
    let mut spec = spec.clone();
    match kind {
        "JwtIssuer" => {
            if let Some(audiences) = spec["aud"].as_array_mut().filter(|audiences| !audiences.is_empty()) {
                audiences.push(json!(how));
            } else {
                spec["iss"] = json!(format!("https://{how}.example.com"));
            }
        }
        "Policy" => {
            if let Some(statements) = spec["statement"].as_array_mut() {
                let more = json!({"sid": how, "effect": "Allow", "action": ["*"], "resource": ["*"]});
                statements.push(more);
            }
        }
        _ if spec["policy"].as_array().is_some_and(|policies| !policies.is_empty()) => {
            if let Some(policies) = spec["policy"].as_array_mut() {
                policies.push(json!(how));
            }
        }
        _ => spec["principal"]["jwt:iss"] = json!([format!("https://{how}.example.com")]),
    }
    spec
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "iam.openfaas.com/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn folder(kind: &str) -> Result<String> {
    let plural = KINDS.iter().find(|plural| plural.starts_with(kind.to_lowercase().trim_end_matches('y')));
    Ok(format!("/apis/iam.openfaas.com/v1/namespaces/openfaas/{}", plural.context("no such kind")?))
}

/// Where an admission policy or binding stands, and its name.
fn admission_target(document: &str) -> Result<(String, String)> {
    let object = table::parse(document)?;
    let name = object["metadata"]["name"].as_str().context("no name")?.to_owned();
    let plural = match object["kind"].as_str() {
        Some("ValidatingAdmissionPolicy") => "validatingadmissionpolicies",
        _ => "validatingadmissionpolicybindings",
    };
    Ok((format!("{ADMISSION}/{plural}/{name}"), name))
}

fn first_of_each_kind(judge: Judge) -> impl Iterator<Item = &'static Invalid> {
    let of_kind =
        move |kind| invalid().find(move |row: &&Invalid| row.kind == kind && row.expected(judge).is_some());
    ["JwtIssuer", "Policy", "Role"].into_iter().filter_map(of_kind)
}

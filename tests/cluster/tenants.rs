//! Two tenants behind the real Envoy, with the objects of `manifests/examples/tenants.yaml` in the
//! cluster: each sees and changes only its own.

use std::fs;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::account::NAMESPACE;
use crate::namespace::{CLIENT_ID, Namespace};
use crate::service::Service;
use crate::stage::Stage;
use crate::support::envoy::{Addresses, Envoy, root};
use crate::support::faas_iam::Ports;
use crate::support::http::{self, RawResponse};
use crate::support::identity_provider::IdentityProvider;
use crate::support::json::text;
use crate::support::oauth::{FORM, exchange_form};
use crate::support::objects::write_private;
use crate::support::openfaas::OpenFaas;
use crate::support::report::Report;

/// The manifest.
const MANIFEST: &str = "manifests/examples/tenants.yaml";

/// The issuer that it is written with.
const WRITTEN_ISSUER: &str = "https://keycloak.example.com/realms/openfaas";

const PASSWORD: &str = "only-faas-iam-knows-this";

/// A name that is not a name: as a pattern it would match every tenant.
const STAR: &str = "*";

/// Who may do it, where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Own,
    Everywhere,
    Nowhere,
}

/// An action: method, target and body, with the namespace in the place of `NS`.
type Attempt = (&'static str, &'static str, &'static str, &'static str, Allowed);

/// All actions of the API and of functions. Those of `fresh` create it before they delete it.
#[rustfmt::skip]
const ATTEMPTS: &[Attempt] = &[
    ("Function:List", "GET", "/system/functions?namespace=NS", "", Allowed::Own),
    ("Function:Get", "GET", "/system/function/hello?namespace=NS", "", Allowed::Own),
    ("Function:Create", "POST", "/system/functions", r#"{"service":"fresh","namespace":"NS","image":"i"}"#, Allowed::Own),
    ("Function:Update", "PUT", "/system/functions", r#"{"service":"fresh","namespace":"NS","image":"j"}"#, Allowed::Own),
    ("Function:Delete", "DELETE", "/system/functions", r#"{"functionName":"fresh","namespace":"NS"}"#, Allowed::Own),
    ("Function:Logs", "GET", "/system/logs?name=hello&namespace=NS", "", Allowed::Own),
    ("Function:Scale", "POST", "/system/scale-function/hello", r#"{"serviceName":"hello","replicas":2,"namespace":"NS"}"#, Allowed::Own),
    ("Function:Invoke", "POST", "/function/hello.NS", "data", Allowed::Own),
    ("Function:Invoke (async)", "POST", "/async-function/hello.NS", "data", Allowed::Own),
    ("Secret:List", "GET", "/system/secrets?namespace=NS", "", Allowed::Own),
    ("Secret:Create", "POST", "/system/secrets", r#"{"name":"s","namespace":"NS","value":"v"}"#, Allowed::Own),
    ("Secret:Update", "PUT", "/system/secrets", r#"{"name":"s","namespace":"NS","value":"w"}"#, Allowed::Own),
    ("Secret:Delete", "DELETE", "/system/secrets", r#"{"name":"s","namespace":"NS"}"#, Allowed::Own),
    ("Namespace:List", "GET", "/system/namespaces", "", Allowed::Nowhere),
    ("Namespace:Get", "GET", "/system/namespace/NS", "", Allowed::Own),
    ("Namespace:Create", "POST", "/system/namespace/NS", r#"{"name":"NS"}"#, Allowed::Nowhere),
    ("Namespace:Update", "PUT", "/system/namespace/NS", r#"{"name":"NS"}"#, Allowed::Nowhere),
    ("Namespace:Delete", "DELETE", "/system/namespace/NS", r#"{"name":"NS"}"#, Allowed::Nowhere),
    ("System:Info", "GET", "/system/info", "", Allowed::Everywhere),
];

/// The parts. Fields are dropped in order: Envoy first.
struct Bench {
    envoy: Envoy,
    service: Service,
    provider: IdentityProvider,
    gateway: OpenFaas,
}

/// Somebody of a tenant.
struct Member {
    org: &'static str,
    api: String,
    /// For functions; none where there is nothing to call.
    functions: Option<String>,
}

/// Runs the part.
pub(crate) async fn run(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let bench = Bench::build(stage).await?;
    let mut members = Vec::new();
    for org in ["a", "b", STAR] {
        members.push(bench.sign_in(org).await?);
    }
    let Some(rows) = report.step("every attempt ends as it must", bench.matrix(&members)).await else {
        return Ok(());
    };
    report.table("two tenants: every action in both namespaces (HTTP status through Envoy)", rows);
    report.step("what is listed is one's own", bench.lists(&members)).await;
    report.step("no function token for another's function", bench.borrows(&members)).await;
    Ok(())
}

// === impl Bench ===

impl Bench {
    async fn build(stage: &mut Stage) -> Result<Self> {
        let dir = stage.folder("tenants")?;
        let server = &*stage.shared().await?;
        let namespace = Namespace::make(server, NAMESPACE).await?;
        let provider = IdentityProvider::start().await?;
        apply_manifest(namespace, &provider.issuer).await?;

        let gateway = OpenFaas::start("admin", PASSWORD, &["team-a", "team-b"]).await?;
        for team in ["team-a", "team-b"] {
            gateway.add_function(team, "hello");
        }
        write_private(&dir.join("gateway/basic-auth-user"), "admin")?;
        write_private(&dir.join("gateway/basic-auth-password"), PASSWORD)?;
        let ports = Ports::free()?;
        let addresses = Addresses::in_front_of(gateway.address, ports.grpc, ports.http)?;
        let flags = [
            format!("--gateway-credentials={}", dir.join("gateway").display()),
            "--function-auth=required".to_owned(),
        ];
        let issuer = format!("http://{}", addresses.listener);
        let mut service = Service::spawn_at(ports, &issuer, &server.kubeconfig(), NAMESPACE, &flags, &dir)?;
        service.faas_iam.wait_until_ready().await?;
        let envoy = Envoy::start(addresses, &dir).await?;
        Ok(Self { envoy, service, provider, gateway })
    }

    async fn sign_in(&self, org: &'static str) -> Result<Member> {
        let id_token = self.provider.id_token("somebody", CLIENT_ID, &json!({"org": org}))?;
        let api = self.service.exchange(&id_token).await?;
        let answer = self.exchange(&api, &[("scope", "function")]).await?;
        let body: Value = serde_json::from_slice(&answer.body)?;
        let functions = text(&body, "/access_token").ok().map(str::to_owned);
        Ok(Member { org, api, functions })
    }

    /// Asks for a function token, through Envoy.
    async fn exchange(&self, api_token: &str, more: &[(&str, &str)]) -> Result<RawResponse> {
        let form = exchange_form(api_token, more).replace("id_token", "access_token");
        self.send("POST", "/oauth/token", &[FORM], &form).await
    }

    async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<RawResponse> {
        http::request(self.envoy.addresses.listener, method, target, headers, body.as_bytes()).await
    }

    /// Sends an attempt. The status, if the gateway got exactly what it should.
    async fn attempt(&self, member: &Member, namespace: &str, attempt: &Attempt) -> Result<u16> {
        let (action, method, target, body, allowed) = *attempt;
        let invokes = action.starts_with("Function:Invoke");
        let token = if invokes { member.functions.as_deref().unwrap_or("none") } else { &member.api };
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let (target, body) = (target.replace("NS", namespace), body.replace("NS", namespace));
        self.gateway.reset();
        let answer = self.send(method, &target, &headers, &body).await?;
        let reached = self.gateway.recorded().len();

        let own = namespace == format!("team-{}", member.org);
        let expected = allowed == Allowed::Everywhere || (allowed == Allowed::Own && own);
        let (org, status) = (member.org, answer.status);
        let refused = if invokes && member.functions.is_none() { 401 } else { 403 };
        let right = if expected { status < 300 && reached == 1 } else { status == refused && reached == 0 };
        ensure!(
            right,
            "{org}: {action} in {namespace} is {status}, and {reached} requests reached the gateway"
        );
        Ok(status)
    }

    async fn matrix(&self, members: &[Member]) -> Result<Vec<String>> {
        let places = || members.iter().flat_map(|member| [(member, "team-a"), (member, "team-b")]);
        let title =
            |(member, namespace): (&Member, &str)| format!("{:>12}", format!("{} {namespace}", member.org));
        let mut rows = vec![format!("{:<24}{}", "org, namespace:", places().map(title).collect::<String>())];
        for attempt in ATTEMPTS {
            let mut row = format!("{:<24}", attempt.0);
            for (member, namespace) in places() {
                let status = self.attempt(member, namespace, attempt).await?;
                row.push_str(&format!("{status:>12}"));
            }
            rows.push(row);
        }
        Ok(rows)
    }

    async fn lists(&self, members: &[Member]) -> Result<()> {
        for member in members.iter().filter(|member| member.org != STAR) {
            let target = format!("/system/functions?namespace=team-{}", member.org);
            let bearer = format!("Bearer {}", member.api);
            let answer = self.send("GET", &target, &[("Authorization", &bearer)], "").await?;
            let functions: Vec<Value> = serde_json::from_slice(&answer.body)?;
            let [function] = functions.as_slice() else { bail!("{functions:?}") };
            ensure!(text(function, "/namespace")? == format!("team-{}", member.org), "{function}");
        }
        Ok(())
    }

    async fn borrows(&self, members: &[Member]) -> Result<()> {
        for member in members {
            for team in ["team-a", "team-b"] {
                let form = [("scope", "function"), ("audience", &format!("{team}:hello"))];
                let answer = self.exchange(&member.api, &form).await?;
                let expected = if team == format!("team-{}", member.org) { 200 } else { 400 };
                ensure!(answer.status == expected, "{} for {team}: {}", member.org, answer.text());
            }
        }
        Ok(())
    }
}

/// Applies the objects, each at its own path.
async fn apply_manifest(namespace: Namespace<'_>, issuer: &str) -> Result<()> {
    let manifest = fs::read_to_string(root().join(MANIFEST))?;
    ensure!(manifest.matches(WRITTEN_ISSUER).count() == 2, "{MANIFEST} names another issuer");
    let manifest = manifest.replace(WRITTEN_ISSUER, issuer);
    for document in manifest.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document)?;
        ensure!(text(&object, "/metadata/namespace")? == namespace.name, "{object}");
        let kind = match text(&object, "/kind")? {
            "JwtIssuer" => "jwtissuers",
            "Policy" => "policies",
            "Role" => "roles",
            other => bail!("{MANIFEST} holds a {other}"),
        };
        namespace.apply(kind, text(&object, "/metadata/name")?, document).await?;
    }
    Ok(())
}

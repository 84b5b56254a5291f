//! `faas-iam explain`: how a request would be decided, and why.

use std::io::{Write, stdout};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde_json::json;

use super::serve::ReadingArgs;
use super::{Exit, JudgingArgs, Output, one_line, usage};
use crate::compile::{Bundle, Diagnostic, IssuerKeys, Severity, Snapshot, compile_with};
use crate::crd::Defaults;
use crate::decide::authorize::{Answer, Identity, Inquiry, Verdict, authorize};
use crate::identity::verify::{described, unproven};
use crate::identity::{InFull, Principal};
use crate::json::parse_unambiguous_object;
use crate::policy::{Context, Truth};
use crate::route::HttpRequest;
use crate::source::files;
use crate::token::signer::SigningKeys;
use crate::transport::{http_status, now};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("identity").args(["claims", "token"]).required(true))]
#[command(after_help = "Exits with 0 if the request is allowed and with 2 if it is denied.\n\nExample:\n  \
    faas-iam explain --policy-dir policies --claims alice.json DELETE '/system/functions' --body body.json")]
pub(super) struct Args {
    /// The directory of policies
    #[arg(long, env = "FAAS_IAM_POLICY_DIR", value_name = "DIR")]
    policy_dir: PathBuf,
    /// Claims as the identity provider states them, a JSON object; without `aud`, an accepted one is
    /// assumed
    #[arg(long, env = "FAAS_IAM_CLAIMS", value_name = "FILE")]
    claims: Option<PathBuf>,
    /// A token, of the identity provider or exchanged; its signature and times are not checked
    #[arg(long, env = "FAAS_IAM_TOKEN", value_name = "FILE")]
    token: Option<PathBuf>,
    /// This service's URL, by which a token is known as an exchanged one
    #[arg(long, env = "FAAS_IAM_ISSUER", value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    judging: JudgingArgs,
    /// The client's address (request:SourceIp)
    #[arg(long, env = "FAAS_IAM_SOURCE_IP", value_name = "IP")]
    source_ip: Option<IpAddr>,
    /// A file with the body of the request
    #[arg(long, env = "FAAS_IAM_BODY", value_name = "FILE")]
    body: Option<PathBuf>,
    /// How to print the answer
    #[arg(short, long, env = "FAAS_IAM_OUTPUT", value_enum, default_value_t)]
    output: Output,
    /// The HTTP method
    #[arg(value_name = "METHOD")]
    method: String,
    /// The URL or path, with its query
    #[arg(value_name = "URL")]
    url: String,
}

/// A Role and whether it matches.
pub(super) struct Considered {
    role: String,
    matches: Truth,
    policies: Vec<String>,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let settings = match self.reading.settings() {
            Ok(settings) => settings,
            Err(message) => return Ok(usage(&message)),
        };
        let defaults =
            Defaults { function_namespace: settings.rules.default_namespace.clone(), ..Defaults::default() };
        let bundle = files::load(&self.policy_dir, &defaults)
            .with_context(|| format!("--policy-dir {}", self.policy_dir.display()))?;
        let own_url = self.issuer.as_deref().unwrap_or("https://faas-iam.invalid");
        let own = SigningKeys::ephemeral()?.issuer(own_url);
        let federation = self.judging.federation();
        let (snapshot, diagnostics) = compile_with(&bundle, &IssuerKeys::new(), &own, federation);

        let principal = self.principal(own_url, &bundle)?;
        let body = match &self.body {
            Some(path) => std::fs::read(path).with_context(|| format!("--body {}", path.display()))?,
            None => Vec::new(),
        };
        let context = Context { source_ip: self.source_ip, now: now(), method: Some(self.method.clone()) };
        let http = HttpRequest {
            method: &self.method,
            target: path_of(&self.url),
            content_length: None,
            partial_body: false,
            callback_url: None,
            body: &body,
        };
        let roles = consider(&snapshot, &principal, &context);
        let identity = Identity::Known(&principal);
        let inquiry = Inquiry { http, identity, verifier: &InFull, context, admin: None };
        let verdict = authorize(&snapshot, &settings, &inquiry);
        Explanation { verdict, roles, principal: &principal, diagnostics: &diagnostics }.print(self.output)
    }

    fn principal(&self, own_url: &str, bundle: &Bundle) -> anyhow::Result<Principal> {
        if let Some(path) = &self.token {
            let at = || format!("--token {}", path.display());
            let token = std::fs::read_to_string(path).with_context(at)?;
            return unproven(token.trim(), own_url).with_context(at);
        }
        let path = self.claims.as_ref().ok_or_else(|| anyhow!("--claims or --token is missing"))?;
        claimed(path, bundle)
    }
}

/// The identity that a file of `--claims` describes.
pub(super) fn claimed(path: &Path, bundle: &Bundle) -> anyhow::Result<Principal> {
    let at = || format!("--claims {}", path.display());
    let mut claims = parse_unambiguous_object(&std::fs::read(path).with_context(at)?).with_context(at)?;
    if !claims.contains_key("aud") {
        let registered = bundle.issuers.iter().filter_map(|issuer| issuer.spec.as_ref());
        let mut of_issuer =
            registered.filter(|issuer| claims.get("iss").is_some_and(|iss| *iss == issuer.iss));
        let assumed =
            of_issuer.next().and_then(|issuer| issuer.aud.first()).map_or("assumed", String::as_str);
        claims.insert("aud".to_owned(), assumed.into());
    }
    described(claims).with_context(at)
}

/// The path and query of a URL.
fn path_of(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else { return url };
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

pub(super) fn consider(snapshot: &Snapshot, principal: &Principal, context: &Context) -> Vec<Considered> {
    let considered = snapshot.roles().map(|linked| Considered {
        role: linked.reference.name.clone(),
        matches: linked.role.matches(principal, context),
        policies: linked.policies.iter().map(|policy| policy.name.to_string()).collect(),
    });
    considered.collect()
}

/// An answer with what it rests on.
pub(super) struct Explanation<'a> {
    pub(super) verdict: Verdict,
    pub(super) roles: Vec<Considered>,
    pub(super) principal: &'a Principal,
    pub(super) diagnostics: &'a [Diagnostic],
}

impl Explanation<'_> {
    pub(super) fn print(&self, output: Output) -> anyhow::Result<Exit> {
        let text = match output {
            Output::Text => self.to_text(),
            Output::Json => format!("{:#}\n", self.to_json()),
        };
        stdout().lock().write_all(text.as_bytes())?;
        Ok(if self.verdict.is_allowed() { Exit::Success } else { Exit::Denied })
    }

    fn decision(&self) -> &'static str {
        if self.verdict.is_allowed() { "allow" } else { "deny" }
    }

    fn message(&self) -> &str {
        match &self.verdict.answer {
            Answer::Allow(..) => "",
            Answer::Refuse(refused) => &refused.message,
        }
    }

    fn to_text(&self) -> String {
        let Self { verdict, roles, principal, diagnostics } = self;
        let mut lines = vec![format!("{}: {}", self.decision(), verdict.reason())];
        if !self.message().is_empty() {
            lines.push(format!("  answer     {} {}", http_status(verdict.reason()), self.message()));
        }
        lines.push(format!("  identity   {} of {}", principal.subject, principal.issuer));
        if let Some(action) = verdict.action {
            let resources: Vec<String> = verdict.resources.iter().map(ToString::to_string).collect();
            lines.push(format!("  request    {action} on {}", resources.join(" and ")));
        }
        for role in roles.iter().filter(|role| role.matches != Truth::False) {
            let matches = if role.matches == Truth::True { "matches" } else { "cannot be excluded" };
            lines.push(format!("  role       {} {matches}: {}", role.role, role.policies.join(", ")));
        }
        let others = roles.iter().filter(|role| role.matches == Truth::False).count();
        lines.push(format!("  roles      {others} others do not match"));
        for statement in verdict.statements() {
            lines.push(format!("  statement  {statement} decides (ROLE/POLICY/SID)"));
        }
        for diagnostic in diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error) {
            lines.push(format!("  problem    {diagnostic}"));
        }
        lines.iter().map(|line| one_line(line) + "\n").collect()
    }

    fn to_json(&self) -> serde_json::Value {
        let Self { verdict, roles, principal, diagnostics } = self;
        let roles = roles.iter().map(|role| {
            let matches = match role.matches {
                Truth::True => "true",
                Truth::False => "false",
                Truth::Indeterminate => "indeterminate",
            };
            json!({"role": role.role, "matches": matches, "policies": role.policies})
        });
        let status = if verdict.is_allowed() { 200 } else { http_status(verdict.reason()) };
        json!({
            "decision": self.decision(),
            "reason": verdict.reason().code(),
            "status": status,
            "message": self.message(),
            "issuer": principal.issuer,
            "subject": principal.subject,
            "action": verdict.action.map(|action| action.name()),
            "resources": verdict.resources.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "roles": roles.collect::<Vec<_>>(),
            "statements": verdict.statements().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "diagnostics": diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

//! `faas-iam permissions`: what an identity may do in each namespace.

use std::collections::BTreeSet;
use std::io::{Write, stdout};
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::can_i::{Answering, PoliciesArgs};
use super::explain::claimed;
use super::{Exit, Output, one_line, usage};
use crate::compile::{Diagnostic, Severity, Snapshot};
use crate::decide::authorize::{Settings, may};
use crate::identity::Principal;
use crate::policy::{Action, Context, Effect, Resource, Truth, is_dns_label};
use crate::reason::Reason;
use crate::transport::now;

/// Arguments of `permissions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`some` stands for a part of the functions or secrets. Exits with 0 if anything is allowed and with \
    2 if nothing is.\n\nExample:\n  \
    faas-iam permissions --policy-dir policies --claims alice.json"
)]
pub(super) struct Args {
    /// Claims as the identity provider states them, a JSON object; without `aud`, an accepted one is
    /// assumed
    #[arg(long, env = "FAAS_IAM_CLAIMS", value_name = "FILE")]
    claims: PathBuf,
    /// The client's address (request:SourceIp)
    #[arg(long, env = "FAAS_IAM_SOURCE_IP", value_name = "IP")]
    source_ip: Option<IpAddr>,
    /// Namespaces to ask about, beside the default one and those that the identity's policies name
    #[arg(long, env = "FAAS_IAM_NAMESPACES", value_name = "LIST", value_delimiter = ',')]
    namespaces: Vec<String>,
    #[command(flatten)]
    policies: PoliciesArgs,
}

/// How much of it is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    All,
    Some,
    None,
}

/// What is allowed, by action.
type Row = Vec<(Action, Extent)>;

/// What an identity may do.
struct Matrix {
    /// What concerns no single namespace.
    installation: Row,
    namespaces: Vec<(String, Row)>,
}

/// Whoever is asked about, and by which policies.
struct Subject<'a> {
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    principal: &'a Principal,
    context: Context,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let settings = match self.policies.reading.settings() {
            Ok(settings) => settings,
            Err(message) => return Ok(usage(&message)),
        };
        if let Some(bad) = self.namespaces.iter().find(|name| !is_dns_label(name)) {
            return Ok(usage(&format!(
                "--namespaces: `{bad}` is no namespace: write a DNS label such as `dev`"
            )));
        }
        let Answering { bundle, snapshot, diagnostics } = self.policies.load(&settings)?;
        let principal = claimed(&self.claims, &bundle)?;
        let context = Context { source_ip: self.source_ip, now: now(), ..Context::default() };
        let subject = Subject { snapshot: &snapshot, settings: &settings, principal: &principal, context };
        let matrix = subject.matrix(&self.namespaces);
        let problems: Vec<_> =
            diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).collect();
        let text = match self.policies.output {
            Output::Text => matrix.to_text(&principal, &problems),
            Output::Json => format!("{:#}\n", matrix.to_json(&principal, &problems)),
        };
        stdout().lock().write_all(text.as_bytes())?;
        Ok(if matrix.allows_anything() { Exit::Success } else { Exit::Denied })
    }
}

// === impl Subject ===

impl Subject<'_> {
    fn matrix(&self, more: &[String]) -> Matrix {
        let mut namespaces = self.named_namespaces();
        namespaces.insert(self.settings.rules.default_namespace.clone());
        namespaces.extend(more.iter().cloned());
        let everywhere = |action| match action {
            Action::NamespaceList => Some(Resource::AllNamespaces),
            Action::SystemInfo | Action::IamReview => Some(Resource::Cluster),
            _ => None,
        };
        let row = |resource: &dyn Fn(Action) -> Option<Resource>| -> Row {
            let asked = Action::ALL.iter().filter_map(|action| Some((*action, resource(*action)?)));
            asked.map(|(action, resource)| (action, self.extent(action, resource))).collect()
        };
        Matrix {
            installation: row(&everywhere),
            namespaces: namespaces
                .into_iter()
                .map(|name| {
                    let row = row(&|action| in_namespace(action, &name));
                    (name, row)
                })
                .collect(),
        }
    }

    fn extent(&self, action: Action, resource: Resource) -> Extent {
        let Self { snapshot, settings, principal, context } = self;
        let verdict = may(snapshot, &settings.rules, principal, (action, resource), context);
        match verdict.reason() {
            _ if verdict.is_allowed() => Extent::All,
            Reason::FilterNotWired => Extent::Some,
            _ => Extent::None,
        }
    }

    /// The namespaces that Allows of the identity's Roles name in full, with its own variables.
    fn named_namespaces(&self) -> BTreeSet<String> {
        let roles = self.snapshot.candidates(self.principal);
        let matching = roles.filter(|role| role.role.matches(self.principal, &self.context) == Truth::True);
        let statements =
            matching.flat_map(|role| &role.policies).flat_map(|linked| &linked.policy.statements);
        let allows = statements.filter(|statement| statement.effect == Effect::Allow);
        let resolved = allows
            .flat_map(|statement| &statement.resources)
            .filter_map(|resource| resource.resolve(self.principal, Effect::Allow));
        let named = resolved.filter_map(|[namespace, _]| namespace.as_exact().map(str::to_owned));
        named.filter(|namespace| is_dns_label(namespace)).collect()
    }
}

/// What an action is asked about in a namespace; nothing, where it concerns no single one.
fn in_namespace(action: Action, namespace: &str) -> Option<Resource> {
    match action {
        Action::NamespaceList | Action::SystemInfo | Action::IamReview => None,
        Action::FunctionList
        | Action::SecretList
        | Action::NamespaceGet
        | Action::NamespaceCreate
        | Action::NamespaceUpdate
        | Action::NamespaceDelete => Some(Resource::Namespace(namespace.to_owned())),
        _ => Some(Resource::Objects(namespace.to_owned())),
    }
}

// === impl Matrix ===

impl Matrix {
    fn allows_anything(&self) -> bool {
        let rows = self.namespaces.iter().map(|(_, row)| row).chain([&self.installation]);
        rows.flatten().any(|(_, extent)| *extent != Extent::None)
    }

    fn to_text(&self, principal: &Principal, problems: &[&Diagnostic]) -> String {
        let mut lines = vec![format!("{} of {}", principal.subject, principal.issuer), String::new()];
        let width = Action::ALL.iter().map(|action| action.name().len()).max().unwrap_or_default();
        let columns = self.namespaces.iter().map(|(name, _)| format!("  {name:<4}"));
        lines.push(format!("{:width$}{}", "", columns.collect::<String>()));
        let first = self.namespaces.first().map(|(_, row)| row.as_slice()).unwrap_or_default();
        for (i, (action, _)) in first.iter().enumerate() {
            let cells = self.namespaces.iter().map(|(name, row)| {
                let (cell, width) = (row.get(i).map_or("", |(_, extent)| extent.name()), name.len().max(4));
                format!("  {cell:<width$}")
            });
            lines
                .push(format!("{:width$}{}", action.name(), cells.collect::<String>()).trim_end().to_owned());
        }
        lines.push(String::new());
        for (action, extent) in &self.installation {
            lines.push(format!("{:width$}  {}", action.name(), extent.name()));
        }
        lines.extend(problems.iter().map(|problem| format!("problem {problem}")));
        lines.iter().map(|line| one_line(line) + "\n").collect()
    }

    fn to_json(&self, principal: &Principal, problems: &[&Diagnostic]) -> Value {
        let of_row = |row: &Row| -> Value {
            let cells = row.iter().map(|(action, extent)| (action.name().to_owned(), extent.name().into()));
            Value::Object(cells.collect())
        };
        let namespaces: Map<String, Value> =
            self.namespaces.iter().map(|(name, row)| (name.clone(), of_row(row))).collect();
        json!({
            "issuer": principal.issuer,
            "subject": principal.subject,
            "namespaces": namespaces,
            "installation": of_row(&self.installation),
            "problems": problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

// === impl Extent ===

impl Extent {
    const fn name(self) -> &'static str {
        match self {
            Self::All => "yes",
            Self::Some => "some",
            Self::None => "no",
        }
    }
}

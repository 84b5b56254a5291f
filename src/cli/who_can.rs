//! `faas-iam who-can`: the Roles by which something may be done, and what they ask of an identity.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::Path;

use serde_json::{Value, json};

use super::can_i::{Answering, Asked, AskedArgs};
use super::{Exit, Output, one_line, usage};
use crate::compile::{Diagnostic, LinkedRole, Severity};
use crate::crd::Defaults;
use crate::policy::{Action, Cover, Effect, Resource, Statement};
use crate::source::{files, yaml};

/// Arguments of `who-can`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if a Role may allow it and with 2 if none does. Nobody in particular asks: a \
    variable stands for any text, and a condition may hold.\n\nExample:\n  \
    faas-iam who-can --policy-dir policies Function:Delete dev:checkout"
)]
pub(super) struct Args {
    #[command(flatten)]
    asked: AskedArgs,
}

/// A Role by which something may be done, or is denied.
struct Bearing {
    namespace: String,
    role: String,
    /// `POLICY/SID`.
    allows: Vec<String>,
    denies: Vec<String>,
    /// Whether it denies to everybody whom it matches, whatever the circumstances.
    closes: bool,
    /// `principal` and `condition`, as they are written.
    asks: Vec<(&'static str, Value)>,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let Asked { action, resource, settings } = match self.asked.read() {
            Ok(asked) => asked,
            Err(message) => return Ok(usage(&message)),
        };
        let Answering { snapshot, diagnostics, .. } = self.asked.policies.load(&settings)?;
        let written = written_roles(&self.asked.policies.policy_dir)?;
        let is_closed =
            resource.namespace().is_some_and(|name| settings.rules.system_namespaces.contains(name));
        let roles = snapshot.roles().filter(|_| !is_closed);
        let bearing: Vec<_> =
            roles.filter_map(|role| Bearing::of(role, action, &resource, &written)).collect();
        let asked = format!("{action} on {resource}");
        let problems: Vec<_> =
            diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).collect();
        let text = match self.asked.policies.output {
            Output::Text => to_text(&asked, is_closed, &bearing, &problems),
            Output::Json => format!("{:#}\n", to_json(action, &resource, &bearing, &problems)),
        };
        stdout().lock().write_all(text.as_bytes())?;
        Ok(if bearing.iter().any(Bearing::may_allow) { Exit::Success } else { Exit::Denied })
    }
}

// === impl Bearing ===

impl Bearing {
    fn of(
        linked: &LinkedRole,
        action: Action,
        resource: &Resource,
        written: &BTreeMap<(String, String), Value>,
    ) -> Option<Self> {
        let reference = &linked.reference;
        let key = (reference.namespace.clone(), reference.name.clone());
        let spec = written.get(&key).unwrap_or(&Value::Null);
        let asks = ["principal", "condition"].into_iter();
        let asks = asks.filter_map(|field| Some((field, spec.get(field)?.clone())));
        let mut bearing = Self {
            namespace: key.0.clone(),
            role: key.1.clone(),
            allows: Vec::new(),
            denies: Vec::new(),
            closes: false,
            asks: asks.collect(),
        };
        let role = &linked.role;
        if role.principal.is_none() && role.condition.is_none() && !role.unreadable {
            return None;
        }
        for policy in &linked.policies {
            for statement in &policy.policy.statements {
                let cover = cover_at_best(statement, action, resource);
                if cover == Cover::None || statement.effect == Effect::Allow && role.unreadable {
                    continue;
                }
                let has_variable =
                    statement.resources.iter().any(|resource| resource.templates().next().is_some());
                let named = format!("{}/{}", policy.name, statement.sid);
                match statement.effect {
                    Effect::Allow => bearing.allows.push(named),
                    Effect::Deny => {
                        let always = statement.condition.is_none() && !has_variable;
                        bearing.closes |= always && cover == Cover::Whole;
                        bearing.denies.push(named);
                    }
                }
            }
        }
        (!bearing.allows.is_empty() || !bearing.denies.is_empty()).then_some(bearing)
    }

    fn may_allow(&self) -> bool {
        !self.allows.is_empty() && !self.closes
    }
}

fn cover_at_best(statement: &Statement, action: Action, resource: &Resource) -> Cover {
    if !statement.actions.matches(action) {
        return Cover::None;
    }
    let covers = statement.resources.iter().map(|pattern| pattern.cover_at_best(action, resource));
    covers.max().unwrap_or(Cover::None)
}

/// The specs of the Roles as they are written, by namespace and name.
fn written_roles(directory: &Path) -> anyhow::Result<BTreeMap<(String, String), Value>> {
    let mut roles = BTreeMap::new();
    for file in files::find(directory)?.0 {
        // What cannot be read is a problem of its own already.
        let Ok(text) = files::read_text(&file) else { continue };
        for (_, document) in files::documents(&text) {
            let Ok(value) = yaml::parse(&document) else { continue };
            match value.get("items").and_then(Value::as_array) {
                Some(items) => items.iter().for_each(|item| add_role(item, &mut roles)),
                None => add_role(&value, &mut roles),
            }
        }
    }
    Ok(roles)
}

fn add_role(object: &Value, roles: &mut BTreeMap<(String, String), Value>) {
    let text =
        |pointer: &str| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let (Some("Role"), Some(name), Some(spec)) =
        (text("/kind"), text("/metadata/name"), object.get("spec"))
    {
        let namespace =
            text("/metadata/namespace").map_or_else(|| Defaults::default().iam_namespace, Into::into);
        roles.insert((namespace, name.to_owned()), spec.clone());
    }
}

fn to_text(asked: &str, is_closed: bool, bearing: &[Bearing], problems: &[&Diagnostic]) -> String {
    let mut lines = Vec::new();
    for role in bearing.iter().filter(|role| role.may_allow()) {
        lines.push(format!(
            "Role {}/{} allows {asked} by {}",
            role.namespace,
            role.role,
            role.allows.join(", ")
        ));
        lines.extend(role.asks.iter().map(|(field, value)| format!("  {field:<10} {value}")));
        if !role.denies.is_empty() {
            lines.push(format!("  unless     {} denies it", role.denies.join(" or ")));
        }
    }
    for role in bearing.iter().filter(|role| !role.denies.is_empty()) {
        if role.closes || role.allows.is_empty() {
            let (namespace, name, denies) = (&role.namespace, &role.role, role.denies.join(", "));
            lines.push(format!("Role {namespace}/{name} denies {asked} by {denies}"));
            lines.extend(role.asks.iter().map(|(field, value)| format!("  {field:<10} {value}")));
        }
    }
    let count = bearing.iter().filter(|role| role.may_allow()).count();
    lines.push(match count {
        0 if is_closed => {
            format!("nobody: {asked} is in a namespace of the system, which no request may touch")
        }
        0 => format!("nobody: no Role allows {asked}"),
        1 => format!("1 Role may allow {asked}; a Deny outweighs it for whoever a Role with one matches"),
        _ => format!(
            "{count} Roles may allow {asked}; a Deny outweighs them for whoever a Role with one matches"
        ),
    });
    lines.extend(problems.iter().map(|problem| format!("problem {problem}")));
    lines.iter().map(|line| one_line(line) + "\n").collect()
}

fn to_json(action: Action, resource: &Resource, bearing: &[Bearing], problems: &[&Diagnostic]) -> Value {
    let roles = bearing.iter().map(|role| {
        let asks = role.asks.iter().map(|(field, value)| ((*field).to_owned(), value.clone()));
        json!({
            "namespace": role.namespace,
            "role": role.role,
            "mayAllow": role.may_allow(),
            "allows": role.allows,
            "denies": role.denies,
            "asks": asks.collect::<serde_json::Map<_, _>>(),
        })
    });
    json!({
        "action": action.name(),
        "resource": resource.to_string(),
        "roles": roles.collect::<Vec<_>>(),
        "problems": problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

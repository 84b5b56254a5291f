//! How decision tests are written: `tests/decisions/README.md` describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::question::{action_of, ensure_known, resource_of, suggestion};
use super::super::serve::{FunctionAuthArg, ProviderArg};
use crate::compile::Diagnostic;
use crate::crd::{TEST_API_VERSION, TEST_KIND};
use crate::decide::authorize;
use crate::policy::{Action, Resource, is_dns_label};
use crate::reason::Reason;
use crate::route::Rules;
use crate::source::{files, yaml};

/// The document with the tests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DecisionTest {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    /// Files and directories with the objects, from the directory of this file.
    #[serde(default)]
    pub(super) objects_from: Vec<PathBuf>,
    #[serde(default)]
    pub(super) settings: Settings,
    #[serde(default)]
    pub(super) identities: BTreeMap<String, Map<String, Value>>,
    /// Every diagnostic of the objects; any other is a failure.
    pub(super) expect_diagnostics: Option<Vec<ExpectedDiagnostic>>,
    pub(super) cases: Vec<Case>,
}

/// What the service would be told on its command line.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) issuer: String,
    pub(super) default_namespace: String,
    provider: ProviderArg,
    function_auth: FunctionAuthArg,
}

/// A diagnostic without its prose.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExpectedDiagnostic {
    /// `KIND NAMESPACE/NAME`; none for what belongs to no object.
    object: Option<String>,
    #[serde(default)]
    field: String,
    code: String,
    severity: String,
}

/// One question and its answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// Who asks, by name; nobody who is known, where there is none.
    identity: Option<String>,
    /// Claims to set or replace.
    #[serde(default)]
    with: Map<String, Value>,
    /// Claims to take away.
    #[serde(default)]
    without: Vec<String>,
    pub(super) request: Request,
    pub(super) expect: Expected,
}

/// An HTTP request, or an action on a resource.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Question {
    Http { method: String, path: String, body: Vec<u8> },
    Action(Action, Resource),
}

/// What is to be answered; what is left out may be anything.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) decision: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statements: Option<Vec<String>>,
}

/// What is answered.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) decision: Decision,
    pub(super) reason: &'static str,
    /// The HTTP status of a refusal; none where the question is no HTTP request.
    pub(super) status: Option<u16>,
    /// `ROLE/POLICY/SID`, all that the answer rests on.
    pub(super) statements: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decision {
    Allow,
    Filter,
    Deny,
}

// === impl DecisionTest ===

impl DecisionTest {
    /// The tests in a text, `name` of which stands in front of what is wrong; none where it holds none.
    pub(super) fn find(text: &str, name: &str) -> Result<Option<Self>> {
        let mut found = None;
        for (first_line, document) in files::documents(text) {
            let at = |line: usize| format!("{name}:{}", first_line + line.saturating_sub(1));
            let value = match yaml::parse(&document) {
                Ok(value) => value,
                Err(error) if document.contains(TEST_KIND) => bail!("{}: {}", at(error.line), error.message),
                // What cannot be read of the objects is for their own diagnostics.
                Err(_) => continue,
            };
            let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
            match (field("apiVersion"), field("kind")) {
                (TEST_API_VERSION, TEST_KIND) => {}
                (version, kind) if version.starts_with("faas-iam/") || kind == TEST_KIND => bail!(
                    "{}: `{version}` has no kind `{kind}`: write `apiVersion: {TEST_API_VERSION}` and `kind: {TEST_KIND}`",
                    at(1)
                ),
                (_, "List") if document.contains(TEST_KIND) => {
                    bail!("{}: a List may hold a {TEST_KIND}: write it as a document of its own", at(1))
                }
                _ => continue,
            }
            ensure!(found.is_none(), "{}: is a second {TEST_KIND}: write one for each file", at(1));
            let test: Self = yaml::parse_into(&document)
                .map_err(|error| anyhow!("{}: {}", at(error.line), error.message))?;
            test.check().with_context(|| at(1))?;
            found = Some(test);
        }
        Ok(found)
    }

    /// What can be wrong without a look at the objects.
    fn check(&self) -> Result<()> {
        ensure!(!self.cases.is_empty(), "cases: there are none: write at least one");
        let mut names = BTreeSet::new();
        for case in &self.cases {
            ensure!(names.insert(&case.name), "cases: two are called `{}`: rename one", case.name);
        }
        for name in self.identities.keys() {
            let is_used = self.cases.iter().any(|case| case.identity.as_ref() == Some(name));
            ensure!(is_used, "identities.{name}: nobody asks as `{name}`: remove it, or add a case");
        }
        Ok(())
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "https://gateway.example.com".to_owned(),
            default_namespace: "openfaas-fn".to_owned(),
            provider: ProviderArg::Any,
            function_auth: FunctionAuthArg::Off,
        }
    }
}

impl Settings {
    /// As the decision reads them.
    pub(super) fn of_service(&self) -> Result<authorize::Settings> {
        let (name, rules) = (&self.default_namespace, Rules::default());
        ensure!(
            is_dns_label(name) && !rules.system_namespaces.contains(name),
            "settings.defaultNamespace: `{name}` is no namespace for functions: write a DNS label such as `openfaas-fn`"
        );
        let rules = Rules { default_namespace: name.clone(), provider: self.provider.into(), ..rules };
        Ok(authorize::Settings { rules, function_auth: self.function_auth.into() })
    }
}

// === impl Case ===

impl Case {
    /// The claims of whoever asks.
    pub(super) fn claims(
        &self,
        known: &BTreeMap<String, Map<String, Value>>,
    ) -> Result<Option<Map<String, Value>>> {
        let Some(name) = &self.identity else {
            ensure!(
                self.with.is_empty() && self.without.is_empty(),
                "`with` and `without` change claims: write `identity` as well"
            );
            return Ok(None);
        };
        let claims = known.get(name).ok_or_else(|| {
            let known = known.keys().map(String::as_str);
            anyhow!("identity: there is none called `{name}`{}", suggestion(name, known))
        })?;
        let mut claims = claims.clone();
        for claim in &self.without {
            ensure!(claims.remove(claim).is_some(), "without: `{name}` has no claim `{claim}`: leave it out");
        }
        claims.extend(self.with.clone());
        Ok(Some(claims))
    }
}

// === impl Request ===

impl Request {
    pub(super) fn question(&self) -> Result<Question> {
        match (&self.method, &self.path, &self.action, &self.resource) {
            (Some(method), Some(path), None, None) => {
                let body = match &self.body {
                    None => Vec::new(),
                    Some(Value::String(text)) => text.clone().into_bytes(),
                    Some(value) => serde_json::to_vec(value)?,
                };
                Ok(Question::Http { method: method.clone(), path: path.clone(), body })
            }
            (None, None, Some(action), Some(resource)) if self.body.is_none() => {
                let action = action_of(action).context("request.action")?;
                Ok(Question::Action(action, resource_of(action, resource).context("request.resource")?))
            }
            _ => bail!("request: write `method` and `path`, or `action` and `resource`"),
        }
    }

    /// When it is made, in seconds since 1970; none where it does not say when.
    pub(super) fn time(&self) -> Result<Option<i64>> {
        let Some(text) = &self.time else { return Ok(None) };
        let time: jiff::Timestamp = text.parse().map_err(|error| {
            anyhow!("request.time: `{text}`: {error}: write it such as 2026-01-15T12:00:00Z")
        })?;
        Ok(Some(time.as_second()))
    }
}

// === impl ExpectedDiagnostic ===

impl From<&Diagnostic> for ExpectedDiagnostic {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self {
            object: diagnostic.object.as_ref().map(ToString::to_string),
            field: diagnostic.field.clone(),
            code: diagnostic.code.as_str().to_owned(),
            severity: diagnostic.severity.to_string(),
        }
    }
}

impl fmt::Display for ExpectedDiagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, field, code, severity } = self;
        let object = object.as_deref().unwrap_or("null");
        write!(f, "{{object: {object}, field: {field:?}, code: {code}, severity: {severity}}}")
    }
}

// === impl Expected ===

impl Expected {
    /// Fails for a reason that no decision has.
    pub(super) fn check(&self) -> Result<()> {
        let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        self.reason
            .iter()
            .try_for_each(|reason| ensure_known("reason", reason, &known))
            .context("expect.reason")
    }

    /// Whether the answer is as expected.
    pub(super) fn holds(&self, answer: &Answer) -> bool {
        let Self { decision, reason, status, statements } = self;
        let sorted = |statements: &[String]| statements.iter().cloned().collect::<BTreeSet<_>>();
        *decision == answer.decision
            && reason.as_ref().is_none_or(|reason| reason == answer.reason)
            && status.is_none_or(|status| Some(status) == answer.status)
            && statements.as_ref().is_none_or(|all| sorted(all) == sorted(&answer.statements))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decision, reason, status, statements } = self;
        write_answer(f, *decision, reason.as_deref(), *status, statements.as_deref())
    }
}

// === impl Answer ===

impl fmt::Display for Answer {
    /// As a test would write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decision, reason, status, statements } = self;
        write_answer(f, *decision, Some(reason), *status, Some(statements.as_slice()))
    }
}

fn write_answer(
    f: &mut fmt::Formatter<'_>,
    decision: Decision,
    reason: Option<&str>,
    status: Option<u16>,
    statements: Option<&[String]>,
) -> fmt::Result {
    let decision = match decision {
        Decision::Allow => "allow",
        Decision::Filter => "filter",
        Decision::Deny => "deny",
    };
    write!(f, "{{decision: {decision}")?;
    if let Some(reason) = reason {
        write!(f, ", reason: {reason}")?;
    }
    if let Some(status) = status {
        write!(f, ", status: {status}")?;
    }
    if let Some(statements) = statements {
        write!(f, ", statements: [{}]", statements.join(", "))?;
    }
    f.write_str("}")
}

//! How decision tests are written: `tests/decisions/README.md` describes it.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, anyhow, bail, ensure};
use faas_iam::compile::Diagnostic;
use faas_iam::policy::{Action, Resource};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the format.
const API_VERSION: &str = "faas-iam/v1alpha1";
/// The kind of the document.
const KIND: &str = "DecisionTest";

/// The document with the tests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DecisionTest {
    api_version: String,
    kind: String,
    #[serde(default)]
    pub(super) settings: Settings,
    #[serde(default)]
    pub(super) identities: BTreeMap<String, Map<String, Value>>,
    /// Every diagnostic of the objects; any other is a failure.
    #[serde(default)]
    pub(super) expect_diagnostics: Vec<ExpectedDiagnostic>,
    pub(super) cases: Vec<Case>,
}

/// What the service would be told on its command line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) issuer: String,
    pub(super) default_namespace: String,
    pub(super) provider: Provider,
    pub(super) function_auth: FunctionAuth,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Provider {
    Any,
    FaasNetes,
    Faasd,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FunctionAuth {
    Off,
    Declared,
    Required,
}

/// A diagnostic without its prose.
#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
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
    pub(super) expect: Answer,
}

/// An HTTP request, or an action on a resource.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Request {
    method: Option<String>,
    path: Option<String>,
    body: Option<Value>,
    action: Option<String>,
    resource: Option<String>,
    pub(super) source_ip: Option<std::net::IpAddr>,
    pub(super) time: Option<String>,
}

/// What a request asks for.
pub(super) enum Question<'a> {
    Http { method: &'a str, path: &'a str, body: Vec<u8> },
    Action(Action, Resource),
}

/// What is answered.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) decision: Decision,
    pub(super) reason: String,
    /// The HTTP status of a refusal; none where the question is no HTTP request.
    pub(super) status: Option<u16>,
    /// `ROLE/POLICY/SID`, all that the answer rests on.
    #[serde(default)]
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
    /// Takes the tests out of a text. What is left are the objects, each on its own line still.
    pub(super) fn split(text: &str) -> Result<(Self, String)> {
        let mut documents = vec![Vec::new()];
        for line in text.lines() {
            if line.starts_with("---") {
                documents.push(Vec::new());
            }
            documents.last_mut().into_iter().for_each(|document| document.push(line));
        }
        let (mut tests, mut objects) = (Vec::new(), Vec::new());
        for document in documents {
            if document.iter().any(|line| line.trim_end() == "kind: DecisionTest") {
                objects.extend(vec![""; document.len()]);
                tests.push(document);
            } else {
                objects.extend(document);
            }
        }
        let [test] = tests.as_slice() else { bail!("there must be one document of the kind {KIND}") };
        Ok((Self::parse(&test.join("\n"))?, objects.join("\n")))
    }

    fn parse(text: &str) -> Result<Self> {
        // A number with a leading zero keeps its spelling, as in objects.
        let options = serde_saphyr::options! { leading_zero_numbers_as_strings: true };
        let test: Self = serde_saphyr::from_str_with_options(text, options)?;
        ensure!(test.api_version == API_VERSION && test.kind == KIND, "expected {KIND} of {API_VERSION}");
        ensure!(!test.cases.is_empty(), "has no cases");
        for (i, case) in test.cases.iter().enumerate() {
            let earlier = test.cases.iter().take(i).find(|earlier| earlier.name == case.name);
            ensure!(earlier.is_none(), "two cases are called `{}`", case.name);
        }
        for identity in test.identities.keys() {
            let is_used = test.cases.iter().any(|case| case.identity.as_ref() == Some(identity));
            ensure!(is_used, "nobody asks as `{identity}`");
        }
        Ok(test)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "https://gateway.example.com".to_owned(),
            default_namespace: "openfaas-fn".to_owned(),
            provider: Provider::Any,
            function_auth: FunctionAuth::Off,
        }
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
            ensure!(self.with.is_empty() && self.without.is_empty(), "`with` and `without` need an identity");
            return Ok(None);
        };
        let mut claims = known.get(name).ok_or_else(|| anyhow!("there is no identity `{name}`"))?.clone();
        for claim in &self.without {
            ensure!(claims.remove(claim).is_some(), "`{name}` has no claim `{claim}` to go without");
        }
        claims.extend(self.with.clone());
        Ok(Some(claims))
    }
}

// === impl Request ===

impl Request {
    pub(super) fn question(&self) -> Result<Question<'_>> {
        match (&self.method, &self.path, &self.action, &self.resource) {
            (Some(method), Some(path), None, None) => {
                let body = match &self.body {
                    None => Vec::new(),
                    Some(Value::String(text)) => text.clone().into_bytes(),
                    Some(value) => serde_json::to_vec(value)?,
                };
                Ok(Question::Http { method, path, body })
            }
            (None, None, Some(action), Some(resource)) if self.body.is_none() => {
                let action = Action::parse(action).ok_or_else(|| anyhow!("there is no action `{action}`"))?;
                Ok(Question::Action(action, resource_of(action, resource)?))
            }
            _ => bail!("a request is `method` and `path`, or `action` and `resource`"),
        }
    }
}

/// The resource that decisions print as `text`, of the shape that the action asks for.
fn resource_of(action: Action, text: &str) -> Result<Resource> {
    let resource = match text.split_once(':') {
        None if text == "*" => Resource::Cluster,
        Some(("*", "*")) => Resource::AllNamespaces,
        Some((namespace, "*")) => Resource::Namespace(namespace.to_owned()),
        Some((namespace, name)) => Resource::object(namespace, name),
        None => bail!("`{text}` is not a resource"),
    };
    let fits = match action {
        Action::SystemInfo | Action::IamReview => resource == Resource::Cluster,
        Action::NamespaceList => resource == Resource::AllNamespaces,
        Action::FunctionList
        | Action::SecretList
        | Action::NamespaceGet
        | Action::NamespaceCreate
        | Action::NamespaceUpdate
        | Action::NamespaceDelete => matches!(resource, Resource::Namespace(_)),
        _ => matches!(resource, Resource::Object { .. }),
    };
    ensure!(fits && !text.contains(['?', ' ']), "nobody asks for {action} on `{text}`");
    Ok(resource)
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

// === impl Answer ===

impl fmt::Display for Answer {
    /// As a test would write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = match self.decision {
            Decision::Allow => "allow",
            Decision::Filter => "filter",
            Decision::Deny => "deny",
        };
        write!(f, "{{decision: {decision}, reason: {}", self.reason)?;
        if let Some(status) = self.status {
            write!(f, ", status: {status}")?;
        }
        if !self.statements.is_empty() {
            write!(f, ", statements: [{}]", self.statements.join(", "))?;
        }
        f.write_str("}")
    }
}

//! A request that is shown as a `curl` command and sent by an HTTP client: both come from the same
//! description.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::support::http;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: &'static str,
    url: String,
    token: Option<PathBuf>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    None,
    Json(Value),
    Form(Vec<(&'static str, Field)>),
}

/// The value of a form field.
#[derive(Debug, Clone)]
pub(crate) enum Field {
    /// This text.
    Text(&'static str),
    /// What this file holds.
    File(PathBuf),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body, as text.
    pub(crate) body: String,
}

// === impl Call ===

impl Call {
    /// A request without a token or a body.
    pub(crate) fn new(method: &'static str, url: String) -> Self {
        Self { method, url, token: None, body: Body::None }
    }

    /// With the bearer token that a file holds.
    pub(crate) fn token(mut self, file: &Path) -> Self {
        self.token = Some(file.to_owned());
        self
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    /// With a form.
    pub(crate) fn form(mut self, fields: Vec<(&'static str, Field)>) -> Self {
        self.body = Body::Form(fields);
        self
    }

    /// The command to paste into a shell. Tokens are read from their files, so that none is shown.
    pub(crate) fn curl(&self) -> String {
        let mut lines = vec![match (self.method, &self.body) {
            ("GET", _) | ("POST", Body::Form(_)) => format!("curl {}", quote(&self.url)),
            _ => format!("curl -X {} {}", self.method, quote(&self.url)),
        }];
        if let Some(file) = &self.token {
            lines.push(format!("-H \"Authorization: Bearer $(cat {})\"", quote_path(file)));
        }
        match &self.body {
            Body::None => {}
            Body::Json(body) => {
                lines.push("-H 'Content-Type: application/json'".to_owned());
                lines.push(format!("-d {}", quote(&body.to_string())));
            }
            Body::Form(fields) => lines.extend(fields.iter().map(|(name, field)| match field {
                Field::Text(text) => format!("--data-urlencode {}", quote(&format!("{name}={text}"))),
                Field::File(file) => {
                    format!("--data-urlencode {}", quote(&format!("{name}@{}", file.display())))
                }
            })),
        }
        lines.join(" \\\n      ")
    }

    /// Sends it.
    pub(crate) async fn send(&self) -> Result<Answer> {
        let mut request = http::client()?.request(self.method.parse()?, &self.url);
        if let Some(file) = &self.token {
            request = request.bearer_auth(read(file)?);
        }
        request = match &self.body {
            Body::None => request,
            Body::Json(body) => request.header("content-type", "application/json").body(body.to_string()),
            Body::Form(fields) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, field) in fields {
                    match field {
                        Field::Text(text) => form.append_pair(name, text),
                        Field::File(file) => form.append_pair(name, &read(file)?),
                    };
                }
                request.header("content-type", "application/x-www-form-urlencoded").body(form.finish())
            }
        };
        let answer = request.send().await.with_context(|| self.url.clone())?;
        Ok(Answer { status: answer.status().as_u16(), body: answer.text().await? })
    }
}

// === impl Answer ===

impl Answer {
    /// A text member of a JSON body.
    pub(crate) fn member(&self, name: &str) -> Result<String> {
        let body: Value = serde_json::from_str(&self.body).context("the body is no JSON")?;
        let member = body.get(name).and_then(Value::as_str);
        Ok(member.with_context(|| format!("the body has no `{name}`"))?.to_owned())
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// A text in single quotes, for a shell.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A path, in quotes where it needs them.
pub(crate) fn quote_path(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-".contains(char);
    if path.chars().all(plain) { path } else { quote(&path) }
}

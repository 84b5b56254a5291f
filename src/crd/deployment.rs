//! The Deployment of a function, as far as it tells whether the function asks for tokens.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::FUNCTION_LABEL;
use super::function::asks;
use super::reader::Reader;
use crate::compile::Code;
use crate::compile::bundle::DeclaredFunction;

/// The environment variable with which a function asks for tokens.
const JWT_AUTH: &str = "jwt_auth";

/// Whether this is the Deployment of a function.
pub(super) fn is_of_a_function(object: &Map<String, Value>) -> bool {
    object.get("metadata").and_then(|metadata| metadata.get("labels")?.get(FUNCTION_LABEL)).is_some()
}

/// Reads whether one of its containers asks for function tokens. Where that cannot be read, it does.
///
/// A function is called by the name of a Service, which has the pods with the label of that name: so
/// the name of the Deployment, its label and that of its pods all count.
pub(super) fn read(
    object: &Map<String, Value>,
    object_name: &str,
    reader: &mut Reader<'_>,
) -> DeclaredFunction {
    let template = object.get("spec").and_then(|spec| spec.get("template"));
    let labelled = |metadata: Option<&Value>| {
        let label = metadata.and_then(|metadata| metadata.get("labels")?.get(FUNCTION_LABEL)?.as_str());
        label.map(str::to_owned)
    };
    let mut names = BTreeSet::from([object_name.to_owned()]);
    names.extend(labelled(object.get("metadata")));
    names.extend(labelled(template.and_then(|template| template.get("metadata"))));
    let containers = template.and_then(|template| template.get("spec")?.get("containers")?.as_array());
    let jwt_auth = match containers {
        Some(containers) => {
            // All of them, so that each says what is wrong with it.
            let asking =
                containers.iter().enumerate().filter(|(i, container)| asks_in(*i, container, reader));
            asking.count() > 0
        }
        None => {
            let message = "expected a list: calls of the function need a function token";
            reader.error("spec.template.spec.containers", Code::WrongType, message);
            true
        }
    };
    DeclaredFunction { names, jwt_auth }
}

fn asks_in(index: usize, container: &Value, reader: &mut Reader<'_>) -> bool {
    let at = format!("spec.template.spec.containers[{index}]");
    let variables = match container.get("env") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(variables)) => variables,
        Some(_) => {
            let message = "expected a list: calls of the function need a function token";
            reader.error(&format!("{at}.env"), Code::WrongType, message);
            return true;
        }
    };
    let is_named = |variable: &&Value| variable.get("name").and_then(Value::as_str) == Some(JWT_AUTH);
    let mut said = variables.iter().filter(is_named).peekable();
    if said.peek().is_none() {
        let elsewhere = container.get("envFrom").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        if elsewhere {
            let message = "may hold `jwt_auth` and is not read: calls of the function need a function token, \
                           unless `env` says `jwt_auth`";
            reader.warning(&format!("{at}.envFrom"), Code::InvalidValue, message);
        }
        return elsewhere;
    }
    let mut asking = false;
    for variable in said {
        asking |= match variable.get("value") {
            Some(Value::String(text)) if !text.contains("$(") => asks(text),
            None | Some(Value::Null) if variable.get("valueFrom").is_none_or(Value::is_null) => false,
            _ => {
                let message = "the value of `jwt_auth` stands elsewhere and is not read: calls of the function \
                               need a function token; write it here as `\"true\"` or `\"false\"`";
                reader.warning(&format!("{at}.env"), Code::InvalidValue, message);
                true
            }
        };
    }
    asking
}

//! `Function` of OpenFaaS, as far as it tells whether a function asks for tokens.

use serde_json::Value;

use super::reader::Reader;
use crate::compile::Code;
use crate::compile::bundle::DeclaredFunction;

/// Reads whether the function asks for function tokens. One that cannot be read does.
pub(super) fn read(spec: &Value, object_name: &str, reader: &mut Reader<'_>) -> DeclaredFunction {
    let name = match spec.get("name").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => {
            let message = "is missing: the object's name is taken, and calls need a function token";
            reader.error("spec.name", Code::MissingField, message);
            return DeclaredFunction { names: [object_name.to_owned()].into(), jwt_auth: true };
        }
    };
    let environment = spec.get("environment").filter(|value| !value.is_null());
    let jwt_auth = match environment {
        None => false,
        Some(Value::Object(variables)) => match variables.get("jwt_auth") {
            Some(Value::String(text)) => asks(text),
            Some(Value::Bool(value)) => *value,
            Some(Value::Number(number)) => number.as_u64() == Some(1),
            None | Some(Value::Null) => false,
            Some(_) => {
                let message =
                    "expected `\"true\"` or `\"false\"`: calls of the function need a function token";
                reader.error("spec.environment.jwt_auth", Code::WrongType, message);
                true
            }
        },
        Some(_) => {
            let message = "expected a map: calls of the function need a function token";
            reader.error("spec.environment", Code::WrongType, message);
            true
        }
    };
    DeclaredFunction { names: [name].into(), jwt_auth }
}

/// What the watchdogs take for a yes.
pub(super) fn asks(text: &str) -> bool {
    text == "true" || text == "1"
}

//! A body that is read has one reading.

use serde_json::Value;

use super::route::sound;
use crate::json::parse_unambiguous_object;
use crate::policy::Resource;
use crate::route::{Access, ApiCall, HttpRequest, Rules, resolve};

/// Every call with a body.
const CALLS: &[(&str, &str)] = &[
    ("POST", "/system/functions"),
    ("PUT", "/system/functions"),
    ("DELETE", "/system/functions"),
    ("POST", "/system/scale-function/f"),
    ("POST", "/system/secrets"),
    ("PUT", "/system/secrets"),
    ("DELETE", "/system/secrets"),
    ("POST", "/system/namespace/"),
    ("PUT", "/system/namespace/dev"),
    ("DELETE", "/system/namespace/dev"),
];

/// The members that name something.
const NAMES: &[&str] = &["service", "functionName", "serviceName", "name", "namespace", "secrets"];

/// For the body reader; the bytes are a body.
pub fn body(data: &[u8]) -> bool {
    let mut accepted = false;
    let rules = Rules::default();
    for (method, target) in CALLS {
        let Some(call) = read(method, target, data, &rules) else { continue };
        let Ok(object) = parse_unambiguous_object(data) else { panic!("{method} {target} is no object") };
        spelled_once(&object);
        // A reader that stops early, or that begins again, sees the same.
        let whole = data.trim_ascii_end();
        let cut = whole.get(..whole.len().saturating_sub(1)).unwrap_or_default();
        assert!(read(method, target, cut, &rules).is_none(), "{method} {target} is read when cut off");
        let twice = [data, b"{}"].concat();
        assert!(read(method, target, &twice, &rules).is_none(), "{method} {target} is read with more behind");
        named(&call, &object, target, &rules);
        accepted = true;
    }
    accepted
}

fn read(method: &str, target: &str, body: &[u8], rules: &Rules) -> Option<ApiCall> {
    let request =
        HttpRequest { method, target, content_length: None, partial_body: false, callback_url: None, body };
    let access = resolve(&request, rules).ok()?;
    sound(&access, rules);
    match access {
        Access::Api(call) => Some(call),
        other => panic!("{method} {target} is {other:?}"),
    }
}

/// No member is one of the names to a reader that folds case, unless it is spelled so.
fn spelled_once(object: &serde_json::Map<String, Value>) {
    for member in object.keys() {
        let folded: String = member.chars().flat_map(char::to_lowercase).map(ascii_alike).collect();
        let known = NAMES.iter().find(|name| name.to_lowercase() == folded);
        assert!(known.is_none_or(|name| name == member), "{member:?} is another spelling");
    }
}

/// The long s and the Kelvin sign fold into ASCII.
fn ascii_alike(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other,
    }
}

/// Whatever is touched was named in the request, or is the default namespace.
fn named(call: &ApiCall, object: &serde_json::Map<String, Value>, target: &str, rules: &Rules) {
    let texts: Vec<&str> = object.values().flat_map(texts).collect();
    let stands = |name: &str| {
        texts.contains(&name) || target.split('/').any(|part| part == name) || name == rules.default_namespace
    };
    for resource in &call.resources {
        let name = match resource {
            Resource::Object { name, .. } => name.as_str(),
            _ => rules.default_namespace.as_str(),
        };
        let namespace = resource.namespace().unwrap_or(&rules.default_namespace);
        assert!(stands(namespace) && stands(name), "{resource} stands nowhere in {object:?}");
    }
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

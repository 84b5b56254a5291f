//! `Policy`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reader::Reader;
use crate::compile::Code;
use crate::policy::{ActionPattern, Effect, Policy, ResourcePattern, Statement};

/// Reads the spec of a Policy. What cannot be read denies everything, unless it is plainly an Allow.
pub(super) fn read(spec: Value, reader: &mut Reader<'_>) -> Policy {
    let Some(mut spec) = reader.map("spec", spec) else { return Policy::closed() };
    let statements = spec.remove("statement");
    let mut policy = Policy::default();
    if !reader.no_more_fields("spec", &spec, "`statement`") {
        policy.statements.push(Statement::closed("spec".to_owned()));
    }
    let statements = match statements {
        Some(Value::Array(statements)) => statements,
        other => {
            let code = if other.is_none() { Code::MissingField } else { Code::WrongType };
            reader.error("spec.statement", code, "expected a list of statements");
            return Policy::closed();
        }
    };
    if statements.is_empty() {
        reader.warning("spec.statement", Code::GrantsNothing, "has no statement: the Policy grants nothing");
    }
    let mut sids = BTreeSet::new();
    for (i, value) in statements.into_iter().enumerate() {
        let path = format!("spec.statement[{i}]");
        let (sid, statement) = read_statement(&path, i, value, reader);
        if !sids.insert(sid.clone()) {
            let message = format!("`{sid}` names more than one statement of this Policy");
            reader.warning(&format!("{path}.sid"), Code::DuplicateSid, message);
        }
        policy.statements.extend(statement);
    }
    policy
}

/// Reads one statement; an unreadable Allow leaves none.
fn read_statement(
    path: &str,
    index: usize,
    value: Value,
    reader: &mut Reader<'_>,
) -> (String, Option<Statement>) {
    let unnamed = format!("#{index}");
    let Some(mut fields) = reader.map(path, value) else {
        return (unnamed.clone(), Some(Statement::closed(unnamed)));
    };
    let sid = match fields.remove("sid") {
        Some(Value::String(sid)) if !sid.is_empty() => sid,
        Some(Value::Number(number)) => number.to_string(),
        other => {
            let empty = matches!(other, None | Some(Value::Null | Value::String(_)));
            let code = if empty { Code::MissingField } else { Code::WrongType };
            let message = format!("is no name: the statement is called `{unnamed}` in decisions");
            reader.warning(&format!("{path}.sid"), code, message);
            unnamed
        }
    };
    let effect = read_effect(path, fields.remove("effect"), reader);
    let actions = read_actions(path, fields.remove("action"), effect, reader);
    let resources = read_resources(path, fields.remove("resource"), reader);
    let condition =
        fields.remove("condition").map(|value| reader.condition(&format!("{path}.condition"), value));
    let known = "`sid`, `effect`, `action`, `resource` and `condition`";
    let readable = reader.no_more_fields(path, &fields, known);
    let statement = match (effect, actions, resources, readable) {
        (Some(effect), Some(actions), Some(resources), true) => {
            Some(Statement { sid: sid.clone(), effect, actions, resources, condition, closed: false })
        }
        (Some(Effect::Allow), ..) => None,
        _ => Some(Statement::closed(sid.clone())),
    };
    (sid, statement)
}

fn read_effect(path: &str, value: Option<Value>, reader: &mut Reader<'_>) -> Option<Effect> {
    let field = format!("{path}.effect");
    let text = reader.text(&field, value)?;
    let effect = Effect::parse(&text);
    if effect.is_none() {
        let message = format!("`{text}` is no effect: write `Allow` or `Deny`");
        reader.error(&field, Code::InvalidEffect, message);
    }
    effect
}

/// Reads `action`. One that does not exist never matches in an Allow; in a Deny it is an error, since
/// what it was to forbid would stay allowed.
fn read_actions(
    path: &str,
    value: Option<Value>,
    effect: Option<Effect>,
    reader: &mut Reader<'_>,
) -> Option<ActionPattern> {
    let field = format!("{path}.action");
    let texts = required_texts(&field, value, reader)?;
    let (mut actions, mut readable) = (ActionPattern::NONE, true);
    for (i, text) in texts.iter().enumerate() {
        let pattern = ActionPattern::parse(text);
        if pattern.is_empty() {
            let field = format!("{field}[{i}]");
            let message = format!("no action matches `{text}`: see the list of actions");
            if effect == Some(Effect::Allow) {
                reader.warning(&field, Code::UnknownAction, message);
            } else {
                reader.error(&field, Code::UnknownAction, message);
                readable = false;
            }
        }
        actions = actions.or(pattern);
    }
    readable.then_some(actions)
}

fn read_resources(path: &str, value: Option<Value>, reader: &mut Reader<'_>) -> Option<Vec<ResourcePattern>> {
    let field = format!("{path}.resource");
    let texts = required_texts(&field, value, reader)?;
    let mut patterns = Some(Vec::new());
    for (i, text) in texts.iter().enumerate() {
        match (ResourcePattern::parse(text), &mut patterns) {
            (Ok(pattern), Some(patterns)) => patterns.push(pattern),
            (Ok(_), None) => {}
            (Err(error), _) => {
                reader.error(&format!("{field}[{i}]"), Code::InvalidResource, error.to_string());
                patterns = None;
            }
        }
    }
    patterns
}

fn required_texts(field: &str, value: Option<Value>, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let Some(value) = value else {
        reader.error(field, Code::MissingField, "is missing");
        return None;
    };
    let texts = reader.texts(field, value);
    texts.readable.then_some(texts.items)
}

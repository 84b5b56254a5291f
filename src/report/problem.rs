//! What is wrong with objects, as it is told.

use std::collections::BTreeMap;

use crate::compile::{Diagnostic, Kind, ObjectRef};
use crate::source::issuer_keys::IssuerStatus;
use crate::state::Loaded;

/// One thing that is wrong with an object; told once, however often it is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProblemId {
    pub(super) object: ObjectRef,
    /// A word for programs.
    pub(super) reason: String,
    /// What else makes it another problem.
    pub(super) detail: String,
}

/// What people are told of it, on one line.
pub(super) type Problem = String;

/// All that is wrong. Functions are not among it: their objects are another program's, and writing
/// Events in their namespaces would need permissions there.
pub(super) fn problems(
    loaded: &Loaded,
    issuers: &[IssuerStatus],
    namespace: &str,
) -> BTreeMap<ProblemId, Problem> {
    let mut problems: BTreeMap<_, _> = loaded.diagnostics.iter().filter_map(of_diagnostic).collect();
    for status in issuers {
        let Some(error) = &status.last_error else { continue };
        let so_far = match status.usable {
            0 => "its tokens are refused until then",
            _ => "the keys that are held stay in use",
        };
        for name in loaded.snapshot.issuers.names(&status.iss) {
            let id = ProblemId {
                object: ObjectRef {
                    kind: Kind::JwtIssuer,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                },
                reason: "KeysNotFetched".to_owned(),
                detail: String::new(),
            };
            let note =
                format!("spec.iss: the keys cannot be fetched, which is tried again; {so_far}: {error}");
            problems.insert(id, note);
        }
    }
    problems
}

fn of_diagnostic(diagnostic: &Diagnostic) -> Option<(ProblemId, Problem)> {
    let object = diagnostic.object.clone()?;
    if !matches!(object.kind, Kind::JwtIssuer | Kind::Policy | Kind::Role) {
        return None;
    }
    let Diagnostic { field, severity, code, message, .. } = diagnostic;
    let at = if field.is_empty() { String::new() } else { format!("{field}: ") };
    let note = format!("{severity}: {at}{message}");
    let id = ProblemId { object, reason: camel_case(code.as_str()), detail: note.clone() };
    Some((id, note))
}

/// `unknown-field` as Events write reasons: `UnknownField`.
fn camel_case(code: &str) -> String {
    let capitalised = code.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    capitalised.collect()
}

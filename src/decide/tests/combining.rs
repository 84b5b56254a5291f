//! The combining rule alone, over every combination of up to four statements.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Matching,
    Other,
    Invalid,
}

const KINDS: [(&str, Kind); 6] = [
    ("Allow", Kind::Matching),
    ("Allow", Kind::Other),
    ("Allow", Kind::Invalid),
    ("Deny", Kind::Matching),
    ("Deny", Kind::Other),
    ("Deny", Kind::Invalid),
];

fn written(index: usize, (effect, kind): (&str, Kind)) -> Value {
    let resource = if kind == Kind::Other { "dev:other" } else { "dev:checkout" };
    let mut written = json!({
        "sid": index.to_string(), "effect": effect, "action": "Function:Get", "resource": resource,
    });
    if kind == Kind::Invalid {
        written["conditions"] = json!({});
    }
    written
}

#[track_caller]
fn check(statements: &[(&str, Kind)]) {
    let written: Vec<_> = statements.iter().enumerate().map(|(i, s)| written(i, *s)).collect();
    let answer = granted(json!(written)).ask(&Asking::plain());
    let select = |wanted: &[(&str, Kind)]| -> Vec<StatementRef> {
        let indices = (0..statements.len()).filter(|i| wanted.contains(&statements[*i]));
        indices.map(|i| found("r", "p", &i.to_string())).collect()
    };
    let denies = select(&[("Deny", Kind::Matching)]);
    let closed_or_denies = select(&[("Deny", Kind::Matching), ("Deny", Kind::Invalid)]);
    let allows = select(&[("Allow", Kind::Matching)]);
    let expected = if !denies.is_empty() {
        Answer { verdict: Verdict::Deny, reason: Reason::ExplicitDeny, statements: closed_or_denies }
    } else if !closed_or_denies.is_empty() {
        Answer { verdict: Verdict::Deny, reason: Reason::InvalidPolicy, statements: closed_or_denies }
    } else if allows.is_empty() {
        Answer { verdict: Verdict::Deny, reason: Reason::NoMatchingAllow, statements: Vec::new() }
    } else {
        Answer { verdict: Verdict::Allow, reason: Reason::Allowed, statements: allows }
    };
    assert_eq!(answer, expected, "{statements:?}");
}

#[test]
fn every_combination_of_up_to_four_statements_is_decided_by_one_rule() {
    let mut combinations: Vec<Vec<(&str, Kind)>> = vec![Vec::new()];
    for _ in 0..4 {
        let longer = combinations.iter().flat_map(|shorter| {
            KINDS.iter().map(|kind| shorter.iter().copied().chain([*kind]).collect::<Vec<_>>())
        });
        let longer: Vec<_> = longer.collect();
        longer.iter().for_each(|statements| check(statements));
        combinations = longer;
    }
    check(&[]);
}

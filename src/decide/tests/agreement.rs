//! `decide` and the reference evaluator agree on whole decisions.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::worlds::{askings, conditions, worlds};
use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn decisions_agree_with_the_reference(world in worlds(), asking in askings()) {
        prop_assert_eq!(world.decision(&asking), world.reference(&asking));
    }

    #[test]
    fn conditions_agree_with_the_reference(condition in conditions(), asking in askings()) {
        let statements = |effect| json!([statement("Allow", "*", "*"), {
            "effect": effect, "action": "*", "resource": "*", "condition": condition,
        }]);
        for effect in ["Allow", "Deny"] {
            let mut world = granted(statements(effect));
            world.documents[0]["spec"] = json!({"policy": "p", "principal": {"jwt:sub": ["s1", "s2"]}});
            prop_assert_eq!(world.decision(&asking), world.reference(&asking));
        }
    }
}

#[test]
fn the_random_worlds_lead_to_every_verdict_and_reason() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::new();
    for _ in 0..1500 {
        let (world, asking) = (worlds(), askings()).new_tree(&mut runner).unwrap().current();
        let answer = world.decision(&asking);
        *seen.entry((format!("{:?}", answer.verdict), answer.reason)).or_insert(0) += 1;
    }
    for (verdict, reason) in [
        ("Allow", Reason::Allowed),
        ("Filter", Reason::Allowed),
        ("Deny", Reason::ExplicitDeny),
        ("Deny", Reason::InvalidPolicy),
        ("Deny", Reason::NoMatchingAllow),
        ("Deny", Reason::NoMatchingRole),
    ] {
        let count = seen.get(&(verdict.to_owned(), reason)).copied().unwrap_or(0);
        assert!(count >= 20, "{verdict} {reason}: {seen:?}");
    }
}

//! Laws that hold of every world.

use proptest::prelude::*;
use proptest::sample::select;

use super::worlds::{askings, conditions, statements, worlds};
use super::*;

const EVERYONE: &str = "everyone-extra";

fn rank(answer: &Answer) -> u8 {
    match answer.verdict {
        Verdict::Deny => 0,
        Verdict::Filter => 1,
        Verdict::Allow => 2,
    }
}

/// The world with one more statement, in a Role and a Policy of their own that bind everyone.
fn with_statement(world: &World, statement: &Value) -> World {
    let spec = json!({"policy": [EVERYONE], "principal": {"jwt:sub": ["s1", "s2"]}});
    let mut world = world.clone();
    world.documents.push(object("Role", EVERYONE, spec));
    world.documents.push(policy(EVERYONE, json!([statement])));
    world
}

/// The world with one more statement in every Policy that has a list of them.
fn with_statement_everywhere(world: &World, statement: &Value) -> World {
    edited(world, |document| {
        if let Some(statements) = document.pointer_mut("/spec/statement").and_then(Value::as_array_mut) {
            statements.push(statement.clone());
        }
    })
}

/// The world after `edit` of every object, those of Lists included.
fn edited(world: &World, mut edit: impl FnMut(&mut Value)) -> World {
    let mut world = world.clone();
    for document in &mut world.documents {
        match document.get_mut("items").and_then(Value::as_array_mut) {
            Some(items) => items.iter_mut().for_each(&mut edit),
            None => edit(document),
        }
    }
    world
}

/// Every statement with a `sid` of its own, so that its place does not show.
fn with_sids(world: &World) -> World {
    let mut count = 0;
    edited(world, |document| {
        let statements = document.pointer_mut("/spec/statement").and_then(Value::as_array_mut);
        for statement in statements.into_iter().flatten() {
            count += 1;
            if !statement.is_object() {
                *statement = json!({"effect": statement});
            }
            statement["sid"] = json!(format!("sid-{count}"));
        }
    })
}

fn each_list(world: &World, edit: impl Fn(&mut Vec<Value>)) -> World {
    edited(world, |document| {
        for path in ["/spec/statement", "/spec/policy"] {
            if let Some(list) = document.pointer_mut(path).and_then(Value::as_array_mut) {
                edit(list);
            }
        }
    })
}

fn with_effect(mut statement: Value, effect: &str) -> Value {
    if statement.is_object() {
        statement["effect"] = json!(effect);
        statement
    } else {
        json!({"effect": effect})
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_is_allowed_without_an_allow(world in worlds(), asking in askings()) {
        let world = edited(&world, |document| {
            let statements = document.pointer_mut("/spec/statement").and_then(Value::as_array_mut);
            statements.into_iter().for_each(|list| list.retain(|s| s.get("effect") != Some(&json!("Allow"))));
        });
        prop_assert_eq!(world.decision(&asking).verdict, Verdict::Deny);
    }

    #[test]
    fn a_deny_overrides_everything(world in worlds(), asking in askings()) {
        let answer = with_statement(&world, &statement("Deny", "*", "*")).decision(&asking);
        prop_assert_eq!(answer.reason, Reason::ExplicitDeny);
        prop_assert!(answer.statements.contains(&found(EVERYONE, EVERYONE, "s")));
    }

    #[test]
    fn adding_an_allow_never_denies(world in worlds(), asking in askings(), statement in statements()) {
        let before = world.decision(&asking);
        let statement = with_effect(statement, "Allow");
        prop_assert!(rank(&with_statement(&world, &statement).decision(&asking)) >= rank(&before));
        prop_assert!(rank(&with_statement_everywhere(&world, &statement).decision(&asking)) >= rank(&before));
    }

    #[test]
    fn adding_a_deny_never_allows(
        world in worlds(),
        asking in askings(),
        statement in statements(),
        effect in select(vec!["Deny", "deny", ""]),
    ) {
        let before = world.decision(&asking);
        let statement = with_effect(statement, effect);
        prop_assert!(rank(&with_statement(&world, &statement).decision(&asking)) <= rank(&before));
        prop_assert!(rank(&with_statement_everywhere(&world, &statement).decision(&asking)) <= rank(&before));
    }

    #[test]
    fn the_order_of_documents_statements_and_names_does_not_matter(
        (world, shuffled) in worlds().prop_flat_map(|world| {
            let documents = Just(world.documents.clone()).prop_shuffle();
            (Just(world), documents)
        }),
        asking in askings(),
    ) {
        let shuffled = World { documents: shuffled, ..world.clone() };
        prop_assert_eq!(world.decision(&asking), shuffled.decision(&asking));
        prop_assert_eq!(world.snapshot().revision, shuffled.snapshot().revision);
        let named = with_sids(&world);
        let reversed = each_list(&named, |list| list.reverse());
        prop_assert_eq!(named.decision(&asking), reversed.decision(&asking));
    }

    #[test]
    fn repeated_statements_and_names_do_not_matter(world in worlds(), asking in askings()) {
        let named = with_sids(&world);
        let repeated = each_list(&named, |list| *list = [list.clone(), list.clone()].concat());
        prop_assert_eq!(named.decision(&asking), repeated.decision(&asking));
    }

    #[test]
    fn a_role_for_others_changes_nothing(
        world in worlds(),
        asking in askings(),
        policy in select(vec!["p1", "p2", "p3", "absent"]),
        condition in prop::option::of(conditions()),
        unreadable in any::<bool>(),
    ) {
        let mut spec = json!({"policy": [policy], "principal": {"jwt:sub": ["nobody"]}});
        if let Some(condition) = condition {
            spec["condition"] = condition;
        }
        if unreadable {
            spec["extra"] = json!(1);
        }
        let mut more = world.clone();
        more.documents.push(object("Role", "others", spec));
        prop_assert_eq!(world.decision(&asking), more.decision(&asking));
    }

    #[test]
    fn a_policy_that_no_role_names_changes_nothing(
        world in worlds(),
        asking in askings(),
        statement in statements(),
    ) {
        let mut more = world.clone();
        more.documents.push(policy("unnamed", json!([statement])));
        prop_assert_eq!(world.decision(&asking), more.decision(&asking));
    }
}

#[test]
fn an_empty_world_denies() {
    let answer = World::new([]).ask(&Asking::plain());
    let expected = Answer { verdict: Verdict::Deny, reason: Reason::NoMatchingRole, statements: Vec::new() };
    assert_eq!(answer, expected);
}

#[test]
fn the_revision_tells_contents_apart() {
    let revision = |effect: &str| granted(json!([statement(effect, "*", "*")])).snapshot().revision;
    assert_eq!(revision("Allow"), revision("Allow"));
    assert_ne!(revision("Allow"), revision("Deny"));
    let part_is_missing = World { unreadable_part: true, ..World::new([]) };
    assert_ne!(part_is_missing.snapshot().revision, World::new([]).snapshot().revision);
}

//! Small random worlds: few names, so that they meet; readable and unreadable parts.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Often with a Role that binds everyone, so that statements come into play.
pub(super) fn worlds() -> impl Strategy<Value = World> {
    let everyone = json!({"policy": ["p1", "p5"], "principal": {"jwt:sub": ["s1", "s2"]}});
    let bound = vec(statements(), 1..4).prop_map(move |statements| {
        vec![object("Role", "base", everyone.clone()), policy("p5", json!(statements))]
    });
    let base = prop_oneof![4 => bound, 1 => Just(Vec::new())];
    (base, vec(documents(), 0..5), prop::bool::weighted(0.04)).prop_map(|(base, others, unreadable_part)| {
        World { documents: [base, others].concat(), unreadable_part }
    })
}

pub(super) fn askings() -> impl Strategy<Value = Asking> {
    use Action::*;
    let action = prop_oneof![
        4 => select(vec![FunctionGet, FunctionInvoke, SecretCreate]),
        3 => Just(FunctionList),
        2 => Just(NamespaceList),
        1 => select(vec![SecretList, SystemInfo, NamespaceDelete]),
    ];
    let namespace = || select(vec!["dev", "prod", "a"]);
    let name = select(vec!["a", "ab", "dev", "5"]);
    let objects = (namespace(), name).prop_map(|(namespace, name)| Resource::object(namespace, name));
    let namespaces = namespace().prop_map(|namespace| Resource::Namespace(namespace.into()));
    let request = (action, objects, namespaces).prop_map(|(action, object, namespace)| match action {
        FunctionList | SecretList | NamespaceDelete => (action, namespace),
        NamespaceList => (action, Resource::AllNamespaces),
        SystemInfo => (action, Resource::Cluster),
        _ => (action, object),
    });
    (claims(), contexts(), request).prop_map(|(claims, context, (action, resource))| Asking {
        claims,
        context,
        action,
        resource,
    })
}

fn contexts() -> impl Strategy<Value = Context> {
    let address = select(vec![None, Some("10.0.0.1"), Some("::ffff:10.0.0.1"), Some("2001:db8::1")]);
    let method = select(vec![None, Some("GET"), Some("a")]);
    let now = select(vec![5, 1_704_067_200, 1_704_067_201]);
    (address, method, now).prop_map(|(address, method, now)| Context {
        source_ip: address.map(|text| text.parse().unwrap()),
        now,
        method: method.map(str::to_owned),
    })
}

/// Claims of every shape; `iss` and `sub` are texts, as in every verified token.
fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        6 => scalars(),
        2 => vec(scalars(), 0..3).prop_map(Value::from),
        1 => scalars().prop_map(|inner| json!({"k": inner})),
    ];
    let names = select(vec!["x", "y", "n", "https://c/x", "policy", "fed:x", "a/b"]);
    let nested = prop::option::of(scalars());
    let identity = (select(vec!["s1", "s2"]), select(vec!["https://i1", "https://i2"]));
    (btree_map(names, value, 0..5), nested, identity).prop_map(|(others, nested, (sub, iss))| {
        let mut claims: Map<_, _> =
            others.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        claims.extend(nested.map(|inner| ("n".to_owned(), json!({"k": inner, "l": [inner]}))));
        claims.insert("sub".into(), sub.into());
        claims.insert("iss".into(), iss.into());
        claims
    })
}

fn scalars() -> impl Strategy<Value = Value> {
    let texts = vec![
        "a",
        "A",
        "b",
        "ab",
        "dev",
        "prod",
        "a*",
        "?",
        "",
        "5",
        "5.0",
        "true",
        "2024-01-01",
        "10.0.0.1",
        "2001:db8::1",
        "é",
        "É",
        "\u{212a}",
        "k",
        "GET",
        "${jwt:y}",
    ];
    prop_oneof![
        12 => select(texts).prop_map(Value::from),
        2 => select(vec![0, 5, 1_704_067_200_i64]).prop_map(Value::from),
        1 => select(vec![1.5, 5.0]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn documents() -> impl Strategy<Value = Value> {
    prop_oneof![
        20 => (names("p"), namespaces(), policy_specs())
            .prop_map(|(name, namespace, spec)| document("Policy", name, namespace, spec)),
        20 => (names("r"), namespaces(), role_specs())
            .prop_map(|(name, namespace, spec)| document("Role", name, namespace, spec)),
        5 => (policy_specs(), role_specs()).prop_map(|(policy, role)| json!({
            "apiVersion": "v1", "kind": "List", "items": [
                document("Policy", json!("p1"), Value::Null, policy),
                document("Role", json!("r4"), Value::Null, role),
            ],
        })),
        1 => select(vec![
            json!(null),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "p1"}}),
            json!({"apiVersion": "iam.openfaas.com/v1", "kind": "Polisy", "metadata": {"name": "p1"}}),
            json!({"apiVersion": "v1", "kind": "List", "items": {}}),
            json!({"apiVersion": "v1", "kind": "List"}),
            json!({"kind": "Policy", "metadata": {"name": "p1"}}),
        ]),
    ]
}

fn document(kind: &str, name: Value, namespace: Value, spec: Value) -> Value {
    let mut document = object(kind, "", spec);
    document["metadata"] = json!({"name": name, "namespace": namespace});
    document
}

fn names(letter: &'static str) -> impl Strategy<Value = Value> {
    prop_oneof![
        30 => (1..5).prop_map(move |i| json!(format!("{letter}{i}"))),
        1 => select(vec![json!(null), json!(""), json!(5)]),
    ]
}

fn namespaces() -> impl Strategy<Value = Value> {
    prop_oneof![
        20 => select(vec![json!(null), json!("openfaas")]),
        1 => select(vec![json!("other"), json!(""), json!(7)]),
    ]
}

fn policy_specs() -> impl Strategy<Value = Value> {
    prop_oneof![
        20 => vec(statements(), 0..4).prop_map(|statements| json!({"statement": statements})),
        1 => vec(statements(), 0..3).prop_map(|statements| json!({"statement": statements, "extra": 1})),
        1 => select(vec![
            json!(null), json!([]), json!({}), json!({"statement": {}}), json!({"statement": null}),
        ]),
    ]
}

pub(super) fn statements() -> impl Strategy<Value = Value> {
    let effect = prop_oneof![
        20 => Just(json!("Allow")),
        9 => Just(json!("Deny")),
        1 => select(vec![json!("allow"), json!(true), json!(null)]),
    ];
    let condition = prop::option::weighted(0.6, conditions());
    let sid = prop_oneof![
        2 => select(vec![json!("s"), json!("t")]),
        1 => select(vec![json!(null), json!(4), json!("")]),
    ];
    let extra = prop::bool::weighted(0.03);
    let missing = prop_oneof![40 => Just(""), 1 => select(vec!["effect", "action", "resource", "sid"])];
    let odd = select(vec![json!("Allow"), json!(null), json!([]), json!(5)]);
    let parts = (effect, action_lists(), resource_lists(), condition, sid, extra, missing);
    let proper = parts.prop_map(|(effect, action, resource, condition, sid, extra, missing)| {
        let mut fields = map(json!({"sid": sid, "effect": effect, "action": action, "resource": resource}));
        fields.extend(condition.map(|condition| ("condition".to_owned(), condition)));
        fields.extend(extra.then(|| ("conditions".to_owned(), json!({}))));
        fields.remove(missing);
        Value::Object(fields)
    });
    prop_oneof![40 => proper, 1 => odd]
}

fn lists(good: Vec<&'static str>, bad: Vec<Value>) -> impl Strategy<Value = Value> {
    let item = prop_oneof![120 => select(good).prop_map(Value::from), 1 => select(bad)];
    prop_oneof![
        15 => item.clone(),
        30 => vec(item, 1..3).prop_map(Value::from),
        (1) => Just(json!([])),
    ]
}

fn action_lists() -> impl Strategy<Value = Value> {
    lists(
        vec![
            "*",
            "*",
            "Function:*",
            "*:List",
            "Function:Get",
            "Secret:Create",
            "Namespace:List",
            "Function:?et",
        ],
        vec![json!("Function:Read"), json!(null), json!(1.5), json!(5), json!({}), json!("function:get")],
    )
}

fn resource_lists() -> impl Strategy<Value = Value> {
    lists(
        vec![
            "*",
            "*",
            "*:*",
            "dev:*",
            "dev:*",
            "d*:*",
            "?:*",
            "*:a",
            "dev:a*",
            "dev:${jwt:x}",
            "${jwt:x}:*",
            "${jwt:y}${jwt:x}:*",
            "*:${jwt:/n/k}",
            "dev:**",
            "dev:a${jwt:y}",
            "${jwt:https://c/x}:*",
            "prod:*",
        ],
        vec![
            json!("dev"),
            json!(":a"),
            json!("dev:"),
            json!("a:b:c"),
            json!(null),
            json!("${x}:*"),
            json!("${jwt:x:*"),
            json!("${jwt:exp}:*"),
            json!("**"),
            json!(true),
            json!(2.5),
        ],
    )
}

fn role_specs() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        60 => (1..5).prop_map(|i| json!(format!("p{i}"))),
        1 => select(vec![json!(null), json!(5), json!({})]),
    ];
    let policies = prop_oneof![
        20 => vec(name.clone(), 1..4).prop_map(Value::from),
        3 => name,
        1 => Just(json!([])),
    ];
    let condition = prop_oneof![1 => conditions(), 1 => identity_conditions()];
    let condition = prop::option::weighted(0.4, condition);
    let parts =
        (prop::option::weighted(0.95, policies), prop::option::weighted(0.9, principals()), condition);
    let proper = (parts, prop::bool::weighted(0.03)).prop_map(|((policy, principal, condition), extra)| {
        let mut fields = Map::new();
        fields.extend(policy.map(|value| ("policy".to_owned(), value)));
        fields.extend(principal.map(|value| ("principal".to_owned(), value)));
        fields.extend(condition.map(|value| ("condition".to_owned(), value)));
        fields.extend(extra.then(|| ("extra".to_owned(), json!(1))));
        Value::Object(fields)
    });
    prop_oneof![30 => proper, 1 => select(vec![json!(null), json!([]), json!({})])]
}

fn principals() -> impl Strategy<Value = Value> {
    let everyone = json!({"jwt:sub": ["s1", "s2"]});
    prop_oneof![
        5 => Just(everyone),
        3 => select(vec![
            json!({"jwt:iss": "https://i1"}), json!({"jwt:sub": ["s1"]}), json!({"jwt:sub": "s3"}),
        ]),
        2 => btree_map(keys(), values(), 0..3).prop_map(|map| json!(map)),
        1 => select(vec![json!(null), json!([]), json!("s1"), json!({"jwt:sub": []})]),
    ]
}

/// What Roles ask of subject and issuer, which they are looked up by.
fn identity_conditions() -> impl Strategy<Value = Value> {
    let value = select(vec!["s1", "s2", "s3", "https://i1", "s*", "S1", "${jwt:sub}"]);
    let key = select(vec!["jwt:sub", "jwt:sub", "jwt:iss", "jwt:/sub"]);
    (text_operators(), key, vec(value, 1..3))
        .prop_map(|(operator, key, values)| json!({operator: {key: values}}))
}

pub(super) fn conditions() -> impl Strategy<Value = Value> {
    let keyed = || {
        prop_oneof![
            25 => btree_map(keys(), values(), 1..3).prop_map(|map| json!(map)),
            1 => select(vec![json!({}), json!(null), json!("x"), json!([])]),
        ]
    };
    prop_oneof![
        25 => (operators(), keyed()).prop_map(|(operator, keyed)| json!({operator: keyed})),
        5 => btree_map(operators(), keyed(), 1..3).prop_map(|map| json!(map)),
        1 => select(vec![json!({}), json!(null), json!("x"), json!([])]),
    ]
}

fn text_operators() -> impl Strategy<Value = String> {
    let text = select(vec![
        "StringEqual",
        "StringEquals",
        "StringNotEqual",
        "StringNotEquals",
        "StringEqualIgnoreCase",
        "StringEqualsIgnoreCase",
        "StringNotEqualIgnoreCase",
        "StringLike",
        "StringNotLike",
    ]);
    let prefix = select(vec!["", "", "ForAnyValue:", "ForAllValues:"]);
    let suffix = select(vec!["", "", "", "IfExists"]);
    (prefix, text, suffix).prop_map(|(prefix, text, suffix)| format!("{prefix}{text}{suffix}"))
}

fn operators() -> impl Strategy<Value = String> {
    let other = select(vec![
        "NumericEquals",
        "NumericEqual",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
        "DateEquals",
        "DateNotEquals",
        "DateLessThan",
        "DateLessThanEquals",
        "DateGreaterThan",
        "DateGreaterThanEquals",
        "Bool",
        "Null",
        "IpAddress",
        "NotIpAddress",
    ]);
    let suffix = select(vec!["", "", "", "IfExists"]);
    prop_oneof![
        12 => text_operators(),
        10 => (other, suffix).prop_map(|(other, suffix)| format!("{other}{suffix}")),
        1 => select(vec![
            "StringMatch", "ForAnyValue:Bool", "stringEqual", "IfExists", "ForSome:StringLike", "",
        ])
            .prop_map(str::to_owned),
    ]
}

fn keys() -> impl Strategy<Value = String> {
    let good = vec![
        "jwt:x",
        "jwt:x",
        "jwt:x",
        "jwt:y",
        "jwt:n",
        "jwt:/n/k",
        "jwt:/n/l",
        "jwt:/n/l/0",
        "jwt:https://c/x",
        "jwt:sub",
        "jwt:/a~1b",
        "request:SourceIp",
        "request:CurrentTime",
        "request:Method",
        "jwt:policy",
        "jwt:fed:x",
    ];
    let bad = vec!["jwt:", "jwt:exp", "jwt:/exp/a", "x", "request:Other", "jwt:jti", ""];
    prop_oneof![30 => select(good), 1 => select(bad)].prop_map(str::to_owned)
}

fn values() -> impl Strategy<Value = Value> {
    let texts = select(vec![
        "${jwt:x}",
        "${jwt:y}",
        "a${jwt:y}",
        "${jwt:/n/k}*",
        "*",
        "a*",
        "?",
        "10.0.0.0/8",
        "::ffff:10.0.0.0/104",
        "2001:db8::/32",
        "2024-01-01T00:00:01Z",
        "1e1",
        "false",
        "TRUE",
        "s1",
        "${x}",
        "${jwt:x",
        "${jwt:iat}",
        "host/8",
    ]);
    let value = prop_oneof![
        5 => scalars(),
        3 => texts.prop_map(Value::from),
        1 => select(vec![json!(1.5), json!({}), json!(true), json!(5)]),
    ];
    prop_oneof![3 => value.clone(), 9 => vec(value, 1..4).prop_map(Value::from), 1 => Just(json!([]))]
}

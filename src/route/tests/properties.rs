//! What holds for every request.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::invariants::sound;

const PATHS: &[&str] = &[
    "/",
    "/system",
    "/system/functions",
    "/system/function/",
    "/system/scale-function/",
    "/system/secrets",
    "/system/logs",
    "/system/namespaces",
    "/system/namespace/",
    "/system/info",
    "/system/alert",
    "/function/",
    "/async-function/",
    "/ui/",
    "/metrics",
    "/healthz",
    "/%73ystem/functions",
];

const PIECES: &[&str] = &[
    "f",
    "dev",
    ".",
    "..",
    "/",
    "//",
    "\\",
    "%",
    "%2e",
    "%2F",
    "%252e",
    "%25",
    "%ff",
    "%C3%A9",
    "é",
    "?",
    "&",
    "=",
    ";",
    "#",
    "+",
    "name=",
    "namespace=",
    "?namespace=dev",
    "&namespace=b",
    "%6eamespace=",
    "\u{0}",
    " ",
    "A",
    "-",
    "kube-system",
    "openfaas",
];

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "1",
    " ",
    "\u{feff}",
    "\"name\":\"f\"",
    "\"namespace\":\"dev\"",
    "\"namespace\":\"../x\"",
    "\"Namespace\":\"b\"",
    "\"service\":\"f\"",
    "\"functionName\":\"f\"",
    "\"serviceName\":\"f\"",
    "\"secrets\":[\"a\"]",
    "\"secrets\":[\"..\"]",
    "\"nameſpace\":\"x\"",
];

/// What the calls of the API name.
const MEMBERS: &[&str] = &[
    "\"service\":\"f\"",
    "\"functionName\":\"f\"",
    "\"serviceName\":\"f\"",
    "\"name\":\"dev\"",
    "\"namespace\":\"dev\"",
    "\"secrets\":[\"a.b\"]",
];

fn methods() -> impl Strategy<Value = String> {
    let usual = select(vec!["GET", "POST", "PUT", "DELETE"]).prop_map(str::to_owned);
    prop_oneof![8 => usual, 1 => select(METHODS.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Routes with one name and one query, among them good ones.
fn routes() -> impl Strategy<Value = String> {
    let name = prop_oneof![6 => Just(""), 3 => Just("f"), 3 => Just("dev"), 1 => select(PIECES)];
    let query = select(vec![
        "",
        "?",
        "?name=f",
        "?namespace=dev",
        "?namespace=",
        "?namespace=b&name=f",
        "?name=f&namespace=openfaas",
        "?namespace=A",
        "?namespace=a&namespace=b",
        "?%6eamespace=dev&name=%66",
    ]);
    (select(PATHS), name, query).prop_map(|(path, name, query)| format!("{path}{name}{query}"))
}

fn targets() -> impl Strategy<Value = String> {
    let pieces = proptest::collection::vec(select(PIECES), 0..6).prop_map(|pieces| pieces.concat());
    prop_oneof![
        12 => routes(),
        6 => (select(PATHS), pieces).prop_map(|(path, rest)| format!("{path}{rest}")),
        1 => any::<String>(),
        1 => any::<String>().prop_map(|rest| format!("/function/f/{rest}")),
    ]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let usual = proptest::sample::subsequence(MEMBERS, 0..=MEMBERS.len())
        .prop_map(|members| format!("{{{}}}", members.join(",")).into_bytes());
    let members = proptest::collection::vec(select(&JSON[11..]), 0..4)
        .prop_map(|members| format!("{{{}}}", members.join(",")).into_bytes());
    let pieces =
        proptest::collection::vec(select(JSON), 0..8).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![6 => usual, 3 => members, 1 => pieces, 1 => any::<Vec<u8>>()]
}

fn callbacks() -> impl Strategy<Value = Option<String>> {
    let pieces =
        select(vec!["https://", "http:", "//", "a", ".", "@", "[::1]", ":", "80", "/", "0x7f", "127", ","]);
    let urls = proptest::collection::vec(pieces, 0..6).prop_map(|pieces| Some(pieces.concat()));
    prop_oneof![2 => Just(None), 4 => urls, 1 => any::<String>().prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_request_is_answered_and_only_dns_names_get_through(
        method in methods(),
        target in targets(),
        body in bodies(),
        callback in callbacks(),
        content_length in proptest::option::weighted(0.1, "[0-9+x]{0,3}"),
        partial_body in proptest::bool::weighted(0.05),
        provider in select(vec![Provider::Any, Provider::FaasNetes, Provider::Faasd]),
        ui in select(vec![Ui::Deny, Ui::Open]),
    ) {
        let rules = Rules { provider, ui, ..Rules::default() };
        let request = HttpRequest {
            method: &method,
            target: &target,
            content_length: content_length.as_deref(),
            partial_body,
            callback_url: callback.as_deref(),
            body: &body,
        };
        let result = resolve(&request, &rules);
        show(&result);
        if let Ok(access) = &result {
            sound(access, &rules);
        }
    }

    #[test]
    fn an_accepted_path_has_one_reading(path in targets()) {
        let raw = path.split_once('?').map_or(path.as_str(), |(path, _)| path);
        if let Ok(read) = path::read(raw) {
            // Decoding again, as the gateway and the queue do, adds and removes no segment.
            let mut again = read.clone().into_bytes();
            for _ in 0..3 {
                again = escape::decode(&again).expect("escapes that are left are whole");
                let text = std::str::from_utf8(&again).expect("UTF-8 stays UTF-8");
                prop_assert_eq!(text.split('/').count(), read.split('/').count());
                prop_assert!(!text.split('/').any(|segment| segment == "." || segment == ".."));
                prop_assert!(!text.contains(['\\', '?', '#', '\0', '\n', '\r']) && !text.contains("//"));
            }
        }
    }
}

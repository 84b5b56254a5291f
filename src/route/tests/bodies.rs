//! Bodies: whole, unambiguous, and with names that are names.

use super::*;

/// Every route that reads a body, with a body that it takes.
const WITH_BODY: [(&str, &str, &str); 10] = [
    ("POST", "/system/functions", r#"{"service":"f"}"#),
    ("PUT", "/system/functions", r#"{"service":"f"}"#),
    ("DELETE", "/system/functions", r#"{"functionName":"f"}"#),
    ("POST", "/system/scale-function/f", r#"{"serviceName":"f"}"#),
    ("POST", "/system/secrets", r#"{"name":"s"}"#),
    ("PUT", "/system/secrets", r#"{"name":"s"}"#),
    ("DELETE", "/system/secrets", r#"{"name":"s"}"#),
    ("POST", "/system/namespace/", r#"{"name":"dev"}"#),
    ("PUT", "/system/namespace/dev", r#"{"name":"dev"}"#),
    ("DELETE", "/system/namespace/dev", r#"{"name":"dev"}"#),
];

/// `body` with further members.
fn with(body: &str, members: &str) -> String {
    body.replacen('{', &format!("{{{members},"), 1)
}

fn code(request: &HttpRequest<'_>) -> String {
    show(&resolve(request, &Rules::default()))
}

#[track_caller]
fn refused_everywhere(expected: &str, make: impl Fn(&str) -> String) {
    for (method, target, body) in WITH_BODY {
        let accepted = code(&request(method, target, body));
        assert!(accepted.contains(':'), "{method} {target}: {accepted}");
        let body = make(body);
        assert_eq!(code(&request(method, target, &body)), expected, "{method} {target} {body}");
    }
}

#[test]
fn a_body_is_one_json_object() {
    for body in [
        "",
        " ",
        "null",
        "[]",
        "\"f\"",
        "1",
        "{",
        "{}{}",
        "nonsense",
        "{'service':'f'}",
        "{\"service\":\"f\",}",
        "service=f&name=f",
        "// c\n{}",
    ] {
        refused_everywhere("malformed-body", |_| body.to_owned());
    }
    refused_everywhere("malformed-body", |body| format!("\u{feff}{body}"));
    refused_everywhere("malformed-body", |body| format!("{body} x"));
    refused_everywhere("malformed-body", |body| format!("{body}{body}"));
    refused_everywhere("malformed-body", |body| with(body, r#""x":"\ud800""#));
    refused_everywhere("malformed-body", |body| with(body, "\"x\":\"\n\""));
    let deep = format!(r#""x":{}{}"#, "[".repeat(200), "]".repeat(200));
    refused_everywhere("malformed-body", |body| with(body, &deep));
    let deep = format!(r#""x":{}"#, r#"{"x":"#.repeat(50_000));
    refused_everywhere("malformed-body", |body| with(body, &deep));
}

#[test]
fn a_body_is_utf8() {
    for (method, target, body) in WITH_BODY {
        for (find, replacement) in [("f", 0xff), ("s", 0xfe), ("dev", 0x80), ("}", 0xc3)] {
            let mut bytes = body.as_bytes().to_vec();
            if let Some(at) = body.rfind(find) {
                bytes[at] = replacement;
                let request = HttpRequest { body: &bytes, ..request(method, target, "") };
                assert_eq!(code(&request), "malformed-body", "{method} {target} {find}");
            }
        }
        let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let request = HttpRequest { body: &utf16, ..request(method, target, "") };
        assert_eq!(code(&request), "malformed-body", "{method} {target}");
    }
}

#[test]
fn a_key_stands_once_in_one_spelling() {
    for members in [
        // Repeated, also below the top and by an escape.
        r#""x":1,"x":1"#,
        r#""x":1,"\u0078":1"#,
        r#""labels":{"a":"1","a":"2"}"#,
        r#""x":[{"y":1,"y":1}]"#,
        // Differing in case only.
        r#""x":1,"X":1"#,
        r#""tokens":1,"to\u212aens":1"#,
        r#""x-s":1,"x-ſ":1"#,
        // A known field in another case.
        r#""Namespace":"dev""#,
        r#""NAMESPACE":"dev""#,
        r#""nameſpace":"dev""#,
        r#""name\u017Fpace":"dev""#,
        r#""Name\u0073pace":"dev""#,
        r#""functionname":"f""#,
        r#""ſerviceName":"f""#,
        r#""Service":"f""#,
        r#""Secrets":["../x"]"#,
        r#""RAWVALUE":"""#,
        r#""Replicas":1"#,
        r#""Labels":{}"#,
        r#""readonlyrootfilesystem":true"#,
    ] {
        refused_everywhere("malformed-body", |body| with(body, members));
    }
    // The same key twice is refused whatever the values are.
    refused_everywhere("malformed-body", |body| {
        body.replace('}', &format!(",{}", body.trim_start_matches('{')))
    });
}

#[test]
fn unknown_and_look_alike_keys_are_left_alone() {
    let others = r#""name_space":"x","nämespace":"x","X":null,"x-y":[1,{"Namespace":"kube-system"}],"":1e30"#;
    for (method, target, body) in WITH_BODY {
        let plain = code(&request(method, target, body));
        assert_eq!(code(&request(method, target, &with(body, others))), plain, "{method} {target}");
    }
}

#[test]
fn name_fields_are_strings() {
    for value in ["null", "5", "true", "[]", "[\"dev\"]", "{}", "{\"namespace\":\"dev\"}"] {
        refused_everywhere("malformed-body", |body| with(body, &format!(r#""namespace":{value}"#)));
        for (method, target, body) in WITH_BODY {
            for name in ["\"f\"", "\"s\"", "\"dev\""].iter().filter(|name| body.contains(**name)) {
                let body = body.replace(name, value);
                assert_eq!(
                    code(&request(method, target, &body)),
                    "malformed-body",
                    "{method} {target} {body}"
                );
            }
        }
    }
}

#[test]
fn required_names_are_there_and_are_dns_names() {
    for (method, target, body) in WITH_BODY {
        for name in
            ["", "F", "f_g", "../f", "f/g", "-f", "f.", " f", "f\\u0000", "f\\n", "é", "*", "${jwt:org}"]
        {
            let body = ["\"f\"", "\"s\"", "\"dev\""]
                .iter()
                .fold(body.to_owned(), |body, old| body.replace(old, &format!("\"{name}\"")));
            assert_eq!(code(&request(method, target, &body)), "invalid-name", "{method} {target} {body}");
        }
    }
    for (method, target) in [
        ("POST", "/system/functions"),
        ("PUT", "/system/functions"),
        ("DELETE", "/system/functions"),
        ("POST", "/system/secrets"),
        ("PUT", "/system/secrets"),
        ("DELETE", "/system/secrets"),
        ("POST", "/system/namespace/"),
    ] {
        check(method, target, "{}", "invalid-name");
    }
    // A secret may have dots, a function may not.
    check("POST", "/system/secrets", r#"{"name":"tls.crt"}"#, "Secret:Create openfaas-fn:tls.crt");
    check("POST", "/system/functions", r#"{"service":"f.dev"}"#, "invalid-name");
    check("DELETE", "/system/functions", r#"{"functionName":"f.dev"}"#, "invalid-name");
}

#[test]
fn body_namespaces_are_dns_labels() {
    for namespace in ["../../etc", "x/../victim", "a.b", "Dev", "dev ", "*", "dev\\u0000", "-"] {
        for (method, target, body) in
            WITH_BODY.into_iter().filter(|(_, target, _)| !target.contains("namespace"))
        {
            let body = with(body, &format!(r#""namespace":"{namespace}""#));
            assert_eq!(code(&request(method, target, &body)), "invalid-name", "{method} {target} {body}");
        }
    }
}

#[test]
fn mounted_secrets_are_a_list_of_dns_names() {
    for method in ["POST", "PUT"] {
        let check = |secrets: &str, expected: &str| {
            let body = format!(r#"{{"service":"f","secrets":{secrets}}}"#);
            let result = resolve(&request(method, "/system/functions", &body), &Rules::default());
            let shown = show(&result);
            assert!(shown.ends_with(expected), "{method} {secrets}: {shown}");
        };
        for good in ["null", "[]", r#"["a"]"#, r#"["a","tls.crt"]"#] {
            check(good, "openfaas-fn:f");
        }
        for bad in [r#""a""#, "{}", "1", "[1]", "[null]", r#"["a",["b"]]"#] {
            check(bad, "malformed-body");
        }
        for bad in [r#"["../victim/s"]"#, r#"["a",""]"#, r#"["A"]"#, r#"["a","b/c"]"#, r#"[".."]"#] {
            check(bad, "invalid-name");
        }
    }
}

#[test]
fn a_body_that_is_not_whole_is_too_large() {
    for (method, target, body) in WITH_BODY {
        let whole = request(method, target, body);
        let length = body.len().to_string();
        let check = |request: HttpRequest<'_>, expected: Option<&str>| {
            let accepted = code(&whole);
            assert_eq!(code(&request), expected.unwrap_or(&accepted), "{method} {target} {request:?}");
        };
        check(HttpRequest { content_length: Some(&length), ..whole }, None);
        check(HttpRequest { partial_body: true, ..whole }, Some("partial-body"));
        check(
            HttpRequest { partial_body: true, content_length: Some(&length), ..whole },
            Some("partial-body"),
        );
        check(HttpRequest { body: b"", content_length: Some(&length), ..whole }, Some("partial-body"));
        for other in ["0", "1", "10000", "99999999999999999999999999"] {
            check(HttpRequest { content_length: Some(other), ..whole }, Some("partial-body"));
        }
        for bad in ["", "+15", "-1", "15,15", "0x0f", " 15", "1e1", "15.0", "١٥"] {
            check(HttpRequest { content_length: Some(bad), ..whole }, Some("malformed-header"));
        }
    }
}

#[test]
fn a_body_is_looked_at_only_where_a_route_has_one() {
    for (method, target) in [
        ("GET", "/system/functions"),
        ("GET", "/system/function/f"),
        ("GET", "/system/secrets"),
        ("GET", "/system/logs?name=f"),
        ("GET", "/system/namespaces"),
        ("GET", "/system/namespace/dev"),
        ("GET", "/system/info"),
        ("POST", "/function/f"),
        ("POST", "/async-function/f"),
        ("POST", "/oauth/token"),
    ] {
        let plain = request(method, target, "");
        let strange = HttpRequest { partial_body: true, content_length: Some("x"), body: b"\xff{", ..plain };
        let accepted = resolve(&plain, &Rules::default());
        assert!(accepted.is_ok(), "{method} {target}");
        assert_eq!(resolve(&strange, &Rules::default()), accepted, "{method} {target}");
    }
}

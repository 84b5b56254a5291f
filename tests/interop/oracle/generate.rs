//! Requests made from a seed: mostly plain, each with a few of the tricks by which readers differ.

use crate::support::splitmix::Random;

/// A request as a client sends it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

/// A source of requests.
#[derive(Debug)]
pub(crate) struct Generator {
    random: Random,
}

const NAMES: [&str; 12] =
    ["f", "f", "f", "g", "a-b", "x9", "openfaas-fn", "f.dev", "F", "f_g", "f.", "kube-system"];
const NAMESPACES: [&str; 10] =
    ["dev", "dev", "dev", "prod", "openfaas-fn", "openfaas", "kube-system", "", "Dev", "a.b"];

/// What a segment of a path may be replaced by, or what may follow it.
const SEGMENTS: [&str; 34] = [
    "",
    ".",
    "..",
    "...",
    "%2e",
    "%2e%2e",
    "%252e%252e",
    "%2f",
    "%2F..%2f",
    "%252f",
    "%3f",
    "%3Fnamespace=prod",
    "%23",
    "#",
    "%25",
    "%2541",
    "%zz",
    "%",
    "%00",
    "%0a",
    "%20",
    " ",
    "é",
    "%C3%A9",
    "%ff",
    ";",
    "a;b",
    "~",
    ":",
    "@",
    "\\",
    "%5c",
    "functions",
    "system",
];

/// Parts of queries.
const PARAMETERS: [&str; 36] = [
    "namespace=prod",
    "namespace=dev",
    "namespace=",
    "namespace",
    "name=f",
    "name=g",
    "name=",
    "Namespace=prod",
    "NAME=g",
    "%6eamespace=prod",
    "n%61me=g",
    "namespac%65=dev",
    "+namespace=prod",
    "namespace+=prod",
    "namespace%20=prod",
    "namespace=%64ev",
    "namespace=d+ev",
    "namespace=dev%00",
    "namespace=%zz",
    "%zz=1",
    "x=%",
    "a;namespace=prod",
    "namespace=dev;x=1",
    ";",
    "#",
    "x=1#",
    "",
    "=",
    "=dev",
    "namespace==dev",
    "usage=1",
    "follow=true",
    "tail=-1",
    "since=2026-01-01T00%3A00%3A00Z",
    "namespace%3Dprod",
    "namespaces=prod",
];

/// Keys of bodies, all but the first of which are tricks.
const KEYS: [&str; 34] = [
    "image",
    "Namespace",
    "NAMESPACE",
    "nameSpace",
    "name\u{17f}pace",
    "name\\u017fpace",
    "n\\u0061mespace",
    "namespace ",
    "namespace\\u0000",
    "name-space",
    "\u{fb01}",
    "Name",
    "NAME",
    "n\\u0061me",
    "Service",
    "\u{17f}ervice",
    "service",
    "ſerviceName",
    "SERVICENAME",
    "servicename",
    "serviceName",
    "functionname",
    "FunctionName",
    "functionName",
    "name",
    "namespace",
    "labels",
    "secrets",
    "envVars",
    "\\ud800namespace",
    "replicas",
    "",
    "x",
    "\u{feff}namespace",
];

/// Values of bodies, as JSON.
const VALUES: [&str; 30] = [
    "\"prod\"",
    "\"dev\"",
    "\"f\"",
    "\"g\"",
    "\"\"",
    "null",
    "5",
    "-1",
    "1.5",
    "1e999",
    "true",
    "[]",
    "{}",
    "[\"s\"]",
    "[\"../prod/s\"]",
    "{\"namespace\":\"prod\"}",
    "{\"a\":\"b\",\"a\":\"c\"}",
    "{\"name\":\"g\",\"NAME\":\"h\"}",
    "\"d\\u0065v\"",
    "\"dev\\u0000\"",
    "\"../prod\"",
    "\"a/b\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\x\"",
    "'dev'",
    "\"de\tv\"",
    "[[[[[[[[]]]]]]]]",
    "nul",
    "[null]",
];

/// What may stand before or after a body.
const EDGES: [&[u8]; 14] = [
    b"\xef\xbb\xbf",
    b" ",
    b"\n",
    b"\x00",
    b"{}",
    b"{\"namespace\":\"prod\"}",
    b"x",
    b"/**/",
    b"\xff",
    b",",
    b"\x0b",
    b"\xc2\xa0",
    b"}",
    b"null",
];

// === impl Generator ===

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed) }
    }

    /// The next request.
    pub(crate) fn request(&mut self) -> Sent {
        let (method, path, fields) = self.route();
        let method = if self.one_in(24) {
            self.pick(&["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "TRACE"])
                .to_owned()
        } else {
            method.to_owned()
        };
        let path = self.path(path);
        let query = self.query(&path);
        let body = self.body(fields);
        Sent { method, target: format!("{path}{query}"), body }
    }

    /// A method and a path, and the fields that the body has there: those of names, then others.
    fn route(&mut self) -> (&'static str, String, &'static [&'static str]) {
        let name = self.pick(&NAMES).to_owned();
        let function = match self.random.below(3) {
            0 => name.clone(),
            _ => format!("{name}.{}", self.pick(&NAMESPACES)),
        };
        let namespace = self.pick(&NAMESPACES);
        let rest = self.pick(&["", "/", "/a", "/a/b.c", "/system/functions"]);
        match self.random.below(24) {
            0 => (self.pick(&["GET", "POST", "PUT", "DELETE"]), format!("/function/{function}{rest}"), &[]),
            1 => ("POST", format!("/async-function/{function}{rest}"), &[]),
            2 => ("GET", "/system/functions".to_owned(), &[]),
            3 | 4 => ("POST", "/system/functions".to_owned(), &["service", "namespace"]),
            5 => ("PUT", "/system/functions".to_owned(), &["service", "namespace"]),
            6 | 7 => ("DELETE", "/system/functions".to_owned(), &["functionName", "namespace"]),
            8 => ("GET", format!("/system/function/{name}"), &[]),
            9..=11 => ("POST", format!("/system/scale-function/{name}"), &["serviceName", "namespace"]),
            12 => ("GET", "/system/secrets".to_owned(), &[]),
            13 => ("POST", "/system/secrets".to_owned(), &["name", "namespace"]),
            14 => ("PUT", "/system/secrets".to_owned(), &["name", "namespace"]),
            15 | 16 => ("DELETE", "/system/secrets".to_owned(), &["name", "namespace"]),
            17 => ("GET", "/system/logs".to_owned(), &[]),
            18 => ("GET", format!("/system/namespace/{namespace}"), &[]),
            19 => ("POST", format!("/system/namespace/{namespace}"), &["name"]),
            20 => ("PUT", format!("/system/namespace/{namespace}"), &["name"]),
            21 => ("DELETE", format!("/system/namespace/{namespace}"), &["name"]),
            22 => (
                "GET",
                self.pick(&["/system/namespaces", "/system/info", "/", "/ui/", "/healthz"]).to_owned(),
                &[],
            ),
            _ => (
                self.pick(&["POST", "GET"]),
                self.pick(&["/system/alert", "/system/telemetry", "/metrics", "/system", "/x", "//"])
                    .to_owned(),
                &[],
            ),
        }
    }

    fn path(&mut self, plain: String) -> String {
        if !self.one_in(4) {
            return plain;
        }
        let mut segments: Vec<String> = plain.split('/').map(str::to_owned).collect();
        for _ in 0..=self.random.below(2) {
            let place = self.random.below(segments.len() + 1);
            let trick = self.pick(&SEGMENTS);
            let choice = self.random.below(4);
            match (choice, segments.get_mut(place)) {
                (0, Some(segment)) => trick.clone_into(segment),
                (1, Some(segment)) => segment.push_str(trick),
                (2, Some(segment)) => *segment = self.escape(segment),
                _ => segments.insert(place, trick.to_owned()),
            }
        }
        segments.join("/")
    }

    /// Escapes some of the characters of a text.
    fn escape(&mut self, text: &str) -> String {
        text.bytes()
            .map(|byte| match self.random.below(4) {
                0 => format!("%{byte:02x}"),
                1 if self.random.below(8) == 0 => format!("%25{byte:02X}"),
                _ => char::from(byte).to_string(),
            })
            .collect()
    }

    fn query(&mut self, path: &str) -> String {
        let mut parameters = Vec::new();
        if path.contains("logs") && !self.one_in(8) {
            parameters.push(format!("name={}", self.pick(&NAMES)));
        }
        if self.one_in(2) {
            parameters.push(format!("namespace={}", self.pick(&NAMESPACES)));
        }
        if self.one_in(3) {
            for _ in 0..=self.random.below(2) {
                let place = self.random.below(parameters.len() + 1);
                parameters.insert(place, self.pick(&PARAMETERS).to_owned());
            }
        }
        if self.one_in(2000) {
            let filler = self.pick(&["&", "x&", "x=1&"]).repeat(self.pick(&[98, 99, 100, 9_999, 10_001]));
            parameters.insert(0, filler);
        }
        if parameters.is_empty() && !self.one_in(16) {
            return String::new();
        }
        let separator = if self.one_in(32) { self.pick(&[";", "&&", "?", "%26", "#"]) } else { "&" };
        format!("?{}", parameters.join(separator))
    }

    fn body(&mut self, fields: &[&str]) -> Vec<u8> {
        if fields.is_empty() && !self.one_in(16) {
            return Vec::new();
        }
        let mut members = Vec::new();
        for field in fields {
            if self.one_in(5) {
                continue;
            }
            let value = if *field == "namespace" { self.pick(&NAMESPACES) } else { self.pick(&NAMES) };
            members.push(format!("\"{field}\":\"{value}\""));
        }
        if self.one_in(3) {
            members.push(
                self.pick(&["\"image\":\"i\"", "\"labels\":{}", "\"replicas\":2", "\"value\":\"v\""])
                    .to_owned(),
            );
        }
        if self.one_in(3) {
            for _ in 0..=self.random.below(2) {
                let place = self.random.below(members.len() + 1);
                members.insert(place, format!("\"{}\":{}", self.pick(&KEYS), self.pick(&VALUES)));
            }
        }
        let mut body = format!("{{{}}}", members.join(",")).into_bytes();
        if self.one_in(16) {
            self.spoil(&mut body);
        }
        body
    }

    fn spoil(&mut self, body: &mut Vec<u8>) {
        let edge = self.pick(&EDGES);
        match self.random.below(6) {
            0 => drop(body.splice(0..0, edge.iter().copied())),
            1 => body.extend(edge),
            2 => body.truncate(self.random.below(body.len() + 1)),
            3 => {
                let place = self.random.below(body.len() + 1);
                drop(body.splice(place..place, edge.iter().copied()));
            }
            4 => {
                let depth = self.pick(&[100, 120, 127, 130, 1000]);
                let nested = format!("{{\"x\":{}{},", "[".repeat(depth), "]".repeat(depth));
                drop(body.splice(0..1, nested.into_bytes()));
            }
            _ => *body = self.pick(&["null", "[]", "\"x\"", "5", "", "{}", "[{}]"]).into(),
        }
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.random.below(many) == 0
    }

    fn pick<T: Copy + Default>(&mut self, from: &[T]) -> T {
        from.get(self.random.below(from.len())).copied().unwrap_or_default()
    }
}

//! Requests as bytes on a connection: those of the comparison of readers, by a caller, in one of the
//! protocols, and with the tricks that only bytes can play.

use super::http2::Headers;
use crate::oracle::generate::{Generator, Sent};
use crate::support::splitmix::Random;

/// The request header by which everything is known again.
pub(super) const ID: &str = "rig-request";

/// The one URL that callbacks may have, up to its end.
pub(super) const CALLBACK: &str = "https://hooks.example.com/";

/// A request, before it is bytes.
#[derive(Debug, Clone)]
pub(super) struct Shot {
    pub(super) number: usize,
    /// Which of the services it goes to.
    pub(super) profile: usize,
    pub(super) subject: &'static str,
    pub(super) sent: Sent,
    pub(super) wire: Wire,
    /// Whether an API token goes to a function, or the other way round.
    wrong_token: bool,
    headers: Vec<(&'static str, &'static str)>,
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// HTTP/1.1 on a connection that is kept.
    Http1,
    /// The same in chunks.
    Chunked,
    /// HTTP/2.
    Http2,
    /// HTTP/2 with something that is not allowed there.
    Broken2(usize),
    /// Bytes that are no request, or more than one.
    Broken1(usize),
}

/// The tokens of a caller at one service.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    pub(super) api: String,
    pub(super) function: String,
}

/// A source of requests.
#[derive(Debug)]
pub(super) struct Shots {
    requests: Generator,
    random: Random,
    next: usize,
}

/// The subjects, those who may do more more often.
const OFTEN: [&str; 12] =
    ["dev", "dev", "both", "both", "both", "reader", "reader", "invoker", "cut", "cut", "cut", "nobody"];

/// Methods that no route has.
const METHODS: [&str; 8] = ["CONNECT", "PROPFIND", "M-SEARCH", "PRI", "Post", "TRACK", "QUERY", "X"];

/// Requests that each of the tricks is tried with.
const PLAIN: [(&str, &str, &str); 6] = [
    ("GET", "/system/functions?namespace=dev", ""),
    ("POST", "/system/functions", r#"{"service":"f","namespace":"dev","image":"i"}"#),
    ("DELETE", "/system/functions", r#"{"functionName":"f","namespace":"dev"}"#),
    ("GET", "/system/logs?name=f&namespace=dev", ""),
    ("POST", "/function/f.dev/a?b=c", "a body"),
    ("POST", "/async-function/f.dev/a?b=c", "a body"),
];

/// Headers by which some server somewhere reads a request otherwise.
const TRICKS: [(&str, &str); 47] = [
    ("accept", "text/event-stream"),
    ("accept", "text/event-stream"),
    ("accept", "text/event-stream, application/x-ndjson"),
    ("x-callback-url", "https://hooks.example.com/1"),
    ("x-callback-url", "https://hooks.example.com/1"),
    ("x-callback-url", "http://gateway.openfaas:8080/function/other.prod"),
    ("x-callback-url", "https://hooks.example.com@gateway.openfaas:8080/function/other"),
    ("x-callback-url", "https://hooks.example.com.evil.example/"),
    ("x-callback-url", "https://hooks.example.com/\t"),
    ("x-callback-url", "https://10.0.0.1/"),
    ("x-http-method-override", "DELETE"),
    ("x-http-method", "DELETE"),
    ("x-method-override", "PUT"),
    ("x-original-url", "/system/functions?namespace=prod"),
    ("x-rewrite-url", "/system/functions?namespace=prod"),
    ("x-forwarded-uri", "/system/functions?namespace=prod"),
    ("x-forwarded-prefix", "/system"),
    ("x-forwarded-host", "gateway.openfaas"),
    ("x-forwarded-for", "10.9.8.7"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-user", "admin"),
    ("x-remote-user", "admin"),
    ("x-real-ip", "10.9.8.7"),
    ("x-envoy-original-path", "/system/functions?namespace=prod"),
    ("x-envoy-original-method", "DELETE"),
    ("x-envoy-auth-partial-body", "true"),
    ("x-envoy-external-address", "10.9.8.7"),
    ("x-envoy-internal", "true"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-retry-on", "5xx"),
    ("x-faas-iam-decision", "mine"),
    ("X-Faas-Iam-Subject", "fed:admin"),
    ("x-auth-seconds", "0"),
    ("x-call-id", "../../system/functions"),
    ("content-encoding", "gzip"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "multipart/form-data; boundary=x"),
    ("content-type", "application/json; charset=utf-16"),
    ("authorization", "Basic YWRtaW46YWRtaW4="),
    ("authorization", "Bearer x"),
    ("proxy-authorization", "Basic YWRtaW46YWRtaW4="),
    ("te", "trailers"),
    ("max-forwards", "0"),
    ("range", "bytes=0-1"),
    ("cookie", "namespace=prod"),
    ("namespace", "prod"),
    ("x-openfaas-internal", "gateway"),
];

/// Headers of a single hop, on HTTP/1.1.
const HOPS: [&str; 10] = [
    "Connection: authorization",
    "Connection: close, authorization, content-length",
    "Connection: x-callback-url, x-request-id",
    "Connection: Upgrade\r\nUpgrade: websocket",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    "Expect: 100-continue",
    "Expect: something-else",
    "Keep-Alive: timeout=1",
    "Trailer: authorization",
    "TE: trailers, deflate",
];

/// What a second request, hidden in the first one, would be.
pub(super) const HIDDEN: &str = "GET /system/functions?namespace=prod HTTP/1.1\r\nHost: x\r\n\
     Rig-Request: hidden\r\nContent-Length: 0\r\n\r\n";

// === impl Shots ===

impl Shots {
    /// The requests of a seed, numbered from `first`.
    pub(super) fn new(seed: u64, first: usize) -> Self {
        Self { requests: Generator::new(seed), random: Random::new(!seed), next: first }
    }

    /// The next one.
    pub(super) fn shot(&mut self) -> Shot {
        let number = self.next;
        self.next += 1;
        let random = &mut self.random;
        let wire = match random.below(32) {
            0..=12 => Wire::Http1,
            13..=16 => Wire::Chunked,
            17..=28 => Wire::Http2,
            29 => Wire::Broken2(random.below(BROKEN_2)),
            _ => Wire::Broken1(random.below(BROKEN_1)),
        };
        let mut headers = Vec::new();
        if random.below(3) == 0 {
            for _ in 0..=random.below(2) {
                headers.extend(TRICKS.get(random.below(TRICKS.len())));
            }
        }
        let odd = (random.below(64) == 0).then(|| METHODS.get(random.below(METHODS.len()))).flatten();
        let long = random.below(1000) == 0;
        let mut shot = Shot {
            number,
            profile: random.below(3),
            subject: OFTEN.get(random.below(OFTEN.len())).copied().unwrap_or_default(),
            sent: self.requests.request(),
            wire,
            wrong_token: self.random.below(16) == 0,
            headers,
        };
        if let Some(method) = odd {
            (*method).clone_into(&mut shot.sent.method);
        }
        if long && shot.wire == Wire::Http1 {
            shot.sent.body = too_long(&shot.sent.body);
        }
        shot
    }
}

/// A body whose end is beyond what the proxy passes on for a decision, and says something else.
fn too_long(body: &[u8]) -> Vec<u8> {
    let start = body.strip_suffix(b"}").unwrap_or(body);
    let filler = format!(r#","x":"{}","namespace":"prod"}}"#, " ".repeat(1 << 20));
    [start, filler.as_bytes()].concat()
}

/// Where the headers of a single hop begin among the broken requests.
const HOPS_FROM: usize = 27;
const BROKEN_1: usize = HOPS_FROM + HOPS.len();
const BROKEN_2: usize = 18;

// === impl Shot ===

impl Shot {
    /// A plain request of the corpus.
    pub(super) fn plain(
        number: usize,
        profile: usize,
        subject: &'static str,
        sent: Sent,
        wire: Wire,
    ) -> Self {
        Self { number, profile, subject, sent, wire, wrong_token: false, headers: Vec::new() }
    }

    /// Every trick with each of a few plain requests, by somebody who may make those.
    pub(super) fn tricks(first: usize) -> Vec<Self> {
        let mut shots: Vec<Self> = Vec::new();
        let broken = (0..BROKEN_1).map(Wire::Broken1).chain((0..BROKEN_2).map(Wire::Broken2));
        let headers =
            TRICKS.iter().flat_map(|trick| [(Wire::Http1, Some(*trick)), (Wire::Http2, Some(*trick))]);
        for (wire, trick) in broken.map(|wire| (wire, None)).chain(headers) {
            for (place, (method, target, body)) in (0..).zip(PLAIN.iter().cycle().take(3 * PLAIN.len())) {
                let sent = Sent { method: (*method).into(), target: (*target).into(), body: (*body).into() };
                let headers = trick.into_iter().collect();
                let plain = Self::plain(first + shots.len(), place / PLAIN.len(), "dev", sent, wire);
                shots.push(Self { headers, ..plain });
            }
        }
        shots
    }

    fn authorization(&self, tokens: &Tokens) -> Option<String> {
        let target = self.sent.target.to_ascii_lowercase();
        let function = target.starts_with("/function") || target.starts_with("/async");
        let token = if function == self.wrong_token { &tokens.api } else { &tokens.function };
        (!token.is_empty()).then(|| format!("Bearer {token}"))
    }

    /// The headers beside those of the connection and the body.
    fn common(&self, tokens: &Tokens) -> Vec<(&'static str, String)> {
        let mut all = vec![(ID, self.number.to_string())];
        all.extend(self.authorization(tokens).map(|value| ("authorization", value)));
        all.extend(self.headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    }

    /// The bytes of HTTP/1.1.
    pub(super) fn bytes(&self, tokens: &Tokens) -> Vec<u8> {
        let Sent { method, target, body } = &self.sent;
        let mut head = String::new();
        for (name, value) in self.common(tokens) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let line = format!("{method} {target} HTTP/1.1\r\nHost: gateway\r\n{head}");
        match self.wire {
            Wire::Broken1(kind) => broken(kind, self, &head, &line),
            Wire::Chunked => {
                [format!("{line}Transfer-Encoding: chunked\r\n\r\n").as_bytes(), &chunks(body)].concat()
            }
            _ if body.is_empty() => format!("{line}\r\n").into_bytes(),
            _ => with_length(&line, body, body.len()),
        }
    }

    /// The header list of HTTP/2, and its trailers.
    pub(super) fn list(&self, tokens: &Tokens) -> (Headers, Headers) {
        let Sent { method, target, body } = &self.sent;
        let pseudo =
            [(":method", method.as_str()), (":scheme", "http"), (":authority", "gateway"), (":path", target)];
        let mut headers: Headers = pseudo
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        for (name, value) in self.common(tokens) {
            headers.push((name.to_ascii_lowercase().into_bytes(), value.into_bytes()));
        }
        let mut trailers = Headers::new();
        if let Wire::Broken2(kind) = self.wire {
            break_list(kind, body.len(), &mut headers, &mut trailers);
        }
        (headers, trailers)
    }
}

fn with_length(head: &str, body: &[u8], length: usize) -> Vec<u8> {
    [format!("{head}Content-Length: {length}\r\n\r\n").as_bytes(), body].concat()
}

/// A body in chunks of a few bytes.
fn chunks(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(7) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// HTTP/1.1 that is no single well-formed request. `head` is the common headers, `line` the request line
/// and they.
fn broken(kind: usize, shot: &Shot, head: &str, line: &str) -> Vec<u8> {
    let Sent { method, target, body } = &shot.sent;
    let length = body.len();
    let chunked = |header: &str, tail: &str| {
        [format!("{line}{header}\r\n\r\n").as_bytes(), &chunks(body), tail.as_bytes()].concat()
    };
    let rest = || [format!("Content-Length: {length}\r\n\r\n").as_bytes(), body].concat();
    let both = |start: String| [start.into_bytes(), rest()].concat();
    match kind {
        0 => chunked(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"), HIDDEN),
        1 => chunked("Content-Length: 5\r\nTransfer-Encoding: chunked", HIDDEN),
        2 => chunked("Transfer-Encoding: xchunked", ""),
        3 => chunked("Transfer-Encoding: chunked, identity", ""),
        4 => chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HIDDEN),
        5 => chunked("Transfer-Encoding : chunked", ""),
        6 => chunked("Transfer-Encoding:\tChunked", HIDDEN),
        7 => both(format!("{line}Content-Length: {}\r\n", length + 1)),
        8 => with_length(line, body, length + 40),
        9 => [with_length(line, body, length), HIDDEN.as_bytes().to_vec()].concat(),
        10 => with_length(line, body, length / 2),
        11 => [format!("{line}Content-Length: +{length}\r\n\r\n").as_bytes(), body].concat(),
        12 => {
            both(format!("{method} http://gateway.openfaas:8080{target} HTTP/1.1\r\nHost: other\r\n{head}"))
        }
        13 => both(format!("{method} {target} HTTP/1.0\r\n{head}")),
        14 => both(format!("{method} {target} HTTP/1.1\r\n{head}")),
        15 => both(format!("{method}  {target} HTTP/1.1\r\nHost: gateway\r\n{head}")),
        16 => both(format!("{line}X-Folded: a\r\n x-callback-url: http://gateway/\r\n")),
        17 => both(line.replace("\r\n", "\n")),
        18 => both(format!("{line}Host: prod\r\nx_callback_url: http://gateway/\r\n")),
        19 => [
            format!("{line}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
            chunks(body).strip_suffix(b"\r\n").unwrap_or_default(),
            b"x-callback-url: http://gateway/\r\nauthorization: Basic YWRtaW46YWRtaW4=\r\n\r\n",
        ]
        .concat(),
        20 => both(format!("{line}Content-Length: {length}\r\n")),
        21 => [format!("{line}Content-Length: 0{length}\r\n\r\n").as_bytes(), body].concat(),
        22 => both(format!("{line}X-A: b\0c\r\n")),
        23 => both(format!("{line}X-A: b\rX-Callback-Url: http://gateway/\r\n")),
        24 => [
            format!("{line}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
            format!("0{:X};a=\"b\"\r\n", length).as_bytes(),
            body,
            b"\r\n0;a\r\n\r\n",
        ]
        .concat(),
        25 => [b"\r\n\r\n".to_vec(), with_length(line, body, length), HIDDEN.as_bytes().to_vec()].concat(),
        26 => format!("{method} {target}\r\n{HIDDEN}").into_bytes(),
        hop => both(format!("{line}{}\r\n", HOPS.get(hop - HOPS_FROM).copied().unwrap_or_default())),
    }
}

/// HTTP/2 with something that RFC 9113 forbids, or that HTTP/1.1 would read otherwise.
fn break_list(kind: usize, body: usize, headers: &mut Headers, trailers: &mut Headers) {
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let mut set = |name: &str, value: &[u8]| {
        for (_, old) in headers.iter_mut().filter(|(known, _)| known == name.as_bytes()) {
            *old = value.to_vec();
        }
    };
    match kind {
        0 => headers.push(pair(":path", "/system/functions?namespace=prod")),
        1 => headers.insert(4, pair(":path", "/system/functions?namespace=prod")),
        2 => set(":authority", b"gateway.openfaas/system/functions?namespace=prod#"),
        3 => set(":scheme", b"http://prod/x?"),
        4 => headers.insert(4, pair("host", "prod")),
        5 => headers.push(pair("transfer-encoding", "chunked")),
        6 => headers.push(pair("content-length", &(body + 3).to_string())),
        7 => headers.push(pair("content-length", &body.saturating_sub(1).to_string())),
        8 => headers.push(pair("connection", "authorization")),
        9 => headers.push(pair("X-Callback-URL", "http://gateway/")),
        10 => headers.push(pair("x-a", "b\r\nx-callback-url: http://gateway/")),
        11 => headers.push(pair("x-a\r\nx-callback-url", "http://gateway/")),
        12 => set(":method", b"GET /system/functions?namespace=prod HTTP/1.1\r\nx:"),
        13 => trailers.extend([pair("authorization", "Basic YWRtaW46YWRtaW4="), pair(":path", "/")]),
        14 => trailers.extend([pair("x-callback-url", "http://gateway/"), pair("namespace", "prod")]),
        15 => headers.insert(4, pair(":protocol", "websocket")),
        16 => headers.push(pair("upgrade", "h2c")),
        _ => headers.push(pair("te", "gzip, chunked")),
    }
}

//! Every route, by every sort of client, through the real Envoy: what the client is told, and what
//! the gateway is sent.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::route_rows::{METHODS, ROWS, Row, Wants};
use crate::stack::{PASSWORD, Setup, Stack, USER, basic};
use crate::support::http::RawResponse;
use crate::support::openfaas::Recorded;

const API: &str = r#"Bearer realm="OpenFaaS API", charset="UTF-8""#;
const NO_API_TOKEN: &str = r#"Bearer realm="IAM function invoke", error="invalid_token", error_description="an API token must not reach a function: exchange it for a function token""#;
const EVERY_METHOD: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// The sorts of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    NoToken,
    Garbage,
    BrokenSignature,
    /// Signed in, with a permission on nothing here.
    WithoutPermission,
    /// Every permission, on another namespace.
    Elsewhere,
    /// Exactly the permission that is needed, or all where there is none.
    WithPermission,
}

const CLIENTS: [Client; 6] = [
    Client::NoToken,
    Client::Garbage,
    Client::BrokenSignature,
    Client::WithoutPermission,
    Client::Elsewhere,
    Client::WithPermission,
];

/// What is expected of one request by one client.
struct Expected {
    status: u16,
    challenge: Option<String>,
    /// The target that the gateway sees, and the `Authorization` with it.
    upstream: Option<(String, Option<String>)>,
}

/// The tokens of all clients.
struct Tokens {
    without: String,
    elsewhere: String,
    all: String,
    exact: BTreeMap<String, String>,
}

#[tokio::test]
async fn every_route_gives_every_client_the_right_answer() -> Result<()> {
    let stack = Stack::start(Setup::new(objects())).await?;
    let tokens = Tokens::fetch(&stack).await?;
    let refused = METHODS.iter().flat_map(|methods| {
        let known: Vec<_> = methods.allow.split(", ").collect();
        let others = EVERY_METHOD.into_iter().filter(move |method| !known.contains(method));
        let wants = Wants::NotAMethod(methods.allow);
        others.map(move |method| Row { method, target: methods.path, body: "", wants })
    });
    let rows: Vec<Row> = ROWS.iter().copied().chain(refused).collect();
    let mut mismatches = Vec::new();
    for row in &rows {
        for client in CLIENTS {
            let authorization = tokens.authorization(client, row);
            let headers: Vec<_> =
                authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
            let answer = stack.send(row.method, row.target, &headers, row.body.as_bytes()).await?;
            let upstream = stack.upstream()?;
            let expected = expected(row, client, authorization.as_deref());
            for problem in compare(row, &expected, &answer, upstream.as_ref()) {
                let Row { method, target, body, .. } = row;
                mismatches.push(format!("{method} {target} {body} by {client:?}: {problem}"));
            }
        }
    }
    assert!(rows.len() > 200, "only {} rows", rows.len());
    assert!(mismatches.is_empty(), "{} mismatches:\n{}", mismatches.len(), mismatches.join("\n"));
    Ok(())
}

/// A subject for each permission that a row needs, and the three who are in no row.
fn objects() -> String {
    use crate::objects::grant;
    let mut objects = grant("without", "IAM:Review", "*") + &grant("elsewhere", "*", "other:*");
    objects += &grant("all", "*", "*");
    for (subject, action, resources) in exact() {
        objects += &grant(&subject, action, &resources.join("', '"));
    }
    objects
}

/// Subjects that have exactly what a row needs.
fn exact() -> Vec<(String, &'static str, &'static [&'static str])> {
    let mut found: Vec<(String, &str, &[&str])> = Vec::new();
    for row in ROWS {
        if let Wants::Permission { action, resources, .. } = row.wants {
            let subject = subject(action, resources);
            if !found.iter().any(|(known, ..)| *known == subject) {
                found.push((subject, action, resources));
            }
        }
    }
    found
}

fn subject(action: &str, resources: &[&str]) -> String {
    let name = format!("{action}-{}", resources.join("-")).to_lowercase();
    name.replace(':', "-").replace('*', "all")
}

fn expected(row: &Row, client: Client, authorization: Option<&str>) -> Expected {
    let refused = |status, challenge: Option<String>| Expected { status, challenge, upstream: None };
    let invalid = |why: &str| format!(r#"{API}, error="invalid_token", error_description="{why}""#);
    let unauthenticated = match client {
        Client::NoToken => Some(API.to_owned()),
        Client::Garbage => Some(invalid("malformed token: not three parts with dots between them")),
        Client::BrokenSignature => {
            Some(invalid("the signature does not verify: send the token as it was issued"))
        }
        _ => None,
    };
    let reaches = |authorization: Option<&str>| {
        let upstream = Some((row.target.to_owned(), authorization.map(str::to_owned)));
        Expected { status: 200, challenge: None, upstream }
    };
    match row.wants {
        Wants::Refused(status) => refused(status, None),
        Wants::NotAMethod(_) => refused(405, None),
        Wants::TokenService(status) => refused(status, None),
        Wants::ClosedToAll => refused(403, None),
        Wants::Nothing => reaches(None),
        Wants::NothingOrNoApiToken => match client {
            Client::NoToken | Client::Garbage => reaches(authorization),
            _ => refused(401, Some(NO_API_TOKEN.to_owned())),
        },
        Wants::Closed | Wants::Permission { .. } if unauthenticated.is_some() => {
            refused(401, unauthenticated)
        }
        Wants::Permission { upstream, .. } if client == Client::WithPermission => {
            let upstream = Some((upstream.to_owned(), Some(basic(USER, PASSWORD))));
            Expected { status: 200, challenge: None, upstream }
        }
        Wants::Closed | Wants::Permission { .. } => refused(403, None),
    }
}

/// A header value without the token that it may hold: not even a test writes one down.
fn unsigned(text: &str) -> &str {
    text.split_once("eyJ").map_or(text, |(before, _)| before)
}

/// What differs.
fn compare(row: &Row, expected: &Expected, answer: &RawResponse, upstream: Option<&Recorded>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, seen: Option<&str>, wanted: Option<&str>| {
        if seen != wanted {
            let short = |text: Option<&str>| text.map(|text| text.chars().take(120).collect::<String>());
            let (seen, wanted) = (short(seen.map(unsigned)), short(wanted.map(unsigned)));
            problems.push(format!("{what} is {seen:?} instead of {wanted:?}"));
        }
    };
    let seen = upstream.map(|request| request.target.as_str());
    expect("the target upstream", seen, expected.upstream.as_ref().map(|(target, _)| target.as_str()));
    let seen = upstream.and_then(|request| request.header("authorization"));
    let wanted = expected.upstream.as_ref().and_then(|(_, authorization)| authorization.as_deref());
    expect("Authorization upstream", seen, wanted);
    expect("WWW-Authenticate", answer.header("www-authenticate"), expected.challenge.as_deref());
    let allow = if let Wants::NotAMethod(allow) = row.wants { Some(allow) } else { None };
    expect("Allow", answer.header("allow"), allow);
    if let Some(upstream) = upstream {
        expect("the method upstream", Some(&upstream.method), Some(row.method));
        if upstream.body != row.body.as_bytes() {
            problems.push(format!("the body upstream is {:?}", upstream.body));
        }
        // What the gateway itself answers is its own affair.
        if matches!(answer.status, 401 | 403 | 405 | 503) {
            problems.push(format!("{} {}", answer.status, answer.text()));
        }
        return problems;
    }
    if answer.status != expected.status {
        let status = answer.status;
        problems.push(format!("{status} instead of {}: {}", expected.status, answer.text().trim_end()));
        return problems;
    }
    if !matches!(row.wants, Wants::TokenService(_)) {
        problems.extend(refusal_problems(row.method, answer));
    }
    problems
}

/// What is wrong with the form of a refusal.
fn refusal_problems(method: &str, answer: &RawResponse) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, wanted) in [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")] {
        let seen = answer.header(name);
        if seen != Some(wanted) {
            problems.push(format!("{name} is {seen:?}"));
        }
    }
    let decision = answer.header("x-faas-iam-decision").unwrap_or_default();
    if decision.len() != 26 {
        problems.push(format!("x-faas-iam-decision is {decision:?}"));
    }
    let word = match answer.status {
        400 => "bad request: ",
        401 => "unauthorized: ",
        403 => "forbidden: ",
        404 => "not found: ",
        405 => "method not allowed: ",
        _ => "?",
    };
    let body = answer.text();
    let line =
        body.strip_suffix(&format!(" (decision {decision})\n")).and_then(|line| line.strip_prefix(word));
    match line {
        // The answer to a HEAD has no body.
        None if method == "HEAD" && body.is_empty() => {}
        Some(line) if !line.trim().is_empty() && !line.contains('\n') => {}
        _ => problems.push(format!("the body is {body:?}")),
    }
    problems
}

// === impl Tokens ===

impl Tokens {
    async fn fetch(stack: &Stack) -> Result<Self> {
        let mut exact_tokens = BTreeMap::new();
        for (subject, ..) in exact() {
            let token = stack.token(&subject).await?;
            exact_tokens.insert(subject, token);
        }
        Ok(Self {
            without: stack.token("without").await?,
            elsewhere: stack.token("elsewhere").await?,
            all: stack.token("all").await?,
            exact: exact_tokens,
        })
    }

    fn authorization(&self, client: Client, row: &Row) -> Option<String> {
        let fitting = match row.wants {
            Wants::Permission { action, resources, .. } => self.exact.get(&subject(action, resources)),
            _ => None,
        };
        let fitting = fitting.unwrap_or(&self.all);
        let token = match client {
            Client::NoToken => return None,
            Client::Garbage => "garbage".to_owned(),
            Client::BrokenSignature => break_signature(fitting),
            Client::WithoutPermission => self.without.clone(),
            Client::Elsewhere => self.elsewhere.clone(),
            Client::WithPermission => fitting.clone(),
        };
        Some(format!("Bearer {token}"))
    }
}

/// The same token with another first character of its signature.
fn break_signature(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let rest: String = signature.chars().skip(1).collect();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{rest}")
}

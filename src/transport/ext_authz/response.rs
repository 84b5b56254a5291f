//! The only maker of Envoy's `CheckResponse`.
//!
//! In this protocol the zero value allows: Envoy takes a response without `status` for an OK
//! (`google.rpc.Status.code` 0), whatever else it holds. So every response is made here, from a
//! verdict, and always has a `status`.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, QueryParameter};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value};
use envoy_types::pb::google::rpc;
use tonic::Code;

use crate::decide::authorize::{Actor, Answer, Challenge, Realm, Refused, Upstream, Verdict};
use crate::reason::Reason;

/// The response header, and the key of the dynamic metadata, that name a decision.
pub(crate) const DECISION_HEADER: &str = "x-faas-iam-decision";

/// What a response says beside the verdict.
pub(crate) struct Envelope<'a> {
    /// Names the decision.
    pub(crate) decision_id: &'a str,
    /// The revision of the snapshot that it rests on, if there was one.
    pub(crate) revision: Option<&'a str>,
    /// This service's URL.
    pub(crate) issuer: &'a str,
    /// The gateway's own credentials, as an `Authorization` value.
    pub(crate) gateway_authorization: Option<&'a str>,
}

/// The response to a check.
pub(crate) fn check_response(verdict: &Verdict, envelope: &Envelope<'_>) -> CheckResponse {
    let (code, http) = match &verdict.answer {
        Answer::Allow(_, upstream) => (Code::Ok, HttpResponse::OkResponse(ok(upstream, envelope))),
        Answer::Refuse(refused) => {
            (wire(refused.reason).code, HttpResponse::DeniedResponse(denied(refused, envelope)))
        }
    };
    let status =
        rpc::Status { code: code.into(), message: verdict.reason().to_string(), details: Vec::new() };
    CheckResponse {
        status: Some(status),
        dynamic_metadata: Some(metadata(verdict, envelope)),
        http_response: Some(http),
    }
}

/// The HTTP status that a refusal has.
pub fn http_status(reason: Reason) -> u16 {
    wire(reason).http
}

/// How a refusal looks on the wire.
struct Wire {
    http: u16,
    code: Code,
}

/// The one table from reason to status. Codes are those of `google.rpc.Code`.
fn wire(reason: Reason) -> Wire {
    let (http, code) = match reason {
        Reason::NoToken
        | Reason::AmbiguousCredentials
        | Reason::BadCredentials
        | Reason::MalformedToken
        | Reason::UnsupportedAlgorithm
        | Reason::UnknownIssuer
        | Reason::UnknownKey
        | Reason::BadSignature
        | Reason::AudienceMismatch
        | Reason::TokenExpired
        | Reason::TokenNotYetValid
        | Reason::WrongTokenKind
        | Reason::FunctionTokenRequired => (401, Code::Unauthenticated),
        Reason::MalformedPath
        | Reason::MalformedQuery
        | Reason::MalformedBody
        | Reason::ConflictingTarget
        | Reason::InvalidName
        | Reason::MalformedHeader => (400, Code::InvalidArgument),
        Reason::PartialBody => (413, Code::InvalidArgument),
        Reason::UnknownRoute => (404, Code::NotFound),
        Reason::MethodNotAllowed => (405, Code::Unimplemented),
        Reason::ClosedRoute
        | Reason::SystemNamespace
        | Reason::CallbackNotAllowed
        | Reason::NoMatchingRole
        | Reason::NoMatchingAllow
        | Reason::ExplicitDeny
        | Reason::InvalidPolicy
        | Reason::FunctionTokenScope
        | Reason::FilterNotWired => (403, Code::PermissionDenied),
        // Not Envoy's `error_response`: that one obeys a `failure_mode_allow` that is set by mistake.
        // The reasons of an Allow never reach a refusal; if one does, the service is broken.
        Reason::SnapshotNotReady
        | Reason::Overloaded
        | Reason::InternalError
        | Reason::Allowed
        | Reason::PublicRoute
        | Reason::AdminCredentials => (503, Code::Unavailable),
    };
    Wire { http, code }
}

fn ok(upstream: &Upstream, envelope: &Envelope<'_>) -> OkHttpResponse {
    let mut response = OkHttpResponse::default();
    match (upstream, envelope.gateway_authorization) {
        (Upstream::Unchanged, _) => {}
        (Upstream::Gateway { .. }, Some(value)) => response.headers.push(header("authorization", value)),
        // The client's token is for us, not for what stands behind us.
        (Upstream::Gateway { .. }, None) | (Upstream::Anonymous, _) => {
            response.headers_to_remove.push("authorization".to_owned());
        }
    }
    if let Upstream::Gateway { set_namespace: Some(value) } = upstream {
        let parameter = QueryParameter { key: "namespace".into(), value: value.clone() };
        response.query_parameters_to_set.push(parameter);
    }
    response
}

fn denied(refused: &Refused, envelope: &Envelope<'_>) -> DeniedHttpResponse {
    let Wire { http, .. } = wire(refused.reason);
    let mut headers = vec![
        header("content-type", "text/plain; charset=utf-8"),
        header("cache-control", "no-store"),
        header(DECISION_HEADER, envelope.decision_id),
    ];
    headers.extend(refused.challenge.iter().flat_map(challenges));
    if !refused.allow.is_empty() {
        headers.push(header("allow", &refused.allow.join(", ")));
    }
    if http == 503 {
        headers.push(header("retry-after", "1"));
    }
    let word = match http {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        413 => "content too large",
        503 => "unavailable",
        _ => "bad request",
    };
    let message = one_line(&refused.message);
    DeniedHttpResponse {
        status: Some(HttpStatus { code: http.into() }),
        headers,
        body: format!("{word}: {message} (decision {})\n", envelope.decision_id),
    }
}

/// `WWW-Authenticate` (RFC 9110 section 11.6.1, RFC 6750 section 3). The realms are those that the
/// OpenFaaS clients look for; they split parameters at a comma and a space.
fn challenges(challenge: &Challenge) -> Vec<HeaderValueOption> {
    let mut bearer = match challenge.realm {
        Realm::Api => r#"Bearer realm="OpenFaaS API", charset="UTF-8""#.to_owned(),
        Realm::Function => r#"Bearer realm="IAM function invoke""#.to_owned(),
    };
    if let Some(description) = &challenge.error {
        let description: String =
            one_line(description).chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        bearer.push_str(&format!(r#", error="invalid_token", error_description="{description}""#));
    }
    let mut headers = vec![header("www-authenticate", &bearer)];
    if challenge.basic {
        let basic = r#"Basic realm="OpenFaaS API", charset="UTF-8""#;
        let append = HeaderAppendAction::AppendIfExistsOrAdd.into();
        headers.push(HeaderValueOption { append_action: append, ..header("www-authenticate", basic) });
    }
    headers
}

fn header(key: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value: value.to_owned(), raw_value: Vec::new() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

/// Visible ASCII and spaces only: nothing that a claim holds can end a line or a header.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// The dynamic metadata, which Envoy hands to its access log and to later filters under the name of
/// the ext_authz filter.
fn metadata(verdict: &Verdict, envelope: &Envelope<'_>) -> Struct {
    let (subject, name, fed_issuer) = match &verdict.actor {
        Some(Actor::Federated(principal)) => (
            Some(format!("fed:{}", principal.subject)),
            principal.claims.get("name").and_then(serde_json::Value::as_str).map(str::to_owned),
            Some(principal.issuer.clone()),
        ),
        Some(Actor::Admin(user)) => (Some(format!("basic:{user}")), None, None),
        None => (None, None, None),
    };
    let decision = if verdict.is_allowed() { "allow" } else { "deny" };
    let texts = [
        ("decision_id", Some(envelope.decision_id.to_owned())),
        ("revision", envelope.revision.map(str::to_owned)),
        ("issuer", fed_issuer.is_some().then(|| envelope.issuer.to_owned())),
        ("subject", subject),
        ("name", name),
        ("fed_issuer", fed_issuer),
        ("action", verdict.action.map(|action| action.to_string())),
        ("decision", Some(decision.to_owned())),
        ("reason", Some(verdict.reason().to_string())),
    ];
    let mut fields: HashMap<String, Value> =
        texts.into_iter().filter_map(|(key, text)| text.map(|text| (key.to_owned(), string(text)))).collect();
    let resources = verdict.resources.iter().map(|resource| string(resource.to_string()));
    fields.insert("resource".to_owned(), list(resources));
    let statements = verdict.statements().iter().map(|statement| string(statement.to_string()));
    fields.insert("statements".to_owned(), list(statements));
    Struct { fields }
}

const fn string(text: String) -> Value {
    Value { kind: Some(Kind::StringValue(text)) }
}

fn list(values: impl Iterator<Item = Value>) -> Value {
    Value { kind: Some(Kind::ListValue(ListValue { values: values.collect() })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope<'static> {
        Envelope { decision_id: "01X", revision: None, issuer: "https://gw", gateway_authorization: None }
    }

    #[test]
    fn every_refusal_has_a_status_that_is_not_ok_and_a_body() {
        for reason in Reason::ALL {
            let verdict = Verdict::refuse(Refused::new(*reason, "line\r\nfeed \u{e9}"));
            let response = check_response(&verdict, &envelope());
            assert_ne!(response.status.unwrap().code, 0, "{reason}");
            let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else {
                panic!("{reason} is not denied");
            };
            assert!(denied.status.unwrap().code >= 400, "{reason}");
            assert_eq!(denied.body.lines().count(), 1, "{reason}");
            assert!(denied.body.contains("line??feed ? (decision 01X)"), "{}", denied.body);
        }
    }

    #[test]
    fn a_challenge_cannot_be_broken_out_of() {
        let error = Some("a\"b\\c\r\nSet-Cookie: x".to_owned());
        let [header] =
            challenges(&Challenge { realm: Realm::Function, error, basic: false }).try_into().unwrap();
        assert_eq!(
            header.header.unwrap().value,
            r#"Bearer realm="IAM function invoke", error="invalid_token", error_description="abc??Set-Cookie: x""#
        );
    }
}

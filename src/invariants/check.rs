//! A whole check: what is let through was asked for in one way, by somebody who may.

use std::sync::{Arc, LazyLock};

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization as _;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::request::Written;
use crate::compile::Bundle;
use crate::crd::Defaults;
use crate::decide::authorize::{FunctionAuth, Settings};
use crate::decide::{Decision, decide_all};
use crate::identity::verify::described;
use crate::policy::{Context, Resource};
use crate::route::{Access, resolve};
use crate::source::files::read_documents;
use crate::state::State;
use crate::telemetry::Metrics;
use crate::token::TokenCache;
use crate::token::signer::SigningKeys;
use crate::transport::ext_authz::ExtAuthz;
use crate::transport::now;

const IDP: &str = "https://idp.example.com";
const OURS: &str = "https://gateway.example.com";

/// Alice may do some things; what is denied and what needs a condition is among them.
const OBJECTS: &str = r#"
apiVersion: iam.openfaas.com/v1
kind: JwtIssuer
metadata: {name: idp}
spec: {iss: "https://idp.example.com", aud: [openfaas]}
---
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {name: dev}
spec:
  statement:
  - {sid: dev, effect: Allow, action: ["*"], resource: ["dev:*"]}
  - {sid: read, effect: Allow, action: ["Function:Get", "Function:List", "System:Info"], resource: ["*"]}
  - {sid: keep, effect: Deny, action: ["Function:Delete"], resource: ["dev:checkout"]}
  - sid: get-only
    effect: Allow
    action: ["Secret:*"]
    resource: ["prod:*"]
    condition: {StringEqual: {"request:Method": [GET]}}
---
apiVersion: iam.openfaas.com/v1
kind: Role
metadata: {name: developers}
spec:
  policy: [dev]
  principal: {"jwt:iss": ["https://idp.example.com"], "jwt:sub": [alice]}
"#;

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

/// The service, with what stands for tokens in a corpus: `{api}`, `{function}` and `{expired}`.
struct Stage {
    services: Vec<ExtAuthz>,
    tokens: [(&'static str, String); 3],
}

/// For the whole check; the bytes are a request as the corpora write it.
pub fn check(data: &[u8]) -> bool {
    let mut written = Written::read(data);
    for (_, value) in &mut written.headers {
        for (placeholder, token) in &STAGE.tokens {
            *value = value.replace(placeholder, token);
        }
    }
    let anonymous = Written {
        headers: written.headers.iter().filter(|(name, _)| name != "authorization").cloned().collect(),
        method: written.method.clone(),
        target: written.target.clone(),
        body: written.body.clone(),
    };
    let mut allowed = false;
    for service in &STAGE.services {
        for request in [&written, &anonymous] {
            allowed |= STAGE.holds(service, request);
        }
    }
    allowed
}

// === impl Stage ===

impl Stage {
    fn new() -> Self {
        let signing = Arc::new(SigningKeys::ephemeral().unwrap());
        let (now, mut bundle) = (now(), Bundle::default());
        read_documents(OBJECTS, "objects.yaml", &Defaults::default(), &mut bundle);
        assert!(bundle.diagnostics.is_empty(), "{:?}", bundle.diagnostics);
        let state = Arc::new(State::new(OURS.to_owned(), Arc::clone(&signing)));
        state.publish_objects(bundle);
        let auths = [FunctionAuth::Off, FunctionAuth::Required];
        let services = auths.map(|function_auth| ExtAuthz {
            state: Arc::clone(&state),
            settings: Settings { function_auth, ..Settings::default() },
            gateway: None,
            metrics: Arc::new(Metrics::default()),
            tokens: Arc::new(TokenCache::new(1 << 20)),
            admin_basic_auth: false,
        });
        let day = 24 * 60 * 60;
        let token = |exp: i64, more: Value| {
            let mut claims = json!({
                "iss": OURS, "sub": "fed:alice", "fed:iss": IDP, "fed:aud": "openfaas",
                "iat": now - day, "exp": exp, "jti": "test",
            });
            let claims = claims.as_object_mut().unwrap();
            claims.extend(more.as_object().unwrap().clone());
            signing.sign(claims).unwrap()
        };
        let function = json!({"permissions": ["dev:*", "other:*"], "audience": []});
        let tokens = [
            ("{api}", token(now + day, json!({"aud": OURS}))),
            ("{function}", token(now + day, json!({"aud": [OURS], "fed:claims": {}, "function": function}))),
            ("{expired}", token(now - 1, json!({"aud": OURS}))),
        ];
        Self { services: services.into(), tokens }
    }

    fn token(&self, placeholder: &str) -> &str {
        self.tokens.iter().find(|(name, _)| *name == placeholder).map_or("", |(_, token)| token)
    }

    /// True if the request is let through.
    fn holds(&self, service: &ExtAuthz, request: &Written) -> bool {
        let response = answer(service, request);
        let Some(status) = &response.status else { panic!("a response without a status allows") };
        assert_ne!(status.message, "internal-error", "the service failed");
        match &response.http_response {
            Some(HttpResponse::OkResponse(ok)) => {
                assert_eq!(status.code, 0);
                self.permitted(service, request, ok);
                true
            }
            Some(HttpResponse::DeniedResponse(denied)) => {
                assert_ne!(status.code, 0, "Envoy takes that for an OK");
                refused(denied);
                false
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whoever is let through may do what is asked for.
    fn permitted(&self, service: &ExtAuthz, request: &Written, ok: &OkHttpResponse) {
        let authorization = request.header("authorization").unwrap_or_default();
        let access = request.with_http(|http| resolve(&http, &service.settings.rules));
        match access {
            Ok(Access::Api(call)) => {
                assert!(call.closed.is_none(), "a closed route is open");
                let Some(action) = call.action else { panic!("allowed without an action") };
                assert!(presents(&authorization, self.token("{api}")), "allowed without a token");
                allowed(service, request, action, &call.resources);
                assert!(ok.headers_to_remove.iter().any(|name| name == "authorization"), "the token goes on");
                let set: Vec<_> = ok.query_parameters_to_set.iter().map(|set| set.value.clone()).collect();
                assert_eq!(set, Vec::from_iter(call.set_namespace));
            }
            Ok(Access::Invoke { function, closed }) => {
                assert!(closed.is_none(), "a closed function is open");
                assert!(ok.headers.is_empty(), "credentials are added on the way to a function");
                assert!(!authorization.contains(self.token("{api}")), "an API token reaches a function");
                if service.settings.function_auth == FunctionAuth::Required {
                    assert!(presents(&authorization, self.token("{function}")), "called without a token");
                    allowed(service, request, crate::policy::Action::FunctionInvoke, &[function]);
                }
            }
            Ok(Access::Public) => {
                assert!(ok.headers_to_remove.iter().any(|name| name == "authorization"), "the token goes on");
            }
            other => panic!("{other:?} is let through"),
        }
    }
}

fn answer(service: &ExtAuthz, request: &Written) -> CheckResponse {
    let http = HttpRequest {
        method: request.method.clone(),
        path: request.target.clone(),
        headers: request
            .headers
            .iter()
            .filter_map(|(name, _)| Some((name.clone(), request.header(name)?)))
            .collect(),
        raw_body: request.body.clone(),
        ..HttpRequest::default()
    };
    let attributes = AttributeContext {
        request: Some(Request { http: Some(http), ..Request::default() }),
        ..Default::default()
    };
    let request = tonic::Request::new(CheckRequest { attributes: Some(attributes) });
    match service.check(request).now_or_never() {
        Some(Ok(response)) => response.into_inner(),
        other => panic!("a check waits or fails: {other:?}"),
    }
}

/// Whether the header is this Bearer token and nothing else.
fn presents(authorization: &str, token: &str) -> bool {
    let words: Vec<&str> = authorization.split(' ').filter(|word| !word.is_empty()).collect();
    matches!(words.as_slice(), [scheme, found] if scheme.eq_ignore_ascii_case("bearer") && found.trim() == token)
}

/// Alice may do it to every one of the resources.
fn allowed(service: &ExtAuthz, request: &Written, action: crate::policy::Action, resources: &[Resource]) {
    let claims = json!({"iss": IDP, "sub": "alice", "aud": "openfaas"});
    let alice = described(claims.as_object().cloned().unwrap()).unwrap();
    let loaded = service.state.current().unwrap();
    let context = Context { source_ip: None, now: now(), method: Some(request.method.clone()) };
    assert!(!resources.is_empty(), "{action} on nothing is allowed");
    for resource in resources {
        let one = std::slice::from_ref(resource);
        let (decision, _) = decide_all(&loaded.snapshot, &alice, action, one, &context);
        assert!(matches!(decision, Decision::Allow(_)), "{action} on {resource} is let through");
    }
}

/// An answer that says something, in one line, and that cannot be split.
fn refused(denied: &DeniedHttpResponse) {
    let status = denied.status.as_ref().map_or(0, |status| status.code);
    assert!([400, 401, 403, 404, 405, 413].contains(&status), "{status}");
    assert_eq!(denied.body.matches('\n').count(), 1, "{:?}", denied.body);
    assert!(denied.body.ends_with('\n') && denied.body.is_ascii(), "{:?}", denied.body);
    let has =
        |name: &str| denied.headers.iter().any(|added| added.header.as_ref().is_some_and(|h| h.key == name));
    assert_eq!(has("www-authenticate"), status == 401, "{denied:?}");
    assert_eq!(has("allow"), status == 405, "{denied:?}");
    for header in denied.headers.iter().filter_map(|added| added.header.as_ref()) {
        let printable = |byte: u8| (b' '..=b'~').contains(&byte);
        assert!(header.value.bytes().all(printable), "{header:?}");
    }
}

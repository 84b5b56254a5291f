//! The parts together, in one process: objects, providers on the network, exchange and check.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization as _;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use serde_json::{Value, json};

use super::*;
use crate::compile::Bundle;
use crate::identity::test_issuer::{TestKey, jwks};
use crate::source::files::read_documents;
use crate::source::issuer_keys::test_provider::{Answer, Stub};
use crate::token::Parameters;
use crate::token::oauth;
use crate::transport::http::{ExchangeFailure, TokenService as _};
use crate::transport::now;

mod mounted;
mod providers;
mod rotation;
mod staleness;
mod status;

const OURS: &str = "https://gw.example.com";

/// Everybody may do everything; what is tested is who counts as somebody.
const EVERYBODY: &str = r#"
---
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {name: all}
spec:
  statement:
  - {sid: all, effect: Allow, action: ["*"], resource: ["*"]}
---
apiVersion: iam.openfaas.com/v1
kind: Role
metadata: {name: everybody}
spec:
  policy: [all]
  condition: {StringLike: {"jwt:sub": ["*"]}}
"#;

fn jwt_issuer(name: &str, iss: &str, audience: &str) -> String {
    format!(
        "---\napiVersion: iam.openfaas.com/v1\nkind: JwtIssuer\nmetadata: {{name: {name}}}\n\
         spec: {{iss: \"{iss}\", aud: [{audience}], tokenExpiry: 10m}}\n"
    )
}

fn bundle(issuers: &str) -> Bundle {
    let mut bundle = Bundle::default();
    read_documents(&format!("{issuers}{EVERYBODY}"), "objects.yaml", &Defaults::default(), &mut bundle);
    assert!(bundle.diagnostics.is_empty(), "{:?}", bundle.diagnostics);
    bundle
}

struct Bed {
    state: Arc<State>,
    keys: IssuerKeys,
    exchange: Exchange,
    ext_authz: ExtAuthz,
    stop: CancellationToken,
}

fn bed(issuers: &str, fetch: FetchConfig, signing: SigningKeys) -> Arc<Bed> {
    let state = Arc::new(State::new(OURS.into(), Arc::new(signing)));
    state.publish_objects(bundle(issuers));
    let stop = CancellationToken::new();
    let publish = Arc::clone(&state);
    let publish = move |iss, keys| publish.publish_keys(iss, keys);
    let keys = issuer_keys::spawn(fetch, state.wanted(), publish, stop.clone()).unwrap();
    let exchange = Exchange::new(OURS.into(), Arc::clone(&state), keys.clone());
    let ext_authz = ExtAuthz {
        state: Arc::clone(&state),
        settings: Settings::default(),
        gateway: None,
        metrics: Arc::default(),
        tokens: Arc::new(TokenCache::new(1 << 20)),
        admin_basic_auth: false,
    };
    Arc::new(Bed { state, keys, exchange, ext_authz, stop })
}

impl Bed {
    /// Exchanges a provider's token for one of ours.
    fn exchange(&self, token: &str) -> Result<String, ExchangeFailure> {
        let form = format!(
            "grant_type={}&subject_token_type={}&subject_token={token}",
            oauth::GRANT_TYPE_TOKEN_EXCHANGE,
            oauth::TOKEN_TYPE_JWT
        );
        let parameters = Parameters::from_form(None, form.as_bytes());
        self.exchange.exchange(parameters, None).map(|success| success.access_token)
    }

    async fn check(&self, token: &str) -> i32 {
        check(&self.ext_authz, token).await
    }

    /// Until the keys of so many issuers are in force.
    async fn until_keys_of(&self, issuers: usize) {
        let held = || {
            let loaded = self.state.current().unwrap();
            loaded.snapshot.issuers.wanted().len() - loaded.snapshot.issuers.without_keys().len()
        };
        for _ in 0..1000 {
            if held() == issuers {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", self.keys.status());
    }
}

/// The code in the status of a call of the API with one of our tokens; 0 if it is allowed.
async fn check(ext_authz: &ExtAuthz, token: &str) -> i32 {
    let http = HttpRequest {
        method: "GET".into(),
        path: "/system/functions?namespace=dev".into(),
        headers: [("authorization".to_owned(), format!("Bearer {token}"))].into(),
        ..HttpRequest::default()
    };
    let request = Request { http: Some(http), ..Request::default() };
    let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
    let request = CheckRequest { attributes: Some(attributes) };
    ext_authz.check(tonic::Request::new(request)).await.unwrap().into_inner().status.unwrap().code
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn claims(iss: &str, audience: &str) -> Value {
    json!({"iss": iss, "sub": "alice", "aud": audience, "iat": now(), "exp": now() + 300})
}

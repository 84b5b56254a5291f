//! Envoy with its shipped configuration, between a prepared decision point and an OpenFaaS API.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use envoy_types::pb::google::rpc::Status;
use tempfile::TempDir;

use crate::support::authz_stub::AuthzStub;
use crate::support::envoy::{self, Addresses, Envoy};
use crate::support::http::{self, RawResponse};
use crate::support::openfaas::{OpenFaas, Recorded};

/// The gateway's password, and what it is in a basic-auth header with `admin`.
const GATEWAY_PASSWORD: &str = "canary-secret";
pub(crate) const GATEWAY_CREDENTIALS: &str = "Basic YWRtaW46Y2FuYXJ5LXNlY3JldA==";

/// The parts, and the files of Envoy. Fields are dropped in order: Envoy first.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) envoy: Envoy,
    pub(crate) decisions: AuthzStub,
    pub(crate) gateway: OpenFaas,
    /// Stands for the HTTP side of `faas-iam`; it only records.
    pub(crate) token_service: OpenFaas,
    _files: TempDir,
}

// === impl Bed ===

impl Bed {
    /// Starts the parts; the decision point allows everything.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_changed(|config| config).await
    }

    /// The same, with a change of Envoy's configuration beside that of addresses.
    pub(crate) async fn start_changed(change: impl Fn(String) -> String) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let decisions = AuthzStub::start().await?;
        decisions.respond(allow());
        let gateway = OpenFaas::start("admin", GATEWAY_PASSWORD, &["dev", "prod"]).await?;
        let token_service = OpenFaas::start("admin", GATEWAY_PASSWORD, &[]).await?;
        let addresses = Addresses::in_front_of(gateway.address, decisions.address, token_service.address)?;
        let config = change(envoy::shipped(&addresses)?);
        Ok(Self {
            envoy: Envoy::start_with(&config, addresses, files.path()).await?,
            decisions,
            gateway,
            token_service,
            _files: files,
        })
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.envoy.addresses.listener
    }

    /// Sends a request through Envoy, exactly as given.
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<RawResponse> {
        http::request(self.address(), method, target, headers, body).await
    }

    /// The one request that reached the gateway since this was last asked, if any.
    pub(crate) fn forwarded(&self) -> Option<Recorded> {
        let mut recorded = self.gateway.recorded();
        self.gateway.reset();
        assert!(recorded.len() <= 1, "{recorded:?}");
        recorded.pop()
    }

    /// The one request that was asked about since this was last asked.
    pub(crate) fn checked(&self) -> Result<HttpRequest> {
        let mut requests = self.decisions.take_requests();
        assert!(requests.len() <= 1, "{requests:?}");
        requests.pop().context("no request was asked about")
    }
}

/// An allow as the service gives it for `/system`: with the gateway's credentials.
pub(crate) fn allow() -> CheckResponse {
    let credentials = HeaderValueOption {
        header: Some(HeaderValue {
            key: "authorization".to_owned(),
            value: GATEWAY_CREDENTIALS.to_owned(),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    };
    allow_with(OkHttpResponse { headers: vec![credentials], ..OkHttpResponse::default() })
}

/// An allow with exactly these changes to the request.
pub(crate) fn allow_with(changes: OkHttpResponse) -> CheckResponse {
    CheckResponse {
        status: Some(status(0)),
        http_response: Some(HttpResponse::OkResponse(changes)),
        dynamic_metadata: Some(metadata("allow")),
    }
}

/// A denial, without `status`.
pub(crate) fn denied(http_status: i32, body: &str) -> HttpResponse {
    HttpResponse::DeniedResponse(DeniedHttpResponse {
        status: Some(HttpStatus { code: http_status }),
        headers: Vec::new(),
        body: body.to_owned(),
    })
}

/// The metadata of a decision.
pub(crate) fn metadata(decision: &str) -> Struct {
    let value = Value { kind: Some(Kind::StringValue(decision.to_owned())) };
    Struct { fields: [("decision".to_owned(), value)].into() }
}

/// A gRPC status inside a response.
pub(crate) fn status(code: i32) -> Status {
    Status { code, ..Status::default() }
}

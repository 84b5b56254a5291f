//! Envoy's external authorization (`envoy.service.auth.v3.Authorization`).

mod request;
mod response;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use tonic::{Request, Response, Status};
use ulid::Ulid;

use super::gateway_credentials::GatewayCredentials;
use super::now;
use crate::decide::authorize::{Identity, Inquiry, Refused, Settings, Verdict, authorize};
use crate::policy::Context;
use crate::reason::Reason;
use crate::state::{Loaded, State};
use crate::telemetry::Metrics;
use crate::token::TokenCache;
use request::Incoming;
use response::{Envelope, check_response};

pub use response::http_status;

/// Answers checks from what is in force.
#[derive(Debug)]
pub struct ExtAuthz {
    /// What is in force.
    pub state: Arc<State>,
    /// How requests are read and functions called.
    pub settings: Settings,
    /// The gateway's own credentials, where it asks for any.
    pub gateway: Option<Arc<GatewayCredentials>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Verifies tokens.
    pub tokens: Arc<TokenCache>,
    /// Whether routes may accept the gateway's administrator.
    pub admin_basic_auth: bool,
}

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    /// Always ends with gRPC status OK: what was decided stands in the response.
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner();
        let decision_id = Ulid::new().to_string();
        let loaded = self.state.current();
        let verdict = guarded(|| self.verdict(&request, loaded.as_deref()));
        let gateway_authorization = self.gateway.as_ref().map(|gateway| gateway.authorization());
        let response = check_response(
            &verdict,
            &Envelope {
                decision_id: &decision_id,
                revision: loaded.as_ref().map(|loaded| loaded.snapshot.revision.as_str()),
                issuer: loaded.as_ref().map_or("", |loaded| loaded.snapshot.own.url()),
                gateway_authorization: gateway_authorization.as_deref(),
            },
        );
        self.metrics.count(verdict.reason());
        log(&request, &verdict, &decision_id);
        Ok(Response::new(response))
    }
}

/// The answer to a check that nobody decided: the service has no room for it, or has failed.
pub(super) fn unavailable(reason: Reason, message: &str) -> impl prost::Message + use<> {
    let decision_id = Ulid::new().to_string();
    let envelope =
        Envelope { decision_id: &decision_id, revision: None, issuer: "", gateway_authorization: None };
    check_response(&Verdict::refuse(Refused::new(reason, message)), &envelope)
}

impl ExtAuthz {
    fn verdict(&self, request: &CheckRequest, loaded: Option<&Loaded>) -> Verdict {
        let Some(loaded) = loaded else {
            let message = "the policies are not loaded yet: try again";
            return Verdict::refuse(Refused::new(Reason::SnapshotNotReady, message));
        };
        let Some(incoming) = Incoming::read(request) else {
            let message = "the proxy sent a check without an HTTP request";
            return Verdict::refuse(Refused::new(Reason::InternalError, message));
        };
        let source_ip = incoming.source_ip();
        let context = Context { source_ip, now: now(), method: Some(incoming.method().to_owned()) };
        let headers = incoming.headers();
        let gateway = self.gateway.as_ref().filter(|_| self.admin_basic_auth && incoming.accepts_admin);
        let admin = |encoded: &str| gateway.and_then(|gateway| gateway.verify(encoded, source_ip));
        let inquiry = Inquiry {
            http: incoming.http(&headers),
            identity: Identity::Header(headers.authorization.as_deref()),
            verifier: &*self.tokens,
            context,
            admin: gateway.is_some().then_some(&admin),
        };
        authorize(&loaded.snapshot, &self.settings, &inquiry)
    }
}

/// The verdict of `decide`. A panic is a defect of ours, and no verdict; the client gets one that
/// refuses.
fn guarded(decide: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| {
        Verdict::refuse(Refused::new(Reason::InternalError, "the service failed; see its log"))
    })
}

/// What may stand in a log: no query, no claim but by the decision's id.
fn log(request: &CheckRequest, verdict: &Verdict, decision_id: &str) {
    let incoming = Incoming::read(request);
    let (method, path) = incoming.map_or(("", ""), |incoming| (incoming.method(), incoming.path()));
    let (reason, allowed) = (verdict.reason().code(), verdict.is_allowed());
    match verdict.reason() {
        Reason::InternalError => tracing::error!(decision_id, method, path, reason, "check failed"),
        _ => tracing::debug!(decision_id, method, path, reason, allowed, "check"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_refusal() {
        let verdict = guarded(|| panic!("a defect"));
        assert_eq!(verdict.reason(), Reason::InternalError);
        assert_eq!(http_status(verdict.reason()), 503);
    }
}

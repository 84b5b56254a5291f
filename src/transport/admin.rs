//! The admin address: probes, metrics, and what is in force.
//!
//! Probes and metrics are for everyone who can reach the address. All else needs a peer on the same
//! host, or a token that allows `IAM:Review` on `*`.

mod issuers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{ConnectInfo, State as Shared};
use axum::http::StatusCode;
use axum::routing::get;
use tonic::{Request, Response, Status};

use super::now;
use crate::compile::{Diagnostic, Severity};
use crate::decide::credentials::Credentials;
use crate::decide::{self, Decision};
use crate::identity::{OwnToken, TokenKind, verify_own};
use crate::policy::{Action, Context, Resource};
use crate::report::Figures;
use crate::source::issuer_keys::IssuerKeys;
use crate::source::kubernetes;
use crate::state::{Loaded, State};
use crate::telemetry::{Metrics, Observed};
use crate::token::TokenCache;

/// Our own protocol.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the proto file documents it"
)]
pub mod pb {
    tonic::include_proto!("faas_iam.v1");
}

use pb::issuer_service_server::IssuerServiceServer;
use pb::snapshot_service_server::{SnapshotService, SnapshotServiceServer};
use pb::{GetSnapshotInfoRequest, ObjectCounts, SnapshotInfo};

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/faas_iam.bin"));

/// What the admin address tells about.
#[derive(Debug, Clone)]
pub struct Admin {
    /// What is in force.
    pub state: Arc<State>,
    /// The keys of the registered issuers.
    pub issuers: IssuerKeys,
    /// How well the cluster is followed, where the objects are in one.
    pub cluster: Option<kubernetes::Status>,
    /// What became of Events, where the objects are in one.
    pub events: Option<Figures>,
    /// The memory of verified tokens.
    pub tokens: Arc<TokenCache>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Set while the service shuts down.
    pub draining: Arc<AtomicBool>,
}

impl Admin {
    /// Whether requests are answered from a snapshot and go on being answered.
    pub fn is_ready(&self) -> bool {
        self.state.current().is_some() && !self.draining.load(Ordering::Relaxed)
    }

    /// All that the admin address serves.
    ///
    /// # Errors
    /// The descriptors for reflection are broken.
    pub fn router(self) -> anyhow::Result<Router> {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .build_v1()?;
        let grpc = tonic::service::Routes::new(SnapshotServiceServer::new(self.clone()))
            .add_service(IssuerServiceServer::new(self.clone()))
            .add_service(reflection);
        let http = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self);
        Ok(http.merge(grpc.into_axum_router()))
    }

    /// # Errors
    /// Nothing is in force yet.
    fn loaded(&self) -> Result<Arc<Loaded>, Status> {
        self.state.current().ok_or_else(|| Status::unavailable(self.why_not_loaded()))
    }

    /// Why nothing is in force, on one line.
    fn why_not_loaded(&self) -> String {
        let age = self.cluster.as_ref().and_then(kubernetes::Status::age).filter(|_| self.state.is_too_old());
        let mut why = match age {
            Some(age) => format!("the policies were not confirmed for {} s", age.as_secs()),
            None => "the policies are not loaded yet".to_owned(),
        };
        for trouble in self.cluster.iter().flat_map(kubernetes::Status::troubles) {
            why.push_str("; ");
            why.extend(trouble.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
        why
    }

    /// # Errors
    /// The caller may not ask.
    fn authorize<T>(&self, request: &Request<T>, loaded: &Loaded) -> Result<(), Status> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        if peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback()) {
            return Ok(());
        }
        let unauthenticated = || Status::unauthenticated("send a token that allows IAM:Review on `*`");
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let Credentials::Bearer(token) = Credentials::read(header) else { return Err(unauthenticated()) };
        let snapshot = &loaded.snapshot;
        let verified = verify_own(token, &snapshot.own, &snapshot.issuers, now());
        let Ok(OwnToken { kind: TokenKind::Api, principal, .. }) = verified else {
            return Err(unauthenticated());
        };
        let context = Context { source_ip: peer.map(|peer| peer.ip()), now: now(), method: None };
        let action = Action::IamReview;
        let request = decide::Request {
            principal: &principal,
            action,
            resource: &Resource::Cluster,
            context: &context,
        };
        match decide::decide(snapshot, &request) {
            Decision::Allow(_) => Ok(()),
            Decision::Filter(_) | Decision::Deny(_) => {
                Err(Status::permission_denied("this needs IAM:Review on `*`"))
            }
        }
    }
}

async fn readyz(Shared(admin): Shared<Admin>) -> (StatusCode, String) {
    match admin.is_ready() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false if admin.draining.load(Ordering::Relaxed) => {
            (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned())
        }
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", admin.why_not_loaded())),
    }
}

async fn metrics(Shared(admin): Shared<Admin>) -> ([(&'static str, &'static str); 1], String) {
    let (loaded, issuers) = (admin.state.current(), admin.issuers.status());
    let cluster = admin.cluster.as_ref().map(kubernetes::Status::kinds).unwrap_or_default();
    let text = admin.metrics.render(&Observed {
        loaded: loaded.as_deref(),
        ready: admin.is_ready(),
        issuers: &issuers,
        cluster: &cluster,
        events: admin.events.as_ref(),
        tokens: admin.tokens.figures(),
    });
    ([("content-type", "text/plain; version=0.0.4")], text)
}

#[tonic::async_trait]
impl SnapshotService for Admin {
    async fn get_snapshot_info(
        &self,
        request: Request<GetSnapshotInfoRequest>,
    ) -> Result<Response<SnapshotInfo>, Status> {
        let loaded = self.loaded()?;
        self.authorize(&request, &loaded)?;
        let age = loaded.since.elapsed().unwrap_or_default();
        let counts = loaded.snapshot.counts;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(Response::new(SnapshotInfo {
            revision: loaded.snapshot.revision.to_string(),
            age: age.try_into().ok(),
            objects: Some(ObjectCounts {
                jwt_issuers: count(counts.issuers),
                policies: count(counts.policies),
                roles: count(counts.roles),
            }),
            diagnostics: loaded.diagnostics.iter().map(to_message).collect(),
        }))
    }
}

fn to_message(diagnostic: &Diagnostic) -> pb::Diagnostic {
    let Diagnostic { origin, object, field, severity, code, message } = diagnostic.clone();
    let severity = match severity {
        Severity::Warning => pb::diagnostic::Severity::Warning,
        Severity::Error => pb::diagnostic::Severity::Error,
    };
    let (kind, namespace, name) = object
        .map_or_else(Default::default, |object| (object.kind.to_string(), object.namespace, object.name));
    let (severity, code) = (severity.into(), code.as_str().to_owned());
    pb::Diagnostic { origin, kind, namespace, name, field, severity, code, message }
}

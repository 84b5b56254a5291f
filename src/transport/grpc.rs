//! What Envoy talks to over gRPC: external authorization, health, reflection.

use axum::Router;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use super::ext_authz::ExtAuthz;

/// Descriptors of `envoy.service.auth.v3`, for reflection.
const EXT_AUTHZ_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ext_authz.bin"));

/// The largest check that is read: a secret with its body and headers.
const MAX_CHECK: usize = 9 * 1024 * 1024;

/// Says to those who ask about this service, or about the whole server, whether it answers.
pub async fn set_health(health: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in ["", AuthorizationServer::<ExtAuthz>::NAME] {
        health.set_service_status(name, status).await;
    }
}

/// All that is served.
///
/// # Errors
/// The descriptors for reflection are broken.
pub fn router(ext_authz: impl Authorization, health: HealthServer<impl Health>) -> anyhow::Result<Router> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(EXT_AUTHZ_DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let routes = Routes::new(health)
        .add_service(reflection)
        .add_service(AuthorizationServer::new(ext_authz).max_decoding_message_size(MAX_CHECK));
    Ok(routes.into_axum_router())
}

//! Clients for what the service serves over gRPC.

use anyhow::Result;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use faas_iam::transport::admin::pb::snapshot_service_client::SnapshotServiceClient;
use faas_iam::transport::admin::pb::{GetSnapshotInfoRequest, SnapshotInfo};
use tonic::transport::{Channel, Endpoint};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// Connects to `http://IP:PORT` or `unix:PATH`.
pub(crate) async fn connect(address: &str) -> Result<Channel> {
    Ok(Endpoint::from_shared(address.to_owned())?.connect().await?)
}

/// What is in force, asked for with a Bearer token, if any.
pub(crate) async fn snapshot_info(
    channel: Channel,
    token: Option<&str>,
) -> Result<Result<SnapshotInfo, tonic::Status>> {
    let mut request = tonic::Request::new(GetSnapshotInfoRequest {});
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    }
    let answer = SnapshotServiceClient::new(channel).get_snapshot_info(request).await;
    Ok(answer.map(tonic::Response::into_inner))
}

/// A check of a request.
pub(crate) fn check_of(http: HttpRequest) -> CheckRequest {
    let request = Some(Request { http: Some(http), ..Request::default() });
    CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) }
}

/// Asks for reflection.
pub(crate) async fn reflect(channel: Channel, asked: MessageRequest) -> Result<MessageResponse> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await?
        .into_inner();
    let answer = answers.message().await?.and_then(|answer| answer.message_response);
    answer.ok_or_else(|| anyhow::anyhow!("no answer to reflection"))
}

/// The names of the services that reflection lists.
pub(crate) async fn services(channel: Channel) -> Result<Vec<String>> {
    match reflect(channel, MessageRequest::ListServices(String::new())).await? {
        MessageResponse::ListServicesResponse(list) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => anyhow::bail!("{other:?}"),
    }
}

//! What is known of the identity providers' keys.

use std::time::Duration;

use jiff::Timestamp;
use tonic::{Request, Response, Status};

use super::Admin;
use super::pb::issuer_service_server::IssuerService;
use super::pb::{Issuer, ListIssuersRequest, ListIssuersResponse};
use crate::source::issuer_keys::IssuerStatus;

#[tonic::async_trait]
impl IssuerService for Admin {
    async fn list_issuers(
        &self,
        request: Request<ListIssuersRequest>,
    ) -> Result<Response<ListIssuersResponse>, Status> {
        self.authorize(&request, &*self.loaded()?)?;
        let issuers = self.issuers.status().into_iter().map(to_message).collect();
        Ok(Response::new(ListIssuersResponse { issuers }))
    }
}

fn to_message(status: IssuerStatus) -> Issuer {
    let age = status.age();
    let IssuerStatus { iss, keys, usable, fetched_at: _, next_refresh, last_error, fetches, failed_fetches } =
        status;
    let until =
        |time: Timestamp| Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
    Issuer {
        iss,
        keys: u64::try_from(usable).unwrap_or(u64::MAX),
        kids: keys.unwrap_or_default(),
        age: age.and_then(|age| age.try_into().ok()),
        next_refresh: next_refresh.and_then(|time| until(time).try_into().ok()),
        last_error: last_error.unwrap_or_default(),
        fetches,
        failed_fetches,
    }
}

//! The token service on top of what is in force.

use std::net::IpAddr;
use std::sync::Arc;

use crate::source::issuer_keys::IssuerKeys;
use crate::state::State;
use crate::token::{ExchangeContext, Inputs, Parameters, Refusal, Success, exchange};
use crate::transport::http::{ExchangeFailure, TokenService};
use crate::transport::now;

/// Exchanges tokens.
pub(super) struct Exchange {
    issuer: String,
    state: Arc<State>,
    keys: IssuerKeys,
}

impl Exchange {
    pub(super) const fn new(issuer: String, state: Arc<State>, keys: IssuerKeys) -> Self {
        Self { issuer, state, keys }
    }
}

impl TokenService for Exchange {
    fn exchange(&self, parameters: Parameters, client: Option<IpAddr>) -> Result<Success, ExchangeFailure> {
        let loaded = self.state.current().ok_or(ExchangeFailure::NotReady)?;
        let inputs = Inputs {
            own: &loaded.snapshot.own,
            issuers: &loaded.snapshot.issuers,
            grants: &loaded.snapshot,
            signing: &loaded.signing,
        };
        let context = ExchangeContext { source_ip: client, now: now() };
        match exchange(parameters, &inputs, &context) {
            Ok(success) => {
                tracing::info!(token = success.token_id, expires_in = success.expires_in, "issued a token");
                Ok(success)
            }
            Err(Refusal::Request { error, reason, refetch }) => {
                if let Some(iss) = refetch {
                    self.keys.refetch(&iss);
                }
                tracing::debug!(reason = reason.map(|reason| reason.code()), "refused to issue a token");
                Err(ExchangeFailure::OAuth(error))
            }
            Err(Refusal::SigningFailed) => {
                tracing::error!("a token could not be signed");
                Err(ExchangeFailure::Internal)
            }
        }
    }

    fn jwks(&self) -> String {
        self.state
            .current()
            .map_or_else(|| r#"{"keys":[]}"#.to_owned(), |loaded| loaded.signing.jwks_json().to_owned())
    }

    fn issuer(&self) -> &str {
        &self.issuer
    }
}

//! The token service: exchange of an identity provider's token for one of ours (RFC 8693), and the
//! keys that sign ours.

pub mod exchange;
mod grants;
pub mod limit;
mod mint;
pub mod oauth;
pub mod parameters;
pub mod signer;

pub use exchange::{ExchangeContext, Grants, Inputs, Invocations, Refusal, Success, exchange};
pub use limit::RateLimit;
pub use oauth::{ErrorCode, OAuthError};
pub use parameters::Parameters;
pub use signer::SigningKeys;

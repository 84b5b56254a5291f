//! The token service: exchange of an identity provider's token for one of ours (RFC 8693), the keys
//! that sign ours, and the memory of those that were proven.

pub mod cache;
pub mod exchange;
mod grants;
pub mod limit;
mod mint;
pub mod oauth;
pub mod parameters;
pub mod signer;

pub use cache::{CacheFigures, TokenCache};
pub use exchange::{ExchangeContext, Grants, Inputs, Invocations, Refusal, Success, exchange};
pub use limit::RateLimit;
pub use oauth::{ErrorCode, OAuthError};
pub use parameters::Parameters;
pub use signer::SigningKeys;

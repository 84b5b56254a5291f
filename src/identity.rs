//! Who asks: verified claims, the issuers that are trusted, and the verification of tokens.

pub mod claims;
pub mod issuers;
mod jws;
pub mod keys;
pub mod lifetime;
pub mod proven;
pub mod rejection;
#[cfg(test)]
pub(crate) mod test_issuer;
pub mod verify;

pub use claims::{Claims, Principal};
pub use issuers::{Issuers, OwnIssuer, TrustedIssuer, WantedIssuer};
pub use keys::KeySet;
pub use proven::{InFull, ProvenToken, TokenVerifier};
pub use rejection::TokenRejection;
pub use verify::{Foreign, OwnToken, TokenKind, prove_own, verify_foreign, verify_own};

//! Who asks: verified claims, the issuers that are trusted, and the verification of tokens.

pub mod claims;
pub mod issuers;
pub mod keys;
pub mod lifetime;
pub mod rejection;

pub use claims::{Claims, Principal};
pub use issuers::{Issuers, OwnIssuer, TrustedIssuer};
pub use keys::KeySet;

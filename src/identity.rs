//! Who asks: verified claims, the issuers that are trusted, and the verification of tokens.

pub mod claims;

pub use claims::{Claims, Principal};

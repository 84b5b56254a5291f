//! Where objects and keys come from.

pub mod files;
pub mod issuer_keys;
mod yaml;

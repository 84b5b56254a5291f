//! Where objects and keys come from.

pub mod files;
pub mod issuer_keys;
pub mod kubernetes;
pub(crate) mod yaml;

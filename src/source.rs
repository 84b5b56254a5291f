//! Where the service learns what it decides by.

pub mod issuer_keys;

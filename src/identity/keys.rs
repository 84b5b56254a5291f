//! stub
/// stub
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {}

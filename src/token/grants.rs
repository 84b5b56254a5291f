//! What the policies in force give an identity at the exchange.

use super::exchange::{ExchangeContext, Grants};
use crate::compile::Snapshot;
use crate::decide;
use crate::identity::Principal;
use crate::policy::Context;

impl Grants for Snapshot {
    fn policies(&self, principal: &Principal, context: &ExchangeContext) -> Vec<String> {
        decide::policies_of(self, principal, &Context::from(context))
    }
}

impl From<&ExchangeContext> for Context {
    fn from(context: &ExchangeContext) -> Self {
        Self { source_ip: context.source_ip, now: context.now, method: Some("POST".to_owned()) }
    }
}

//! What the policies in force give an identity at the exchange.

use super::exchange::{ExchangeContext, Grants, Invocations};
use crate::compile::Snapshot;
use crate::decide::{self, Decision, invocations};
use crate::identity::Principal;
use crate::policy::{Action, Context, Resource};

impl Grants for Snapshot {
    fn policies(&self, principal: &Principal, context: &ExchangeContext) -> Vec<String> {
        decide::policies_of(self, principal, &Context::from(context))
    }

    fn invocations(&self, principal: &Principal, context: &ExchangeContext) -> Invocations {
        let context = Context::from(context);
        Invocations {
            permissions: invocations::permissions(self, principal, &context),
            claims: invocations::claims(self, principal, &context),
        }
    }

    fn may_invoke(
        &self,
        principal: &Principal,
        context: &ExchangeContext,
        namespace: &str,
        function: &str,
    ) -> bool {
        let (resource, context) = (Resource::object(namespace, function), Context::from(context));
        let action = Action::FunctionInvoke;
        let request = decide::Request { principal, action, resource: &resource, context: &context };
        matches!(decide::decide(self, &request), Decision::Allow(_))
    }
}

impl From<&ExchangeContext> for Context {
    fn from(context: &ExchangeContext) -> Self {
        Self { source_ip: context.source_ip, now: context.now, method: Some("POST".to_owned()) }
    }
}

//! Calls of functions.

use super::{Access, Refusal, Resource, Rules, callback, name};

/// A call of the function that the path segment `segment` names: `function` or `function.namespace`.
/// The last dot counts; a label holds none, so any other is an error.
pub(super) fn invoke(segment: &str, callback_url: Option<&str>, rules: &Rules) -> Result<Access, Refusal> {
    let default = rules.default_namespace.as_str();
    let (function, namespace) = segment.rsplit_once('.').unwrap_or((segment, default));
    let function = name::label("the function in the path", function)?;
    let namespace = name::label("the namespace after the last dot in the path", namespace)?;
    let function = Resource::object(namespace, function);

    let callback = callback_url.map_or(Ok(None), |url| callback::check(url, &rules.callback_allow))?;
    Ok(Access::Invoke { closed: rules.closed([&function]).or(callback), function })
}

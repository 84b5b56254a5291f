//! A request has one reading, and only names that are names come out of it.

use std::collections::BTreeSet;

use super::request::Written;
use crate::policy::{Resource, is_dns_label, is_dns_subdomain};
use crate::reason::Reason;
use crate::route::{Access, ApiCall, HttpRequest, Provider, Refusal, Rules, Ui, resolve};

/// How often a path may be decoded on its way: by Envoy, the gateway, its queue and a provider.
const READERS: usize = 4;

/// For the request reader; the bytes are a request as the corpora write it.
pub fn route(data: &[u8]) -> bool {
    let written = Written::read(data);
    let mut accepted = false;
    for ui in [Ui::Deny, Ui::Open] {
        let read = |provider| {
            let rules = Rules { provider, ui, ..Rules::default() };
            written.with_http(|request| {
                let read = resolve(&request, &rules);
                match &read {
                    Ok(access) => {
                        sound(access, &rules);
                        one_path(request.target);
                        stays_canonical(&request, access, &rules);
                    }
                    Err(refusal) => told(refusal),
                }
                read
            })
        };
        let all = read(Provider::Any);
        for one in [read(Provider::FaasNetes), read(Provider::Faasd)] {
            covers(&all, &one);
            accepted |= one.is_ok();
        }
    }
    accepted
}

/// Only DNS names come out, and nothing of a system namespace is open.
pub(crate) fn sound(access: &Access, rules: &Rules) {
    let (resources, set_namespace, closed) = match access {
        Access::Public | Access::StaticFile | Access::Closed(_) => return,
        Access::Invoke { function, closed } => (std::slice::from_ref(function), &None, closed),
        Access::Api(call) => {
            assert_eq!(call.resources.is_empty(), call.action.is_none());
            assert!(call.action.is_some() || call.closed.is_some());
            (call.resources.as_slice(), &call.set_namespace, &call.closed)
        }
    };
    for namespace in resources.iter().filter_map(Resource::namespace).chain(set_namespace.as_deref()) {
        assert!(is_dns_label(namespace), "{namespace:?} is no namespace");
        assert!(!rules.system_namespaces.contains(namespace) || closed.is_some(), "{namespace} is open");
    }
    for resource in resources {
        if let Resource::Object { name, .. } = resource {
            assert!(is_dns_subdomain(name), "{name:?} is no name");
        }
    }
}

/// Every refusal says what to change, and one of the method which methods there are.
fn told(refusal: &Refusal) {
    assert!(!refusal.message.is_empty() && !refusal.message.contains('\n'), "{refusal:?}");
    assert_eq!(refusal.allow.is_empty(), refusal.reason != Reason::MethodNotAllowed, "{refusal:?}");
}

/// Decoding again adds and removes no segment of the path of a request that is let on.
fn one_path(target: &str) {
    let raw = target.split_once('?').map_or(target, |(path, _)| path);
    let mut path = raw.as_bytes().to_vec();
    for _ in 0..READERS {
        path = decoded(&path);
        assert!(!path.contains(&b'\\') && !path.contains(&0), "{raw:?}");
        let text = String::from_utf8_lossy(&path);
        assert_eq!(text.split('/').count(), raw.split('/').count(), "{raw:?} becomes {text:?}");
        assert!(
            !text.split('/').any(|segment| segment == "." || segment == ".."),
            "{raw:?} becomes {text:?}"
        );
    }
}

/// With every escape replaced that is one.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let octet = match rest {
            [b'%', high, low, ..] => std::str::from_utf8(&[*high, *low])
                .ok()
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        decoded.push(octet.unwrap_or(*first));
        rest = if octet.is_some() { rest.get(3..).unwrap_or_default() } else { after };
    }
    decoded
}

/// The request as it goes upstream, with its namespace set, asks for the same.
fn stays_canonical(request: &HttpRequest<'_>, access: &Access, rules: &Rules) {
    let Access::Api(call) = access else { return };
    let Some(namespace) = &call.set_namespace else { return };
    let target = with_namespace(request.target, namespace);
    let again = resolve(&HttpRequest { target: &target, ..*request }, rules);
    let Ok(Access::Api(again)) = again else { panic!("{target:?} is refused upstream: {again:?}") };
    assert_eq!(
        (again.action, set(&again), &again.closed),
        (call.action, set(call), &call.closed),
        "{target:?}"
    );
    assert!(again.set_namespace.is_none_or(|set| set == *namespace), "{target:?}");
}

/// What Envoy makes of a target when it sets the query parameter.
fn with_namespace(target: &str, namespace: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let other = |parameter: &&str| {
        !parameter.is_empty() && parameter.split('=').next().is_some_and(|key| key != "namespace")
    };
    let others: Vec<&str> = query.split('&').filter(other).collect();
    let set = format!("namespace={namespace}");
    format!("{path}?{}", [others.as_slice(), &[&set]].concat().join("&"))
}

/// Where it is not known which provider there is, all must be allowed that either would do.
fn covers(all: &Result<Access, Refusal>, one: &Result<Access, Refusal>) {
    match (all, one) {
        (Ok(Access::Api(all)), Ok(Access::Api(one))) => {
            assert_eq!(all.action, one.action);
            assert!(set(all).is_superset(&set(one)), "{one:?} is not within {all:?}");
        }
        (Ok(all), one) => assert_eq!(Ok(all), one.as_ref(), "providers differ in what they do not read"),
        (Err(_), _) => {}
    }
}

fn set(call: &ApiCall) -> BTreeSet<&Resource> {
    call.resources.iter().collect()
}

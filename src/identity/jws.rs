//! The compact serialisation of a signed token (RFC 7515 section 7.1) and the claims that every
//! token must have (RFC 7519 section 4.1). Everything that can be refused without a key is refused
//! here, before one is looked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::keys::{Algorithm, MAX_KID};
use super::rejection::{TokenRejection, rfc3339};
use crate::json::parse_unambiguous_object;
use crate::reason::Reason;

/// The longest token that is read, in bytes.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;

/// A NumericDate above this is no time that anyone means, and not exact in a double.
const MAX_NUMERIC_DATE: f64 = 9_007_199_254_740_992.0;

/// The `typ` of tokens that state who somebody is, in lower case (RFC 8725 section 3.11). Others,
/// such as `logout+jwt`, `secevent+jwt` or `dpop+jwt`, are signed by the same keys for other ends.
const TYPES: &[&str] = &["jwt", "jose", "at+jwt"];

/// A well-formed token whose signature has *not* been verified.
pub(super) struct Unverified<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// Header and payload as they were signed.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) registered: Registered,
    /// All claims, the registered ones included.
    pub(super) claims: Map<String, Value>,
}

/// The registered claims, of their proper types. Times are seconds since 1970.
pub(super) struct Registered {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Vec<String>,
    pub(super) times: Times,
}

/// When a token is valid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) exp: f64,
    pub(super) nbf: Option<f64>,
    pub(super) iat: Option<f64>,
}

// === impl Unverified ===

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenRejection> {
        if token.len() > MAX_TOKEN {
            return Err(TokenRejection::malformed(format!("longer than {MAX_TOKEN} bytes")));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(not_compact)?;
        let (header, payload) = signed.split_once('.').ok_or_else(not_compact)?;
        if payload.contains('.') {
            return Err(not_compact());
        }
        let (algorithm, kid) = read_header(&object("header", header)?)?;
        let claims = object("payload", payload)?;
        let registered = Registered::read(&claims)?;
        let signature = octets("signature", signature)?;
        Ok(Self { algorithm, kid, signed, signature, registered, claims })
    }
}

/// The claims of what begins like a token, whatever its header and signature are.
pub(super) fn claims(token: &str) -> Option<Map<String, Value>> {
    object("payload", token.split('.').nth(1)?).ok()
}

// === impl Registered ===

impl Registered {
    fn read(claims: &Map<String, Value>) -> Result<Self, TokenRejection> {
        Ok(Self {
            iss: non_empty_text(claims, "iss")?,
            sub: non_empty_text(claims, "sub")?,
            aud: audience(claims, "aud")?,
            times: Times::read(claims)?,
        })
    }

    pub(super) fn audience(&self) -> Vec<&str> {
        self.aud.iter().map(String::as_str).collect()
    }
}

// === impl Times ===

impl Times {
    fn read(claims: &Map<String, Value>) -> Result<Self, TokenRejection> {
        Ok(Self {
            exp: numeric_date(claims, "exp")?.ok_or_else(|| TokenRejection::malformed("no exp"))?,
            nbf: numeric_date(claims, "nbf")?,
            iat: numeric_date(claims, "iat")?,
        })
    }

    /// RFC 7519 sections 4.1.4 to 4.1.6: now must be before `exp`, and not before `nbf` and `iat`,
    /// which have a leeway of their own.
    pub(super) fn check(self, now: i64, exp_leeway: i64, leeway: i64) -> Result<(), TokenRejection> {
        if now.saturating_sub(exp_leeway) as f64 >= self.exp {
            let why = format!("the token expired at {}: get a new one", rfc3339(self.exp));
            return Err(TokenRejection::new(Reason::TokenExpired, why));
        }
        let latest = now.saturating_add(leeway) as f64;
        for (name, time) in [("nbf", self.nbf), ("iat", self.iat)] {
            if let Some(time) = time.filter(|time| *time > latest) {
                let why = format!("the token is not valid before {} ({name}): use it later", rfc3339(time));
                return Err(TokenRejection::new(Reason::TokenNotYetValid, why));
            }
        }
        Ok(())
    }
}

fn not_compact() -> TokenRejection {
    TokenRejection::malformed("not three parts with dots between them")
}

/// RFC 7515 section 4.1. `jwk`, `jku`, `x5u` and `x5c` are read by nobody here: a key comes from the
/// issuer's registration alone.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), TokenRejection> {
    let alg = header.get("alg").and_then(Value::as_str).ok_or_else(|| TokenRejection::malformed("no alg"))?;
    for refused in ["crit", "b64", "enc", "zip"] {
        if header.contains_key(refused) {
            return Err(TokenRejection::malformed(format!("the header member {refused} is not accepted")));
        }
    }
    if let Some(typ) = header.get("typ") {
        let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
        if !TYPES.contains(&typ.strip_prefix("application/").unwrap_or(&typ)) {
            return Err(TokenRejection::malformed("typ is not JWT or at+jwt"));
        }
    }
    if header.contains_key("cty") {
        // RFC 7519 section 5.2: only nested tokens need it.
        return Err(TokenRejection::malformed("nested tokens are not accepted"));
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
        Some(_) => {
            return Err(TokenRejection::malformed(format!("kid is not a text of at most {MAX_KID} bytes")));
        }
    };
    let algorithm = Algorithm::from_name(alg).ok_or_else(|| {
        let names = Algorithm::ALL.iter().map(|a| a.name()).collect::<Vec<_>>().join(", ");
        TokenRejection::new(Reason::UnsupportedAlgorithm, format!("the token's alg is none of {names}"))
    })?;
    Ok((algorithm, kid))
}

fn object(part: &str, text: &str) -> Result<Map<String, Value>, TokenRejection> {
    parse_unambiguous_object(&octets(part, text)?)
        .map_err(|_| TokenRejection::malformed(format!("the {part} is not one unambiguous JSON object")))
}

/// Unpadded base64url in its one canonical form: the engine refuses padding, other characters and
/// bits that no octet holds.
fn octets(part: &str, text: &str) -> Result<Vec<u8>, TokenRejection> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenRejection::malformed(format!("the {part} is not canonical unpadded base64url")))
}

/// A claim that must be a non-empty text.
pub(super) fn non_empty_text(claims: &Map<String, Value>, name: &str) -> Result<String, TokenRejection> {
    match claims.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        None => Err(TokenRejection::malformed(format!("no {name}"))),
        Some(_) => Err(TokenRejection::malformed(format!("{name} is not a non-empty text"))),
    }
}

/// A claim that must be a non-empty text or a non-empty list of such (RFC 7519 section 4.1.3).
pub(super) fn audience(claims: &Map<String, Value>, name: &str) -> Result<Vec<String>, TokenRejection> {
    if let Some(Value::Array(items)) = claims.get(name) {
        let list: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        return list
            .filter(|list| !list.is_empty() && list.iter().all(|member| !member.is_empty()))
            .ok_or_else(|| TokenRejection::malformed(format!("{name} is not a list of non-empty texts")));
    }
    non_empty_text(claims, name).map(|one| vec![one])
}

/// RFC 7519 section 2: a number of seconds, which may have a fraction.
fn numeric_date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, TokenRejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        Some(seconds) if (0.0..=MAX_NUMERIC_DATE).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(TokenRejection::malformed(format!("{name} is not a number of seconds since 1970"))),
    }
}

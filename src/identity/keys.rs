//! Public keys of an issuer, from a JWK Set (RFC 7517). What a key may verify is fixed when it is
//! read: a token's header never widens it. Symmetric keys are never read, so that neither `none`
//! nor HMAC can be expressed.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::rejection::{printable, quotable};
use crate::json::parse_unambiguous_object;

/// The most keys that a set may hold.
pub const MAX_KEYS: usize = 100;

/// The longest `kid` that is read, in bytes.
pub const MAX_KID: usize = 512;

/// The sizes of RSA moduli that are used, in bits.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

macro_rules! algorithms {
    ($($name:ident),+) => {
        /// A signature algorithm that is accepted (RFC 7518 section 3.1, RFC 8037 section 3.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are those of the registry")]
        pub enum Algorithm { $($name),+ }

        impl Algorithm {
            /// Every accepted algorithm.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The registered name. Names are case-sensitive.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

algorithms!(ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512);

/// One public key and all that it may verify.
pub struct Key {
    kid: Option<String>,
    /// One parsed key for each algorithm, all of one family.
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

/// The public keys of one issuer; without any, nothing verifies.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Key>,
    fingerprint: [u8; 32],
}

/// A document that is not a JWK Set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// Malformed JSON, a repeated member name, or no object.
    #[error("not one unambiguous JSON object: {0}")]
    Json(String),
    /// RFC 7517 section 5.1: `keys` must be present and a list.
    #[error("`keys` is missing or not a list")]
    NoKeys,
    /// More than [`MAX_KEYS`].
    #[error("{0} keys; at most {MAX_KEYS} are accepted")]
    TooManyKeys(usize),
}

/// A member of a JWK as octets.
type Octets = Vec<u8>;

// === impl Algorithm ===

impl Algorithm {
    /// The accepted algorithm with exactly this registered name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl KeySet ===

impl KeySet {
    /// Reads a JWK Set. A key that cannot be used is left out and told of in the second part of the
    /// result, one line each; it never costs the others. The set may end up empty.
    ///
    /// # Errors
    /// A document that is not a JWK Set, or one of more than [`MAX_KEYS`] keys.
    pub fn from_jwks(document: &[u8]) -> Result<(Self, Vec<String>), InvalidKeySet> {
        let members = parse_unambiguous_object(document)
            .map_err(|error| InvalidKeySet::Json(printable(&error.to_string())))?;
        let Some(Value::Array(entries)) = members.get("keys") else {
            return Err(InvalidKeySet::NoKeys);
        };
        if entries.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooManyKeys(entries.len()));
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            match Key::from_jwk(entry) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(format!("key {index} ({}): {why}", described_kid(entry))),
            }
        }
        let fingerprint = fingerprint(&keys);
        Ok((Self { keys, fingerprint }, skipped))
    }

    /// A digest of everything that decides what the set verifies. Equal sets have equal
    /// fingerprints, whatever the order of the keys in the document.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids of the keys, in the order of the document.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Key::kid)
    }

    /// The usable keys, in the order of the document.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

// === impl Key ===

impl Key {
    /// The key's id.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether the key verifies signatures of this algorithm.
    pub fn supports(&self, algorithm: Algorithm) -> bool {
        self.verifier(algorithm).is_some()
    }

    /// Whether `signature` is this key's signature of `message`, made with `algorithm`. False for
    /// an algorithm that is not the key's. ECDSA signatures have the fixed-length form of RFC 7518
    /// section 3.4.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.verifier(algorithm).is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find(|(own, _)| *own == algorithm).map(|(_, key)| key)
    }

    fn from_jwk(jwk: &Value) -> Result<Self, String> {
        let jwk = jwk.as_object().ok_or("not an object")?;
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
            Some(_) => return Err(format!("`kid` is not a text of at most {MAX_KID} bytes")),
        };
        check_purpose(jwk)?;
        let stated = match jwk.get("alg") {
            None => None,
            Some(Value::String(name)) => Some(
                Algorithm::from_name(name)
                    .ok_or_else(|| format!("`alg` {} is not accepted", quotable(name, "of this key")))?,
            ),
            Some(_) => return Err("`alg` is not a text".into()),
        };
        let mut verifiers = match text(jwk, "kty")? {
            "RSA" => rsa(jwk)?,
            "EC" => elliptic(jwk)?,
            "OKP" => edwards(jwk)?,
            other => return Err(format!("`kty` {} is not accepted", quotable(other, "of this key"))),
        };
        if let Some(stated) = stated {
            verifiers.retain(|(algorithm, _)| *algorithm == stated);
        }
        if verifiers.is_empty() {
            return Err("`alg` does not fit the key".into());
        }
        Ok(Self { kid, verifiers })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kid)
    }
}

/// RFC 7517 sections 4.2 and 4.3: `use` and `key_ops`, where present, must allow verification.
fn check_purpose(jwk: &Map<String, Value>) -> Result<(), String> {
    if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err("`use` is not `sig`".into());
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(_) => Err("`key_ops` does not hold `verify`".into()),
    }
}

/// RFC 7518 section 6.3.1.
fn rsa(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, String> {
    let (n, e) = (octets(jwk, "n")?, octets(jwk, "e")?);
    let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) || n.last().is_none_or(|last| last % 2 == 0) {
        return Err(format!("an RSA modulus of {bits} bits; it must be odd, of 2048 to 4096 bits"));
    }
    if !(1..=4).contains(&e.len()) || e == [1] || e.last().is_none_or(|last| last % 2 == 0) {
        return Err("the RSA exponent is not an odd number from 3 to 2^32".into());
    }
    let components = RsaPublicKeyComponents { n, e };
    let parse = |parameters: &'static RsaParameters| {
        components.to_parsed_public_key(parameters).map_err(|_| "not an RSA public key".to_owned())
    };
    Ok(vec![
        (Algorithm::RS256, parse(&signature::RSA_PKCS1_2048_8192_SHA256)?),
        (Algorithm::RS384, parse(&signature::RSA_PKCS1_2048_8192_SHA384)?),
        (Algorithm::RS512, parse(&signature::RSA_PKCS1_2048_8192_SHA512)?),
        (Algorithm::PS256, parse(&signature::RSA_PSS_2048_8192_SHA256)?),
        (Algorithm::PS384, parse(&signature::RSA_PSS_2048_8192_SHA384)?),
        (Algorithm::PS512, parse(&signature::RSA_PSS_2048_8192_SHA512)?),
    ])
}

/// RFC 7518 section 6.2.1. The curve decides the algorithm; the point must lie on it.
fn elliptic(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, String> {
    let (algorithm, parameters, size): (_, &'static dyn VerificationAlgorithm, _) = match text(jwk, "crv")? {
        "P-256" => (Algorithm::ES256, &signature::ECDSA_P256_SHA256_FIXED, 32),
        "P-384" => (Algorithm::ES384, &signature::ECDSA_P384_SHA384_FIXED, 48),
        other => return Err(format!("`crv` {} is not accepted", quotable(other, "of this key"))),
    };
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return Err(format!("a coordinate is not of {size} octets"));
    }
    // The uncompressed form of SEC 1 section 2.3.3.
    let point = [&[4], x.as_slice(), &y].concat();
    let key = ParsedPublicKey::new(parameters, point).map_err(|_| "not a point on the curve")?;
    Ok(vec![(algorithm, key)])
}

/// RFC 8037 section 2.
fn edwards(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, String> {
    match text(jwk, "crv")? {
        "Ed25519" => {}
        other => return Err(format!("`crv` {} is not accepted", quotable(other, "of this key"))),
    }
    let x = octets(jwk, "x")?;
    if x.len() != signature::ED25519_PUBLIC_KEY_LEN {
        return Err("`x` is not of 32 octets".into());
    }
    let key = ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| "not an Ed25519 public key")?;
    Ok(vec![(Algorithm::EdDSA, key)])
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    jwk.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing or not a text"))
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Result<Octets, String> {
    URL_SAFE_NO_PAD.decode(text(jwk, name)?).map_err(|_| format!("`{name}` is not unpadded base64url"))
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn described_kid(jwk: &Value) -> &str {
    jwk.get("kid").and_then(Value::as_str).map_or("no kid", |kid| quotable(kid, "unprintable kid"))
}

fn fingerprint(keys: &[Key]) -> [u8; 32] {
    let mut digests: Vec<_> = keys.iter().map(key_digest).collect();
    digests.sort_unstable();
    sha256([&b"keys"[..]].into_iter().chain(digests.iter().map(<[u8; 32]>::as_slice)))
}

fn key_digest(key: &Key) -> [u8; 32] {
    let kid = key.kid.as_ref().map(|kid| format!("kid:{kid}")).unwrap_or_default();
    let kid = sha256([kid.as_bytes()].into_iter());
    let names = key.verifiers.iter().map(|(algorithm, _)| algorithm.name().as_bytes());
    let material = key.verifiers.iter().map(|(_, parsed)| parsed.as_ref()).take(1);
    sha256([kid.as_slice()].into_iter().chain(names).chain(material))
}

fn sha256<'a>(parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.for_each(|part| context.update(part));
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::identity::test_issuer::{TestKey, jwks};

    #[track_caller]
    fn skipped(jwk: Value, why: &str) {
        let good = TestKey::es256("good");
        let (set, skipped) = KeySet::from_jwks(&jwks([jwk, good.jwk()])).unwrap();
        assert_eq!(set.kids().collect::<Vec<_>>(), ["good"], "one bad key must not cost the others");
        assert_eq!(skipped.len(), 1);
        assert!(skipped[0].contains(why), "{skipped:?}");
    }

    fn with(key: &TestKey, members: Value) -> Value {
        let mut jwk = key.jwk();
        let Value::Object(members) = members else { panic!("members are an object") };
        jwk.as_object_mut().unwrap().extend(members);
        jwk
    }

    fn rsa_jwk(bits: usize, e: &[u8]) -> Value {
        let n = vec![0xff; bits / 8];
        json!({"kty": "RSA", "kid": "r", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e)})
    }

    fn algorithms(jwk: Value) -> Vec<&'static str> {
        let (set, skipped) = KeySet::from_jwks(&jwks([jwk])).unwrap();
        assert!(skipped.is_empty(), "{skipped:?}");
        Algorithm::ALL.iter().filter(|a| set.keys()[0].supports(**a)).map(|a| a.name()).collect()
    }

    #[test]
    fn the_algorithms_of_a_key_are_fixed_when_it_is_read() {
        assert_eq!(algorithms(TestKey::es256("a").jwk()), ["ES256"]);
        assert_eq!(algorithms(TestKey::es384("a").jwk()), ["ES384"]);
        assert_eq!(algorithms(TestKey::ed25519("a").jwk()), ["EdDSA"]);
        assert_eq!(
            algorithms(rsa_jwk(2048, &[1, 0, 1])),
            ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]
        );
        assert_eq!(algorithms(with(&TestKey::rsa("a"), json!({"alg": "PS384"}))), ["PS384"]);
    }

    #[test]
    fn rsa_keys_have_2048_to_4096_bits_and_a_sound_exponent() {
        for bits in [1024, 2040, 8192, 16384] {
            skipped(rsa_jwk(bits, &[1, 0, 1]), "bits");
        }
        for e in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[1, 0, 0, 0, 1]] {
            skipped(rsa_jwk(2048, e), "exponent");
        }
        assert_eq!(algorithms(rsa_jwk(4096, &[3])).len(), 6);
        assert_eq!(algorithms(rsa_jwk(2048, &[0, 1, 0, 1])).len(), 6);
    }

    #[test]
    fn keys_for_other_purposes_and_of_other_kinds_are_skipped() {
        let key = TestKey::es256("x");
        skipped(with(&key, json!({"use": "enc"})), "`use`");
        skipped(with(&key, json!({"use": null})), "`use`");
        skipped(with(&key, json!({"key_ops": ["sign"]})), "`key_ops`");
        skipped(with(&key, json!({"key_ops": "verify"})), "`key_ops`");
        skipped(with(&key, json!({"alg": "RS256"})), "does not fit");
        skipped(with(&key, json!({"alg": "HS256"})), "`alg` HS256");
        skipped(with(&key, json!({"alg": "none"})), "`alg` none");
        skipped(with(&key, json!({"alg": 7})), "`alg`");
        skipped(with(&key, json!({"kid": 7})), "`kid`");
        skipped(with(&key, json!({"kid": "k".repeat(513)})), "`kid`");
        skipped(with(&key, json!({"crv": "P-521"})), "`crv` P-521");
        skipped(with(&key, json!({"crv": "P-384"})), "48 octets");
        skipped(with(&key, json!({"x": "AAAA"})), "32 octets");
        skipped(with(&key, json!({"x": URL_SAFE_NO_PAD.encode([7; 32])})), "curve");
        skipped(with(&key, json!({"x": format!("{}=", "A".repeat(43))})), "base64url");
        skipped(with(&TestKey::ed25519("x"), json!({"crv": "X25519"})), "`crv`");
        skipped(json!({"kty": "oct", "k": "AAAA", "alg": "HS256"}), "HS256");
        skipped(json!({"kty": "oct", "k": "AAAA"}), "`kty` oct");
        skipped(json!({}), "`kty`");
        skipped(json!([]), "not an object");
        assert_eq!(algorithms(with(&key, json!({"use": "sig", "key_ops": ["verify"]}))), ["ES256"]);
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        let refused = |document: &str| KeySet::from_jwks(document.as_bytes()).unwrap_err();
        for document in ["", "[]", "{", r#"{"keys":[],"keys":[]}"#, r#"{"keys":[{"kid":"a","kid":"b"}]}"#] {
            assert!(matches!(refused(document), InvalidKeySet::Json(_)), "{document}");
        }
        assert_eq!(refused("{}"), InvalidKeySet::NoKeys);
        assert_eq!(refused(r#"{"keys":{}}"#), InvalidKeySet::NoKeys);
        assert_eq!(
            refused(&format!(r#"{{"keys":[{}1]}}"#, "1,".repeat(100))),
            InvalidKeySet::TooManyKeys(101)
        );
    }

    #[test]
    fn the_fingerprint_follows_ids_algorithms_and_material_but_not_the_order() {
        let (a, b) = (TestKey::es256("a"), TestKey::es256("b"));
        let of = |entries: Vec<Value>| *KeySet::from_jwks(&jwks(entries)).unwrap().0.fingerprint();
        assert_eq!(of(vec![a.jwk(), b.jwk()]), of(vec![b.jwk(), a.jwk()]));
        let different = [
            of(vec![]),
            of(vec![a.jwk()]),
            of(vec![b.jwk()]),
            of(vec![with(&a, json!({"kid": "c"}))]),
            of(vec![TestKey::rsa("a").jwk()]),
            of(vec![with(&TestKey::rsa("a"), json!({"alg": "RS256"}))]),
        ];
        assert_eq!(different.iter().collect::<std::collections::BTreeSet<_>>().len(), different.len());
    }

    #[test]
    fn debug_prints_ids_only() {
        let (set, _) = KeySet::from_jwks(&jwks([TestKey::es256("a").jwk()])).unwrap();
        assert_eq!(format!("{set:?}"), r#"[Some("a")]"#);
    }
}

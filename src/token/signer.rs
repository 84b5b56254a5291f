//! The keys that sign our tokens. The first signs; all verify and are published, so that a key can
//! be brought in before it signs and kept after it did.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::pem::{self, SectionKind};
use serde_json::{Map, Value};

use crate::identity::{KeySet, OwnIssuer};

/// How to make a key that is accepted.
const CURE: &str = "make one with `openssl ecparam -name prime256v1 -genkey -noout -out issuer.key`";

/// The keys of this service.
pub struct SigningKeys {
    first: SigningKey,
    public: Arc<KeySet>,
    jwks: String,
}

struct SigningKey {
    key: EncodingKey,
    /// The header of every token.
    header: Header,
    kid: String,
}

/// A key file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningKey {
    /// No file was given.
    #[error("no signing key is given; {CURE}")]
    None,
    /// The file's text is not PEM.
    #[error("{0}: not a PEM file: {1}; {CURE}")]
    Pem(String, String),
    /// The file holds no private key, or several.
    #[error("{0}: holds {1} private keys, not one; {CURE}")]
    Count(String, usize),
    /// The private key is protected by a password.
    #[error("{0}: the key is encrypted; decrypt it with `openssl pkcs8 -topk8 -nocrypt`")]
    Encrypted(String),
    /// The private key is not of the one curve that signs our tokens.
    #[error("{0}: not an EC private key of the curve P-256 (SEC1 or PKCS#8); {CURE}")]
    Kind(String),
}

/// The random source or the library failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing operation failed")]
pub struct SigningFailed;

// === impl SigningKeys ===

impl SigningKeys {
    /// Reads key files, each given by its name, for messages, and its content. Each holds one EC
    /// P-256 private key as PEM, `EC PRIVATE KEY` (SEC1, RFC 5915) or `PRIVATE KEY` (PKCS#8). A key
    /// that stands in several files counts once.
    ///
    /// # Errors
    /// One message that names the first file that cannot be used, and the cure.
    pub fn load(files: &[(&str, &[u8])]) -> Result<Self, InvalidSigningKey> {
        let mut pairs = Vec::new();
        for (name, content) in files {
            pairs.push(read_pem(name, content)?);
        }
        Self::from_pairs(pairs).ok_or(InvalidSigningKey::None)
    }

    /// Makes one key that lives as long as the process. Tokens of it are void after a restart.
    ///
    /// # Errors
    /// A failure of the library.
    pub fn ephemeral() -> Result<Self, SigningFailed> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| SigningFailed)?;
        Self::from_pairs(vec![pair]).ok_or(SigningFailed)
    }

    /// This service as an issuer that signs with these keys.
    pub fn issuer(&self, url: impl Into<String>) -> OwnIssuer {
        OwnIssuer::new(url, self.public.clone())
    }

    /// The public keys.
    pub fn public(&self) -> &Arc<KeySet> {
        &self.public
    }

    /// The public keys as a JWK Set document (RFC 7517 section 5).
    pub fn jwks_json(&self) -> &str {
        &self.jwks
    }

    /// The id of the key that signs: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.first.kid
    }

    /// Signs claims with the first key: a compact JWS under ES256 (RFC 7515 section 7.1).
    ///
    /// # Errors
    /// A failure of the random source.
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> Result<String, SigningFailed> {
        jsonwebtoken::encode(&self.first.header, claims, &self.first.key).map_err(|_| SigningFailed)
    }

    fn from_pairs(pairs: Vec<EcdsaKeyPair>) -> Option<Self> {
        let (mut first, mut published) = (None, JwkSet { keys: Vec::new() });
        for pair in pairs {
            let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref());
            let (jwk, kid) = public_jwk(&key)?;
            if published.find(&kid).is_none() {
                published.keys.push(jwk);
            }
            first.get_or_insert_with(|| SigningKey::new(key, kid));
        }
        let jwks = serde_json::to_string(&published).ok()?;
        let (public, _) = KeySet::from_jwks(jwks.as_bytes()).ok()?;
        Some(Self { first: first?, public: Arc::new(public), jwks })
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("public", &self.public).finish_non_exhaustive()
    }
}

// === impl SigningKey ===

impl SigningKey {
    fn new(key: EncodingKey, kid: String) -> Self {
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::ES256) };
        Self { key, header, kid }
    }
}

fn read_pem(name: &str, content: &[u8]) -> Result<EcdsaKeyPair, InvalidSigningKey> {
    let name = name.to_owned();
    let text = String::from_utf8_lossy(content);
    if text.contains("ENCRYPTED") {
        return Err(InvalidSigningKey::Encrypted(name));
    }
    let (mut reader, mut found) = (content, Vec::new());
    while let Some((kind, der)) = pem::from_buf(&mut reader)
        .map_err(|error| InvalidSigningKey::Pem(name.clone(), pem_problem(&error)))?
    {
        match kind {
            SectionKind::EcPrivateKey | SectionKind::PrivateKey => found.push(der),
            SectionKind::RsaPrivateKey => return Err(InvalidSigningKey::Kind(name)),
            // A certificate or a public key beside the private one does no harm.
            _ => {}
        }
    }
    let [der] = found.as_slice() else { return Err(InvalidSigningKey::Count(name, found.len())) };
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
        .map_err(|_| InvalidSigningKey::Kind(name))
}

/// Says what is wrong without a line of the file: it may be part of a key.
fn pem_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line".into(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed".into(),
        pem::Error::Base64Decode(_) => "a section is not base64".into(),
        _ => "it cannot be read".into(),
    }
}

/// The public half as a JWK, with its thumbprint (RFC 7638) as `kid`.
fn public_jwk(key: &EncodingKey) -> Option<(Jwk, String)> {
    let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).ok()?;
    let kid = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_id = Some(kid.clone());
    Some((jwk, kid))
}

/// A new private key as PEM.
#[cfg(test)]
pub(crate) fn new_pem() -> String {
    use base64::Engine as _;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let body = base64::engine::general_purpose::STANDARD.encode(pair.to_pkcs8v1().unwrap());
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Issuers, verify_own};
    use crate::reason::Reason;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    // One key in both forms, written by OpenSSL for these tests and used nowhere else.
    const TEST_KEY_SEC1: &str = "MHcCAQEEIBSG8k74T8uFBbQVPFxL4IxuBuQlpTe+uILKo3suripVoAoGCCqGSM49\n\
                                 AwEHoUQDQgAElJfitxKu2Ao6OlpDxSrWyxELC9oe7TETAzW/s08mkgHnuwZaWCLC\n\
                                 zjZ4ShZ7veklpXUfCts4W54qH/KI2DEJ0w==";
    const TEST_KEY_PKCS8: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFIbyTvhPy4UFtBU8\n\
                                  XEvgjG4G5CWlN764gsqjey6uKlWhRANCAASUl+K3Eq7YCjo6WkPFKtbLEQsL2h7t\n\
                                  MRMDNb+zTyaSAee7BlpYIsLONnhKFnu96SWldR8K2zhbniof8ojYMQnT";
    const TEST_KEY_P384: &str = "MIGkAgEBBDDXllthHrrzf7CYHY08/kamssqBn6YsSLyouOYmOTG9DKMu3ORW/VUm\n\
                                 SI5e9Az51jmgBwYFK4EEACKhZANiAARQg3aZutJclsKzhnz1/gw4d+RKqmBC3l7k\n\
                                 Zrd7xq98NtI0W486+jZIR7UCVIpl5u++9ckCcuI2y+zdEiTwMvH6HdrbTQQoLQp+\n\
                                 EAU541dGJhZTIJDwZjhjaotEGRfWa/o=";
    const TEST_KEY_ED25519: &str = "MC4CAQAwBQYDK2VwBCIEIPioZmD3T5z3v1K0ZjeM7zklht3HWngrQLR36zJnCwk/";
    const EC_PARAMETERS: &str = "BggqhkjOPQMBBw==";

    fn section(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    fn load(texts: &[&str]) -> Result<SigningKeys, InvalidSigningKey> {
        let files: Vec<_> = texts.iter().map(|text| ("issuer.key", text.as_bytes())).collect();
        SigningKeys::load(&files)
    }

    #[test]
    fn both_forms_of_one_key_are_the_same_key() {
        let sec1 = section("EC PRIVATE KEY", TEST_KEY_SEC1);
        let with_parameters = section("EC PARAMETERS", EC_PARAMETERS) + &sec1;
        let pkcs8 = section("PRIVATE KEY", TEST_KEY_PKCS8);
        let crlf = pkcs8.replace('\n', "\r\n");
        let keys = load(&[&sec1, &with_parameters, &pkcs8, &crlf]).unwrap();
        assert_eq!(keys.public().len(), 1, "the same key counts once");
        for text in [&with_parameters, &pkcs8, &crlf] {
            assert_eq!(load(&[text]).unwrap().kid(), keys.kid());
        }
        assert!(!keys.jwks_json().contains("\"d\""));
    }

    #[test]
    fn the_first_signs_and_all_are_published() {
        let other = new_pem();
        let known = section("PRIVATE KEY", TEST_KEY_PKCS8);
        let (before, after) = (load(&[&known, &other]).unwrap(), load(&[&other, &known]).unwrap());
        assert_eq!(before.public().fingerprint(), after.public().fingerprint());
        assert_ne!(before.kid(), after.kid());
        assert_eq!(before.public().kids().next(), Some(before.kid()));
    }

    #[test]
    fn unusable_files_are_named_with_the_cure() {
        let check = |text: &str| load(&[text]).unwrap_err();
        let name = || "issuer.key".to_owned();
        let sec1 = section("EC PRIVATE KEY", TEST_KEY_SEC1);
        assert_eq!(load(&[]).unwrap_err(), InvalidSigningKey::None);
        assert_eq!(check(""), InvalidSigningKey::Count(name(), 0));
        assert_eq!(check(&section("CERTIFICATE", "AAAA")), InvalidSigningKey::Count(name(), 0));
        assert_eq!(check(&sec1.repeat(2)), InvalidSigningKey::Count(name(), 2));
        for text in [
            section("EC PRIVATE KEY", TEST_KEY_P384),
            section("PRIVATE KEY", TEST_KEY_ED25519),
            section("RSA PRIVATE KEY", "AAAA"),
            section("PRIVATE KEY", "AAAA"),
        ] {
            assert_eq!(check(&text), InvalidSigningKey::Kind(name()));
        }
        assert_eq!(check(&section("ENCRYPTED PRIVATE KEY", "AAAA")), InvalidSigningKey::Encrypted(name()));
        let legacy = sec1.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1);
        assert_eq!(check(&legacy), InvalidSigningKey::Encrypted(name()));
        for broken in [sec1.replace("-----END", "----END"), sec1.replace("MHcC", "\u{e9}HcC")] {
            let error = check(&broken);
            assert!(matches!(error, InvalidSigningKey::Pem(..)), "{error}");
            let text = error.to_string();
            assert!(
                text.starts_with("issuer.key: ") && text.contains("openssl") && !text.contains("AwEHoUQ")
            );
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let keys = load(&[&section("PRIVATE KEY", TEST_KEY_PKCS8)]).unwrap();
        let published: Value = serde_json::from_str(keys.jwks_json()).unwrap();
        let key = &published["keys"][0];
        let (x, y) = (key["x"].as_str().unwrap(), key["y"].as_str().unwrap());
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
        assert_eq!(keys.kid(), URL_SAFE_NO_PAD.encode(digest));
        assert_eq!(
            (&key["alg"], &key["use"], &key["kid"]),
            (&json!("ES256"), &json!("sig"), &json!(keys.kid()))
        );
    }

    #[test]
    fn our_own_verification_accepts_what_is_signed() {
        let keys = SigningKeys::ephemeral().unwrap();
        let claims = json!({
            "iss": "https://gw", "aud": "https://gw", "sub": "fed:a", "exp": 4_000_000_000_u64,
            "fed:iss": "https://idp", "fed:aud": "x"
        });
        let token = keys.sign(claims.as_object().unwrap()).unwrap();
        let rejected =
            verify_own(&token, &keys.issuer("https://gw"), &Issuers::new("https://gw"), 1_000_000_000);
        assert_eq!(rejected.unwrap_err().reason, Reason::UnknownIssuer, "only its issuer is not registered");
        let (input, _) = token.rsplit_once('.').unwrap();
        let forged = format!("{input}.{}", URL_SAFE_NO_PAD.encode([1; 64]));
        let rejected =
            verify_own(&forged, &keys.issuer("https://gw"), &Issuers::new("https://gw"), 1_000_000_000);
        assert_eq!(rejected.unwrap_err().reason, Reason::BadSignature);
    }

    #[test]
    fn debug_prints_ids_only() {
        let keys = SigningKeys::ephemeral().unwrap();
        assert_eq!(format!("{keys:?}"), format!("SigningKeys {{ public: [Some({:?})], .. }}", keys.kid()));
    }
}

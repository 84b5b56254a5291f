//! A small identity provider for tests: keys made on the spot, and tokens in any shape.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::keys::KeySet;

/// A private key with an id.
pub(crate) struct TestKey {
    pub(crate) kid: String,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair, &'static str, usize),
    Ed(Ed25519KeyPair),
    Rsa(Arc<RsaKeyPair>),
}

impl TestKey {
    pub(crate) fn es256(kid: &str) -> Self {
        Self::ec(kid, &signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", 32)
    }

    pub(crate) fn es384(kid: &str) -> Self {
        Self::ec(kid, &signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", 48)
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        Self { kid: kid.into(), pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    /// All RSA test keys share their material: making one is slow.
    pub(crate) fn rsa(kid: &str) -> Self {
        static SHARED: OnceLock<Arc<RsaKeyPair>> = OnceLock::new();
        let pair = SHARED.get_or_init(|| Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
        Self { kid: kid.into(), pair: Pair::Rsa(pair.clone()) }
    }

    fn ec(kid: &str, algorithm: &'static EcdsaSigningAlgorithm, curve: &'static str, size: usize) -> Self {
        Self { kid: kid.into(), pair: Pair::Ec(EcdsaKeyPair::generate(algorithm).unwrap(), curve, size) }
    }

    /// The public key, without `alg`.
    pub(crate) fn jwk(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Ec(pair, curve, size) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(*size);
                json!({"kty": "EC", "kid": self.kid, "crv": curve, "x": b64(x), "y": b64(y)})
            }
            Pair::Ed(pair) => {
                let x = b64(pair.public_key().as_ref());
                json!({"kty": "OKP", "kid": self.kid, "crv": "Ed25519", "x": x})
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let n = b64(public.modulus().big_endian_without_leading_zero());
                let e = b64(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": self.kid, "n": n, "e": e})
            }
        }
    }

    /// The header that the key's usual algorithm asks for.
    pub(crate) fn header(&self) -> Value {
        let alg = match &self.pair {
            Pair::Ec(_, "P-256", _) => "ES256",
            Pair::Ec(..) => "ES384",
            Pair::Ed(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        };
        json!({"alg": alg, "kid": self.kid, "typ": "JWT"})
    }

    /// A compact token of these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// As [`Self::token`], under another header.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// A compact token of these very texts. RSA signs as the header's `alg` says.
    pub(crate) fn token_of(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.sign(input.as_bytes(), header.contains("PS256"));
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(&self, message: &[u8], pss: bool) -> Vec<u8> {
        match &self.pair {
            Pair::Ec(pair, ..) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let encoding = if pss { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// A JWK Set document.
pub(crate) fn jwks(keys: impl IntoIterator<Item = Value>) -> Vec<u8> {
    json!({"keys": keys.into_iter().collect::<Vec<_>>()}).to_string().into_bytes()
}

/// The key set of these keys.
pub(crate) fn key_set<'a>(keys: impl IntoIterator<Item = &'a TestKey>) -> Arc<KeySet> {
    Arc::new(KeySet::from_jwks(&jwks(keys.into_iter().map(TestKey::jwk))).unwrap().0)
}

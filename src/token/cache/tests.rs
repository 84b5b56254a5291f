use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::identity::TrustedIssuer;
use crate::reason::Reason;
use crate::token::SigningKeys;
use crate::token::signer::new_pem;

const OURS: &str = "https://gw.example.com";
const IDP: &str = "https://idp.example.com";
const NOW: i64 = 1_700_000_000;

struct Bed {
    cache: TokenCache,
    signing: SigningKeys,
    own: OwnIssuer,
    issuers: Issuers,
}

fn issuers(audience: &str) -> Issuers {
    let mut issuers = Issuers::new(OURS);
    let registration = TrustedIssuer {
        name: "idp".into(),
        audiences: vec![audience.into()],
        token_lifetime: Duration::from_secs(60),
    };
    issuers.register(IDP, None, [registration]);
    issuers
}

fn bed(bytes: u64) -> Bed {
    let signing = SigningKeys::ephemeral().unwrap();
    let own = signing.issuer(OURS);
    Bed { cache: TokenCache::new(bytes), signing, own, issuers: issuers("faas") }
}

fn claims(subject: &str) -> Value {
    json!({"iss": OURS, "aud": OURS, "sub": format!("fed:{subject}"), "fed:iss": IDP, "fed:aud": "faas",
           "policy": ["p"], "exp": NOW + 600, "iat": NOW, "jti": subject, "groups": ["a", "b"],
           "email": format!("{subject}@example.com")})
}

impl Bed {
    fn token(&self, subject: &str) -> String {
        self.signing.sign(claims(subject).as_object().unwrap()).unwrap()
    }

    fn verify_at(&self, token: &str, now: i64) -> Result<OwnToken, TokenRejection> {
        self.cache.verify_own(token, &self.own, &self.issuers, now)
    }

    fn verify(&self, token: &str) -> Result<OwnToken, TokenRejection> {
        self.verify_at(token, NOW)
    }

    fn reason(&self, token: &str) -> Option<Reason> {
        self.verify(token).err().map(|rejection| rejection.reason)
    }

    /// Hits and misses.
    fn counts(&self) -> (u64, u64) {
        let figures = self.cache.figures();
        (figures.hits, figures.misses)
    }
}

#[test]
fn a_token_is_proven_once_and_the_answer_is_the_same() {
    let bed = bed(1 << 20);
    let token = bed.token("alice");
    let (first, second) = (bed.verify(&token).unwrap(), bed.verify(&token).unwrap());
    assert_eq!(bed.counts(), (1, 1));
    assert_eq!((&first.principal, &first.kind, first.exp), (&second.principal, &second.kind, second.exp));
    assert!(Arc::ptr_eq(&first.principal, &second.principal));
    assert!(!format!("{:?}", bed.cache).contains(&token));
}

#[test]
fn without_memory_every_token_is_verified_in_full() {
    let bed = bed(0);
    let token = bed.token("alice");
    for _ in 0..3 {
        bed.verify(&token).unwrap();
    }
    assert_eq!(bed.cache.figures(), CacheFigures { misses: 3, ..CacheFigures::default() });
}

#[test]
fn another_payload_header_or_signature_is_another_token() {
    let bed = bed(1 << 20);
    let token = bed.token("alice");
    bed.verify(&token).unwrap();
    let parts: Vec<_> = token.split('.').collect();
    let swapped = URL_SAFE_NO_PAD.encode(claims("mallory").to_string());
    let mut signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    signature[0] ^= 1;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    for forged in [
        format!("{}.{swapped}.{}", parts[0], parts[2]),
        format!("{}.{}.{signature}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
    ] {
        for _ in 0..2 {
            assert_eq!(bed.reason(&forged), Some(Reason::BadSignature));
        }
    }
    for forged in [format!("{token}="), format!(" {token}")] {
        assert_eq!(bed.reason(&forged), Some(Reason::MalformedToken));
    }
    assert_eq!((bed.counts(), bed.cache.figures().entries), ((0, 9), 1), "no failure is remembered");
}

#[test]
fn times_are_those_of_the_request() {
    let bed = bed(1 << 20);
    let token = bed.token("alice");
    bed.verify_at(&token, NOW + 599).unwrap();
    let expired = bed.verify_at(&token, NOW + 600).unwrap_err();
    assert_eq!((expired.reason, bed.counts()), (Reason::TokenExpired, (1, 1)));
    assert_eq!(bed.cache.figures().entries, 0, "what has expired takes no room");
    bed.verify(&token).unwrap();
    let early = bed.verify_at(&token, NOW - 31).unwrap_err();
    assert_eq!((early.reason, bed.counts()), (Reason::TokenNotYetValid, (2, 2)));
    bed.verify_at(&token, NOW - 30).unwrap();
}

#[test]
fn a_removed_issuer_and_a_changed_audience_end_it_at_once() {
    let mut bed = bed(1 << 20);
    let token = bed.token("alice");
    for (now_trusted, reason) in
        [(Issuers::new(OURS), Reason::UnknownIssuer), (issuers("other"), Reason::AudienceMismatch)]
    {
        bed.verify(&token).unwrap();
        let before = std::mem::replace(&mut bed.issuers, now_trusted);
        assert_eq!(bed.reason(&token), Some(reason));
        assert_eq!(bed.reason(&token), Some(reason), "forgotten, and refused in full");
        bed.issuers = before;
    }
    bed.verify(&token).unwrap();
}

#[test]
fn a_withdrawn_key_ends_it_at_once_and_an_added_one_does_not() {
    let mut bed = bed(1 << 20);
    let (old, new) = (new_pem(), new_pem());
    let files = |pems: &[&str]| {
        let files: Vec<_> = pems.iter().map(|pem| ("key", pem.as_bytes())).collect();
        SigningKeys::load(&files).unwrap()
    };
    bed.signing = files(&[&old]);
    bed.own = bed.signing.issuer(OURS);
    let token = bed.token("alice");
    bed.verify(&token).unwrap();
    bed.own = files(&[&new, &old]).issuer(OURS);
    bed.verify(&token).unwrap();
    assert_eq!(bed.counts(), (0, 2), "proven anew under the new keys");
    bed.verify(&token).unwrap();
    assert_eq!(bed.counts(), (1, 2));
    bed.own = files(&[&new]).issuer(OURS);
    assert_eq!(bed.reason(&token), Some(Reason::UnknownKey));
    bed.own = OwnIssuer::new(OURS, Arc::default());
    assert_eq!(bed.reason(&token), Some(Reason::UnknownKey));
    bed.own = bed.signing.issuer(OURS);
    bed.verify(&token).unwrap();
    bed.own = OwnIssuer::new("https://other.example.com", Arc::clone(bed.signing.public()));
    assert_eq!(bed.reason(&token), Some(Reason::UnknownIssuer));
}

#[test]
fn memory_stays_within_its_bound_over_very_many_tokens() {
    const BYTES: u64 = 2 << 20;
    let bed = bed(BYTES);
    let cache = bed.cache.proven.as_ref().unwrap();
    let mut most = 0;
    // Signing 100,000 tokens would take long, and the cache sees no difference.
    for i in 0..100 {
        let proven = Arc::new(prove_own(&bed.token(&"x".repeat(i + 1)), &bed.own, NOW).unwrap());
        for j in 0..1000 {
            cache.insert(key(&format!("{i}.{j}")), Arc::clone(&proven));
        }
        most = most.max(cache.weight());
    }
    assert!(most <= BYTES && most > BYTES / 2, "{most}");
    assert!(cache.len() < 2000, "{}", cache.len());
    // And tokens of everyday use are still remembered.
    let token = bed.token("bob");
    (0..3).for_each(|_| assert!(bed.verify(&token).is_ok()));
    assert!(bed.counts().0 >= 1, "{:?}", bed.counts());
}

#[test]
fn a_token_in_use_outlasts_a_flood_of_others() {
    let bed = bed(1 << 20);
    let cache = bed.cache.proven.as_ref().unwrap();
    let (token, proven) = (bed.token("alice"), Arc::new(prove_own(&bed.token("m"), &bed.own, NOW).unwrap()));
    bed.verify(&token).unwrap();
    for i in 0..50_000 {
        cache.insert(key(&format!("{i}")), Arc::clone(&proven));
        if i % 50 == 0 {
            bed.verify(&token).unwrap();
        }
    }
    let (hits, misses) = bed.counts();
    assert!(misses <= 3, "{hits} hits, {misses} misses");
}

#[test]
fn the_size_of_a_token_grows_with_all_that_it_holds() {
    let bed = bed(1 << 20);
    let size = |extra: Value| {
        let mut claims = claims("alice").as_object().unwrap().clone();
        claims.insert("extra".into(), extra);
        prove_own(&bed.signing.sign(&claims).unwrap(), &bed.own, NOW).unwrap().size()
    };
    let plain = size(json!(1));
    assert!((1000..4000).contains(&plain), "{plain}");
    assert!(size(json!("x".repeat(1000))) >= plain + 1000);
    assert!(size(json!(vec![0; 1000])) >= plain + 1000 * size_of::<Value>());
    let object: serde_json::Map<_, _> = (0..100).map(|i| (format!("n{i}"), json!({}))).collect();
    assert!(size(Value::Object(object)) >= plain + 100 * (size_of::<String>() + size_of::<Value>()));
}

#[test]
fn many_threads_agree() {
    let bed = bed(256 << 10);
    let tokens: Vec<_> = (0..200).map(|i| bed.token(&format!("user-{i}"))).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (bed, tokens) = (&bed, &tokens);
            scope.spawn(move || {
                for round in 0..5 {
                    for i in 0..tokens.len() {
                        let i = (i * (2 * thread + 1) + round) % tokens.len();
                        let verified = bed.verify(&tokens[i]).unwrap();
                        assert_eq!(verified.principal.subject, format!("user-{i}"));
                    }
                }
            });
        }
    });
    let (hits, misses) = bed.counts();
    assert_eq!(hits + misses, 8 * 5 * 200);
    assert!(bed.cache.figures().bytes <= 256 << 10);
}

#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use super::*;
use crate::config::Secret;
use crate::site::stub::{Answer, Stub};

/// In 2100.
const LATER: u64 = 4_102_444_800;

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn hs256(secret: &str, header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

struct P256(EcdsaKeyPair);

impl P256 {
    fn new() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap())
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn pem(&self) -> String {
        let head = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let der = [&head[..], self.0.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    fn jwk(&self, name: &str) -> Value {
        let point = self.0.public_key().as_ref();
        let half = |range| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "kid": name, "use": "sig", "x": half(1..33), "y": half(33..65) })
    }
}

fn verifier(key: JwtKey, algorithms: &[Algorithm]) -> Verifier {
    let algorithms = algorithms.to_vec();
    let config = JwtConfig { key, algorithms, issuer: None, audience: Vec::new(), rooms: "rooms".to_owned() };
    Verifier::new(SiteClient::new(false).unwrap(), config).unwrap()
}

fn with_secret() -> Verifier {
    verifier(JwtKey::Secret(Secret::new("secret")), &[Algorithm::Hs256])
}

fn header(algorithm: &str) -> Value {
    json!({ "alg": algorithm, "typ": "JWT" })
}

fn claims() -> Value {
    json!({ "sub": "8", "rooms": ["Staff"], "info": { "name": "Ann" }, "exp": LATER })
}

#[tokio::test]
async fn a_signed_token_says_who_it_is_for() {
    let token = hs256("secret", &header("HS256"), &claims());
    assert!(Verifier::is_meant(&token) && !Verifier::is_meant("12345") && !Verifier::is_meant("a.b.c"));
    let known = with_secret().verify(&token).await.unwrap();
    assert_eq!((known.user.as_deref(), &*known.rooms), (Some("8"), &["Staff".to_owned()][..]));
    assert_eq!(known.public, Some(json!({ "name": "Ann" })));
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused() {
    let with = |changes: Value| {
        let mut claims = claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let unsigned = format!("{}.{}.", part(&header("none")), part(&claims()));
    for token in [
        hs256("other", &header("HS256"), &claims()),
        hs256("secret", &header("HS384"), &claims()),
        hs256("secret", &header("RS256"), &claims()),
        hs256("secret", &header("HS256"), &with(json!({ "exp": 1 }))),
        hs256("secret", &header("HS256"), &with(json!({ "exp": null }))),
        hs256("secret", &header("HS256"), &with(json!({ "nbf": LATER }))),
        hs256("secret", &header("HS256"), &with(json!({ "rooms": "staff" }))),
        unsigned,
        "a.b.c".to_owned(),
        String::new(),
    ] {
        assert_eq!(with_secret().verify(&token).await.unwrap_err(), Refused::Failed, "{token}");
    }
}

#[tokio::test]
async fn issuer_and_audience_are_required_where_they_are_configured() {
    let mut strict = with_secret();
    strict.config.issuer = Some("https://newsite.test".to_owned());
    strict.config.audience = vec!["push".to_owned()];
    let token = |iss: Value, aud: Value| {
        let mut claims = claims();
        claims["iss"] = iss;
        claims["aud"] = aud;
        hs256("secret", &header("HS256"), &claims)
    };
    let good = json!("https://newsite.test");
    assert!(strict.verify(&token(good.clone(), json!(["push", "x"]))).await.is_ok());
    for (iss, aud) in [
        (json!("other"), json!("push")),
        (good.clone(), json!("other")),
        (Value::Null, json!("push")),
        (good, Value::Null),
    ] {
        assert_eq!(strict.verify(&token(iss, aud)).await.unwrap_err(), Refused::Failed);
    }
}

#[tokio::test]
async fn a_public_key_checks_what_its_pair_signed() {
    let key = P256::new();
    let verifier = verifier(JwtKey::Pem(key.pem()), &[Algorithm::Rs256, Algorithm::Es256]);
    assert!(verifier.verify(&key.sign(&header("ES256"), &claims())).await.is_ok());
    let other = P256::new().sign(&header("ES256"), &claims());
    assert_eq!(verifier.verify(&other).await.unwrap_err(), Refused::Failed);
    // The public key as if it were a secret.
    let forged = hs256(&key.pem(), &header("HS256"), &claims());
    assert_eq!(verifier.verify(&forged).await.unwrap_err(), Refused::Failed);
    assert!(public_key::read("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_err());
}

/// Made by `openssl genrsa 2048`, signed by `openssl dgst -sha256 -sign`.
#[tokio::test]
async fn rsa_keys_check_what_their_pair_signed() {
    let token = include_str!("testdata/rs256.jwt").trim();
    let by_pem = verifier(JwtKey::Pem(include_str!("testdata/rs256.pem").to_owned()), &[Algorithm::Rs256]);
    assert_eq!(by_pem.verify(token).await.unwrap().user.as_deref(), Some("8"));
    let keys = include_str!("testdata/rs256.jwks.json");
    let stub = Stub::start(move |_| Answer::new(200, keys)).await;
    let by_set = verifier(JwtKey::Jwks(stub.url("/keys")), &[Algorithm::Rs256]);
    assert_eq!(by_set.verify(token).await.unwrap().user.as_deref(), Some("8"));
    let (rest, _) = token.rsplit_once('.').unwrap();
    assert!(by_pem.verify(&format!("{rest}.{}", "A".repeat(342))).await.is_err());
}

#[tokio::test]
async fn fetched_keys_are_kept_and_fetched_anew_for_a_new_one() {
    let (first, second) = (P256::new(), P256::new());
    let (one, both) =
        (json!({ "keys": [first.jwk("1")] }), json!({ "keys": [first.jwk("1"), second.jwk("2")] }));
    let stub =
        Stub::start(move |number| Answer::new(200, if number == 0 { &one } else { &both }.to_string())).await;
    let verifier = verifier(JwtKey::Jwks(stub.url("/keys")), &[Algorithm::Es256]);
    let token = |key: &P256, name: &str| key.sign(&json!({ "alg": "ES256", "kid": name }), &claims());
    for _ in 0..5 {
        verifier.verify(&token(&first, "1")).await.unwrap();
    }
    assert_eq!(stub.requests().len(), 1);
    // Nobody makes us fetch them again and again.
    for _ in 0..5 {
        assert_eq!(verifier.verify(&token(&second, "2")).await.unwrap_err(), Refused::Failed);
    }
    assert_eq!(stub.requests().len(), 1);
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(11)).await;
    tokio::time::resume();
    verifier.verify(&token(&second, "2")).await.unwrap();
    verifier.verify(&token(&first, "1")).await.unwrap();
    assert_eq!(stub.requests().len(), 2);
}

#[tokio::test]
async fn old_keys_are_used_while_the_site_hangs() {
    let key = P256::new();
    let keys = json!({ "keys": [key.jwk("1")] }).to_string();
    let answer = move |number| if number == 0 { Answer::new(200, keys.clone()) } else { Answer::never() };
    let stub = Stub::start(answer).await;
    let verifier = verifier(JwtKey::Jwks(stub.url("/keys")), &[Algorithm::Es256]);
    let token = key.sign(&json!({ "alg": "ES256", "kid": "1" }), &claims());
    verifier.verify(&token).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_mins(20)).await;
    // This clock goes on only when somebody waits.
    let began = tokio::time::Instant::now();
    verifier.verify(&token).await.unwrap();
    verifier.verify(&token).await.unwrap();
    assert_eq!(began.elapsed(), std::time::Duration::ZERO, "nobody waits for the site");
    tokio::time::resume();
    stub.asked(2).await;
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_no_fault_of_the_client() {
    for body in ["", "{}", "[]", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}"] {
        let stub = Stub::start(move |_| Answer::new(if body.is_empty() { 500 } else { 200 }, body)).await;
        let verifier = verifier(JwtKey::Jwks(stub.url("/keys")), &[Algorithm::Es256]);
        let refused = verifier.verify(&P256::new().sign(&header("ES256"), &claims())).await.unwrap_err();
        let is_a_set = body.contains("oct");
        assert_eq!(matches!(refused, Refused::Unknown(_)), !is_a_set, "{body}: {refused}");
    }
}

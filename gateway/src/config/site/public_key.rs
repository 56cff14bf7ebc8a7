//! A public key in PEM.
//!
//! In: `-----BEGIN PUBLIC KEY-----` and what follows (RFC 7468, RFC 5280: `SubjectPublicKeyInfo`). Out: a key, for RSA
//! of 2,048 to 8,192 bits or P-256, or that it is none.

use jsonwebtoken::DecodingKey;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

/// It is not a public key that is understood.
#[derive(Debug, thiserror::Error)]
#[error("`jwtPublicKey` is not a public key of RSA, of 2,048 to 8,192 bits, or of P-256 in PEM")]
pub(crate) struct BadKey;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
/// How many bytes an RSA key's modulus may have.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1_024;
/// rsaEncryption, 1.2.840.113549.1.1.1, with its parameters, which are NULL.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// id-ecPublicKey, 1.2.840.10045.2.1, with its curve, prime256v1, 1.2.840.10045.3.1.7.
const P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];

pub(crate) fn read(pem: &str) -> Result<DecodingKey, BadKey> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| BadKey)?;
    let (info, rest) = value(&der, SEQUENCE).ok_or(BadKey)?;
    let (algorithm, key) = value(info, SEQUENCE).ok_or(BadKey)?;
    let (key, behind) = value(key, BIT_STRING).ok_or(BadKey)?;
    let [0, key @ ..] = key else { return Err(BadKey) };
    match algorithm {
        _ if !rest.is_empty() || !behind.is_empty() => Err(BadKey),
        RSA if modulus(key).is_some_and(|modulus| MODULUS.contains(&modulus.len())) => {
            Ok(DecodingKey::from_rsa_der(key))
        }
        // A point that is not compressed: the only form that is asked for.
        P256 if key.len() == 65 && key.first() == Some(&4) => Ok(DecodingKey::from_ec_der(key)),
        _ => Err(BadKey),
    }
}

/// The modulus of an RSA key (RFC 8017, A.1.1), without what makes it positive.
fn modulus(key: &[u8]) -> Option<&[u8]> {
    let (numbers, rest) = value(key, SEQUENCE)?;
    let (modulus, exponent) = value(numbers, INTEGER)?;
    let (_, behind) = value(exponent, INTEGER)?;
    (rest.is_empty() && behind.is_empty()).then(|| modulus.strip_prefix(&[0]).unwrap_or(modulus))
}

/// The content of the DER value of this tag at the beginning, and what is behind it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let count = usize::from(short & 0x7f);
        let (digits, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

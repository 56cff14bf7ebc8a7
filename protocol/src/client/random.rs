//! Names for requests, made of randomness that is handed in.

use std::sync::Arc;

use crate::token::Token;

/// A source of random numbers. The operating system's, or a seeded one in tests.
pub type Random = Box<dyn FnMut() -> u64 + Send>;

/// A UUID v4 in canonical form (RFC 9562, section 5.4).
pub(super) fn uuid(random: &mut Random) -> Arc<str> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random().to_be_bytes());
    bytes[8..].copy_from_slice(&random().to_be_bytes());
    Token::from_random(bytes).to_string().into()
}

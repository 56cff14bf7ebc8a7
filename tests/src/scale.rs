//! How much a test does.
//!
//! In: a variable of the environment. Out: its number, or what is done where nobody says; never the latter for a
//! number that was said and cannot be read.

use std::env::VarError;
use std::str::FromStr;

/// What `variable` says, or `otherwise`. Panics when it says something that is no number.
pub fn number<N: FromStr>(variable: &str, otherwise: N) -> N {
    match std::env::var(variable) {
        Err(VarError::NotPresent) => otherwise,
        said => {
            let number = said.as_ref().ok().and_then(|said| said.parse().ok());
            number.unwrap_or_else(|| panic!("{variable}: {said:?} is no number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_cannot_be_read_is_not_taken_for_another() {
        assert_eq!(number("TOKENSOCKET_TESTS_NOBODY_SETS_THIS", 7), 7);
        // Each process has it.
        assert!(std::panic::catch_unwind(|| number("PATH", 7)).is_err());
    }
}

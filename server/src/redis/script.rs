//! A program that runs inside Redis, in one step.
//!
//! In: Lua. Out: the name by which Redis knows it once it was loaded. Knows no connection.

use std::sync::OnceLock;

use sha1::{Digest, Sha1};

/// A script, and its name.
#[derive(Debug)]
pub(in crate::redis) struct Script {
    code: &'static str,
    name: OnceLock<String>,
}

impl Script {
    pub(in crate::redis) const fn new(code: &'static str) -> Self {
        Self { code, name: OnceLock::new() }
    }

    pub(in crate::redis) fn code(&self) -> &'static str {
        self.code
    }

    /// What `EVALSHA` calls it: the SHA-1 of its text, in hexadecimal digits.
    pub(in crate::redis) fn name(&self) -> &str {
        self.name.get_or_init(|| {
            use std::fmt::Write as _;
            Sha1::digest(self.code).iter().fold(String::with_capacity(40), |mut name, byte| {
                let _ = write!(name, "{byte:02x}");
                name
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_name_that_redis_gives_it() {
        assert_eq!(Script::new("return 1").name(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}

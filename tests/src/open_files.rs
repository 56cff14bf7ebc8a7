//! How many files, and so connections, a test may open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit to the highest that is allowed; children begin with it. Panics when that is less than `needed`.
pub fn raise_limit(needed: u64) {
    let (now, highest) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    if now < highest {
        setrlimit(Resource::RLIMIT_NOFILE, highest, highest).expect("the limit can be raised so far");
    }
    assert!(highest >= needed, "{needed} open files are needed, and {highest} allowed: raise `ulimit -Hn`");
}

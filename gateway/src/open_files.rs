//! How many files, and so connections, this process may open.
//!
//! In: nothing. Out: the limit that holds from now on. Systems commonly begin with 1,024, which a server
//! of sockets meets soon, and allow more to whoever asks.

/// Raises the limit to the highest that is allowed, and returns it; `None` where there is no such limit or
/// it cannot be known.
#[cfg(unix)]
pub(crate) fn raise_limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (now, highest) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let raised = now < highest && setrlimit(Resource::RLIMIT_NOFILE, highest, highest).is_ok();
    Some(if raised { highest } else { now })
}

/// Raises the limit to the highest that is allowed, and returns it; `None` where there is no such limit or
/// it cannot be known.
#[cfg(not(unix))]
pub(crate) fn raise_limit() -> Option<u64> {
    None
}

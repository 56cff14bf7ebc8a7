//! How many files, and so sockets, this process may open.

/// Raises the limit to the highest that is allowed. Servers started later
/// inherit it. A limit that cannot be raised shows when a socket cannot be
/// opened, so nothing is reported here.
pub(crate) fn raise_limit() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((now, highest)) = getrlimit(Resource::RLIMIT_NOFILE)
            && now < highest
        {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, highest, highest);
        }
    }
}

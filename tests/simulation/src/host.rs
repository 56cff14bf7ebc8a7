//! What the operating system tells a simulated world: randomness and the time of day.
//!
//! In: a seed, and the virtual clock. Out: the answers to `getrandom` and `clock_gettime` for the thread that
//! simulates; every other thread asks the system itself. So hash maps, tokens, epochs and the masks of frames are
//! the seed's, and nothing in the server has to be told that it is simulated. Knows nothing of what asks.
//!
//! A program's own definition of a function takes the place of the C library's (ELF, symbol interposition).

#![allow(unsafe_code, reason = "the system's functions are replaced by their C names")]

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// The time of day at which every world begins: 2026-01-01, UTC.
const DAWN: Duration = Duration::from_hours(490_896);

thread_local! {
    /// The state of the thread's randomness; `None` where nothing is simulated.
    static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
    /// When the virtual clock said [`DAWN`].
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Makes the thread's randomness the seed's, until the thread ends. Call it first on a new thread: what was drawn
/// before is kept by who drew it.
pub(crate) fn seed(seed: u64) {
    RANDOM.set(Some(seed ^ 0x5eed_5eed_5eed_5eed));
}

/// Makes the thread's time of day follow the virtual clock of the runtime it is in.
pub(crate) fn begin() {
    BEGAN.set(Some(Instant::now()));
}

/// How long the world has been there.
pub(crate) fn elapsed() -> Duration {
    BEGAN.get().map_or(Duration::ZERO, |began| Instant::now().saturating_duration_since(began))
}

/// The generator `SplitMix64`.
fn next(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, mixed ^ (mixed >> 31))
}

/// The C library's `getrandom`.
///
/// # Safety
/// As the system's: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut libc::c_void, length: usize, flags: libc::c_uint) -> isize {
    let Some(mut state) = RANDOM.get() else {
        // SAFETY: the caller's arguments, handed on as they are.
        let count = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(count).unwrap_or(-1);
    };
    if length > 0 {
        // SAFETY: the caller says that there is room for `length` bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
        for part in bytes.chunks_mut(8) {
            let (after, drawn) = next(state);
            state = after;
            part.copy_from_slice(&drawn.to_le_bytes()[..part.len()]);
        }
    }
    RANDOM.set(Some(state));
    isize::try_from(length).unwrap_or(-1)
}

/// The C library's `clock_gettime`. Clocks that only measure are the system's own.
///
/// # Safety
/// As the system's: `time` may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    if clock == libc::CLOCK_REALTIME && BEGAN.get().is_some() {
        let now = DAWN + elapsed();
        let seconds = libc::time_t::try_from(now.as_secs()).unwrap_or(libc::time_t::MAX);
        // SAFETY: the caller says that it may be written.
        unsafe { time.write(libc::timespec { tv_sec: seconds, tv_nsec: now.subsec_nanos().into() }) };
        return 0;
    }
    // SAFETY: the caller's arguments, handed on as they are.
    let failed = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    libc::c_int::try_from(failed).unwrap_or(-1)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test stops at what it does not expect")]
mod tests {
    use std::hash::{BuildHasher, RandomState};
    use std::time::SystemTime;

    use super::*;

    fn drawn() -> (u64, SystemTime) {
        let draws = || {
            seed(7);
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.expect("a runtime").block_on(async {
                begin();
                tokio::time::sleep(Duration::from_millis(1500)).await;
                (RandomState::new().hash_one(1), SystemTime::now())
            })
        };
        std::thread::spawn(draws).join().expect("nothing panics")
    }

    #[test]
    fn gives_every_thread_of_one_seed_the_same() {
        let first = drawn();
        assert_eq!(first, drawn());
        assert_eq!(first.1, SystemTime::UNIX_EPOCH + DAWN + Duration::from_millis(1500));
        assert_ne!(RandomState::new().hash_one(1), first.0);
        assert!(SystemTime::now() > SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    }
}

//! CPU time and memory of another process, from `/proc`.
//!
//! Linux only; elsewhere every reading is an error that says so.

use std::time::Duration;

use crate::error::BenchError;

/// User and system time that `pid` has used so far. A tick of the kernel's
/// clock (10 ms) is the finest it tells.
#[cfg(target_os = "linux")]
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, BenchError> {
    let stat = open(pid)?.stat().map_err(|error| unreadable(pid, &error))?;
    let ticks = stat.utime + stat.stime;
    Ok(Duration::from_secs(ticks) / u32::try_from(procfs::ticks_per_second()).unwrap_or(100))
}

/// Bytes of `pid` that are in memory.
#[cfg(target_os = "linux")]
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, BenchError> {
    let maps = open(pid)?.smaps_rollup().map_err(|error| unreadable(pid, &error))?;
    maps.memory_map_rollup
        .iter()
        .find_map(|map| map.extension.map.get("Rss").copied())
        .ok_or_else(|| BenchError::Process { pid, reason: "its memory map has no resident size".to_owned() })
}

#[cfg(target_os = "linux")]
fn open(pid: u32) -> Result<procfs::process::Process, BenchError> {
    i32::try_from(pid)
        .map_err(|error| unreadable(pid, &error))
        .and_then(|id| procfs::process::Process::new(id).map_err(|error| unreadable(pid, &error)))
}

#[cfg(target_os = "linux")]
fn unreadable(pid: u32, error: &dyn std::error::Error) -> BenchError {
    BenchError::Process { pid, reason: error.to_string() }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, BenchError> {
    Err(elsewhere(pid))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, BenchError> {
    Err(elsewhere(pid))
}

#[cfg(not(target_os = "linux"))]
fn elsewhere(pid: u32) -> BenchError {
    BenchError::Process { pid, reason: "this needs Linux".to_owned() }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn reads_this_process() {
        let own = std::process::id();
        assert!(resident_bytes(own).unwrap() > 100_000);
        let before = cpu_time(own).unwrap();
        while cpu_time(own).unwrap() == before {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn names_the_process_that_is_gone() {
        let error = cpu_time(u32::MAX >> 1).unwrap_err();
        assert!(matches!(error, BenchError::Process { .. }), "{error}");
    }
}

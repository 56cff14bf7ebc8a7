//! The clock: how long the server took, and how much CPU time.

use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokensocket_benches::{Report, Window};

/// Adds up the stretches in which the server works.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    count: u64,
    wall: Duration,
    cpu: Duration,
}

impl Watch {
    /// Times `work`, which did `count` things by the moment it returns.
    pub(crate) fn time<E>(&mut self, count: usize, work: impl FnOnce() -> Result<Instant, E>) -> Result<(), E>
    where
        E: From<nix::Error>,
    {
        let before = cpu_time()?;
        let start = Instant::now();
        let end = work()?;
        self.wall += end - start;
        self.cpu += cpu_time()?.saturating_sub(before);
        self.count += count as u64;
        Ok(())
    }

    /// How long it has run.
    pub(crate) fn wall(&self) -> Duration {
        self.wall
    }

    pub(crate) fn report(&self, unit: &str) -> Report {
        Report {
            unit: unit.to_owned(),
            window: Some(Window {
                count: self.count,
                seconds: self.wall.as_secs_f64(),
                server_cpu_seconds: Some(self.cpu.as_secs_f64()),
                beside_cpu_seconds: Vec::new(),
                generator_cpu_seconds: None,
            }),
            latency: None,
            memory: None,
        }
    }
}

/// The CPU time of this process so far, to the microsecond.
fn cpu_time() -> nix::Result<Duration> {
    let usage: Usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn duration(time: TimeVal) -> Duration {
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
}

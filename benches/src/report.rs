//! What a run found.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What one run of one workload found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// What was counted: calls, deliveries, connects.
    pub unit: String,
    /// The counted stretch; none when memory was measured.
    pub window: Option<Window>,
    /// How long each counted thing took, where that means something.
    pub latency: Option<Latency>,
    /// Memory per socket, when that was measured.
    pub memory: Option<Memory>,
}

/// A stretch of time under load.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Window {
    /// How much was counted.
    pub count: u64,
    /// Seconds on the clock.
    pub seconds: f64,
    /// CPU seconds (user and system) of the server, when its process is known.
    pub server_cpu_seconds: Option<f64>,
    /// CPU seconds of each process beside the server.
    pub beside_cpu_seconds: Vec<(String, f64)>,
    /// CPU seconds of the load generator. Close to `seconds`, the generator
    /// was the limit and only figures per server CPU-second mean something.
    pub generator_cpu_seconds: Option<f64>,
}

impl Window {
    /// Counted per second.
    pub fn per_second(&self) -> f64 {
        ratio(self.count, self.seconds)
    }

    /// Counted per second of the server's CPU time.
    pub fn per_cpu_second(&self) -> Option<f64> {
        self.server_cpu_seconds.filter(|seconds| *seconds > 0.0).map(|seconds| ratio(self.count, seconds))
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn ratio(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Latencies in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half took no longer.
    pub p50: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// 999 of 1,000 took no longer.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

impl Latency {
    /// Sums `histogram` up; none when it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        })
    }
}

/// Memory of idle sockets.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Memory {
    /// How many sockets were added.
    pub sockets: u64,
    /// Resident bytes of the server before.
    pub before: u64,
    /// Resident bytes of the server with all of them open.
    pub after: u64,
}

impl Memory {
    /// Resident bytes that each socket added.
    #[allow(clippy::cast_precision_loss, reason = "memory stays far below 2^52")]
    pub fn per_socket(&self) -> f64 {
        (self.after as f64 - self.before as f64) / self.sockets as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(window) = &self.window {
            writeln!(
                out,
                "{} {} in {:.2} s: {:.0} per second",
                window.count,
                self.unit,
                window.seconds,
                window.per_second()
            )?;
            if let Some(rate) = window.per_cpu_second() {
                writeln!(out, "per server CPU-second: {rate:.0}")?;
            }
            for (name, seconds) in &window.beside_cpu_seconds {
                writeln!(out, "CPU of {name}: {seconds:.2} s")?;
            }
            if let Some(seconds) = window.generator_cpu_seconds {
                writeln!(out, "CPU of the load generator: {seconds:.2} s")?;
            }
        }
        if let Some(latency) = &self.latency {
            let show = |nanoseconds| Duration::from_nanos(nanoseconds);
            writeln!(
                out,
                "latency: p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, max {:.1?}",
                show(latency.p50),
                show(latency.p99),
                show(latency.p999),
                show(latency.max)
            )?;
        }
        if let Some(memory) = &self.memory {
            writeln!(out, "{} sockets: {:.0} resident bytes each", memory.sockets, memory.per_socket())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn sums_a_histogram_up() {
        let mut histogram = Histogram::new(3).unwrap();
        assert_eq!(Latency::of(&histogram), None);
        for value in 1..=1000 {
            histogram.record(value * 1000).unwrap();
        }
        let latency = Latency::of(&histogram).unwrap();
        let close = |value: u64, wanted: u64| value.abs_diff(wanted) <= wanted / 500;
        assert!(close(latency.p50, 500_000), "{latency:?}");
        assert!(close(latency.p99, 990_000), "{latency:?}");
        assert!(close(latency.p999, 999_000), "{latency:?}");
        assert!(close(latency.max, 1_000_000), "{latency:?}");
    }

    #[test]
    fn rates_are_per_second_and_per_cpu_second() {
        let mut window = Window {
            count: 1000,
            seconds: 2.0,
            server_cpu_seconds: Some(0.5),
            beside_cpu_seconds: Vec::new(),
            generator_cpu_seconds: None,
        };
        assert!((window.per_second() - 500.0).abs() < 1e-9);
        assert!((window.per_cpu_second().unwrap() - 2000.0).abs() < 1e-9);
        window.server_cpu_seconds = Some(0.0);
        assert_eq!(window.per_cpu_second(), None);
    }

    #[test]
    fn memory_is_what_each_socket_added() {
        let memory = Memory { sockets: 10, before: 1_000, after: 21_000 };
        assert!((memory.per_socket() - 2000.0).abs() < 1e-9);
    }
}

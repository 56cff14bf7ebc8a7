//! The figures that the project wants, and whether a record has them.
//!
//! In: a [`Summary`]. Out: a [`Verdict`] for each. Pure. Ratios are of figures
//! per second of server CPU time unless said otherwise.

use super::{
    plan::{CALLS, CONNECT, FAN_OUT_1, FAN_OUT_10K, FAN_OUT_10K_HALF, FAN_OUT_32, MEMORY},
    server::{FLOOR, OURS, SOCKJS, TWO_CORES},
    summary::Summary,
    table::grouped,
};

/// One figure that is wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    workload: &'static str,
    what: &'static str,
    measure: Measure,
    bound: f64,
}

/// How a figure is had from a summary.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// The first server's work per CPU-second over the second's.
    Ratio(&'static str, &'static str),
    /// Ours: resident bytes per socket.
    Bytes,
    /// Ours: what two cores do, in times what one does, when both are given the
    /// same seconds of CPU time each.
    Scaling,
    /// Ours: the 99th percentile over that of the server named.
    Latency(&'static str),
}

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Times,
    Bytes,
}

impl Unit {
    pub(super) fn show(self, figure: f64) -> String {
        match self {
            Self::Times => format!("{figure:.2} ×"),
            Self::Bytes => format!("{} bytes", grouped(figure)),
        }
    }
}

/// A wanted figure beside what was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) workload: &'static str,
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) measured: Option<f64>,
    bound: f64,
    less_is_better: bool,
}

impl Verdict {
    /// None when it was not measured.
    pub(super) fn is_met(&self) -> Option<bool> {
        self.measured.map(|found| if self.less_is_better { found <= self.bound } else { found >= self.bound })
    }

    /// The bound in words.
    pub(super) fn bound(&self) -> String {
        let side = if self.less_is_better { "at most" } else { "at least" };
        format!("{side} {}", self.unit.show(self.bound))
    }
}

const WANTED: [Wanted; 15] = [
    ratio(CALLS, "of the raw floor", OURS, FLOOR, 0.6),
    ratio(CALLS, "of jsonrpsee", OURS, "jsonrpsee", 8.0),
    ratio(CALLS, "of socketioxide", OURS, "socketioxide", 2.5),
    ratio(FAN_OUT_1, "of the raw floor", OURS, FLOOR, 1.7),
    ratio(FAN_OUT_32, "of the raw floor", OURS, FLOOR, 3.9),
    ratio(FAN_OUT_10K, "of the raw floor", OURS, FLOOR, 1.8),
    ratio(CONNECT, "of node-token-sockjs", OURS, "node-token-sockjs", 8.0),
    Wanted { workload: MEMORY, what: "per idle socket", measure: Measure::Bytes, bound: 4_000.0 },
    Wanted { workload: MEMORY, what: "per idle socket, the aim", measure: Measure::Bytes, bound: 2_500.0 },
    Wanted { workload: CALLS, what: "two cores, of one", measure: Measure::Scaling, bound: 1.8 },
    Wanted { workload: FAN_OUT_10K, what: "two cores, of one", measure: Measure::Scaling, bound: 1.8 },
    Wanted {
        workload: FAN_OUT_10K_HALF,
        what: "99th percentile, of the raw floor's",
        measure: Measure::Latency(FLOOR),
        bound: 1.0,
    },
    ratio(CALLS, "SockJS framing, of raw", SOCKJS, OURS, 0.85),
    ratio(FAN_OUT_1, "SockJS framing, of raw", SOCKJS, OURS, 0.85),
    ratio(FAN_OUT_32, "SockJS framing, of raw", SOCKJS, OURS, 0.85),
];

const fn ratio(
    workload: &'static str,
    what: &'static str,
    over: &'static str,
    under: &'static str,
    bound: f64,
) -> Wanted {
    Wanted { workload, what, measure: Measure::Ratio(over, under), bound }
}

/// All that is wanted, beside what `summary` says.
pub(super) fn judge(summary: &Summary) -> impl Iterator<Item = Verdict> {
    WANTED.into_iter().map(|wanted| Verdict {
        workload: wanted.workload,
        what: wanted.what,
        unit: if matches!(wanted.measure, Measure::Bytes) { Unit::Bytes } else { Unit::Times },
        measured: wanted.find(summary).filter(|found| found.is_finite()),
        bound: wanted.bound,
        less_is_better: matches!(wanted.measure, Measure::Bytes | Measure::Latency(_)),
    })
}

impl Wanted {
    fn find(&self, summary: &Summary) -> Option<f64> {
        let figure = |server: &str| summary.cell(server, self.workload)?.figure;
        let slowest = |server: &str| Some(summary.cell(server, self.workload)?.latency?.p99);
        match self.measure {
            Measure::Ratio(over, under) => Some(figure(over)? / figure(under)?),
            Measure::Bytes => figure(OURS),
            Measure::Scaling => Some(2.0 * figure(TWO_CORES)? / figure(OURS)?),
            #[allow(clippy::cast_precision_loss, reason = "latencies stay far below 2^52 ns")]
            Measure::Latency(other) => Some(slowest(OURS)? as f64 / slowest(other)? as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;
    use crate::{
        compare::{Facts, Measurement, Record},
        report::{Latency, Memory, Report, Window},
        workload::{Calls, Workload},
    };

    fn measurement(server: &str, workload: &str, report: Report) -> Measurement {
        Measurement {
            round: 1,
            server: server.into(),
            title: server.into(),
            workload: workload.into(),
            load: Workload::Calls(Calls::default()),
            report: Some(report),
            failure: None,
        }
    }

    fn rate(server: &str, workload: &str, count: u64, p99: u64) -> Measurement {
        let window = Window {
            count,
            seconds: 1.0,
            server_cpu_seconds: Some(1.0),
            beside_cpu_seconds: Vec::new(),
            generator_cpu_seconds: None,
        };
        let latency = Some(Latency { p50: 1, p99, p999: p99, max: p99 });
        measurement(
            server,
            workload,
            Report { unit: "x".into(), window: Some(window), latency, memory: None },
        )
    }

    fn found(measurements: Vec<Measurement>) -> Vec<(&'static str, &'static str, f64, bool)> {
        let record = Record { facts: Facts::default(), cores: None, measured_seconds: 1.0, measurements };
        judge(&Summary::of(&record))
            .filter_map(|one| Some((one.workload, one.what, one.measured?, one.is_met()?)))
            .collect()
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        assert_eq!(found(Vec::new()), []);
    }

    #[test]
    fn judges_ratios_scaling_and_latency() {
        let found = found(vec![
            rate(OURS, CALLS, 60, 10),
            rate(FLOOR, CALLS, 100, 10),
            rate(TWO_CORES, CALLS, 51, 10),
            rate(SOCKJS, CALLS, 54, 10),
            rate(OURS, FAN_OUT_10K_HALF, 1, 11),
            rate(FLOOR, FAN_OUT_10K_HALF, 1, 10),
        ]);
        assert_eq!(
            found,
            [
                (CALLS, "of the raw floor", 0.6, true),
                (CALLS, "two cores, of one", 1.7, false),
                (FAN_OUT_10K_HALF, "99th percentile, of the raw floor's", 1.1, false),
                (CALLS, "SockJS framing, of raw", 0.9, true),
            ]
        );
    }

    #[test]
    fn less_memory_is_better() {
        let memory = Some(Memory { sockets: 1, before: 0, after: 3_000 });
        let report = Report { unit: "sockets".into(), window: None, latency: None, memory };
        let met: Vec<_> = found(vec![measurement(OURS, MEMORY, report)]).iter().map(|one| one.3).collect();
        assert_eq!(met, [true, false]);
    }
}

//! The figures that the project wants, and whether a record has them; and
//! those it only wants to be told.
//!
//! In: a [`Summary`]. Out: a [`Verdict`] for each. Pure. Ratios are of figures
//! per second of server CPU time unless said otherwise; those in one process are
//! of figures per second on the clock.

use super::{
    plan::{
        CALLS, CONNECT, CORES_CALLS, CORES_FAN_OUT, FAN_OUT_1, FAN_OUT_10K, FAN_OUT_10K_HALF, FAN_OUT_32,
        MEMORY, SOCKJS_ECHO, SOCKJS_IDLE,
    },
    server::{
        BARE, FLOOR, FLOOR_PLAIN, FLOOR_TLS, MIXED, NPM_SOCKJS, OURS, PER_CORE, SOCKJS, TLS, TWO_CORES,
    },
    summary::Summary,
    table::grouped,
};

/// One figure that is wanted. Without a bound it is only told.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    workload: &'static str,
    what: &'static str,
    measure: Measure,
    bound: Option<f64>,
}

/// How a figure is had from a summary.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// The first server's work per second over the second's.
    Ratio(&'static str, &'static str),
    /// The second server's bytes over the first's.
    FewerBytes(&'static str, &'static str),
    /// The CPU time that the first server takes for one more than the second.
    Added(&'static str, &'static str),
    /// The bytes that the first server keeps for a socket more than the second.
    AddedBytes(&'static str, &'static str),
    /// Ours: resident bytes per socket.
    Bytes,
    /// Ours: what two cores do, in times what one does, when both are given the
    /// same seconds of CPU time each.
    Scaling,
    /// Ours over that of the server named; less is better.
    Latency(&'static str),
}

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Times,
    Bytes,
    Microseconds,
}

impl Unit {
    pub(super) fn show(self, figure: f64) -> String {
        match self {
            Self::Times => format!("{figure:.2} ×"),
            Self::Bytes => format!("{} bytes", grouped(figure)),
            Self::Microseconds => format!("{figure:.2} µs"),
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
    bound: Option<f64>,
    less_is_better: bool,
}

impl Verdict {
    /// None when it was not measured, or nothing in particular is wanted.
    pub(super) fn is_met(&self) -> Option<bool> {
        let (found, bound) = (self.measured?, self.bound?);
        Some(if self.less_is_better { found <= bound } else { found >= bound })
    }

    /// Whether it is met, in words.
    pub(super) fn outcome(&self) -> &'static str {
        match (self.measured, self.is_met()) {
            (None, _) => "not measured",
            (_, Some(true)) => "met",
            (_, Some(false)) => "not met",
            (_, None) => "–",
        }
    }

    /// The bound in words.
    pub(super) fn bound(&self) -> String {
        let Some(bound) = self.bound else { return "–".to_owned() };
        let side = if self.less_is_better { "at most" } else { "at least" };
        format!("{side} {}", self.unit.show(bound))
    }
}

const WANTED: [Wanted; 37] = [
    ratio(CALLS, "of the raw floor", OURS, FLOOR, 0.6),
    ratio(CALLS, "of jsonrpsee", OURS, "jsonrpsee", 8.0),
    ratio(CALLS, "of socketioxide", OURS, "socketioxide", 2.5),
    ratio(FAN_OUT_1, "of the raw floor", OURS, FLOOR, 1.7),
    ratio(FAN_OUT_32, "of the raw floor", OURS, FLOOR, 3.9),
    ratio(FAN_OUT_10K, "of the raw floor", OURS, FLOOR, 1.8),
    ratio(CONNECT, "of node-token-sockjs", OURS, "node-token-sockjs", 8.0),
    Wanted { workload: MEMORY, what: "per idle socket", measure: Measure::Bytes, bound: Some(4_000.0) },
    Wanted {
        workload: MEMORY,
        what: "per idle socket, the aim",
        measure: Measure::Bytes,
        bound: Some(2_500.0),
    },
    ratio(CORES_CALLS, "two threads, of one, on the clock", TWO_CORES, OURS, 1.8),
    ratio(CORES_FAN_OUT, "two threads, of one, on the clock", TWO_CORES, OURS, 1.8),
    told(CORES_CALLS, "a runtime per core, of one thread", Measure::Ratio(PER_CORE, OURS)),
    told(CORES_FAN_OUT, "a runtime per core, of one thread", Measure::Ratio(PER_CORE, OURS)),
    told(CALLS, "two cores, of one, by CPU time", Measure::Scaling),
    told(FAN_OUT_10K, "two cores, of one, by CPU time", Measure::Scaling),
    Wanted {
        workload: FAN_OUT_10K_HALF,
        what: "99th percentile, of the raw floor's",
        measure: Measure::Latency(FLOOR),
        bound: Some(1.0),
    },
    ratio(CALLS, "SockJS framing, of raw", SOCKJS, OURS, 0.85),
    ratio(FAN_OUT_1, "SockJS framing, of raw", SOCKJS, OURS, 0.85),
    ratio(FAN_OUT_32, "SockJS framing, of raw", SOCKJS, OURS, 0.85),
    told(FAN_OUT_1, "raw and SockJS mixed, of raw", Measure::Ratio(MIXED, OURS)),
    told(FAN_OUT_32, "raw and SockJS mixed, of raw", Measure::Ratio(MIXED, OURS)),
    told(CALLS, "of an epoll loop", Measure::Ratio(OURS, BARE)),
    told(FAN_OUT_1, "of an epoll loop", Measure::Ratio(OURS, BARE)),
    told(FAN_OUT_32, "of an epoll loop", Measure::Ratio(OURS, BARE)),
    told(FAN_OUT_10K, "of an epoll loop", Measure::Ratio(OURS, BARE)),
    told(FAN_OUT_1, "of the plain floor", Measure::Ratio(OURS, FLOOR_PLAIN)),
    told(FAN_OUT_32, "of the plain floor", Measure::Ratio(OURS, FLOOR_PLAIN)),
    told(CALLS, "TLS, of the floor with TLS", Measure::Ratio(TLS, FLOOR_TLS)),
    told(CALLS, "what TLS adds to a call", Measure::Added(TLS, OURS)),
    told(CALLS, "what TLS adds to the floor's", Measure::Added(FLOOR_TLS, FLOOR)),
    told(FAN_OUT_1, "TLS, of the floor with TLS", Measure::Ratio(TLS, FLOOR_TLS)),
    told(FAN_OUT_1, "what TLS adds to a delivery", Measure::Added(TLS, OURS)),
    told(FAN_OUT_1, "what TLS adds to the floor's", Measure::Added(FLOOR_TLS, FLOOR)),
    told(FAN_OUT_32, "TLS, of the floor with TLS", Measure::Ratio(TLS, FLOOR_TLS)),
    told(FAN_OUT_32, "what TLS adds to a delivery", Measure::Added(TLS, OURS)),
    told(MEMORY, "what TLS adds to a socket", Measure::AddedBytes(TLS, OURS)),
    told(MEMORY, "what TLS adds to the floor's", Measure::AddedBytes(FLOOR_TLS, FLOOR)),
];

const fn ratio(
    workload: &'static str,
    what: &'static str,
    over: &'static str,
    under: &'static str,
    bound: f64,
) -> Wanted {
    Wanted { workload, what, measure: Measure::Ratio(over, under), bound: Some(bound) }
}

const fn told(workload: &'static str, what: &'static str, measure: Measure) -> Wanted {
    Wanted { workload, what, measure, bound: None }
}

/// What is wanted of each transport of `SockJS`.
fn of_transports() -> impl Iterator<Item = Wanted> {
    let rates = SOCKJS_ECHO.map(|(name, _)| ratio(name, "of npm sockjs", OURS, NPM_SOCKJS, 5.0));
    let bytes =
        SOCKJS_IDLE.map(|(name, _)| told(name, "npm sockjs, of ours", Measure::FewerBytes(OURS, NPM_SOCKJS)));
    rates.into_iter().chain(bytes)
}

/// All that is wanted of the workloads that were run, beside what `summary` says.
pub(super) fn judge(summary: &Summary) -> impl Iterator<Item = Verdict> {
    let was_run = |wanted: &Wanted| summary.workloads.iter().any(|name| name == wanted.workload);
    WANTED.into_iter().chain(of_transports()).filter(was_run).map(|wanted| Verdict {
        workload: wanted.workload,
        what: wanted.what,
        unit: match wanted.measure {
            Measure::Bytes | Measure::AddedBytes(..) => Unit::Bytes,
            Measure::Added(..) => Unit::Microseconds,
            Measure::Ratio(..) | Measure::FewerBytes(..) | Measure::Scaling | Measure::Latency(_) => {
                Unit::Times
            }
        },
        measured: wanted.find(summary).filter(|found| found.is_finite()),
        bound: wanted.bound,
        less_is_better: matches!(wanted.measure, Measure::Bytes | Measure::Latency(_)),
    })
}

impl Wanted {
    fn find(&self, summary: &Summary) -> Option<f64> {
        let figure = |server: &str| summary.cell(server, self.workload)?.figure;
        match self.measure {
            Measure::Ratio(over, under) => Some(figure(over)? / figure(under)?),
            Measure::FewerBytes(few, many) => Some(figure(many)? / figure(few)?),
            Measure::Bytes => figure(OURS),
            Measure::Scaling => Some(2.0 * figure(TWO_CORES)? / figure(OURS)?),
            Measure::Latency(other) => Some(figure(OURS)? / figure(other)?),
            Measure::Added(more, less) => Some((1.0 / figure(more)? - 1.0 / figure(less)?) * 1e6),
            Measure::AddedBytes(more, less) => Some(figure(more)? - figure(less)?),
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
            rate(TWO_CORES, CORES_CALLS, 190, 10),
            rate(OURS, CORES_CALLS, 100, 10),
            rate(OURS, FAN_OUT_10K_HALF, 1, 11_000_000),
            rate(FLOOR, FAN_OUT_10K_HALF, 1, 10_000_000),
        ]);
        assert_eq!(
            found,
            [
                (CALLS, "of the raw floor", 0.6, true),
                (CORES_CALLS, "two threads, of one, on the clock", 1.9, true),
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

    #[test]
    fn every_transport_is_to_be_five_times_as_fast() {
        let measurements = SOCKJS_ECHO.iter().flat_map(|(name, _)| {
            let ours = if *name == "sockjs-echo-htmlfile" { 499 } else { 500 };
            [rate(OURS, name, ours, 10), rate(NPM_SOCKJS, name, 100, 10)]
        });
        let missed: Vec<_> =
            found(measurements.collect()).into_iter().filter(|one| !one.3).map(|one| one.0).collect();
        assert_eq!(missed, ["sockjs-echo-htmlfile"]);
    }

    #[test]
    fn what_is_only_told_is_neither_met_nor_missed() {
        let measurements = vec![
            rate(OURS, CALLS, 100_000, 10),
            rate(TLS, CALLS, 50_000, 10),
            rate(TWO_CORES, CALLS, 90_000, 10),
        ];
        let record = Record { facts: Facts::default(), cores: None, measured_seconds: 1.0, measurements };
        let told: Vec<_> = judge(&Summary::of(&record))
            .filter_map(|one| Some((one.what, one.unit.show(one.measured?), one.bound(), one.outcome())))
            .collect();
        assert_eq!(
            told,
            [
                ("two cores, of one, by CPU time", "1.80 ×".to_owned(), "–".to_owned(), "–"),
                ("what TLS adds to a call", "10.00 µs".to_owned(), "–".to_owned(), "–"),
            ]
        );
    }
}

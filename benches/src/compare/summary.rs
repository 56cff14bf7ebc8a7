//! Medians over rounds and ratios between servers.
//!
//! In: a [`Record`]. Out: one [`Cell`] per server and workload. Pure.

use super::{
    medians::{Medians, to_f64},
    record::Record,
    scale::Scale,
    server::OURS,
};
use crate::report::{Latency, Report};

/// What a record comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Servers in the order measured: name and title.
    pub servers: Vec<(String, String)>,
    /// Workloads in the order measured.
    pub workloads: Vec<String>,
    cells: Vec<Cell>,
}

/// One server under one workload, over all rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The server's name.
    pub server: String,
    /// The workload's name.
    pub workload: String,
    /// Counted per server CPU-second; resident bytes per socket; the 99th
    /// percentile in milliseconds at half the rate; or counted per second on the
    /// clock in one process: the median of the rounds that did not fail.
    pub figure: Option<f64>,
    /// Whether less is better, as with memory and latencies.
    pub less_is_better: bool,
    /// Counted per second on the clock.
    pub per_second: Option<f64>,
    /// Latency; each value is the median of its own.
    pub latency: Option<Latency>,
    /// The share of a core that the server used.
    pub server_share: Option<f64>,
    /// The share of a core that processes beside the server used.
    pub beside_share: Option<f64>,
    /// The share of a core that the load generator used.
    pub generator_share: Option<f64>,
    /// Rounds that failed.
    pub failures: usize,
}

impl Summary {
    /// Sums `record` up.
    pub fn of(record: &Record) -> Self {
        let (mut servers, mut workloads) = (Vec::new(), Vec::new());
        for measurement in &record.measurements {
            let server = (measurement.server.clone(), measurement.title.clone());
            if !servers.contains(&server) {
                servers.push(server);
            }
            if !workloads.contains(&measurement.workload) {
                workloads.push(measurement.workload.clone());
            }
        }
        let cells = workloads
            .iter()
            .flat_map(|workload| servers.iter().map(move |(server, _)| (server, workload)))
            .map(|(server, workload)| Cell::of(record, server, workload))
            .collect();
        Self { servers, workloads, cells }
    }

    /// One server under one workload.
    pub fn cell(&self, server: &str, workload: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.server == server && cell.workload == workload)
    }

    /// All of them, workload by workload.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// How many times better ours is than `server` under `workload`; above 1,
    /// ours is ahead.
    pub fn lead_over(&self, server: &str, workload: &str) -> Option<f64> {
        let theirs = self.cell(server, workload)?;
        let (ours, theirs_figure) = (self.cell(OURS, workload)?.figure?, theirs.figure?);
        let lead = if theirs.less_is_better { theirs_figure / ours } else { ours / theirs_figure };
        lead.is_finite().then_some(lead)
    }
}

impl Cell {
    /// Whether the server was measured with the workload at all.
    pub(super) fn is_measured(&self) -> bool {
        self.figure.is_some() || self.failures > 0
    }

    fn of(record: &Record, server: &str, workload: &str) -> Self {
        let scale = Scale::of(workload);
        let rounds: Vec<_> = record
            .measurements
            .iter()
            .filter(|one| one.server == server && one.workload == workload)
            .collect();
        let medians = Medians::of(rounds.iter().filter_map(|one| one.report.as_ref()));
        let share = |seconds: Option<f64>, of: f64| seconds.map(|seconds| seconds / of);
        Self {
            server: server.to_owned(),
            workload: workload.to_owned(),
            figure: medians.over(|report| figure(report, scale)),
            less_is_better: scale.less_is_better(),
            per_second: medians.per_second(),
            latency: latency(&medians),
            server_share: medians.window(|window| share(window.server_cpu_seconds, window.seconds)),
            beside_share: medians.window(|window| {
                let beside = window.beside_cpu_seconds.iter().map(|(_, seconds)| seconds);
                (!window.beside_cpu_seconds.is_empty()).then(|| beside.sum::<f64>() / window.seconds)
            }),
            generator_share: medians.window(|window| share(window.generator_cpu_seconds, window.seconds)),
            failures: rounds.len() - medians.rounds(),
        }
    }
}

fn figure(report: &Report, scale: Scale) -> Option<f64> {
    match scale {
        Scale::PerCpuSecond => report.window.as_ref()?.per_cpu_second(),
        Scale::PerSecond => Some(report.window.as_ref()?.per_second()),
        Scale::Bytes => Some(report.memory.as_ref()?.per_socket()),
        Scale::Milliseconds => Some(to_f64(report.latency.as_ref()?.p99) / 1e6),
    }
}

fn latency(medians: &Medians<'_>) -> Option<Latency> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of a run, far below 2^52"
    )]
    let over = |pick: fn(&Latency) -> u64| Some(medians.latency(pick)?.round() as u64);
    Some(Latency {
        p50: over(|latency| latency.p50)?,
        p99: over(|latency| latency.p99)?,
        p999: over(|latency| latency.p999)?,
        max: over(|latency| latency.max)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;
    use crate::{
        compare::{facts::Facts, record::Measurement},
        report::{Memory, Window},
        workload::{Calls, Idle, Workload},
    };

    fn calls(server: &str, round: usize, count: u64) -> Measurement {
        let report = (count > 0).then(|| Report {
            unit: "calls".into(),
            window: Some(Window {
                count,
                seconds: 2.0,
                server_cpu_seconds: Some(1.0),
                beside_cpu_seconds: vec![("redis-server".into(), 0.5)],
                generator_cpu_seconds: Some(2.0),
            }),
            latency: Some(Latency { p50: count, p99: 2 * count, p999: 3 * count, max: 4 * count }),
            memory: None,
        });
        Measurement {
            round,
            server: server.into(),
            title: server.into(),
            workload: "calls".into(),
            load: Workload::Calls(Calls::default()),
            failure: report.is_none().then(|| "it broke".into()),
            report,
        }
    }

    fn memory(server: &str, bytes: u64) -> Measurement {
        Measurement {
            round: 1,
            server: server.into(),
            title: server.into(),
            workload: "memory".into(),
            load: Workload::Memory(Idle::default()),
            report: Some(Report {
                unit: "sockets".into(),
                window: None,
                latency: None,
                memory: Some(Memory { sockets: 10, before: 0, after: 10 * bytes }),
            }),
            failure: None,
        }
    }

    fn record(measurements: Vec<Measurement>) -> Record {
        Record { facts: Facts::default(), cores: None, measured_seconds: 2.0, measurements }
    }

    fn close(found: Option<f64>, wanted: f64) {
        assert!((found.unwrap() - wanted).abs() < 1e-9, "{found:?} is not {wanted}");
    }

    #[test]
    fn takes_the_median_of_rounds_that_did_not_fail() {
        let rounds = [300, 0, 100, 200];
        let summary =
            Summary::of(&record((1..).zip(rounds).map(|(round, count)| calls("x", round, count)).collect()));
        let cell = summary.cell("x", "calls").unwrap();
        close(cell.figure, 200.0);
        close(cell.per_second, 100.0);
        close(cell.server_share, 0.5);
        close(cell.beside_share, 0.25);
        close(cell.generator_share, 1.0);
        assert_eq!(cell.latency.unwrap().p99, 400);
        assert_eq!(cell.failures, 1);
    }

    #[test]
    fn a_lead_is_above_one_where_ours_is_better() {
        let summary = Summary::of(&record(vec![
            calls(OURS, 1, 500),
            calls("x", 1, 200),
            memory(OURS, 4_000),
            memory("x", 16_000),
        ]));
        close(summary.lead_over("x", "calls"), 2.5);
        close(summary.lead_over("x", "memory"), 4.0);
        close(summary.lead_over(OURS, "calls"), 1.0);
        assert_eq!(summary.lead_over("y", "calls"), None);
    }

    #[test]
    fn what_failed_in_every_round_has_no_figure() {
        let summary = Summary::of(&record(vec![calls("x", 1, 0)]));
        let cell = summary.cell("x", "calls").unwrap();
        assert_eq!((cell.figure, cell.latency, cell.failures), (None, None, 1));
    }

    #[test]
    fn a_record_comes_back_from_disk_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let record = record(vec![calls("x", 1, 3), memory("x", 5)]);
        let path = record.keep(&folder.path().join("new")).unwrap();
        assert_eq!(Record::read(&path).unwrap(), record);
        let other = record.keep(&folder.path().join("new")).unwrap();
        assert_ne!(other, path);
        assert_eq!(Record::read(&other).unwrap(), record);
    }
}

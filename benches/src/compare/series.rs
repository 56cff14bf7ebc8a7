//! The record of a bench with servers and tables of its own: some places, each measured once in every round.
//!
//! In: places, and how to measure at one. Out: what was found, as it is kept on disk, and the medians of each place. It
//! knows neither what a place is nor how it is measured.

use std::{fmt::Display, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{args::CompareArgs, error::CompareError, facts::Facts, medians::Medians, record};
use crate::report::Report;

/// All rounds.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Series<P> {
    pub(super) facts: Facts,
    /// Seconds that each measurement counted.
    pub(super) seconds: f64,
    /// In the order measured.
    pub(super) measured: Vec<Measured<P>>,
}

/// One measurement.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Measured<P> {
    /// From 1.
    pub(super) round: usize,
    #[serde(flatten)]
    pub(super) place: P,
    /// None when it failed.
    pub(super) report: Option<Report>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

impl<P: Copy + Display + PartialEq + Serialize> Series<P> {
    /// Measures at every place once in each round, so that a slow minute of the machine falls on all, and keeps what was
    /// found as `NAME-SECONDS.json`, whose path it gives. One that fails is told, and its place has a round less.
    pub(super) fn measure(
        name: &str,
        arguments: &CompareArgs,
        places: &[P],
        mut at: impl FnMut(P) -> Result<Report, CompareError>,
    ) -> Result<(Self, PathBuf), CompareError> {
        if places.is_empty() {
            return Err(CompareError::Nothing);
        }
        let mut measured = Vec::new();
        for round in 1..=arguments.rounds.max(1) {
            for place in places.iter().copied() {
                eprintln!("round {round}: {place}");
                let (report, failure) = match at(place) {
                    Ok(report) => (Some(report), None),
                    Err(error) => (None, Some(error.to_string())),
                };
                if let Some(failure) = &failure {
                    eprintln!("failed: {failure}");
                }
                measured.push(Measured { round, place, report, failure });
            }
        }
        let series = Self { facts: Facts::gather(), seconds: arguments.seconds, measured };
        let path = record::keep(&series, name, series.facts.unix_seconds, &arguments.results)?;
        if series.measured.iter().all(|one| one.report.is_none()) {
            return Err(CompareError::AllFailed { path });
        }
        Ok((series, path))
    }
}

impl<P: Copy + PartialEq> Series<P> {
    /// The medians of each place, in the order first measured.
    pub(super) fn rows(&self) -> Vec<(P, Medians<'_>)> {
        let mut places: Vec<P> = Vec::new();
        for one in &self.measured {
            if !places.contains(&one.place) {
                places.push(one.place);
            }
        }
        let of = |place| self.measured.iter().filter(move |one| one.place == place);
        let medians = |place| Medians::of(of(place).filter_map(|one| one.report.as_ref()));
        places.into_iter().map(|place| (place, medians(place))).collect()
    }

    /// In words: the machine, how long, how often.
    pub(super) fn conditions(&self) -> String {
        let rounds = self.measured.iter().map(|one| one.round).max().unwrap_or(0);
        self.facts.conditions(self.seconds, rounds)
    }

    /// A table and, below it, what it was measured with, and what else is to be said.
    pub(super) fn told(&self, table: &str, words: &str) -> String {
        let Facts { redis, nats, .. } = &self.facts;
        format!("{table}\n{} {words} {redis}. {nats}.\n", self.conditions())
    }
}

#[cfg(test)]
impl<P> Measured<P> {
    /// What one second brought, of which the server computed half, and others so many beside it. Latencies are
    /// nanoseconds.
    pub(super) fn in_a_second(place: P, count: u64, [p50, p99]: [u64; 2], beside: &[(&str, f64)]) -> Self {
        let window = crate::report::Window {
            count,
            seconds: 1.0,
            server_cpu_seconds: Some(0.5),
            beside_cpu_seconds: beside.iter().map(|(name, cpu)| ((*name).to_owned(), *cpu)).collect(),
            generator_cpu_seconds: None,
        };
        let latency = crate::report::Latency { p50, p99, p999: 0, max: 0 };
        let report =
            Report { unit: "x".to_owned(), window: Some(window), latency: Some(latency), memory: None };
        Self { round: 1, place, report: Some(report), failure: None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use clap::Parser;

    use super::*;
    use crate::report::Window;

    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
    struct Place {
        what: u32,
    }

    impl Display for Place {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(out, "place {}", self.what)
        }
    }

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        compare: CompareArgs,
    }

    fn report(count: u64) -> Report {
        let window = Window {
            count,
            seconds: 1.0,
            server_cpu_seconds: None,
            beside_cpu_seconds: Vec::new(),
            generator_cpu_seconds: None,
        };
        Report { unit: "x".to_owned(), window: Some(window), latency: None, memory: None }
    }

    fn measure(
        places: &[u32],
        at: impl FnMut(Place) -> Result<Report, CompareError>,
    ) -> (Series<Place>, Series<Place>) {
        let folder = tempfile::tempdir().unwrap();
        let line = ["x", "--rounds", "3", "--results", folder.path().to_str().unwrap()];
        let arguments = CommandLine::parse_from(line).compare;
        let places: Vec<_> = places.iter().map(|what| Place { what: *what }).collect();
        let (series, kept) = Series::measure("test", &arguments, &places, at).unwrap();
        assert!(kept.file_name().unwrap().to_str().unwrap().starts_with("test-"), "{kept:?}");
        (series, record::read(&kept).unwrap())
    }

    #[test]
    fn every_round_goes_through_all_places_and_is_kept() {
        let mut visits = Vec::new();
        let (series, kept) = measure(&[7, 8], |place| {
            visits.push(place.what);
            Ok(report(visits.len() as u64 * 10))
        });
        assert_eq!(visits, [7, 8, 7, 8, 7, 8]);
        for series in [series, kept] {
            let rows = series.rows();
            let found: Vec<_> =
                rows.iter().map(|(place, medians)| (place.what, medians.per_second().unwrap())).collect();
            assert_eq!(found, [(7, 30.0), (8, 40.0)]);
            assert!(
                series.conditions().ends_with("3 s each, median of 3 rounds."),
                "{}",
                series.conditions()
            );
        }
    }

    #[test]
    fn what_fails_costs_its_place_a_round_and_says_why() {
        let mut rounds = 0;
        let (series, kept) = measure(&[1], |_| {
            rounds += 1;
            if rounds == 2 { Err(CompareError::Nothing) } else { Ok(report(rounds * 100)) }
        });
        for series in [series, kept] {
            assert_eq!(series.rows()[0].1.per_second(), Some(200.0));
            assert_eq!(
                series.measured[1].failure.as_deref(),
                Some(CompareError::Nothing.to_string().as_str())
            );
        }
    }
}

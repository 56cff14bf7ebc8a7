//! The counted stretch of a run.
//!
//! In: tasks that count into a [`Board`]. Out: the [`Window`] between two
//! readings of the clock, of the counter and of the processes' CPU time.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::time::sleep;

use crate::{
    error::BenchError,
    process,
    report::{Latency, Report, Window},
    target::{Options, Target},
};

/// Latencies above ten minutes count as ten minutes, in nanoseconds.
const LONGEST: u64 = 600_000_000_000;

/// Decimal digits of a latency that are kept.
const DIGITS: u8 = 3;

/// Where the tasks of one run count.
#[derive(Debug)]
pub(super) struct Board {
    count: Cell<u64>,
    counting: Cell<bool>,
    latencies: RefCell<Histogram<u64>>,
}

impl Board {
    pub(super) fn new() -> Result<Rc<Self>, BenchError> {
        let latencies = Histogram::new_with_bounds(1, LONGEST, DIGITS)
            .map_err(|error| BenchError::Io(std::io::Error::other(error.to_string())))?;
        Ok(Rc::new(Self {
            count: Cell::new(0),
            counting: Cell::new(false),
            latencies: RefCell::new(latencies),
        }))
    }

    /// Counts one that took `latency`.
    pub(super) fn record(&self, latency: Duration) {
        self.count.set(self.count.get() + 1);
        if self.counting.get() {
            let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            self.latencies.borrow_mut().saturating_record(nanoseconds);
        }
    }
}

/// Lets the load run warm, then counts.
pub(super) async fn measure(
    unit: &str,
    board: &Board,
    target: &Target,
    options: &Options,
) -> Result<Report, BenchError> {
    sleep(options.warm_up).await;
    let before = Reading::take(board, target)?;
    board.counting.set(true);
    sleep(options.measure).await;
    board.counting.set(false);
    let after = Reading::take(board, target)?;
    let window = after.since(&before, target);
    if window.count == 0 {
        return Err(BenchError::Stalled);
    }
    Ok(Report {
        unit: unit.to_owned(),
        window: Some(window),
        latency: Latency::of(&board.latencies.borrow()),
        memory: None,
    })
}

struct Reading {
    at: Instant,
    count: u64,
    server: Option<Duration>,
    beside: Vec<Duration>,
    generator: Option<Duration>,
}

impl Reading {
    fn take(board: &Board, target: &Target) -> Result<Self, BenchError> {
        Ok(Self {
            at: Instant::now(),
            count: board.count.get(),
            server: target.server.map(process::cpu_time).transpose()?,
            beside: target
                .beside
                .iter()
                .map(|process| process::cpu_time(process.pid))
                .collect::<Result<_, _>>()?,
            generator: process::cpu_time(std::process::id()).ok(),
        })
    }

    fn since(&self, before: &Self, target: &Target) -> Window {
        let spent = |after: Option<Duration>, before: Option<Duration>| {
            Some(after?.saturating_sub(before?).as_secs_f64())
        };
        let beside = target.beside.iter().zip(self.beside.iter().zip(&before.beside));
        Window {
            count: self.count - before.count,
            seconds: (self.at - before.at).as_secs_f64(),
            server_cpu_seconds: spent(self.server, before.server),
            beside_cpu_seconds: beside
                .map(|(process, (after, before))| {
                    (process.name.clone(), after.saturating_sub(*before).as_secs_f64())
                })
                .collect(),
            generator_cpu_seconds: spent(self.generator, before.generator),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn records_latencies_only_while_counting() {
        let board = Board::new().unwrap();
        board.record(Duration::from_secs(1));
        board.counting.set(true);
        board.record(Duration::from_millis(20));
        board.record(Duration::from_hours(1));
        assert_eq!(board.count.get(), 3);
        let latency = Latency::of(&board.latencies.borrow()).unwrap();
        assert!(latency.p50.abs_diff(20_000_000) < 20_000, "{latency:?}");
        assert!(latency.max.abs_diff(LONGEST) <= LONGEST / 500, "{latency:?}");
    }
}

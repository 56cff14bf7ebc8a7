//! Running a plan, step by step.
//!
//! In: a [`Plan`]. Out: a [`Record`]. A server that fails is recorded as failed
//! and the next step begins.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    error::CompareError,
    facts::Facts,
    plan::{Course, Plan, is_in_process},
    record::{Measurement, Record},
    server::Server,
};
use crate::{
    report::Report,
    run::run as run_workload,
    target::Options,
    workload::{FanOut, Workload},
};

/// How many times longer than others a course at half a rate is counted.
const LONGER: u32 = 3;

/// Runs all steps of `plan`.
pub(super) fn run(plan: &Plan) -> Result<Record, CompareError> {
    if let Some(cores) = &plan.cores {
        // A core that is not there fails now and not in every step.
        cores.as_server(|| ())?;
    }
    let progress = progress(plan.count());
    let mut measurements: Vec<Measurement> = Vec::with_capacity(plan.count());
    for (round, course, server) in plan.steps() {
        progress.set_message(format!("round {round}: {} {}", server.name, course.name));
        let load = match course.half_of() {
            None => Ok(course.workload.clone()),
            Some(whole) => {
                let at_most = measurements
                    .iter()
                    .rfind(|one| one.round == round && one.server == server.name && one.workload == whole)
                    .and_then(|one| one.report.as_ref());
                at_half(&course.workload, at_most).ok_or_else(|| format!("{whole} told no rate"))
            }
        };
        let mut options = plan.options;
        if course.half_of().is_some() {
            // Some ten publications a second: a percentile wants more of them.
            options.measure *= LONGER;
        }
        let measured = load.clone().and_then(|load| measure(plan, course, &load, &options, server));
        let (report, failure) = match measured {
            Ok(report) => (Some(report), None),
            Err(failure) => {
                progress.suspend(|| {
                    eprintln!("{} {} failed: {failure}", server.name, course.name);
                });
                (None, Some(failure))
            }
        };
        measurements.push(Measurement {
            round,
            server: server.name.to_owned(),
            title: server.title.to_owned(),
            workload: course.name.to_owned(),
            load: load.unwrap_or_else(|_| course.workload.clone()),
            report,
            failure,
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(Record {
        facts: Facts::gather(),
        cores: plan.cores.clone(),
        measured_seconds: plan.options.measure.as_secs_f64(),
        measurements,
    })
}

/// `load` at half the publications per second that `at_most` reached.
fn at_half(load: &Workload, at_most: Option<&Report>) -> Option<Workload> {
    let Workload::FanOut(fan_out) = load else { return None };
    let deliveries = at_most?.window.as_ref()?.per_second();
    #[allow(clippy::cast_precision_loss, reason = "subscribers stay far below 2^52")]
    let publications = deliveries / fan_out.subscribers as f64;
    Some(Workload::FanOut(FanOut { rate: Some(publications / 2.0), ..fan_out.clone() }))
}

fn measure(
    plan: &Plan,
    course: &Course,
    load: &Workload,
    options: &Options,
    server: Server,
) -> Result<Report, String> {
    if is_in_process(course.name) {
        let program = plan.programs.in_process().ok_or("its program was not built")?;
        let shape = server.shape().ok_or("it has no such shape")?;
        return program.run(shape, load, options, plan.cores.as_ref());
    }
    let started = server.start(&plan.programs, plan.cores.as_ref()).map_err(|error| error.to_string())?;
    started
        .target()
        .and_then(|target| run_workload(&target, load, options))
        .map_err(|error| error.to_string())
}

/// Drawn only on a terminal, and only between measurements.
fn progress(steps: usize) -> ProgressBar {
    let progress = ProgressBar::new(steps as u64);
    progress.set_draw_target(if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {bar:30} {msg} (about {eta} left)") {
        progress.set_style(style);
    }
    progress
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;
    use crate::report::Window;

    #[test]
    fn half_a_rate_is_of_publications() {
        let report = Report {
            unit: "deliveries".into(),
            window: Some(Window {
                count: 4_000,
                seconds: 2.0,
                server_cpu_seconds: None,
                beside_cpu_seconds: Vec::new(),
                generator_cpu_seconds: None,
            }),
            latency: None,
            memory: None,
        };
        let load = Workload::FanOut(FanOut { subscribers: 10, ..FanOut::default() });
        let Workload::FanOut(halved) = at_half(&load, Some(&report)).unwrap() else { unreachable!() };
        assert!((halved.rate.unwrap() - 100.0).abs() < 1e-9, "{halved:?}");
        assert_eq!(at_half(&load, None), None);
    }
}

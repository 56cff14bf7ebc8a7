//! `cargo xtask test`: the steps in their order, and what is said about them.
//!
//! Comes in: which steps to run. Goes out: each step's name, time and outcome,
//! and a table at the end. It must not know how a step does its work: each is a
//! file in [`step`].

mod step;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::report::{self, Line, Outcome};
use crate::test::step::Step;
use crate::workspace::Workspace;

/// What follows `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The steps to run, in the order below; all of them when none is named
    #[arg(value_enum, value_name = "STEP")]
    steps: Vec<Step>,

    /// Run the remaining steps even when one fails
    #[arg(long)]
    keep_going: bool,
}

/// Runs the steps, and fails when one of them did.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let steps: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| arguments.steps.is_empty() || arguments.steps.contains(step))
        .collect();
    let mut lines: Vec<Line> = Vec::with_capacity(steps.len());
    let mut failures = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let name = step.name();
        if !failures.is_empty() && !arguments.keep_going {
            lines.push(Line { step: name, outcome: Outcome::NotRun, took: Duration::ZERO });
            continue;
        }
        report::begin(name, index + 1, steps.len(), step.about());
        let begun = Instant::now();
        let result = step.run(workspace);
        let took = begun.elapsed();
        let outcome = match result {
            Ok(()) => {
                report::passed(name, took);
                Outcome::Passed
            }
            Err(error) => {
                report::failed(name, took, &error, step.next());
                failures.push(name);
                Outcome::Failed
            }
        };
        lines.push(Line { step: name, outcome, took });
    }
    report::summary(&lines);
    match failures.as_slice() {
        [] => Ok(()),
        names => bail!("{} failed", names.join(", ")),
    }
}

//! `cargo xtask test`: the steps in their order, and what is said about them.
//!
//! Comes in: which steps to run. Goes out: each step's name, time and outcome,
//! and a table at the end. It must not know how a step does its work: each is a
//! file in [`step`].
//!
//! A step may run beside another that leaves the machine idle, in a process of its own that gives way to it; what it
//! says is shown when it is its turn.

mod beside;
mod step;

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::report::{self, Line, Outcome};
use crate::test::beside::Beside;
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

    /// Run the step named and say nothing but what it says, until standard input ends: what one that runs beside another is
    /// started with
    #[arg(long, hide = true)]
    bare: bool,
}

/// Runs the steps, and fails when one of them did.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let steps: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| arguments.steps.is_empty() || arguments.steps.contains(step))
        .collect();
    if let ([step], true) = (&steps[..], arguments.bare) {
        beside::end_with_parent();
        return step.run(workspace);
    }
    // A step that builds the workspace puts another program in its place, and then nobody knows any more where it was.
    let program = env::current_exe().context("where is this program?")?;
    let mut lines: Vec<Line> = Vec::with_capacity(steps.len());
    let mut failures = Vec::new();
    let mut beside: Option<Beside> = None;
    for (index, step) in steps.iter().enumerate() {
        let name = step.name();
        let has_begun = beside.as_ref().is_some_and(|beside| beside.step == *step);
        if !failures.is_empty() && !arguments.keep_going && !has_begun {
            lines.push(Line { step: name, outcome: Outcome::NotRun, took: Duration::ZERO });
            continue;
        }
        if let Some(next) = steps.get(index + 1)
            && step.leaves_room_for(*next)
        {
            beside = Some(Beside::start(workspace, &program, *next)?);
        }
        report::begin(name, index + 1, steps.len(), step.about());
        let begun = Instant::now();
        let result = match beside.take_if(|_| has_begun) {
            Some(beside) => beside.end(),
            None => step.run(workspace),
        };
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

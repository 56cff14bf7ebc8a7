//! What the commands say on the terminal, apart from the programs they run.
//!
//! Comes in: headings, outcomes, times. Goes out: lines on standard output, with
//! colour only where a person reads them. It must not know what the steps do.

use std::time::Duration;

use anstream::{eprintln, print, println};
use anstyle::{AnsiColor, Style};

const HEADING: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran and found nothing wrong.
    Passed,
    /// It ran and found something wrong.
    Failed,
    /// It was not reached, because an earlier step failed.
    NotRun,
}

/// One line of the table at the end.
pub(crate) struct Line {
    /// The step's name, as the command line takes it.
    pub(crate) step: &'static str,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// How long it took; zero when it was not run.
    pub(crate) took: Duration,
}

/// Says which step begins, and which of how many it is.
pub(crate) fn begin(step: &str, number: usize, of: usize, about: &str) {
    println!("\n{HEADING}== {step}{HEADING:#} ({number} of {of}): {about}");
}

/// Says that a step ended well, and how long it took.
pub(crate) fn passed(step: &str, took: Duration) {
    println!("{GOOD}ok{GOOD:#} {step}, {}", seconds(took));
}

/// Says that a step failed, why, and what to do next.
pub(crate) fn failed(step: &str, took: Duration, error: &anyhow::Error, next: &str) {
    println!(
        "{BAD}failed{BAD:#} {step}, {}: {error:#}\n  next: {next}\n  then: cargo xtask test {step}",
        seconds(took)
    );
}

/// A line of detail below a heading.
pub(crate) fn note(text: &str) {
    println!("   {text}");
}

/// What a step has said elsewhere, as it said it.
pub(crate) fn show(text: &str) {
    print!("{text}");
}

/// Says why a command as a whole failed.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("{BAD}error{BAD:#}: {error:#}");
}

/// The table at the end: every step, how it ended, how long it took.
pub(crate) fn summary(lines: &[Line]) {
    println!("\n{HEADING}== summary{HEADING:#}");
    for line in lines {
        let (style, word) = match line.outcome {
            Outcome::Passed => (GOOD, "passed"),
            Outcome::Failed => (BAD, "failed"),
            Outcome::NotRun => (QUIET, "not run"),
        };
        let took = match line.outcome {
            Outcome::NotRun => String::new(),
            Outcome::Passed | Outcome::Failed => seconds(line.took),
        };
        println!("   {:<10} {style}{word:<8}{style:#} {took:>9}", line.step);
    }
    let total = lines.iter().map(|line| line.took).sum();
    println!("   {:<10} {:<8} {:>9}", "total", "", seconds(total));
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

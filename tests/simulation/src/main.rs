//! `cargo xtask simulate`: many worlds, or one of them aloud.
//!
//! In: which seeds. Out: a progress bar, the seeds whose worlds broke a promise with what it was and how to replay
//! them, and an exit status that is not zero when there were any.

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tokensocket_simulation::{Options, Sabotage, Verdict, simulate};

/// After so many failing seeds no more are tried.
const ENOUGH: usize = 5;

/// Simulates worlds: server, clients, stores and network, with everything that can go wrong.
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate", max_term_width = 100)]
struct CommandLine {
    /// How many seeds to try
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Replay this seed alone, and print all that happens
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// How many worlds at once; by default as many as there are cores
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// Have the stores break a promise on purpose, to see that it is noticed
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
    /// Run one seed of so many twice, and compare all that happened
    #[arg(long, default_value_t = 100)]
    twice: u64,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    match line.seed {
        Some(seed) => replay(seed, line.sabotage),
        None => many(&line),
    }
}

/// One world, aloud.
fn replay(seed: u64, sabotage: Option<Sabotage>) -> ExitCode {
    let verdict = simulate(seed, &Options { aloud: true, sabotage });
    println!(
        "seed {seed}: {} facts in {:.1} virtual seconds, hash {:016x}, at most {} bytes, {} left",
        verdict.facts,
        verdict.lasted.as_secs_f64(),
        verdict.hash,
        verdict.bytes.0,
        verdict.bytes.1,
    );
    for violation in &verdict.violations {
        println!("  broken: {violation}");
    }
    if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a seed; a second time where that is its turn.
fn judge(seed: u64, line: &CommandLine) -> Verdict {
    let options = Options { sabotage: line.sabotage, ..Options::default() };
    let mut verdict = simulate(seed, &options);
    let again = line.twice > 0 && seed.is_multiple_of(line.twice);
    if again && simulate(seed, &options).hash != verdict.hash {
        verdict.violations.push("two runs of this seed differ".to_owned());
    }
    verdict
}

fn many(line: &CommandLine) -> ExitCode {
    let jobs = line.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let (next, last) = (AtomicU64::new(line.first), line.first.saturating_add(line.seeds));
    let begun = Instant::now();
    let bar = progress(line.seeds);
    let (mut failed, mut facts, mut virtual_time, mut most) = (Vec::new(), 0, Duration::ZERO, 0);
    thread::scope(|scope| {
        let (told, verdicts) = channel();
        for _ in 0..jobs {
            let (told, next) = (told.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last || told.send(judge(seed, line)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(told);
        for verdict in verdicts {
            bar.inc(1);
            facts += verdict.facts;
            virtual_time += verdict.lasted;
            most = most.max(verdict.bytes.0);
            if !verdict.violations.is_empty() {
                bar.suspend(|| tell(&verdict));
                failed.push(verdict.seed);
                if failed.len() >= ENOUGH {
                    break;
                }
            }
        }
    });
    bar.finish_and_clear();
    println!(
        "{} worlds in {:.1} s: {:.1} virtual days, {facts} facts, at most {} KiB each; {} broke a promise",
        bar.position(),
        begun.elapsed().as_secs_f64(),
        virtual_time.as_secs_f64() / 86_400.0,
        most >> 10,
        failed.len(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(verdict: &Verdict) {
    println!("seed {} broke a promise:", verdict.seed);
    for violation in &verdict.violations {
        println!("  {violation}");
    }
    println!("  replay: cargo xtask simulate --seed {}", verdict.seed);
}

fn progress(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} worlds, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

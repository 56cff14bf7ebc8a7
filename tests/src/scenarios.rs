//! The scenarios of unmodified clients: of Socket.IO in `tests/npm/gateway`, of events in `tests/npm/events.mjs`.
//!
//! In: where a server is, and which runs. Out: one line for each run. Knows no scenario.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use crate::program::Program;

/// How long all runs may take together. Each thing that they await has a limit of its own.
const LIMIT: Duration = Duration::from_mins(5);

/// What became of the runs.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many passed.
    pub passed: usize,
    /// Which failed, and why.
    pub failed: Vec<String>,
    /// Which were skipped, and why.
    pub skipped: Vec<String>,
}

impl Outcome {
    /// Fails when a run failed, or fewer than `least` passed.
    pub fn expect(&self, least: usize) {
        assert!(self.failed.is_empty(), "{:#?}", self.failed);
        assert!(self.passed >= least, "only {} runs: {self:#?}", self.passed);
    }
}

/// Runs all scenarios of event clients, which must pass, with the endpoints of a server for each mode.
pub async fn expect_events(url: &str) {
    expect_events_at(url, "/events/MODE").await;
}

/// The same with endpoints at other paths, in which `MODE` stands for the mode.
pub async fn expect_events_at(url: &str, path: &str) {
    let scenarios = Program::node("events.mjs", &["--list"]).finish(LIMIT).await.lines;
    let finished = Program::node("events.mjs", &["--url", url, "--path", path]).finish(LIMIT).await;
    let expected: Vec<_> = scenarios.iter().map(|name| format!("ok {name}")).collect();
    assert!(!expected.is_empty() && finished.success, "{:#?}", finished.lines);
    assert_eq!(finished.lines, expected);
}

/// Runs scenarios that ask for nothing. `arguments` as `run.mjs --help` has them.
pub async fn run(gateway: &str, site: &str, arguments: &[&str]) -> Outcome {
    run_asked(gateway, site, arguments, async |question| panic!("nobody answers {question:?}")).await
}

/// Runs scenarios that ask `answer` for something, one at a time.
pub async fn run_asked<F>(gateway: &str, site: &str, arguments: &[&str], mut answer: F) -> Outcome
where
    F: AsyncFnMut(String) -> (),
{
    let all = [&["--gateway", gateway, "--site", site], arguments].concat();
    let mut program = Program::node("gateway/run.mjs", &all);
    let mut outcome = Outcome::default();
    let reading = async {
        while let Some(line) = program.next_line().await {
            println!("{line}");
            if let Some(question) = line.strip_prefix("ask ") {
                answer(question.to_owned()).await;
                program.say("done").await;
            } else if line.starts_with("not ok ") {
                outcome.failed.push(line);
            } else if line.contains(" # skip") {
                outcome.skipped.push(line);
            } else if line.starts_with("ok ") {
                outcome.passed += 1;
            }
        }
    };
    limited("all scenarios", reading).await;
    let finished = program.finish(LIMIT).await;
    assert_eq!(finished.success, outcome.failed.is_empty(), "{outcome:#?}");
    outcome
}

async fn limited<T: Future>(what: &str, future: T) -> T::Output {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited {LIMIT:?} for {what}"))
}

//! The machine that a record was made on.

use std::{
    fs,
    process::Command,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// The machine, and the versions of what ran. Empty text where it cannot tell.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Facts {
    /// Seconds since 1970 when the comparison ended.
    pub unix_seconds: u64,
    /// Cores that this process may use; pinned to one, all of the machine's.
    pub cores: usize,
    /// The processor's name.
    pub processor: String,
    /// The kernel's version.
    pub kernel: String,
    /// What `rustc --version` says.
    pub rustc: String,
    /// What `node --version` says.
    pub node: String,
    /// What `redis-server --version` says.
    pub redis: String,
    /// What `nats-server --version` says.
    pub nats: String,
    /// The commit of the checkout.
    pub commit: String,
}

impl Facts {
    /// Looks around.
    pub(super) fn gather() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        Self {
            unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            cores: cores(&processors),
            processor: field(&processors, "model name").unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: says("rustc", &["--version"]),
            node: says("node", &["--version"]),
            redis: says("redis-server", &["--version"]),
            nats: says("nats-server", &["--version"]),
            commit: says("git", &["rev-parse", "--short", "HEAD"]),
        }
    }

    /// In words: the machine, how long each measurement counted, and how often it was made.
    pub(super) fn conditions(&self, seconds: f64, rounds: usize) -> String {
        let Self { cores, processor, kernel, .. } = self;
        format!("{cores} cores, {processor}, Linux {kernel}; {seconds} s each, median of {rounds} rounds.")
    }
}

fn cores(processors: &str) -> usize {
    let listed = processors.lines().filter(|line| line.starts_with("processor")).count();
    match listed {
        0 => thread::available_parallelism().map_or(0, Into::into),
        listed => listed,
    }
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines()
        .find(|line| line.starts_with(name))
        .and_then(|line| line.split_once(':'))
        .map(|(_, value)| value.trim().to_owned())
}

fn says(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

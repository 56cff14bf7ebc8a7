//! Programs beside the tests: our own, and Node.js scripts.
//!
//! In: a name and arguments. Out: a running child, ended when it is dropped, or what it printed.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::limit::within;

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What a program did that ran to its end.
#[derive(Debug)]
pub struct Finished {
    /// Whether its status was 0.
    pub success: bool,
    /// Its lines on standard output.
    pub lines: Vec<String>,
}

impl Program {
    /// Starts a program. Its standard error goes where the test's goes.
    pub fn start(program: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        Self::start_with(program, arguments, &[])
    }

    /// The same, with variables of its environment.
    pub fn start_with(program: impl AsRef<OsStr>, arguments: &[&str], variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let program = command.as_std().get_program();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        Self { child, lines }
    }

    /// Starts an example of this workspace.
    pub fn example(name: &str, arguments: &[&str]) -> Self {
        let build = format!("cargo build -p tokensocket-examples --example {name}");
        Self::start(binary(&Path::new("examples").join(name), &build), arguments)
    }

    /// Starts the `tokensocket` program.
    pub fn gateway(arguments: &[&str]) -> Self {
        Self::start(gateway_program(), arguments)
    }

    /// Starts the `tokensocket` program in a folder, without the variables in `unset` and with others.
    pub fn gateway_in(
        folder: &Path,
        arguments: &[&str],
        unset: &[&str],
        variables: &[(&str, String)],
    ) -> Self {
        let mut command = Command::new(gateway_program());
        command.args(arguments).current_dir(folder);
        for name in unset {
            command.env_remove(name);
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Self::spawn(command)
    }

    /// Starts a Node.js script of `tests/npm`.
    pub fn node(script: &str, arguments: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm");
        assert!(folder.join("node_modules").exists(), "run `npm ci` in tests/npm first");
        let script = folder.join(script);
        let script = script.to_str().expect("the path is UTF-8");
        Self::start("node", &[&[script], arguments].concat())
    }

    /// The next line on standard output; `None` when it ended.
    pub async fn line(&mut self) -> Option<String> {
        within("a line of a program", self.lines.next_line()).await.expect("its output can be read")
    }

    /// The next line on standard output, however long it takes; `None` when it ended.
    pub async fn next_line(&mut self) -> Option<String> {
        self.lines.next_line().await.expect("its output can be read")
    }

    /// Writes a line to its standard input.
    pub async fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("standard input is piped");
        input.write_all(format!("{line}\n").as_bytes()).await.expect("it reads its input");
    }

    /// Reads lines until one has `prefix`, and returns what stands behind it.
    pub async fn line_after(&mut self, prefix: &str) -> String {
        while let Some(line) = self.line().await {
            if let Some((_, rest)) = line.split_once(prefix) {
                return rest.trim().to_owned();
            }
        }
        panic!("the program ended without a line with {prefix:?}");
    }

    /// The address of a server that says `listening on http://ADDRESS`.
    pub async fn listening(&mut self) -> SocketAddr {
        let address = self.line_after("listening on http://").await;
        address.parse().unwrap_or_else(|error| panic!("{error}: {address:?}"))
    }

    /// Waits until it has ended by itself, at most `limit`.
    pub async fn finish(mut self, limit: Duration) -> Finished {
        let mut lines = Vec::new();
        let ended = tokio::time::timeout(limit, async {
            while let Some(line) = self.lines.next_line().await.expect("its output can be read") {
                lines.push(line);
            }
            self.child.wait().await.expect("its status can be read")
        });
        let ended = ended.await;
        let status = ended.unwrap_or_else(|_| panic!("still running after {limit:?}: {lines:#?}"));
        Finished { success: status.success(), lines }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs").try_into().expect("ids are small");
        kill(Pid::from_raw(id), signal).expect("it can be told");
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) {
        within("a program to end", self.child.wait()).await.expect("its status can be read");
    }
}

/// The `tokensocket` program.
pub fn gateway_program() -> PathBuf {
    binary(Path::new("tokensocket"), "cargo build -p tokensocket")
}

/// A program of this workspace, in `TOKENSOCKET_BIN_DIR` or beside this test.
fn binary(name: &Path, build: &str) -> PathBuf {
    let folder = std::env::var_os("TOKENSOCKET_BIN_DIR").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: `{build}`", path.display());
    path
}

/// Tests are in `<target>/debug/deps`.
fn beside() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its path");
    test.parent().and_then(Path::parent).expect("a test is in a target folder").to_owned()
}

//! The program as a child process.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What whoever runs the tests may have set, and what would change what the program does.
const UNWANTED: [&str; 12] = [
    "TOKENSOCKET_URL",
    "TOKENSOCKET_LISTEN",
    "TOKENSOCKET_DATA",
    "TOKENSOCKET_SITE",
    "TOKENSOCKET_KEY",
    "TOKENSOCKET_CONFIG",
    "BROKER_URL",
    "REDIS_URL",
    "SITE_NAME",
    "RUST_LOG",
    "LISTEN_FDS",
    "NOTIFY_SOCKET",
];

/// A running program; it is killed when the test ends.
pub(crate) struct Program {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

/// How a program ended, and what it said that had not been read before.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_tokensocket")).args(arguments))
    }

    /// In a working directory, with variables of the environment.
    pub(crate) fn start_in(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensocket"));
        Self::spawn_with(command.args(arguments).current_dir(folder), variables)
    }

    /// With variables of the environment, and this as its standard input.
    pub(crate) fn start_at(line: &str, variables: &[(&str, &str)], input: impl Into<Stdio>) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", line, env!("CARGO_BIN_EXE_tokensocket")]);
        Self::spawn_from(&mut command, variables, input.into())
    }

    /// What a shell makes of a line.
    pub(crate) fn shell(line: &str) -> Self {
        Self::spawn(Command::new("sh").args(["-c", line]))
    }

    fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(command, &[])
    }

    fn spawn_with(command: &mut Command, variables: &[(&str, &str)]) -> Self {
        Self::spawn_from(command, variables, Stdio::piped())
    }

    fn spawn_from(command: &mut Command, variables: &[(&str, &str)], input: Stdio) -> Self {
        for variable in UNWANTED {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, err }
    }

    /// Gives the program its whole standard input.
    pub(crate) async fn input(mut self, text: &str) -> Self {
        self.child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
        self
    }

    /// The next line of standard output.
    pub(crate) async fn line(&mut self) -> String {
        timeout(PATIENCE, self.out.next_line()).await.expect("a line in time").unwrap().expect("a line")
    }

    /// Reads standard error up to a line that contains `text`.
    pub(crate) async fn complains(&mut self, text: &str) {
        let found = async {
            while let Some(line) = self.err.next_line().await.unwrap() {
                if line.contains(text) {
                    return;
                }
            }
            panic!("standard error ended without {text:?}");
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {text:?} in time"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("the program still runs");
        kill(Pid::from_raw(id.try_into().unwrap()), signal).unwrap();
    }

    /// Kills the program and waits until it is gone, its ports with it.
    pub(crate) async fn killed(mut self) {
        timeout(PATIENCE, self.child.kill()).await.expect("an end in time").unwrap();
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> Ended {
        drop(self.child.stdin.take());
        let (mut out, mut err) = (String::new(), String::new());
        let all = async {
            tokio::join!(rest(&mut self.out, &mut out), rest(&mut self.err, &mut err));
            self.child.wait().await.unwrap()
        };
        let status = timeout(PATIENCE, all).await.expect("an end in time");
        Ended { status: status.code().expect("no end by a signal"), out, err }
    }
}

async fn rest<R: tokio::io::AsyncBufRead + Unpin>(lines: &mut Lines<R>, text: &mut String) {
    while let Some(line) = lines.next_line().await.unwrap() {
        text.push_str(&line);
        text.push('\n');
    }
}

/// Runs the program to its end.
pub(crate) async fn run(arguments: &[&str]) -> Ended {
    Program::start(arguments).ended().await
}

/// `tokensocket serve` on a free port.
pub(crate) struct Gateway {
    pub(crate) program: Program,
    pub(crate) url: String,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    pub(crate) async fn at(address: &str) -> Self {
        Self::with(&["--in-memory", "--listen", address]).await
    }

    /// Keeps things in a directory.
    pub(crate) async fn keeping_in(folder: &Path) -> Self {
        Self::with(&["--data", folder.to_str().unwrap(), "--listen", "127.0.0.1:0"]).await
    }

    pub(crate) async fn with(options: &[&str]) -> Self {
        Self::of(Program::start(&[&["serve"], options].concat())).await
    }

    pub(crate) async fn of(mut program: Program) -> Self {
        let line = program.line().await;
        let url = line.strip_prefix("listening on ").expect("its address first").to_owned();
        Self { program, url }
    }

    /// `address:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Runs a command against this server.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        self.start_command(arguments).ended().await
    }

    pub(crate) fn start_command(&self, arguments: &[&str]) -> Program {
        Program::start(&[arguments, &["--url", &self.url, "--timeout", "20s"]].concat())
    }
}

//! A program that a test ends, pauses and starts again: an engine, or a node.
//!
//! In: a program, its arguments, where it runs, and the folder for its log, which says when it is ready. Out: a running
//! process. It ends when it is dropped, as `kill -9` ends it.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::limit::until;
use crate::ports;

/// The name of the log, in the folder.
const LOG: &str = "log";
/// How much of a log is shown of a process that did not start.
const SHOWN: usize = 2_000;

/// Where a program runs: on this machine, or in a network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The namespace, as `ip netns` names it.
    pub namespace: Option<String>,
    /// The address on which it listens.
    pub ip: IpAddr,
}

impl Default for Place {
    fn default() -> Self {
        Self { namespace: None, ip: Ipv4Addr::LOCALHOST.into() }
    }
}

impl Place {
    /// The command that runs a program here.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    /// An address for a server that cannot be asked to choose a port and keep it: in a namespace the usual one, which is
    /// free there, and else one of the [`ports`] of this machine.
    pub(crate) fn address(&self, usual: u16) -> SocketAddr {
        if self.namespace.is_some() { SocketAddr::new(self.ip, usual) } else { ports::lasting(self.ip) }
    }
}

/// A program that runs, or ran and can be started again.
#[derive(Debug)]
pub(crate) struct Process {
    program: String,
    arguments: Vec<String>,
    folder: PathBuf,
    ready: &'static str,
    place: Place,
    child: Option<Child>,
}

impl Process {
    /// Describes one. `ready` is what its log says when it serves.
    pub(crate) fn new(
        program: &str,
        arguments: Vec<String>,
        folder: &Path,
        ready: &'static str,
        place: &Place,
    ) -> Self {
        let (program, folder, place) = (program.to_owned(), folder.to_owned(), place.clone());
        Self { program, arguments, folder, ready, place, child: None }
    }

    /// Starts it, and waits until it is ready. False: it ended before that.
    pub(crate) async fn start(&mut self) -> bool {
        assert!(self.child.is_none(), "{} runs already", self.program);
        let log = File::create(self.log_path()).expect("the log can be written");
        let mut command = self.place.command(&self.program);
        command.args(&self.arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.stderr(log.try_clone().expect("a file can be cloned")).stdout(log);
        let child = command.spawn();
        // Held from now on, so that it ends with this, however long it takes to be ready.
        self.child = Some(child.unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program)));
        let (mut serves, what) = (false, format!("{} to be ready", self.program));
        until(&what, || {
            let ended = self.has_ended();
            serves = !ended && self.log().contains(self.ready);
            serves || ended
        })
        .await;
        if !serves {
            self.child = None;
        }
        serves
    }

    /// The same, for one whose ports are its own. Panics if it ends, with what it said.
    pub(crate) async fn start_again(&mut self) {
        if !self.start().await {
            let log = self.log();
            let from = log.len().saturating_sub(SHOWN);
            panic!("{} did not start: {}", self.program, log.get(from..).unwrap_or(&log));
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let what = format!("{} to end", self.program);
        until(&what, || self.has_ended()).await;
        self.child = None;
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whether it has ended, or was never started.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().expect("its status can be read").is_some())
    }

    /// Stops it in its tracks. Blocks until all its threads stand still: on a busy machine that takes a while.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let stopped = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.id()), stopped).expect("it stops, or has ended");
    }

    /// Lets it go on.
    pub(crate) fn unpause(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.id(), signal).expect("it can be told");
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.pid().try_into().expect("ids are small"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// What it said since it was started.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(LOG)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

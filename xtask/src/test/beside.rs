//! A step that runs while another one does, in a process of its own.
//!
//! Comes in: the step. Goes out: what it said, all of it once it has ended, and how it ended. It gives way to the other: it
//! gets the time that the machine would be idle. It must not know what the step does.
//!
//! It ends with us, however we end: it reads the other end of a pipe that is ours, in which nothing ever comes but the end.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{getpgrp, getpid};

use crate::report;
use crate::test::step::Step;
use crate::workspace::Workspace;

/// A step under way.
pub(super) struct Beside {
    pub(super) step: Step,
    child: Child,
    /// Closed by the system when we are no more.
    _lifeline: Option<ChildStdin>,
    said: PathBuf,
}

impl Beside {
    /// Starts it, by this program.
    pub(super) fn start(workspace: &Workspace, program: &Path, step: Step) -> Result<Self> {
        let said = workspace.target.join(format!("step-{}.log", step.name()));
        let log = File::create(&said).with_context(|| format!("cannot write {}", said.display()))?;
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(program)
            .args(["test", "--bare", step.name()])
            .current_dir(&workspace.root)
            // With all that it starts, and with nothing else.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start the step {} beside another", step.name()))?;
        // To wait for a child closes what it still has of this.
        let lifeline = child.stdin.take();
        Ok(Self { step, child, _lifeline: lifeline, said })
    }

    /// Waits for its end and shows what it said.
    pub(super) fn end(mut self) -> Result<()> {
        report::note(&format!("begun beside the step before; says what it does in {}", self.said.display()));
        let status = self.child.wait()?;
        let said = fs::read(&self.said).context("what it said is lost")?;
        report::show(&String::from_utf8_lossy(&said));
        ensure!(status.success(), "as said above");
        Ok(())
    }
}

/// From now on this process, and all that it starts, ends when its standard input does: the one that started it is gone.
/// Not where it was not put into a group of its own, since then its group is that of whoever started it.
pub(super) fn end_with_parent() {
    if getpgrp() != getpid() {
        return;
    }
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        killpg(getpgrp(), Signal::SIGTERM)
    });
}

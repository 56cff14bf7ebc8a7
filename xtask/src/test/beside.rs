//! A step that runs while another one does, in a process of its own.
//!
//! Comes in: the step. Goes out: what it said, all of it once it has ended, and how it ended. It gives way to the other: it
//! gets the time that the machine would be idle. It must not know what the step does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::report;
use crate::test::step::Step;
use crate::workspace::Workspace;

/// A step under way.
pub(super) struct Beside {
    pub(super) step: Step,
    child: Child,
    said: PathBuf,
}

impl Beside {
    /// Starts it, by this program.
    pub(super) fn start(workspace: &Workspace, program: &Path, step: Step) -> Result<Self> {
        let said = workspace.target.join(format!("step-{}.log", step.name()));
        let log = File::create(&said).with_context(|| format!("cannot write {}", said.display()))?;
        let child = Command::new("nice")
            .args(["-n", "19"])
            .arg(program)
            .args(["test", "--bare", step.name()])
            .current_dir(&workspace.root)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start the step {} beside another", step.name()))?;
        Ok(Self { step, child, said })
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

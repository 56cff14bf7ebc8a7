//! The courses for which server and clients share a process: the example
//! `cores`, which has the clients sleep while the clock runs.
//!
//! In: a shape of the server and a load. Out: the report that the program
//! prints.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{build, cores::Cores, error::CompareError};
use crate::{report::Report, target::Options, workload::Workload};

/// The program, built.
#[derive(Debug)]
pub(super) struct InProcess {
    program: PathBuf,
}

impl InProcess {
    pub(super) fn build() -> Result<Self, CompareError> {
        Ok(Self { program: build::cores_program()? })
    }

    /// Measures `load` with the server in `shape`, on the cores of the row with
    /// two, whatever the shape: clients need one when the server is idle.
    pub(super) fn run(
        &self,
        shape: &str,
        load: &Workload,
        options: &Options,
        cores: Option<&Cores>,
    ) -> Result<Report, String> {
        let mut command = command(&self.program, shape, load, options).ok_or("it has no such load")?;
        command.env("RUST_LOG", "error").stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = match cores.map(Cores::with_two) {
            Some(two) => two.as_server(|| command.output()).map_err(|error| error.to_string())?,
            None => command.output(),
        };
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("it ended with {}; its output above says why", output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("its report cannot be read: {error}"))
    }
}

fn command(program: &Path, shape: &str, load: &Workload, options: &Options) -> Option<Command> {
    let mut command = Command::new(program);
    command
        .args(["--shape", shape])
        .arg(format!("--seconds={}", options.measure.as_secs_f64()))
        .arg(format!("--warm-up={}", options.warm_up.as_secs_f64()));
    match load {
        Workload::Calls(calls) => command
            .arg("calls")
            .arg(format!("--sockets={}", calls.sockets))
            .arg(format!("--in-flight={}", calls.in_flight))
            .arg(format!("--payload={}", calls.payload)),
        Workload::FanOut(fan_out) => command
            .arg("fanout")
            .arg(format!("--subscribers={}", fan_out.subscribers))
            .arg(format!("--payload={}", fan_out.payload)),
        _ => return None,
    };
    Some(command)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use clap::Parser;

    use super::*;
    use crate::workload::{Calls, FanOut, Idle};

    /// The program's own command line, as far as the load goes.
    #[derive(Parser)]
    struct CommandLine {
        #[arg(long)]
        shape: String,
        #[arg(long)]
        seconds: f64,
        #[arg(long)]
        warm_up: f64,
        #[command(subcommand)]
        workload: Workload,
    }

    #[test]
    fn the_program_is_told_the_whole_load() {
        let options = Options::default();
        let loads = [
            Workload::Calls(Calls { sockets: 3, in_flight: 5, payload: 7 }),
            Workload::FanOut(FanOut { subscribers: 3, payload: 7, ..FanOut::default() }),
        ];
        for load in loads {
            let command = command(Path::new("cores"), "two-threads", &load, &options).unwrap();
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            let told = CommandLine::try_parse_from(words).unwrap();
            assert_eq!((told.workload, told.shape.as_str()), (load, "two-threads"));
            assert!((told.seconds - 5.0).abs() < 1e-9 && (told.warm_up - 1.0).abs() < 1e-9);
        }
        let memory = Workload::Memory(Idle::default());
        assert!(command(Path::new("cores"), "two-threads", &memory, &options).is_none());
    }
}

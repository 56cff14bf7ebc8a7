//! A server of a comparison, from its start to its end.
//!
//! In: a command. Out: a running process and what it printed about itself. It
//! ends when its [`Running`] is dropped.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{cores::Cores, error::CompareError};

/// How long a server has to say where it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `command` and waits for the first line that `sign` reads something
/// from. Later lines are thrown away.
pub(super) fn start<T: Send + 'static>(
    name: &str,
    mut command: Command,
    cores: Option<&Cores>,
    sign: impl Fn(&str) -> Option<T> + Send + 'static,
) -> Result<(Running, T), CompareError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let spawned = match cores {
        Some(cores) => cores.as_server(|| command.spawn())?,
        None => command.spawn(),
    };
    let mut child = spawned.map_err(|source| CompareError::Program {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    let stdout = child.stdout.take();
    let running = Running { child };
    let (tell, told) = mpsc::channel();
    // Ends with the process, which closes its output.
    thread::spawn(move || {
        let lines = stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines);
        for line in lines.map_while(Result::ok) {
            if let Some(found) = sign(&line) {
                // Nobody waits any more after the first.
                let _ = tell.send(found);
            }
        }
    });
    let reason = match told.recv_timeout(PATIENCE) {
        Ok(found) => return Ok((running, found)),
        Err(RecvTimeoutError::Timeout) => "it did not say in time where it listens",
        Err(RecvTimeoutError::Disconnected) => "it ended before it said where it listens",
    };
    Err(CompareError::Start { name: name.to_owned(), reason: reason.to_owned() })
}

/// Waits until the system has written what was left to it, so that the next server begins with a disk that rests.
pub(super) fn rest() -> Result<(), CompareError> {
    let program = "sync".to_owned();
    match Command::new(&program).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CompareError::Start { name: program, reason: status.to_string() }),
        Err(source) => Err(CompareError::Program { program, source }),
    }
}

/// The port in a line such as `listening 8080` or `… http://127.0.0.1:8080 …`;
/// `https://` and `ws://` do as well.
pub(super) fn port_in(line: &str) -> Option<u16> {
    let url = ["http://", "https://", "ws://"].iter().find_map(|scheme| line.split_once(scheme));
    let behind = match url {
        Some((_, behind)) => behind.split_once(':')?.1,
        None => line.split_once("listening ")?.1,
    };
    let end = behind.find(|character: char| !character.is_ascii_digit()).unwrap_or(behind.len());
    behind[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn finds_the_port_in_what_servers_print() {
        assert_eq!(port_in("listening 8080"), Some(8080));
        assert_eq!(port_in("playground on http://127.0.0.1:1337 (loopback)"), Some(1337));
        assert_eq!(port_in("open http://127.0.0.1:1337/"), Some(1337));
        assert_eq!(port_in("listening on https://127.0.0.1:1337"), Some(1337));
        assert_eq!(port_in("[INF] Listening for websocket clients on ws://127.0.0.1:8080"), Some(8080));
        assert_eq!(port_in("[INF] Listening for client connections on 127.0.0.1:4222"), None);
        assert_eq!(port_in("listening soon"), None);
        assert_eq!(port_in("hello"), None);
    }

    #[test]
    fn a_program_that_ends_silently_is_an_error() {
        let error = start("true", Command::new("true"), None, port_in).unwrap_err();
        assert!(matches!(error, CompareError::Start { .. }), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = start("x", Command::new("./no-such-program"), None, port_in).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}

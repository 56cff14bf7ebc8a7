//! A server with a store on disk, as a process of its own that a test may kill.
//!
//! In: what it is to do. Out: a running `keeper`, and everything that it has promised. `src/bin/keeper.rs` is the
//! program.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long it may take to listen: a busy machine reads a large store slowly.
const START: Duration = Duration::from_mins(1);
/// The channel on which it publishes.
pub const CHANNEL: &str = "kept";
/// The event that it delivers.
pub const EVENT: &str = "number";

/// What it is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// Where its store is.
    pub folder: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// The first number that it delivers or publishes.
    pub first: u64,
    /// How many deliver and publish at once, as fast as the store takes it.
    pub callers: u64,
    /// How often something is published beside that, in milliseconds.
    pub publish_every_ms: Option<u64>,
}

/// Something that it has promised: the call has returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promise {
    /// To deliver it.
    Delivered {
        /// By which caller; the numbers of one caller grow.
        caller: u64,
        /// What.
        number: u64,
    },
    /// To keep it in the channel's history.
    Published {
        /// By which caller.
        caller: u64,
        /// What.
        number: u64,
        /// Where: the epoch, a colon, the offset.
        position: String,
    },
}

/// A running keeper. To drop it is to kill it.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
    promises: Receiver<Promise>,
    listening: Receiver<()>,
    reading: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts `program`, which is `env!("CARGO_BIN_EXE_keeper")`. Blocks until it listens.
    pub fn start(program: &str, orders: &Orders) -> Self {
        let orders = serde_json::to_string(orders).expect("orders are JSON");
        let mut command = Command::new(program);
        command.arg(orders).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let out = child.stdout.take().expect("standard output is piped");
        let ((told, promises), (listens, listening)) = (channel(), channel());
        let reading = Some(std::thread::spawn(move || read(out, &told, &listens)));
        let keeper = Self { child, promises, listening, reading };
        keeper.listening.recv_timeout(START).expect("the keeper listens");
        keeper
    }

    /// What it has promised since the last look.
    pub fn promises(&self) -> Vec<Promise> {
        self.promises.try_iter().collect()
    }

    /// Ends it as `kill -9` does. Gives what it promised to the last.
    pub fn kill(mut self) -> Vec<Promise> {
        self.child.kill().expect("it can be killed");
        self.end()
    }

    /// Ends it well.
    pub fn stop(mut self) -> Vec<Promise> {
        drop(self.child.stdin.take());
        self.end()
    }

    fn end(&mut self) -> Vec<Promise> {
        self.child.wait().expect("its status can be read");
        if let Some(reading) = self.reading.take() {
            reading.join().expect("what it said is understood");
        }
        self.promises()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(out: impl Read, told: &Sender<Promise>, listens: &Sender<()>) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        let promise = match words[0] {
            // A kill may cut the last line short.
            "delivered" if words.len() == 3 => Promise::Delivered { caller: number(1), number: number(2) },
            "published" if words.len() == 4 => {
                Promise::Published { caller: number(1), number: number(2), position: words[3].to_owned() }
            }
            "listening" => {
                // The test may be over.
                let _ = listens.send(());
                continue;
            }
            _ => panic!("{line}"),
        };
        // The test may be over.
        let _ = told.send(promise);
    }
}

/// Whom a number is delivered to.
pub fn user(number: u64) -> &'static str {
    if number.is_multiple_of(4) { "ann" } else { "bob" }
}

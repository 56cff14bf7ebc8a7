//! A Redis of a test's own.

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::program::Program;

/// How often another port is tried.
const TRIES: usize = 8;

/// A running `redis-server` that keeps nothing. It ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    _program: Program,
    _folder: TempDir,
}

impl Redis {
    /// Starts one on a free port.
    ///
    /// Redis cannot be asked to choose a port, so one that was just free is tried, and another when somebody
    /// was faster.
    pub async fn start() -> Self {
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let port = free_port().await;
            let arguments = [
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--dir",
                folder.path().to_str().expect("the path is UTF-8"),
                "--save",
                "",
                "--appendonly",
                "no",
            ];
            let mut program = Program::start("redis-server", &arguments);
            while let Some(line) = program.line().await {
                if line.contains("Ready to accept connections") {
                    return Self { port, _program: program, _folder: folder };
                }
            }
            assert!(program.has_ended(), "redis-server closed its output but runs on");
        }
        panic!("redis-server found no free port in {TRIES} tries");
    }
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

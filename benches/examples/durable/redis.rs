//! Redis: a message is an entry of its device's stream.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::oneshot;

use super::load::{Failure, Target, message};
use super::pipe::Pipe;

/// Connections to a Redis.
#[derive(Clone)]
pub(crate) struct Streams {
    connections: Arc<Vec<Connection>>,
    next: Arc<AtomicUsize>,
    message: Arc<str>,
}

struct Connection {
    pipe: Pipe,
    /// Answers come in the order of the commands.
    asked: Asked,
}

/// Who waits, in their order.
type Asked = Arc<Mutex<VecDeque<oneshot::Sender<Result<(), String>>>>>;

impl Streams {
    pub(crate) async fn connect(socket: &Path, connections: usize) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for _ in 0..connections.max(1) {
            let (read, write) = UnixStream::connect(socket).await?.into_split();
            let asked = Asked::default();
            tokio::spawn(read_answers(read, Arc::clone(&asked)));
            all.push(Connection { pipe: Pipe::to(write), asked });
        }
        Ok(Self { connections: Arc::new(all), next: Arc::default(), message: message().into() })
    }
}

impl Target for Streams {
    const WHAT: &'static str = "deliver";

    async fn ask(&self, device: usize) -> Result<(), Failure> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let connection = &self.connections[at];
        let (tell, told) = oneshot::channel();
        let (device, message) = (format!("d{device}"), &*self.message);
        connection.pipe.send(|out| {
            out.extend_from_slice(b"*5\r\n$4\r\nXADD\r\n");
            for word in [&device, "*", "m", message] {
                out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
            connection.asked.lock().push_back(tell);
        })?;
        Ok(told.await??)
    }
}

/// Reads what XADD answers: `$LENGTH`, then the entry's id; or `-ERROR`.
async fn read_answers(read: OwnedReadHalf, asked: Asked) -> Result<(), Failure> {
    let mut read = BufReader::with_capacity(1 << 16, read);
    let mut line = String::new();
    let mut id = Vec::new();
    loop {
        line.clear();
        if read.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim_end().strip_prefix('$') {
            Some(length) => {
                id.resize(length.parse::<usize>()? + 2, 0);
                read.read_exact(&mut id).await?;
                Ok(())
            }
            None => Err(line.trim_end().to_owned()),
        };
        if let Some(caller) = asked.lock().pop_front() {
            // It may have given up.
            let _ = caller.send(answer);
        }
    }
}

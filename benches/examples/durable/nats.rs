//! NATS: a message is published to its device's subject, of a stream that is kept in files.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::oneshot;

use super::load::{Failure, Target, message};
use super::pipe::Pipe;

/// The stream of all devices' subjects, on disk, one copy.
const STREAM: &str = r#"{"name":"devices","subjects":["d.*"],"retention":"limits","storage":"file","num_replicas":1,"max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"discard":"old","duplicate_window":0}"#;

/// Connections to a NATS server.
#[derive(Clone)]
pub(crate) struct JetStream {
    connections: Arc<Vec<Connection>>,
    next: Arc<AtomicU64>,
    message: Arc<str>,
}

#[derive(Clone)]
struct Connection {
    name: usize,
    pipe: Pipe,
    asked: Asked,
}

/// Who waits for the answer with this number.
type Asked = Arc<Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>>;

impl JetStream {
    pub(crate) async fn connect(address: &str, connections: usize) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for name in 0..connections.max(1) {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (read, write) = stream.into_split();
            let asked = Asked::default();
            let pipe = Pipe::to(write);
            tokio::spawn(read_answers(read, pipe.clone(), Arc::clone(&asked)));
            pipe.send(|out| {
                out.extend_from_slice(
                    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false}\r\n",
                );
                out.extend_from_slice(format!("SUB _R.{name}.* 1\r\n").as_bytes());
            })?;
            all.push(Connection { name, pipe, asked });
        }
        let target =
            Self { connections: Arc::new(all), next: Arc::new(AtomicU64::new(1)), message: message().into() };
        let made = target.request("$JS.API.STREAM.CREATE.devices", STREAM).await?;
        // Left of the measurement before, it is as good.
        if memchr::memmem::find(&made, b"\"error\"").is_some()
            && memchr::memmem::find(&made, b"already in use").is_none()
        {
            return Err(String::from_utf8_lossy(&made).into());
        }
        Ok(target)
    }

    async fn request(&self, subject: &str, body: &str) -> Result<Vec<u8>, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(number)? % self.connections.len();
        let connection = &self.connections[at];
        let (tell, told) = oneshot::channel();
        connection.asked.lock().insert(number, tell);
        let head = format!("PUB {subject} _R.{}.{number} {}\r\n", connection.name, body.len());
        connection.pipe.send(|out| {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(body.as_bytes());
            out.extend_from_slice(b"\r\n");
        })?;
        Ok(told.await?)
    }
}

impl Target for JetStream {
    const WHAT: &'static str = "deliver";

    async fn ask(&self, device: usize) -> Result<(), Failure> {
        let answer = self.request(&format!("d.{device}"), &self.message).await?;
        if memchr::memmem::find(&answer, b"\"seq\":").is_none() {
            return Err(String::from_utf8_lossy(&answer).into());
        }
        Ok(())
    }
}

/// Reads `MSG SUBJECT SID LENGTH` with its body, and answers `PING`.
async fn read_answers(read: OwnedReadHalf, pipe: Pipe, asked: Asked) -> Result<(), Failure> {
    let mut read = BufReader::with_capacity(1 << 16, read);
    let mut line = String::new();
    loop {
        line.clear();
        if read.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("MSG") => {
                let subject = words.next().unwrap_or_default();
                let number = subject.rsplit('.').next().unwrap_or_default().parse::<u64>()?;
                let length = words.next_back().unwrap_or_default().parse::<usize>()?;
                let mut body = vec![0; length + 2];
                read.read_exact(&mut body).await?;
                if let Some(caller) = asked.lock().remove(&number) {
                    // It may have given up.
                    let _ = caller.send(body);
                }
            }
            Some("PING") => pipe.send(|out| out.extend_from_slice(b"PONG\r\n"))?,
            Some("-ERR") => return Err(line.clone().into()),
            _ => {}
        }
    }
}

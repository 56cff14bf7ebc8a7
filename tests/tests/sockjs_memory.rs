//! What SockJS sessions that are left alone keep in memory: nothing.
//!
//! The server runs alone on the test's thread, its clients on another, and only the server's thread is
//! counted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use tokensocket_server::{Server, SockJsOptions, SockJsSocket};
use tokensocket_tests::limit::until;
use tokensocket_tests::node::Node;
use tokio::sync::oneshot;

const SESSIONS: usize = 1000;
/// What one opened session needs at least: less than this would mean that nothing was counted.
const LEAST: u64 = 1000;
/// What may stay of all of them together, in bytes: a few for each, while each took more than [`LEAST`].
const KEPT: i64 = 8 * 1024;

const HEARTBEAT: Duration = Duration::from_millis(200);

/// Counts itself.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Opens sessions on one connection, with a message waiting in each.
fn open(address: SocketAddr, prefix: &str, round: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    for session in 0..SESSIONS {
        let head = format!(
            "POST {prefix}/000/{round}-{session:05}/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.windows(2).any(|bytes| bytes == b"o\n") || !answer.ends_with(b"\n") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0);
            answer.extend_from_slice(&bytes[..count]);
        }
        // The end of a chunked answer may come by itself.
        while answer.windows(8).any(|bytes| bytes.eq_ignore_ascii_case(b"chunked\r"))
            && !answer.ends_with(b"0\r\n\r\n")
        {
            let mut bytes = [0; 16];
            let count = stream.read(&mut bytes).unwrap();
            answer.extend_from_slice(&bytes[..count]);
        }
    }
}

#[test]
fn sessions_that_are_left_alone_leave_no_memory_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let living = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&living);
    let handler = move |mut socket: SockJsSocket| {
        let counted = Counted::new(&counter);
        async move {
            let _counted = counted;
            // It waits for its client, which never comes.
            let _ = socket.send("x".repeat(500)).await;
            while socket.recv().await.is_some() {}
        }
    };
    let options = || SockJsOptions::new().session_timeout(Duration::from_millis(500));
    let server = Server::builder()
        .authenticate_anyone()
        .auth_timeout(None)
        .heartbeat(HEARTBEAT)
        .sockjs_options(options())
        .sockjs_with("/s", options(), handler);
    let node = runtime.block_on(Node::start(server));
    let open_and_leave = |prefix: &'static str, round: usize| {
        let (done, opened) = oneshot::channel();
        let address = node.address;
        let clients = thread::spawn(move || {
            open(address, prefix, round);
            done.send(()).unwrap();
        });
        let counted = measure(|| {
            runtime.block_on(async {
                opened.await.unwrap();
                until("all sessions to be gone", || {
                    living.load(Ordering::Relaxed) == 0 && node.server.sockets().is_empty()
                })
                .await;
                // Their connection is gone a little later, and the clock forgets them when it would have had them
                // checked: for neither is there anything to await.
                tokio::time::sleep(3 * HEARTBEAT).await;
            });
        });
        clients.join().unwrap();
        counted
    };
    for prefix in ["/s", "/sockets"] {
        // Tables keep room for the next ones, and now and then some more; what is lost is lost in each round.
        let rounds = (0..8).map(|round| open_and_leave(prefix, round)).inspect(|counted| {
            assert!(counted.bytes_total > LEAST * SESSIONS as u64, "{counted:?}");
        });
        let kept: Vec<i64> =
            rounds.map(|counted| counted.bytes_current).take_while(|kept| *kept >= KEPT).collect();
        assert!(kept.len() < 8, "{prefix}: each round keeps some: {kept:?}");
    }
}

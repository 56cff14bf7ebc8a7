//! What one call, one delivery and one idle socket cost in memory, so that it cannot grow unseen.
//!
//! The server runs alone on the test's thread, its clients on another, and only the server's thread is
//! counted. No clock is involved: the numbers are the same on every machine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use allocation_counter::{AllocationInfo, measure};
use tokensocket_server::{Actions, Data, Identity, RawJson, RpcError, Server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// The most allocations of one echo call of 64 bytes: its argument, kept while the action runs; the
/// action's future; and a small share of what a burst of calls needs.
const PER_CALL: f64 = 2.1;
/// The most allocations of one publication, whatever the number of its followers. `io_uring` adds one.
const PER_PUBLICATION: f64 = 12.0;
/// The most bytes of heap that an idle, authenticated socket keeps which follows two channels.
const PER_IDLE_SOCKET: i64 = 1_380;

/// The bit that says that a frame is masked, and the length that says that two bytes of it follow.
const MASKED: u8 = 0x80;
const LENGTH_FOLLOWS: u8 = 0x7e;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn server() -> Server {
    let echo = async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value);
    Server::builder()
        .authenticate(async |_| Ok(Identity::new("ann")))
        .on_subscribe(async |_, _| Ok(()))
        .on_publish(async |_, _, _| Ok(()))
        .actions(Actions::new().action("echo", echo))
        .build()
        .unwrap()
}

/// Serves on the runtime of the test's thread.
fn serve(runtime: &Runtime, server: &Server) -> SocketAddr {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = server.clone();
        tokio::spawn(async move { server.serve(listener).await });
        address
    })
}

/// Serves until the clients' thread has done `work`, and counts what this thread allocates meanwhile.
fn during<T: Send + 'static>(
    runtime: &Runtime,
    work: impl FnOnce() -> T + Send + 'static,
) -> (T, AllocationInfo) {
    let (done, result) = oneshot::channel();
    let worker = thread::spawn(move || done.send(work()).is_ok());
    let mut kept = None;
    let counted = measure(|| kept = Some(runtime.block_on(result).unwrap()));
    assert!(worker.join().unwrap());
    (kept.unwrap(), counted)
}

/// A client that is written out by hand, so that it does what a test wants and nothing else.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        Self::authenticate(address, "/sockets/websocket", str::to_owned)
    }

    /// The same in SockJS frames.
    fn connect_sockjs(address: SocketAddr) -> Self {
        Self::authenticate(address, "/sockets/000/session1/websocket", sockjs)
    }

    fn authenticate(address: SocketAddr, path: &str, framed: impl Fn(&str) -> String) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /socket/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let token = response.split("\"token\":\"").nth(1).unwrap().split('"').next().unwrap();
        let mut client = Self(TcpStream::connect(address).unwrap());
        client.0.set_nodelay(true).unwrap();
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        client.0.write_all(upgrade.as_bytes()).unwrap();
        client.read_until("\r\n\r\n");
        client.send(&framed(&format!(r#"{{"rpc":"auth","token":"{token}","uuid":"0"}}"#)));
        client.read_until("success");
        client
    }

    fn send(&mut self, message: &str) {
        self.0.write_all(&frame(message)).unwrap();
    }

    fn subscribe(&mut self, channel: &str) {
        self.send(&format!(r#"{{"rpc":"_subscribe","req":{{"channel":"{channel}"}},"uuid":"s"}}"#));
        self.read_until("\"internal\":true");
    }

    fn read_until(&mut self, text: &str) {
        let mut seen = Vec::new();
        while !seen.windows(text.len()).any(|window| window == text.as_bytes()) {
            let mut some = [0; 4096];
            let count = self.0.read(&mut some).unwrap();
            assert!(count > 0, "closed instead of {text:?}");
            seen.extend_from_slice(&some[..count]);
        }
    }

    /// Reads `count` frames, however they are cut.
    fn read_frames(&mut self, count: usize) {
        for _ in 0..count {
            self.read_frame();
        }
    }

    /// Reads `count` answers, however many of them stand in one frame.
    fn read_answers(&mut self, count: usize) {
        let mut seen = 0;
        while seen < count {
            let frame = self.read_frame();
            seen += frame.windows(4).filter(|window| window == b"uuid").count();
        }
        assert_eq!(seen, count);
    }

    fn read_frame(&mut self) -> Vec<u8> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let length = match head[1] {
            LENGTH_FOLLOWS => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        payload
    }
}

/// A message as SockJS frames it.
fn sockjs(message: &str) -> String {
    serde_json::json!([message]).to_string()
}

fn frame(message: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    if let Ok(length @ 0..126) = u8::try_from(message.len()) {
        frame.push(MASKED | length);
    } else {
        frame.push(MASKED | LENGTH_FOLLOWS);
        frame.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
    }
    // A mask of zeros leaves the payload as it is.
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(message.as_bytes());
    frame
}

/// How many of something, as a number to compare with.
#[allow(clippy::cast_precision_loss, reason = "the counts are small")]
fn ratio(total: u64, count: usize) -> f64 {
    total as f64 / count as f64
}

#[test]
fn a_call_allocates_little() {
    calls_allocate_little(Client::connect, str::to_owned);
}

#[test]
fn a_call_in_sockjs_allocates_little() {
    calls_allocate_little(Client::connect_sockjs, sockjs);
}

fn calls_allocate_little(connect: fn(SocketAddr) -> Client, framed: fn(&str) -> String) {
    const BURSTS: usize = 200;
    const CALLS: usize = 16;
    let runtime = runtime();
    let address = serve(&runtime, &server());
    let call = |n| format!(r#"{{"rpc":"echo","req":"{}","uuid":"{n:036}"}}"#, "x".repeat(64));
    let burst: Vec<u8> = (0..CALLS).flat_map(|n| frame(&framed(&call(n)))).collect();
    let ask = move |client: &mut Client, bursts: usize| {
        for _ in 0..bursts {
            client.0.write_all(&burst).unwrap();
            client.read_answers(CALLS);
        }
    };
    let again = ask.clone();
    let (mut client, _) = during(&runtime, move || {
        let mut client = connect(address);
        ask(&mut client, 10);
        client
    });
    let ((), counted) = during(&runtime, move || again(&mut client, BURSTS));
    let per_call = ratio(counted.count_total, BURSTS * CALLS);
    println!("{per_call} allocations per call");
    assert!(per_call <= PER_CALL, "{per_call} allocations per call");
}

#[test]
fn a_delivery_allocates_nothing() {
    const FOLLOWERS: usize = 100;
    const PUBLICATIONS: usize = 200;
    let runtime = runtime();
    let address = serve(&runtime, &server());
    let (clients, _) = during(&runtime, move || {
        let mut clients: Vec<_> = (0..FOLLOWERS).map(|_| Client::connect(address)).collect();
        for client in &mut clients {
            client.subscribe("c");
        }
        clients
    });
    let ((), counted) = during(&runtime, move || {
        let mut clients = clients;
        let mut publisher = clients.pop().unwrap();
        for _ in 0..PUBLICATIONS {
            let data = "x".repeat(128);
            publisher
                .send(&format!(r#"{{"rpc":"_publish","req":{{"channel":"c","data":"{data}"}},"uuid":"p"}}"#));
            // Its own publication, and the answer.
            publisher.read_frames(2);
            for client in &mut clients {
                client.read_frames(1);
            }
        }
    });
    let per_publication = ratio(counted.count_total, PUBLICATIONS);
    println!("{per_publication} allocations per publication");
    assert!(
        per_publication <= PER_PUBLICATION,
        "{per_publication} allocations per publication to {FOLLOWERS} followers"
    );
}

#[test]
fn an_idle_socket_keeps_little() {
    const SOCKETS: usize = 200;
    let runtime = runtime();
    let server = Arc::new(server());
    let address = serve(&runtime, &server);
    let open = move |count: usize| {
        (0..count)
            .map(|_| {
                let mut client = Client::connect(address);
                client.subscribe("first");
                client.subscribe("second");
                client
            })
            .collect::<Vec<_>>()
    };
    // Tables and thread-local buffers have grown by then.
    let again = open;
    let (warm, _) = during(&runtime, move || open(SOCKETS));
    let before = server.sockets().len();
    let (more, counted) = during(&runtime, move || again(SOCKETS));
    settle(&runtime);
    assert_eq!(server.sockets().len(), before + SOCKETS);
    let each = counted.bytes_current / i64::try_from(SOCKETS).unwrap();
    println!("{each} bytes per idle socket");
    assert!(each <= PER_IDLE_SOCKET, "{each} bytes per idle socket");
    drop((warm, more));
}

/// Lets everything that is ready run.
fn settle(runtime: &Runtime) {
    let yields = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    runtime.block_on(yields);
}

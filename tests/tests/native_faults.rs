//! A native client's first connection breaks, at any place in it, and the client gets in all the same.
//!
//! The places go through the token's request and its answer, the upgrade and the 101, the `auth` and its
//! answer, a call and its answer, each of them before, within and behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};
use tokensocket_client::{Error, TokenSocket};
use tokensocket_server::{Actions, Data, RpcError};
use tokensocket_tests::limit::{LIMIT, until};
use tokensocket_tests::native::{becomes_ready, native};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::proxy::{Break, Direction, Fault, Proxy, Purpose};
use tokio::time::timeout;

/// How many clients go through it at once.
const AT_ONCE: usize = 24;

const FLOWS: [(Purpose, Direction); 4] = [
    (Purpose::Token, Direction::Up),
    (Purpose::Token, Direction::Down),
    (Purpose::Socket, Direction::Up),
    (Purpose::Socket, Direction::Down),
];

async fn server() -> Node {
    let echo = Actions::new().action("echo", async |Data(text): Data<String>| Ok::<_, RpcError>(text));
    Node::start(builder().actions(echo)).await
}

/// Calls until an answer comes, which may take so long; a call may be lost with its connection.
async fn is_served(socket: &TokenSocket, patience: Duration) {
    loop {
        let answer = timeout(patience, socket.rpc::<String>("echo", "hello").into_future());
        match answer.await.unwrap_or_else(|_| panic!("waited {patience:?} for an answer")) {
            Ok(answer) => {
                assert_eq!(answer, "hello");
                return;
            }
            Err(Error::Disconnected) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// How many bytes go each way until the first answer, when nothing breaks, and how long it takes.
async fn lengths(node: &Node) -> ([usize; 4], Duration) {
    let proxy = Proxy::start(node.address).await;
    let begun = Instant::now();
    let socket = native(proxy.address).connect().unwrap();
    is_served(&socket, LIMIT).await;
    let took = begun.elapsed();
    let lengths = FLOWS.map(|(purpose, direction)| {
        let length = proxy.seen(purpose, direction).len();
        assert!(length > 50, "{purpose:?} {direction:?} has only {length} bytes");
        length
    });
    (lengths, took)
}

/// A client whose first connection breaks so.
async fn survives(node: &Node, fault: Fault, connect_timeout: Duration) {
    let proxy = Proxy::start(node.address).await;
    proxy.plan(fault);
    let socket = native(proxy.address)
        .connect_timeout(connect_timeout)
        .ping(connect_timeout / 2)
        .pong_timeout(connect_timeout / 2)
        .connect()
        .unwrap();
    let patience = LIMIT.max(5 * connect_timeout);
    is_served(&socket, patience).await;
    until("the fault", || proxy.happened() == 1).await;
    // Also when the answer itself came through and the connection broke right behind it.
    becomes_ready(&socket).await;
    is_served(&socket, patience).await;
    // Its last handle goes here; to wait for its end would be to wait for an answer of the silent peer.
}

/// Every fault at every `step`th byte of every flow.
async fn sweep(node: &Node, step: usize, how: impl Fn(usize) -> Break, connect_timeout: Duration) {
    let (lengths, took) = lengths(node).await;
    // Who is not stalled must get in meanwhile, beside the others and on a machine that has other work.
    let connect_timeout = connect_timeout.max(2 * u32::try_from(AT_ONCE).unwrap() * took);
    let faults = FLOWS.into_iter().zip(lengths).flat_map(|((purpose, direction), length)| {
        let how = &how;
        let places = (0..=length).step_by(step);
        places.map(move |after| Fault { purpose, direction, after, how: how(after) })
    });
    let clients = stream::iter(faults).map(|fault| async move {
        let survived = AssertUnwindSafe(survives(node, fault, connect_timeout)).catch_unwind();
        assert!(survived.await.is_ok(), "did not survive {fault:?}");
    });
    clients.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    until("every socket to go", || node.server.sockets().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_anywhere_is_survived() {
    let node = server().await;
    let how = |after| if after % 4 == 0 { Break::Finish } else { Break::Reset };
    sweep(&node, 2, how, Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_falls_silent_anywhere_is_survived() {
    let node = server().await;
    sweep(&node, 11, |_| Break::Stall, Duration::from_millis(500)).await;
}

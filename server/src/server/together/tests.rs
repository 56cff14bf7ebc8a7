//! How many writes followers cost whose publications go out together, what they get, and in which order.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use futures_util::{StreamExt, stream};
use tokensocket_protocol::message::Hello;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use crate::builder::ServerBuilder;
use crate::command::auth::welcome;
use crate::format::Format;
use crate::hub;
use crate::identity::Identity;
use crate::server::Server;
use crate::session::outbox::WRITES;
use crate::socket::Socket;

const FOLLOWERS: usize = 10;

/// A socket of the user `ann` that follows `c` and `d`, and the other end of its stream.
struct Follower {
    socket: Socket,
    peer: TcpStream,
    /// Kept, so that the stream stays open.
    _reader: OwnedReadHalf,
}

fn builder() -> ServerBuilder {
    Server::builder().authenticate_anyone()
}

async fn follow(server: &Server) -> Follower {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (reader, writer) = listener.accept().await.unwrap().0.into_split();
    // Until the system has said that the stream can be written, nothing is tried.
    writer.writable().await.unwrap();
    let socket = server.node().open(None, Format::Raw, Some(writer));
    let device = Some("phone".to_owned());
    let hello = Hello { name: String::new(), version: String::new(), features: Vec::new(), device };
    welcome(server.node(), &socket, Identity::new(()).user("ann"), Some(&hello), false).await.unwrap();
    WRITES.set(0);
    server.node().greet(&socket);
    while WRITES.get() == 0 {
        // It is sent its settings when its device has arrived.
        yield_now().await;
    }
    for channel in ["c", "d"] {
        socket.subscribe(channel).await.unwrap();
    }
    Follower { socket, peer, _reader: reader }
}

async fn followers(server: &Server, count: usize) -> Vec<Follower> {
    let followers: Vec<_> = stream::iter(0..count).then(|_| follow(server)).collect().await;
    WRITES.set(0);
    followers
}

impl Follower {
    /// Ends the stream, and says which numbers came out at the other end, in order. Nothing may wait.
    async fn received(mut self, server: &Server) -> Vec<u64> {
        assert_eq!(self.socket.waiting().messages, 0);
        assert_eq!(self.socket.outbox().take_signal(), None);
        server.node().close(&self.socket);
        let mut bytes = Vec::new();
        self.peer.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let number = |rest: &str| rest.split('"').next().and_then(|number| number.parse().ok());
        text.split("no. ").skip(1).filter_map(number).collect()
    }
}

/// A message that says which one it is.
fn message(n: u64) -> String {
    format!("no. {n}")
}

#[tokio::test]
async fn what_is_published_together_is_one_write_for_each_follower() {
    let server = builder().build().unwrap();
    let followers = followers(&server, FOLLOWERS).await;
    server
        .together(async {
            for n in 0..1000 {
                server.publish("c", message(n)).await.unwrap();
            }
        })
        .await;
    assert_eq!(WRITES.get(), FOLLOWERS);
    server.publish("c", message(1000)).await.unwrap();
    server.publish("c", message(1001)).await.unwrap();
    assert_eq!(WRITES.get(), 3 * FOLLOWERS, "alone, each is a write");
    for follower in followers {
        assert!(follower.received(&server).await.into_iter().eq(0..1002));
    }
}

#[tokio::test]
async fn a_broadcast_is_one_write_for_each_channel_that_a_socket_follows() {
    let server = builder().build().unwrap();
    let follower = followers(&server, 1).await.remove(0);
    let broadcasts = async {
        for n in 0..20 {
            server.broadcast(message(n)).await.unwrap();
        }
    };
    server.together(broadcasts).await;
    assert_eq!(WRITES.get(), 2);
    let received = follower.received(&server).await;
    assert!(received.into_iter().eq((0..20).chain(0..20)));
}

#[tokio::test]
async fn however_many_channels_there_are_each_is_one_write() {
    const CHANNELS: usize = 40;
    let server = builder().build().unwrap();
    let follower = followers(&server, 1).await.remove(0);
    for n in 2..CHANNELS {
        follower.socket.subscribe(n.to_string()).await.unwrap();
    }
    WRITES.set(0);
    let broadcasts = async {
        for n in 0..3 {
            server.broadcast(message(n)).await.unwrap();
        }
    };
    server.together(broadcasts).await;
    assert_eq!(WRITES.get(), CHANNELS);
    let received = follower.received(&server).await;
    assert!(received.into_iter().eq((0..CHANNELS).flat_map(|_| 0..3)));
}

#[tokio::test]
async fn nobody_is_slow_for_what_goes_out_together() {
    let server = builder().outbox(10, 1 << 17).build().unwrap();
    let follower = followers(&server, 1).await.remove(0);
    server
        .together(async {
            for n in 0..1000 {
                match n % 10 {
                    0 => follower.socket.emit("e", message(n)).unwrap(),
                    1 => assert!(follower.socket.emit_volatile("e", message(n)).unwrap()),
                    _ => drop(server.publish("c", message(n)).await.unwrap()),
                }
            }
        })
        .await;
    assert!(follower.received(&server).await.into_iter().eq(0..1000));
}

#[tokio::test]
async fn what_is_for_one_socket_keeps_its_place_among_publications() {
    let server = builder().build().unwrap();
    let mut followers = followers(&server, 2).await;
    let (other, one) = (followers.pop().unwrap(), followers.pop().unwrap());
    server
        .together(async {
            for n in 0..20 {
                if n % 2 == 0 {
                    server.publish("c", message(n)).await.unwrap();
                } else {
                    one.socket.emit("e", message(n)).unwrap();
                }
            }
        })
        .await;
    assert!(one.received(&server).await.into_iter().eq(0..20));
    assert!(other.received(&server).await.into_iter().eq((0..20).step_by(2)));
}

#[tokio::test]
async fn who_waits_holds_nothing_back() {
    let server = builder().build().unwrap();
    let mut followers = followers(&server, 1).await;
    server
        .together(async {
            for n in 0..9 {
                if n % 3 == 0 {
                    yield_now().await;
                    assert_eq!(WRITES.get(), n / 3, "what was published before is out");
                }
                server.publish("c", message(n as u64)).await.unwrap();
            }
        })
        .await;
    assert_eq!(WRITES.get(), 3);
    assert!(followers.remove(0).received(&server).await.into_iter().eq(0..9));
}

#[tokio::test]
async fn what_a_stream_publishes_in_one_poll_goes_out_together() {
    let server = builder().build().unwrap();
    let mut followers = followers(&server, 1).await;
    let publications = stream::iter(0..10).then(async |n| server.publish("c", message(n)).await);
    let mut publications = server.together(Box::pin(publications).ready_chunks(5));
    for written in 1..=2 {
        assert_eq!(publications.next().await.unwrap().len(), 5);
        assert_eq!(WRITES.get(), written);
    }
    assert!(publications.next().await.is_none());
    drop(publications);
    assert!(followers.remove(0).received(&server).await.into_iter().eq(0..10));
}

#[tokio::test]
async fn who_is_disconnected_gets_what_was_published_before() {
    let server = builder().build().unwrap();
    let followers = followers(&server, 2).await;
    hub::corked(|| {
        let published = futures_util::FutureExt::now_or_never(server.publish("c", message(0)));
        assert!(published.is_some_and(|published| published.is_ok()));
        followers[0].socket.disconnect();
    });
    server
        .together(async {
            server.publish("c", message(1)).await.unwrap();
            server.emit_to_users(["ann"], "e", message(2)).await.unwrap();
            server.disconnect_users(["ann"]).await.unwrap();
        })
        .await;
    let wanted: [&[u64]; 2] = [&[0], &[0, 1, 2]];
    for (follower, wanted) in followers.into_iter().zip(wanted) {
        assert!(follower.socket.outbox().take_signal().is_some());
        assert_eq!(follower.received(&server).await, wanted);
    }
}

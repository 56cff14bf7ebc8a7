//! What followers get when there is no ring, or none any more: everything, in order, once.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;
use std::sync::Arc;
use std::task::Poll;

use tokensocket_protocol::Channel;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::{BATCH, RING, SUBMISSIONS, deliver};
use crate::access::Access;
use crate::broker::MemoryBroker;
use crate::format::Format;
use crate::hub::part::Followers;
use crate::hub::tests::{channel, numbers, publish, socket_with};
use crate::hub::{Hub, corked};
use crate::socket::Socket;

/// Two batches, the second of them not full.
const FOLLOWERS: usize = BATCH + BATCH / 2;

/// A follower, and the other end of its stream.
struct Follower {
    socket: Socket,
    peer: TcpStream,
    /// Kept, so that the stream stays open.
    _reader: tokio::net::tcp::OwnedReadHalf,
}

async fn follow(hub: &Hub, channel: &Channel, followers: usize) -> io::Result<Vec<Follower>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut all = Vec::new();
    for id in 0..followers {
        let peer = TcpStream::connect(listener.local_addr()?).await?;
        let (reader, writer) = listener.accept().await?.0.into_split();
        // Until the system has said that the stream can be written, nothing is tried.
        writer.writable().await?;
        let socket = socket_with(id as u64, Format::Raw, Some(writer));
        hub.add(channel, &socket, &Access::default(), &MemoryBroker::default());
        all.push(Follower { socket, peer, _reader: reader });
    }
    Ok(all)
}

impl Follower {
    /// Does what the connection's task would, ends the stream, and says what came out at the other end.
    async fn received(mut self) -> io::Result<Vec<u64>> {
        poll_fn(|cx| self.socket.outbox().poll_flush(cx, |_, _| Poll::Ready(Ok(0)))).await?;
        self.socket.outbox().finish();
        let mut bytes = Vec::new();
        self.peer.read_to_end(&mut bytes).await?;
        Ok(numbers(&bytes))
    }
}

/// Where this thread's ring is, if there is one.
fn ring() -> Option<RawFd> {
    RING.with_borrow(|ring| ring.as_ref().map(AsRawFd::as_raw_fd))
}

/// Has the ring's descriptor name another file, which refuses what is asked of a ring.
fn break_ring(ring: RawFd) {
    let Ok(null) = std::fs::File::open("/dev/null") else { unreachable!("it can always be read") };
    // SAFETY: only descriptors are changed: the ring's memory stays mapped, and its descriptor stays open.
    assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), ring) }, ring);
}

#[tokio::test]
async fn followers_are_sent_a_burst_in_one_system_call_for_each_batch() -> io::Result<()> {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    if ring().is_none() {
        eprintln!("no io_uring on this machine: nothing is tested");
        return Ok(());
    }
    let followers = follow(&hub, &channel(), FOLLOWERS).await?;
    SUBMISSIONS.set(0);
    publish(&hub, 0);
    assert_eq!(SUBMISSIONS.get(), FOLLOWERS.div_ceil(BATCH));
    corked(|| (1..33).for_each(|n| publish(&hub, n)));
    assert_eq!(SUBMISSIONS.get(), 2 * FOLLOWERS.div_ceil(BATCH));
    for follower in followers {
        assert!(follower.received().await?.into_iter().eq(0..33));
    }
    Ok(())
}

#[tokio::test]
async fn a_ring_that_fails_loses_nothing_and_doubles_nothing() -> io::Result<()> {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let Some(ring_fd) = ring() else {
        eprintln!("no io_uring on this machine: nothing is tested");
        return Ok(());
    };
    let followers = follow(&hub, &channel(), FOLLOWERS).await?;
    publish(&hub, 0);
    assert_eq!(ring(), Some(ring_fd), "the ring works");
    break_ring(ring_fd);
    publish(&hub, 1);
    assert_eq!(ring(), None, "the ring was given up");
    publish(&hub, 2);
    corked(|| (3..6).for_each(|n| publish(&hub, n)));
    for follower in followers {
        assert_eq!(follower.socket.outbox().take_signal(), None, "nobody was disconnected");
        assert_eq!(follower.received().await?, [0, 1, 2, 3, 4, 5]);
    }
    Ok(())
}

#[tokio::test]
async fn a_ring_that_fails_between_two_batches_serves_each_follower_once() -> io::Result<()> {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let Some(ring_fd) = ring() else {
        eprintln!("no io_uring on this machine: nothing is tested");
        return Ok(());
    };
    let mut followers = follow(&hub, &channel(), FOLLOWERS).await?;
    // One stream is broken, which is no reason to give anything up.
    drop(followers.swap_remove(BATCH / 4).peer);
    let all: Followers =
        followers.iter().map(|follower| (follower.socket.id(), follower.socket.clone())).collect();
    let text = Format::Raw.frame(br#"{"channel":"c","message":0}"#);
    let asked = Cell::new(0);
    let bytes = |_: &Socket| {
        asked.set(asked.get() + 1);
        if asked.get() == BATCH + 1 {
            break_ring(ring_fd);
        }
        &text
    };
    assert!(deliver(&all, bytes, 1, false));
    assert_eq!(ring(), None, "the ring was given up");
    (1..4).for_each(|n| publish(&hub, n));
    for follower in followers {
        assert_eq!(follower.received().await?, [0, 1, 2, 3]);
    }
    Ok(())
}

#[test]
fn where_no_ring_can_be_made_everything_is_written_plainly() -> io::Result<()> {
    // The limit that forbids the ring is the whole process's, so the test has one of its own.
    let output = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "hub::ring::tests::without_a_descriptor_for_a_ring"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    Ok(())
}

#[tokio::test]
#[ignore = "forbids its process to open files: where_no_ring_can_be_made_everything_is_written_plainly runs it"]
async fn without_a_descriptor_for_a_ring() -> io::Result<()> {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let followers = follow(&hub, &channel(), FOLLOWERS).await?;
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads the limit it is given and nothing else.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) }, 0);
    assert!(std::fs::File::open("/dev/null").is_err(), "the limit holds");
    publish(&hub, 0);
    assert_eq!(ring(), None);
    corked(|| (1..4).for_each(|n| publish(&hub, n)));
    publish(&hub, 4);
    for follower in followers {
        assert_eq!(follower.received().await?, [0, 1, 2, 3, 4]);
    }
    Ok(())
}

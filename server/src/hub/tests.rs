//! Order and completeness of the fan-out, with many followers and several publishers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};

use tokensocket_protocol::{Channel, Pattern, RawJson};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::cork::Corked;
use super::{Hub, corked};
use crate::access::Access;
use crate::broker::{MemoryBroker, Publication};
use crate::format::Format;
use crate::session::outbox::{Limits, Outbox, WRITES};
use crate::socket::tests::Nowhere;
use crate::socket::{Socket, SocketId};

fn socket(id: u64, format: Format) -> Socket {
    socket_with(id, format, None)
}

pub(super) fn socket_with(id: u64, format: Format, direct: Option<OwnedWriteHalf>) -> Socket {
    let outbox = Outbox::new(Limits { messages: 1 << 20, bytes: 1 << 30 }, direct);
    Socket::new(SocketId(id), None, format, outbox, Arc::new(Nowhere))
}

/// The messages that wait for a socket, in order, without their frames.
fn received(socket: &Socket) -> Vec<u64> {
    let mut bytes = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let flushed = socket.outbox().poll_flush(&mut cx, |some, _| {
        bytes.extend_from_slice(some);
        Poll::Ready(Ok(some.len()))
    });
    assert!(flushed.is_ready());
    numbers(&bytes)
}

/// What publications say, each of which is a number.
pub(super) fn numbers(bytes: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(bytes);
    text.split("message")
        .skip(1)
        .filter_map(|rest| rest.split(&['"', ':', '}', '\\']).find_map(|n| n.parse().ok()))
        .collect()
}

pub(super) fn channel() -> Channel {
    Channel::new("c").unwrap_or_else(|_| unreachable!("this name is fine"))
}

pub(super) fn publish(hub: &Hub, n: u64) {
    let message = RawJson::new(&n).unwrap_or_default();
    let publication = Publication { channel: channel(), message, position: None };
    hub.publish(&publication, &Access::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_follower_of_a_large_channel_sees_the_same_order() {
    let tasks = TaskTracker::new();
    let hub = Arc::new(Hub::new(tasks.clone(), Arc::default()));
    let sockets: Vec<_> =
        (0..3000).map(|id| socket(id, if id % 3 == 0 { Format::SockJs } else { Format::Raw })).collect();
    for socket in &sockets {
        hub.add(&channel(), socket, &Access::default(), &MemoryBroker::default());
    }
    assert_eq!(hub.sockets(&channel()).len(), 3000);
    let publishers = (0..4).map(|publisher| {
        let hub = Arc::clone(&hub);
        tokio::task::spawn_blocking(move || {
            for burst in 0..25 {
                corked(|| (0..4).for_each(|n| publish(&hub, publisher * 1000 + burst * 4 + n)));
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        assert!(publisher.await.is_ok());
    }
    tasks.close();
    tasks.wait().await;
    let first = received(&sockets[0]);
    assert_eq!(first.len(), 400);
    for publisher in 0..4 {
        let own: Vec<_> = first.iter().filter(|n| **n / 1000 == publisher).collect();
        assert!(own.is_sorted() && own.len() == 100, "each publisher's own order is kept");
    }
    assert!(sockets[1..].iter().all(|socket| received(socket) == first));
}

#[test]
fn publishers_wait_where_followers_are_served_too_slowly() {
    const PUBLICATIONS: usize = 5000;
    const LONG: usize = 1024;
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let follower = socket(1, Format::Raw);
    hub.add(&channel(), &follower, &Access::default(), &MemoryBroker::default());
    let entry = hub.find(&channel()).unwrap_or_else(|| unreachable!("it is followed"));
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let publish_all = || {
        for _ in 0..PUBLICATIONS {
            begun.fetch_add(1, Ordering::SeqCst);
            let message = RawJson::new(&"x".repeat(LONG)).unwrap_or_default();
            hub.publish(&Publication { channel: channel(), message, position: None }, &Access::default());
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        let served = entry.first.hold();
        scope.spawn(publish_all);
        // It stands still in one that it has begun, or goes on without an end.
        let mut before = usize::MAX;
        while before != begun.load(Ordering::SeqCst) || before < 900 {
            before = begun.load(Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(done.load(Ordering::SeqCst) + 1, before, "it waits");
        assert!(entry.first.pending().bytes() <= (1 << 20) + 2 * LONG);
        entry.first.release(served, false);
    });
    assert_eq!(done.load(Ordering::SeqCst), PUBLICATIONS);
    assert!(!entry.first.is_behind());
}

/// How much of the channel is still to be handed out, in bytes.
fn pending(hub: &Hub) -> usize {
    hub.find(&channel()).map_or(0, |entry| entry.first.pending().bytes())
}

#[test]
fn what_is_published_while_somebody_asks_who_follows_is_handed_out() {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let follower = socket(1, Format::Raw);
    hub.add(&channel(), &follower, &Access::default(), &MemoryBroker::default());
    let entry = hub.find(&channel()).unwrap_or_else(|| unreachable!("it is followed"));
    for n in 0..1000 {
        let (has_begun, is_published) = (Barrier::new(2), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                has_begun.wait();
                while !is_published.load(Ordering::Acquire) {
                    assert!(entry.has(follower.id()));
                }
            });
            has_begun.wait();
            publish(&hub, n);
            is_published.store(true, Ordering::Release);
        });
        assert_eq!(pending(&hub), 0, "nobody hands out number {n}");
    }
    assert!(received(&follower).into_iter().eq(0..1000));
}

#[test]
fn what_is_published_while_idle_channels_are_ended_is_handed_out() {
    const PUBLICATIONS: u64 = 100_000;
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let everything = Pattern::new(">").unwrap_or_else(|_| unreachable!("this pattern is fine"));
    let follower = socket(1, Format::Raw);
    drop(hub.add_pattern(&everything, &follower, &MemoryBroker::default()));
    let is_over = AtomicBool::new(false);
    let left = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                if let Some(entry) = hub.find(&channel()) {
                    entry.end_if_idle();
                }
            }
        });
        let is_left = |n: &u64| {
            publish(&hub, *n);
            pending(&hub) > 0
        };
        let left = (0..PUBLICATIONS).filter(is_left).count();
        is_over.store(true, Ordering::Release);
        left
    });
    assert_eq!(left, 0, "publications were left to somebody who serves nobody");
    assert!(received(&follower).into_iter().eq(0..PUBLICATIONS));
}

#[test]
fn a_large_channel_is_not_idle_while_one_part_of_it_has_something_pending() {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let everything = Pattern::new(">").unwrap_or_else(|_| unreachable!("this pattern is fine"));
    for n in 1..=1500 {
        drop(hub.add_pattern(&everything, &socket(n, Format::Raw), &MemoryBroker::default()));
    }
    publish(&hub, 1);
    let Some(entry) = hub.find(&channel()) else { panic!("guests make no entry") };
    assert!(entry.parts().count() > 1);
    entry.append(&RawJson::new(&2).unwrap_or_default(), None).unwrap_or_else(|_| panic!("it is gone"));
    entry.first.flush(false);
    entry.end_if_idle();
    assert!(!entry.is_gone(), "the next publication would overtake");
    Corked::flush(&*entry);
    entry.end_if_idle();
    assert!(entry.is_gone());
}

#[test]
fn a_runtime_that_ends_with_its_publisher_loses_nothing() -> std::io::Result<()> {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let sockets: Vec<_> = (0..3000).map(|id| socket(id, Format::Raw)).collect();
    let several = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build()?;
    let entered = several.enter();
    for socket in &sockets {
        hub.add(&channel(), socket, &Access::default(), &MemoryBroker::default());
    }
    drop(entered);
    let short = tokio::runtime::Builder::new_current_thread().build()?;
    short.block_on(async { publish(&hub, 7) });
    drop(short);
    assert!(sockets.iter().all(|socket| received(socket) == [7]));
    Ok(())
}

#[test]
fn a_follower_gets_what_is_published_between_its_coming_and_its_going() {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let (early, late) = (socket(1, Format::Raw), socket(2, Format::Raw));
    let add = |socket| hub.add(&channel(), socket, &Access::default(), &MemoryBroker::default());
    add(&early);
    corked(|| {
        publish(&hub, 1);
        add(&late);
        publish(&hub, 2);
        hub.remove(&channel(), &early, &MemoryBroker::default());
        publish(&hub, 3);
    });
    assert_eq!(received(&early), [1, 2]);
    assert_eq!(received(&late), [2, 3]);
}

#[test]
fn the_followers_of_a_large_channel_can_all_leave() {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let sockets: Vec<_> = (0..1500).map(|id| socket(id, Format::Raw)).collect();
    for socket in &sockets {
        hub.add(&channel(), socket, &Access::default(), &MemoryBroker::default());
    }
    let told: Vec<_> = sockets
        .iter()
        .filter_map(|socket| hub.remove(&channel(), socket, &MemoryBroker::default()))
        .collect();
    assert_eq!(told.len(), 1, "the broker is told once");
    assert!(hub.channels().is_empty());
}

#[test]
fn channels_that_only_patterns_cover_do_not_pile_up() {
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let everything = Pattern::new(">").unwrap_or_else(|_| unreachable!("this pattern is fine"));
    let socket = socket(1, Format::Raw);
    drop(hub.add_pattern(&everything, &socket, &MemoryBroker::default()));
    let entries = || hub.shards.iter().map(|shard| shard.lock().len()).sum::<usize>();
    for n in 0..20_000_u64 {
        let Ok(channel) = Channel::new(n.to_string()) else { unreachable!("this name is fine") };
        let message = RawJson::new(&n).unwrap_or_default();
        hub.publish(&Publication { channel, message, position: None }, &Access::default());
    }
    assert!(entries() <= 8192, "{} entries", entries());
    assert!(hub.channels().is_empty(), "nobody follows any by name");
    hub.end_idle();
    assert_eq!(entries(), 0);
    publish(&hub, 20_000);
    assert!(received(&socket).into_iter().eq(0..=20_000));
}

#[tokio::test]
async fn a_burst_of_publications_is_one_system_call_for_each_follower() -> std::io::Result<()> {
    const FOLLOWERS: usize = 10;
    let hub = Hub::new(TaskTracker::new(), Arc::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut kept = Vec::new();
    for id in 0..FOLLOWERS {
        let peer = TcpStream::connect(listener.local_addr()?).await?;
        let (reader, writer) = listener.accept().await?.0.into_split();
        // Until the system has said that the stream can be written, nothing is tried.
        writer.writable().await?;
        let socket = socket_with(id as u64, Format::Raw, Some(writer));
        hub.add(&channel(), &socket, &Access::default(), &MemoryBroker::default());
        kept.push((peer, reader, socket));
    }
    WRITES.set(0);
    corked(|| (0..32).for_each(|n| publish(&hub, n)));
    assert_eq!(WRITES.get(), FOLLOWERS);
    publish(&hub, 32);
    assert_eq!(WRITES.get(), 2 * FOLLOWERS, "without a burst each publication goes out at once");
    assert!(kept.iter().all(|(_, _, socket)| received(socket).is_empty()), "nothing had to wait");
    Ok(())
}

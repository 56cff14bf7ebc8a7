//! A socket by itself, and the home that tests give it.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::session::outbox::Limits;

/// A home for sockets of tests that need none.
pub(crate) struct Nowhere;

impl Home for Nowhere {
    fn node(&self) -> NodeId {
        NodeId::from_number(0)
    }

    fn rpc_timeout(&self) -> Duration {
        Duration::ZERO
    }

    fn max_calls(&self) -> usize {
        0
    }

    fn traffic(&self) -> &Traffic {
        static NOBODYS: std::sync::OnceLock<Traffic> = std::sync::OnceLock::new();
        NOBODYS.get_or_init(Traffic::default)
    }

    fn subscribe(&self, _: &Socket, _: Channel) -> BoxFuture<'_, Result<(), SubscribeError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn unsubscribe(&self, _: &Socket, _: &Channel) {}
}

#[tokio::test(start_paused = true)]
async fn a_busy_socket_stands_in_the_wheel_once() {
    let clock = Clock::new(Duration::from_millis(10));
    let outbox = Outbox::new(Limits { messages: 1, bytes: 1 }, None);
    let socket = Socket::new(SocketId(1), None, Format::Raw, outbox, Arc::new(Nowhere));
    let heartbeat = Duration::from_millis(200);
    let mut longest = 0;
    for _ in 0..1000 {
        socket.set_due(clock.after(heartbeat), &clock);
        tokio::time::advance(clock.tick()).await;
        let asked = clock.advance();
        // The connection's task runs between the clock and its question.
        socket.set_due(clock.after(heartbeat), &clock);
        longest = longest.max(asked.len());
        for (_, moment) in asked {
            socket.check_due(moment, &clock);
        }
    }
    assert!(longest <= 2, "{longest} entries for one socket");
    assert_eq!(socket.outbox().take_signal(), None);
    for _ in 0..30 {
        tokio::time::advance(clock.tick()).await;
        clock.advance().into_iter().for_each(|(_, moment)| socket.check_due(moment, &clock));
    }
    assert_eq!(socket.outbox().take_signal(), Some(Signal::Wake), "silence is noticed");
}

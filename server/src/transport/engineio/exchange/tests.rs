use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

use tokensocket_protocol::Close;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::transport::Incoming;
use crate::transport::engineio::table::{Full, Table};
use crate::transport::received::Received;

const PATIENCE: Duration = Duration::from_secs(10);
const LINGERING: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Wakings(AtomicUsize);

impl Wake for Wakings {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn payload(text: &str) -> Payload {
    Payload { body: text.as_bytes().to_vec(), is_binary: false }
}

fn last() -> Last {
    Last { text: payload("text"), binary: Payload { body: vec![1], is_binary: true } }
}

fn body(bytes: &'static [u8]) -> Body {
    Body { bytes: Bytes::from_static(bytes), is_binary: false }
}

/// The outcome, if it is there.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// A WebSocket that does nothing but count its end.
struct Idle(Arc<AtomicUsize>);

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Link for Idle {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        Poll::Pending
    }

    fn decode<'a>(&mut self, _: &'a mut Received) -> Result<Option<Incoming<'a>>, Close> {
        Ok(None)
    }

    fn put_back(&mut self, _: Received, _: bool) {}

    fn poll_write(&mut self, bytes: &[u8], _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_poll_gets_what_the_session_answers_and_the_next_one_waits_again() {
    let exchange = Exchange::new(100);
    let wakings = Arc::new(Wakings::default());
    exchange.register(&Arc::clone(&wakings).into());
    assert_eq!(exchange.poll_waits(), None);
    exchange.answer(payload("nobody waits"));
    let mut poll = pin!(exchange.poll(true));
    assert_eq!(now(poll.as_mut()), None);
    assert_eq!(wakings.0.load(Ordering::Relaxed), 1);
    assert_eq!(exchange.poll_waits(), Some(true));
    exchange.answer(payload("1"));
    assert_eq!(exchange.poll_waits(), None);
    assert_eq!(now(poll), Some(Ok(payload("1"))));
    let mut poll = pin!(exchange.poll(false));
    assert_eq!(now(poll.as_mut()), None);
    assert_eq!(exchange.poll_waits(), Some(false));
    assert!(!exchange.is_broken());
}

#[test]
fn a_poll_that_is_cut_breaks_the_session() {
    let exchange = Exchange::new(100);
    assert_eq!(now(exchange.poll(true)), None);
    assert!(exchange.is_broken());
    assert_eq!(exchange.poll_waits(), None);

    // So does one whose answer was on its way.
    let exchange = Exchange::new(100);
    {
        let mut poll = pin!(exchange.poll(true));
        assert_eq!(now(poll.as_mut()), None);
        exchange.answer(payload("lost"));
    }
    assert!(exchange.is_broken());
}

#[test]
fn a_second_poll_breaks_the_session_and_both_are_told() {
    let exchange = Exchange::new(100);
    let mut first = pin!(exchange.poll(true));
    assert_eq!(now(first.as_mut()), None);
    assert_eq!(now(exchange.poll(true)), Some(Err(Unpolled::Busy)));
    assert!(exchange.is_broken());
    exchange.close(None);
    assert_eq!(now(first), Some(Err(Unpolled::Gone)));
    assert_eq!(now(exchange.poll(true)), Some(Err(Unpolled::Gone)));
}

#[tokio::test(start_paused = true)]
async fn bodies_come_in_order_and_wait_for_room() {
    let exchange = Arc::new(Exchange::new(100));
    let large = Body { bytes: vec![0; 1000].into(), is_binary: true };
    assert_eq!(exchange.send(body(b"1"), PATIENCE).await, Ok(()));
    assert_eq!(exchange.send(large.clone(), PATIENCE).await, Ok(()), "what is here counts");
    assert_eq!(exchange.send(body(b"2"), PATIENCE).await, Err(Unsent::Full));
    let waiting = tokio::spawn({
        let exchange = Arc::clone(&exchange);
        async move { exchange.send(body(b"3"), PATIENCE).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(exchange.take_body(), Some(body(b"1")));
    assert_eq!(exchange.take_body(), Some(large));
    assert_eq!(exchange.take_body(), None);
    assert_eq!(waiting.await.ok(), Some(Ok(())));
    assert_eq!(exchange.take_body(), Some(body(b"3")));
}

#[tokio::test(start_paused = true)]
async fn bodies_of_nothing_take_room_too() {
    let exchange = Exchange::new(100);
    let mut taken = 0;
    while exchange.send(body(b""), PATIENCE).await == Ok(()) {
        taken += 1;
        assert!(taken < 100);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_told_of_the_end() {
    let exchange = Arc::new(Exchange::new(0));
    assert_eq!(exchange.send(body(b"1"), PATIENCE).await, Ok(()));
    let waiting = tokio::spawn({
        let exchange = Arc::clone(&exchange);
        async move { exchange.send(body(b"2"), PATIENCE).await }
    });
    tokio::task::yield_now().await;
    exchange.close(Some(last()));
    assert_eq!(waiting.await.ok(), Some(Err(Unsent::Gone)));
    assert_eq!(exchange.take_body(), None);
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_by_requests_once_a_websocket_carries_the_session() {
    let exchange = Exchange::new(100);
    assert_eq!(exchange.send(body(b"1"), PATIENCE).await, Ok(()));
    let mut poll = pin!(exchange.poll(true));
    assert_eq!(now(poll.as_mut()), None);
    exchange.leave_polling();
    assert_eq!(exchange.send(body(b"2"), PATIENCE).await, Err(Unsent::Elsewhere));
    assert_eq!(exchange.poll(true).await, Err(Unpolled::Elsewhere));
    assert!(!exchange.is_broken());
    assert_eq!(exchange.take_body(), Some(body(b"1")));
    exchange.answer(payload("6"));
    assert_eq!(now(poll), Some(Ok(payload("6"))));
}

#[test]
fn the_poll_that_waits_at_the_end_is_told_in_its_form_and_nobody_else() {
    for (base64, told) in [(true, payload("text")), (false, Payload { body: vec![1], is_binary: true })] {
        let exchange = Exchange::new(100);
        let mut poll = pin!(exchange.poll(base64));
        assert_eq!(now(poll.as_mut()), None);
        exchange.close(Some(last()));
        assert!(!exchange.has_last());
        assert_eq!(now(poll), Some(Ok(told)));
        assert_eq!(now(exchange.poll(base64)), Some(Err(Unpolled::Gone)));
    }
}

#[test]
fn one_websocket_waits_and_none_stays_with_a_session_that_is_gone() {
    let ended = Arc::new(AtomicUsize::new(0));
    let link = || Box::new(Idle(Arc::clone(&ended)));
    let exchange = Exchange::new(100);
    exchange.offer(link());
    exchange.offer(link());
    assert_eq!(ended.load(Ordering::Relaxed), 1, "there is one");
    drop(exchange.take_link());
    assert_eq!(ended.load(Ordering::Relaxed), 2);
    exchange.offer(link());
    exchange.close(None);
    exchange.offer(link());
    assert_eq!(ended.load(Ordering::Relaxed), 4);
    assert!(exchange.take_link().is_none());
}

fn table(most: usize) -> Arc<Table> {
    Table::new(most, LINGERING, TaskTracker::new(), CancellationToken::new())
}

#[tokio::test(start_paused = true)]
async fn a_table_has_so_many_sessions_and_no_more() {
    let table = table(2);
    let (Ok((first, entry)), Ok(second)) = (table.open(100), table.open(100)) else { panic!("two") };
    assert_ne!(entry.sid(), second.1.sid());
    assert_eq!(entry.sid().len(), 22);
    assert!(table.find(entry.sid()).is_some_and(|found| Arc::ptr_eq(&found, &first)));
    assert_eq!(table.open(100).err(), Some(Full));
    let sid = entry.sid().to_owned();
    drop(entry);
    assert!(table.find(&sid).is_none());
    assert_eq!(now(first.poll(true)), Some(Err(Unpolled::Gone)), "whoever drops its entry ends the session");
    assert_eq!(table.len(), 1);
    assert!(table.open(100).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_name_lingers_until_its_client_was_told_of_the_end() {
    let table = table(1);
    let Ok((exchange, entry)) = table.open(100) else { panic!("one") };
    let sid = entry.sid().to_owned();
    exchange.close(Some(last()));
    drop(entry);
    tokio::time::sleep(LINGERING / 2).await;
    assert_eq!(table.open(100).err(), Some(Full), "it counts");
    let Some(found) = table.find(&sid) else { panic!("it lingers") };
    assert_eq!(found.poll(true).await, Ok(payload("text")));
    assert_eq!(found.poll(true).await, Err(Unpolled::Gone));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(table.find(&sid).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_name_lingers_no_longer_than_it_may() {
    let table = table(1);
    let Ok((exchange, entry)) = table.open(100) else { panic!("one") };
    let sid = entry.sid().to_owned();
    exchange.close(Some(last()));
    drop(entry);
    tokio::time::sleep(LINGERING + Duration::from_millis(1)).await;
    assert!(table.find(&sid).is_none());
    assert_eq!(now(exchange.poll(true)), Some(Err(Unpolled::Gone)));
}

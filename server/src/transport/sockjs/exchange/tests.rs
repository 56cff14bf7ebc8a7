use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::carrier::Carrier;
use super::receiver::Receiver;
use super::table::Table;
use super::*;
use crate::transport::sockjs::receiving::xhr::Xhr;
use crate::transport::sockjs::receiving::xhr_streaming::XhrStreaming;
use crate::transport::{Incoming, Transport};

const PATIENCE: Duration = Duration::from_secs(10);

fn open() -> (Arc<Exchange>, Carrier) {
    let limits = Limits { response: 4096, timeout: Duration::from_secs(5), message: 1000 };
    let table = Table::new(limits, 1, TaskTracker::new(), CancellationToken::new());
    match table.find_or_open("s") {
        Ok((exchange, Some(carrier))) => (exchange, carrier),
        _ => panic!("a new session"),
    }
}

fn attach(exchange: &Arc<Exchange>, framing: impl Receiving + 'static) -> Receiver {
    exchange.attach(Box::new(framing)).unwrap_or_else(|(why, _)| panic!("{why:?}"))
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn say(carrier: &mut Carrier, bytes: &[u8]) -> Poll<io::Result<usize>> {
    carrier.poll_write(bytes, &mut cx())
}

fn flush(carrier: &mut Carrier) {
    assert!(matches!(carrier.poll_flush(&mut cx()), Poll::Ready(Ok(()))));
}

/// The whole answer to a poll, if it is there.
fn answer(whole: impl Future<Output = Bytes>) -> Option<Bytes> {
    match pin!(whole).poll(&mut cx()) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_poll_waits_a_moment_for_what_is_answered_to_messages_that_were_taken_before_it() {
    let (exchange, mut carrier) = open();
    let mut whole = pin!(attach(&exchange, Xhr).whole());
    assert!(matches!(say(&mut carrier, b"\"1\","), Poll::Ready(Ok(4))));
    assert_eq!(exchange.send(vec!["2".to_owned()], PATIENCE).await, Ok(()));
    flush(&mut carrier);
    assert_eq!(answer(whole.as_mut()), None);
    assert!(matches!(carrier.poll_receive(&mut cx()), Poll::Ready(Ok(Some(_)))));
    assert!(matches!(say(&mut carrier, b"\"2\","), Poll::Ready(Ok(4))));
    flush(&mut carrier);
    assert_eq!(answer(whole).as_deref(), Some(&b"a[\"1\",\"2\"]\n"[..]));
}

#[tokio::test]
async fn a_poll_waits_but_once_for_messages_that_nobody_takes() {
    let (exchange, mut carrier) = open();
    let mut whole = pin!(attach(&exchange, Xhr).whole());
    assert!(matches!(say(&mut carrier, b"\"1\","), Poll::Ready(Ok(4))));
    assert_eq!(exchange.send(vec!["2".to_owned()], PATIENCE).await, Ok(()));
    flush(&mut carrier);
    assert_eq!(answer(whole.as_mut()), None);
    flush(&mut carrier);
    assert_eq!(answer(whole).as_deref(), Some(&b"a[\"1\"]\n"[..]));
}

#[tokio::test]
async fn what_nobody_fetches_stays_with_the_session_and_heartbeats_do_not() {
    let (exchange, mut carrier) = open();
    assert!(matches!(say(&mut carrier, b"h"), Poll::Ready(Ok(1))));
    assert!(say(&mut carrier, b"\"1\",").is_pending());
    let whole = attach(&exchange, Xhr).whole();
    assert!(matches!(say(&mut carrier, b"\"1\","), Poll::Ready(Ok(4))));
    flush(&mut carrier);
    assert!(say(&mut carrier, b"\"2\",").is_pending(), "a poll takes one frame");
    assert_eq!(answer(whole).as_deref(), Some(&b"a[\"1\"]\n"[..]));
}

#[tokio::test]
async fn a_receiver_that_is_cut_ends_its_session_and_one_that_was_ended_does_not() {
    let (exchange, mut carrier) = open();
    drop(answer(attach(&exchange, Xhr).whole()));
    assert!(exchange.is_gone(), "a poll that got nothing");
    assert!(matches!(carrier.poll_receive(&mut cx()), Poll::Ready(Ok(None))));

    let (exchange, mut carrier) = open();
    let whole = attach(&exchange, Xhr).whole();
    assert!(matches!(say(&mut carrier, b"h"), Poll::Ready(Ok(1))));
    assert_eq!(answer(whole).as_deref(), Some(&b"h\n"[..]));
    assert!(carrier.poll_receive(&mut cx()).is_pending());
    let streaming = attach(&exchange, XhrStreaming);
    assert!(matches!(exchange.attach(Box::new(Xhr)), Err((Unattached::Busy, _))));
    drop(streaming);
    assert!(exchange.is_gone());
}

#[tokio::test]
async fn what_was_accepted_before_the_receiver_was_cut_is_handed_over() {
    let (exchange, mut carrier) = open();
    let receiver = attach(&exchange, Xhr);
    assert_eq!(exchange.send(vec!["1".to_owned(), "2".to_owned()], PATIENCE).await, Ok(()));
    drop(receiver);
    assert_eq!(exchange.send(vec!["3".to_owned()], PATIENCE).await, Err(Unsent::Gone));
    assert!(say(&mut carrier, b"\"1\",").is_pending(), "a write lets what was accepted be read");
    let Poll::Ready(Ok(Some(mut received))) = carrier.poll_receive(&mut cx()) else {
        panic!("there is something to be read")
    };
    for wanted in ["1", "2"] {
        let message = carrier.decode(&mut received);
        assert!(matches!(message, Ok(Some(Incoming::Message(text))) if text == wanted));
    }
    assert!(matches!(carrier.poll_receive(&mut cx()), Poll::Ready(Ok(None))));
    assert!(matches!(say(&mut carrier, b"\"1\","), Poll::Ready(Err(_))));
}

#[tokio::test]
async fn a_cut_session_that_reads_nothing_more_ends_all_the_same() {
    let (exchange, mut carrier) = open();
    let receiver = attach(&exchange, Xhr);
    assert_eq!(exchange.send(vec!["1".to_owned()], PATIENCE).await, Ok(()));
    drop(receiver);
    assert!(say(&mut carrier, b"\"1\",").is_pending());
    assert!(matches!(say(&mut carrier, b"\"1\","), Poll::Ready(Err(_))));
}

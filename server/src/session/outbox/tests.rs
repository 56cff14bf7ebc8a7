//! What waits, in which order it goes out, and what happens when too much does.

use super::*;

fn outbox(messages: usize, bytes: usize) -> Outbox {
    Outbox::new(Limits { messages, bytes }, None)
}

fn push(outbox: &Outbox, text: &'static str, droppable: bool) -> Result<(), Overflow> {
    outbox.push(&Bytes::from_static(text.as_bytes()), 1, droppable)
}

/// Flushes into a stream that takes at most `room` bytes, three at a time.
fn flush(outbox: &Outbox, room: usize) -> String {
    let mut out = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let _ = outbox.poll_flush(&mut cx, |bytes, _| {
        let count = bytes.len().min(3).min(room - out.len());
        out.extend_from_slice(&bytes[..count]);
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    });
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn keeps_order_and_ends_a_full_queue_with_a_reason() {
    let outbox = outbox(2, 100);
    assert_eq!(push(&outbox, "first ", false), Ok(()));
    assert_eq!(push(&outbox, "second", false), Ok(()));
    assert_eq!(flush(&outbox, 8), "first se");
    assert_eq!(flush(&outbox, 100), "cond");
    for _ in 0..2 {
        assert_eq!(push(&outbox, "third", false), Ok(()));
    }
    assert_eq!(push(&outbox, "fourth", false), Err(Overflow));
    assert_eq!(outbox.take_signal(), Some(Signal::Close(Close::SLOW_CONSUMER)));
}

#[test]
fn a_close_stands_at_the_border_of_a_frame() {
    let outbox = outbox(2, 100);
    assert_eq!(push(&outbox, "first", false), Ok(()));
    assert_eq!(push(&outbox, "second", false), Ok(()));
    assert_eq!(flush(&outbox, 3), "fir");
    assert_eq!(push(&outbox, "third", false), Err(Overflow));
    outbox.push_last(vec![Bytes::from_static(b"close")]);
    assert_eq!(flush(&outbox, 100), "stclose");
}

#[test]
fn drops_the_oldest_frames_that_may_be_dropped() {
    let outbox = outbox(3, 100);
    for (text, droppable) in [("answer ", false), ("old ", true), ("new ", true), ("newer", true)] {
        assert_eq!(push(&outbox, text, droppable), Ok(()));
    }
    assert_eq!(flush(&outbox, 100), "answer new newer");
}

#[test]
fn what_was_answered_before_a_close_is_still_sent() {
    let outbox = outbox(9, 100);
    outbox.close(Close::NORMAL);
    assert_eq!(push(&outbox, "too late", false), Ok(()));
    assert_eq!(outbox.push_own(&mut b"answer ".to_vec(), 1), Ok(()));
    outbox.push_last(vec![Bytes::from_static(b"close")]);
    assert_eq!(outbox.push_own(&mut b"too late".to_vec(), 1), Ok(()));
    assert_eq!(flush(&outbox, 100), "answer close");
}

#[test]
fn a_kill_is_not_softened_by_what_comes_later() {
    let outbox = outbox(3, 100);
    outbox.signal(Signal::Kill);
    outbox.close(Close::NORMAL);
    assert_eq!(outbox.take_signal(), Some(Signal::Kill));
}

//! SockJS sessions over HTTP when something goes wrong: receivers that break off, and clients that are slow or
//! never come back.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokensocket_server::{Server, SockJsOptions, SockJsSocket};
use tokensocket_tests::limit::{LIMIT, until, within};
use tokensocket_tests::node::builder;
use tokensocket_tests::sockjs::{Attached, Receiver, SECOND_RECEIVER, Services, Session, echo, listens};

/// The messages of a frame; none of a frame of another kind.
fn messages(frame: &str) -> Vec<String> {
    frame.strip_prefix('a').map_or_else(Vec::new, |list| serde_json::from_str(list).expect("an array"))
}

/// Sends `count` numbered messages, many in each body, on one connection.
async fn send_numbers(session: Session, count: usize, each: usize) {
    let mut connection = None;
    for first in (0..count).step_by(each) {
        let numbers: Vec<String> =
            (first..(first + each).min(count)).map(|number| number.to_string()).collect();
        let request = session.request("POST", "xhr_send").body(serde_json::to_string(&numbers).unwrap());
        let response = match connection.take() {
            Some(connection) => request.send_on(connection, session.address).await,
            None => request.send(session.address).await,
        };
        assert_eq!(response.status, 204);
        connection = Some(response.into_connection());
    }
}

/// Receives `count` messages over as many responses as it takes. Returns how many these were.
async fn expect_numbers(receiver: Receiver, session: &Session, count: usize) -> usize {
    let (mut next, mut responses) = (0, 0);
    while next < count {
        let mut attached = receiver.attach(session).await;
        responses += 1;
        while let Some(frame) = attached.frame_or_end().await {
            for message in messages(&frame) {
                assert_eq!(message, next.to_string(), "{receiver:?}, response {responses}");
                next += 1;
            }
            if next == count && !receiver.polls() {
                return responses;
            }
        }
    }
    responses
}

/// A response that the server ends, by its limit or because it was a poll, loses nothing and doubles nothing.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_come_in_order_over_many_receivers() {
    const COUNT: usize = 10_000;
    let options = SockJsOptions::new().response_limit(4096);
    let services = Services::echo_with(options).await;
    for receiver in Receiver::ALL {
        for each in [1, 100, COUNT] {
            // One message for each request: fewer of them.
            let count = if each == 1 { COUNT / 10 } else { COUNT };
            let session = services.session("/echo");
            assert_eq!(Receiver::Xhr.poll(&session).await, "o");
            let sending = tokio::spawn(send_numbers(session.clone(), count, each));
            let received = tokio::time::timeout(LIMIT * 3, expect_numbers(receiver, &session, count));
            let responses = received.await.unwrap_or_else(|_| panic!("{receiver:?}, {each} in a body"));
            // What came in one body may go out in one frame, which is as long as it is.
            assert!(responses > 1 || each == COUNT, "{receiver:?}: one response is no test");
            sending.await.unwrap();
        }
    }
}

/// A receiver that breaks off ends its session: nobody knows what it got. The next one gets a new session from
/// its beginning, and nothing of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_receiver_that_was_cut_all_begins_anew() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let handler = move |socket: SockJsSocket| {
        let session = sessions.fetch_add(1, Ordering::Relaxed);
        async move {
            for number in 0.. {
                if socket.send(format!("{session}:{number}")).await.is_err() {
                    break;
                }
            }
        }
    };
    let server = Server::builder().authenticate_anyone();
    // No response may end by itself: then to close it would be no cut, and the session would go on.
    let options = SockJsOptions::new().session_timeout(Duration::from_millis(300)).response_limit(1 << 30);
    let services = Services::of(server.outbox(1024, 64 * 1024).sockjs_with("/s", options, handler)).await;
    for receiver in Receiver::ALL {
        let session = services.session("/s");
        let mut last = None;
        for cut in 0..6 {
            let (mut attached, mut frame) = attached_anew(receiver, &session).await;
            while frame == SECOND_RECEIVER {
                // The server has not heard of the cut yet.
                (attached, frame) = attached_anew(receiver, &session).await;
            }
            assert_eq!(frame, "o", "{receiver:?}, cut {cut}");
            let mut received = Vec::new();
            while received.len() < 100 {
                match attached.frame_or_end().await {
                    // On a busy machine a session may be left alone for too long between two polls.
                    Some(frame) if frame == "o" => received.clear(),
                    Some(frame) => received.extend(messages(&frame)),
                    None => attached = receiver.attach(&session).await,
                }
            }
            let (number, _) = received[0].split_once(':').unwrap();
            assert_ne!(last, Some(number.to_owned()), "the session that was cut goes on");
            last = Some(number.to_owned());
            for (at, message) in received.iter().enumerate() {
                assert_eq!(*message, format!("{number}:{at}"), "{receiver:?}, cut {cut}");
            }
            if receiver.polls() {
                // A poll that has its answer is no cut: this session is left alone, which ends it too.
                until_gone(&session, &services).await;
                continue;
            }
            let stream = attached.abandon();
            if cut % 2 == 0 {
                stream.set_zero_linger().unwrap();
            }
            drop(stream);
        }
    }
}

async fn attached_anew(receiver: Receiver, session: &Session) -> (Attached, String) {
    let mut attached = receiver.attach(session).await;
    let frame = attached.frame().await;
    (attached, frame)
}

/// Waits until a sender is told that the session is gone.
async fn until_gone(session: &Session, services: &Services) {
    within("the session to be gone", async {
        let send = || services.send(session.request("POST", "xhr_send").body("[]"));
        while send().await.status != 404 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Sessions that are opened and never used again leave nothing behind: no socket, no task, no place in the
/// table.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_sessions_that_are_left_alone_go_away() {
    const COUNT: usize = 3000;
    let options = || SockJsOptions::new().session_timeout(Duration::from_secs(3)).max_sessions(COUNT);
    let (handler, mut ends) = listens();
    let server = builder().auth_timeout(None).sockjs_options(options()).sockjs_with("/s", options(), handler);
    let services = Services::of(server).await;
    let node = services.node.as_ref().unwrap();
    for round in 0..2 {
        for prefix in ["/s", "/sockets"] {
            let start = Instant::now();
            open_many(&services, prefix, COUNT).await;
            if start.elapsed() < Duration::from_secs(2) {
                let mut response =
                    services.session(prefix).request("POST", "xhr").send(services.address).await;
                assert_eq!(response.status, 503, "round {round}: one more than there may be");
                assert!(!response.text().await.starts_with(['o', 'h', 'a', 'c', 'm']));
            }
            if prefix == "/s" {
                for _ in 0..COUNT {
                    within("a handler's end", ends.recv()).await.unwrap();
                }
            } else {
                until("all sockets to be gone", || node.server.sockets().is_empty()).await;
            }
        }
    }
    let session = services.session("/s");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
}

/// Opens sessions on a few connections.
async fn open_many(services: &Services, prefix: &str, count: usize) {
    let openers = (0..4).map(|_| {
        let (sessions, address) =
            ((0..count / 4).map(|_| services.session(prefix)).collect::<Vec<_>>(), services.address);
        tokio::spawn(async move {
            let mut connection = None;
            for session in sessions {
                let request = session.request("POST", "xhr");
                let mut response = match connection.take() {
                    Some(connection) => request.send_on(connection, address).await,
                    None => request.send(address).await,
                };
                assert_eq!((response.status, response.text().await.as_str()), (200, "o\n"));
                connection = Some(response.into_connection());
            }
        })
    });
    for opener in openers.collect::<Vec<_>>() {
        opener.await.unwrap();
    }
}

/// A client that polls more slowly than its handler sends holds the handler back, and gets all in order.
#[tokio::test]
async fn a_slow_poller_of_a_service_gets_all_and_holds_its_handler_back() {
    const COUNT: usize = 3000;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let handler = move |socket: SockJsSocket| {
        let sent = Arc::clone(&counter);
        async move {
            let filler = "x".repeat(1000);
            for number in 0..COUNT {
                socket.send(format!("{number} {filler}")).await.unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let server = Server::builder().authenticate_anyone().outbox(1024, 256 * 1024);
    let services = Services::of(server.sockjs("/s", handler)).await;
    for receiver in Receiver::POLLING {
        sent.store(0, Ordering::Relaxed);
        let session = services.session("/s");
        assert_eq!(receiver.poll(&session).await, "o");
        let mut received = 0;
        while received < COUNT {
            // Slower than the handler by far: it has all the time that it wants between two polls.
            tokio::time::sleep(Duration::from_millis(5)).await;
            let ahead = sent.load(Ordering::Relaxed) - received;
            // The outbox, and what is on its way from there.
            assert!(ahead < 500, "{ahead} messages of 1 kB wait");
            for message in messages(&receiver.poll(&session).await) {
                assert_eq!(message.split(' ').next(), Some(received.to_string().as_str()));
                received += 1;
            }
        }
        assert_eq!(receiver.poll(&session).await, r#"c[1000,"Normal closure"]"#);
    }
}

/// A follower that polls ten times slower than what is published ends with the close for slow consumers;
/// nobody else waits for it.
#[tokio::test]
async fn a_slow_poller_of_a_channel_is_closed_and_told_why() {
    let services = Services::of(builder().outbox(64, 1 << 20)).await;
    let node = services.node.as_ref().unwrap();
    for receiver in Receiver::POLLING {
        let session = services.session("/sockets");
        assert_eq!(receiver.poll(&session).await, "o");
        let auth = format!(r#"{{"rpc":"auth","token":"{}","uuid":"1"}}"#, node.token().await);
        session.send(&serde_json::json!([auth]).to_string()).await;
        assert!(receiver.poll(&session).await.contains("success"));
        let [socket] = &node.server.sockets()[..] else { panic!("one socket") };
        node.server.subscribe(socket, "c").await.unwrap();
        let (mut received, mut published) = (Vec::new(), 0);
        let close = loop {
            // Ten for each poll.
            for _ in 0..10 {
                node.server.publish("c", published).await.unwrap();
                published += 1;
            }
            assert!(published < 100_000, "nothing was ever full");
            let frame = receiver.poll(&session).await;
            if frame.starts_with('c') {
                break frame;
            }
            // Its polls gather what waits, so only a pause of its own makes it slow.
            received.extend(messages(&frame));
            if published == 50 {
                for _ in 0..200 {
                    node.server.publish("c", published).await.unwrap();
                    published += 1;
                }
            }
        };
        assert_eq!(close, r#"c[4409,"Slow consumer"]"#);
        // What came before came in order.
        let news: Vec<usize> = received.iter().filter_map(|message| number(message)).collect();
        assert!(!news.is_empty() && news.iter().copied().eq(0..news.len()), "{news:?}");
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
    }
}

fn number(publication: &str) -> Option<usize> {
    let value: serde_json::Value = serde_json::from_str(publication).unwrap();
    value["data"]["message"].as_u64().or(value["message"].as_u64()).map(|number| number.try_into().unwrap())
}

/// When the server ends, whoever waits is told.
#[tokio::test]
async fn a_shutdown_is_told_to_every_receiver() {
    let services = Services::of(builder().sockjs("/echo", echo)).await;
    let mut waiting = Vec::new();
    for prefix in ["/echo", "/sockets"] {
        for receiver in Receiver::ALL {
            waiting.push(receiver.open(&services.session(prefix)).await);
        }
    }
    let server = services.node.as_ref().unwrap().server.clone();
    let shutdown = tokio::spawn(async move { server.shutdown().await });
    for attached in &mut waiting {
        let frame = attached.frame().await;
        assert!(frame.starts_with("c[1012,"), "{frame}");
        attached.expect_end().await;
    }
    within("the shutdown", shutdown).await.unwrap();
}

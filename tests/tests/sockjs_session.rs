//! SockJS sessions, which outlive the requests that carry them: how they begin, go on and end.
//!
//! Each test names the section of the SockJS protocol text (0.3.3) that it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::{Duration, Instant};

use serde_json::json;
use tokensocket_server::{Server, SockJsOptions, SockJsSocket};
use tokensocket_tests::limit::within;
use tokensocket_tests::sockjs::{
    GO_AWAY, Receiver, Request, SECOND_RECEIVER, Services, check_not_found, echo, listens,
};

/// `Protocol.test_simpleSession`.
#[tokio::test]
async fn a_session_begins_with_a_receiver_and_echoes() {
    let services = Services::start().await;
    for receiver in Receiver::ALL {
        let session = services.session("/echo");
        let mut attached = receiver.open(&session).await;
        session.send(r#"["a"]"#).await;
        attached.expect(r#"a["a"]"#).await;
    }
}

/// `Protocol.test_simpleSession` and `XhrPolling.test_invalid_session`: a sender makes no session.
#[tokio::test]
async fn what_is_sent_to_an_unknown_session_is_404() {
    let services = Services::start().await;
    let session = services.session("/echo");
    for _ in 0..2 {
        check_not_found(&mut session.post(r#"["a"]"#).await, "xhr_send").await;
        let form = session.request("POST", "jsonp_send").body("d=%5B%22a%22%5D");
        let form = form.header("Content-Type", "application/x-www-form-urlencoded");
        check_not_found(&mut services.send(form).await, "jsonp_send").await;
    }
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
}

/// `SessionURLs.test_anyValue`.
#[tokio::test]
async fn names_may_be_anything_without_dots() {
    let services = Services::start().await;
    let unique = services.session("").name;
    for (server, session) in [("a", "a"), ("_", "_"), ("1", "1"), ("abcdefgh_i-j%20", "abcdefg_i-j%20")] {
        let path = format!("/echo/{server}/{session}{unique}/xhr");
        for suffix in ["", "/"] {
            let mut response = services.send(Request::post(format!("{path}{suffix}"))).await;
            let expected = if suffix.is_empty() { "o\n" } else { "a[\"x\"]\n" };
            assert_eq!((response.status, response.text().await.as_str()), (200, expected), "{path}");
            let send = Request::post(format!("{path}_send{suffix}")).body(r#"["x"]"#);
            assert_eq!(services.send(send).await.status, 204);
        }
    }
}

/// `SessionURLs.test_ignoringServerId`.
#[tokio::test]
async fn a_session_is_found_whatever_its_server_is_called() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    session.send(r#"["a"]"#).await;
    let elsewhere = session.url.replace("/000/", "/999/");
    let mut response = services.send(Request::post(format!("{elsewhere}/xhr"))).await;
    assert_eq!(response.text().await, "a[\"a\"]\n");
}

/// `Protocol.test_closeSession`, `HandlingClose.test_close_frame` and `JsonPolling.test_close`.
#[tokio::test]
async fn a_session_that_was_closed_says_so_again_and_again() {
    let services = Services::start().await;
    for receiver in Receiver::ALL {
        let session = services.session("/close");
        let mut attached = receiver.attach(&session).await;
        attached.expect("o").await;
        if receiver.polls() {
            attached.expect_end().await;
            attached = receiver.attach(&session).await;
        }
        for _ in 0..3 {
            attached.expect(GO_AWAY).await;
            attached.expect_end().await;
            attached = receiver.attach(&session).await;
        }
        attached.expect(GO_AWAY).await;
    }
}

/// A session that was closed takes what is sent to it, and nothing becomes of it.
#[tokio::test]
async fn what_is_sent_to_a_closed_session_is_dropped() {
    let services = Services::start().await;
    let session = services.session("/close");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    assert_eq!(Receiver::Xhr.poll(&session).await, GO_AWAY);
    session.send(r#"["a"]"#).await;
    assert_eq!(Receiver::Xhr.poll(&session).await, GO_AWAY);
}

/// `HandlingClose.test_close_request`, and the same for every kind beside every kind.
#[tokio::test]
async fn a_second_receiver_is_told_of_the_first() {
    let services = Services::start().await;
    for first in Receiver::ALL {
        for second in Receiver::ALL {
            let session = services.session("/echo");
            let mut attached = first.open(&session).await;
            let mut other = second.attach(&session).await;
            other.expect(SECOND_RECEIVER).await;
            other.expect_end().await;
            // The first has noticed nothing.
            session.send(r#"["x"]"#).await;
            assert_eq!(attached.frame().await, r#"a["x"]"#, "{first:?} beside {second:?}");
        }
    }
}

/// `HandlingClose.test_abort_xhr_streaming` and `HandlingClose.test_abort_xhr_polling`: whoever comes behind
/// a receiver that was cut gets a new session, at once and never 2010.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_cut_ends_its_session() {
    let services = Services::start().await;
    for receiver in Receiver::ALL {
        for reset in [false, true] {
            for _ in 0..5 {
                let session = services.session("/echo");
                let attached = receiver.open(&session).await;
                let mut second = receiver.attach(&session).await;
                second.expect(SECOND_RECEIVER).await;
                let stream = attached.abandon();
                if reset {
                    stream.set_zero_linger().unwrap();
                }
                drop(stream);
                let mut third = receiver.attach(&session).await;
                let frame = third.frame().await;
                assert!(
                    frame == "o" || frame == r#"c[1002,"Connection interrupted"]"#,
                    "{receiver:?}, reset {reset}: {frame}"
                );
            }
        }
    }
}

/// `HandlingClose.test_abort_xhr_polling`: the handler of a session learns of a cut at once.
#[tokio::test]
async fn the_handler_sees_the_end_of_a_receiver_that_was_cut() {
    for receiver in Receiver::ALL {
        let (handler, mut ends) = listens();
        // Longer than the test waits: it is the cut that ends the session.
        let options = SockJsOptions::new().session_timeout(Duration::from_hours(1));
        let server = Server::builder().authenticate_anyone();
        let services = Services::of(server.sockjs_with("/s", options, handler)).await;
        let session = services.session("/s");
        drop(receiver.open(&session).await);
        within(&format!("the handler's end when {receiver:?} is cut"), ends.recv()).await.unwrap();
    }
}

/// The session's timeout (5 s by default) runs between receivers, and after it the name is free.
#[tokio::test]
async fn a_session_that_nobody_fetches_from_ends() {
    let timeout = Duration::from_millis(300);
    let (handler, mut ends) = listens();
    let options = SockJsOptions::new().session_timeout(timeout);
    let server = Server::builder().authenticate_anyone();
    let services = Services::of(server.sockjs_with("/s", options, handler)).await;
    let session = services.session("/s");
    // Before the answer leaves, from which on the timeout runs: the test may have it late.
    let polled = Instant::now();
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    within("the handler's end", ends.recv()).await.unwrap();
    assert!(polled.elapsed() >= timeout, "{:?}", polled.elapsed());
    check_not_found(&mut session.post(r#"["a"]"#).await, "a session that timed out").await;
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
}

/// While a receiver waits, no timeout runs.
#[tokio::test]
async fn a_receiver_keeps_its_session_for_longer_than_the_timeout() {
    let timeout = Duration::from_millis(200);
    let services = Services::echo_with(SockJsOptions::new().session_timeout(timeout)).await;
    for receiver in Receiver::ALL {
        let session = services.session("/echo");
        let mut attached = receiver.open(&session).await;
        // The timeout itself is what is waited for: nothing else says that it did not run.
        tokio::time::sleep(timeout * 2).await;
        session.send(r#"["a"]"#).await;
        attached.expect(r#"a["a"]"#).await;
    }
}

/// A session that was closed is remembered for the timeout, then its name is free.
#[tokio::test]
async fn a_closed_session_is_forgotten_in_time() {
    let timeout = Duration::from_millis(200);
    let options = SockJsOptions::new().session_timeout(timeout);
    let handler = |socket: SockJsSocket| async move { socket.close(3000, "Go away!") };
    let server = Server::builder().authenticate_anyone();
    let services = Services::of(server.sockjs_with("/close", options, handler)).await;
    let session = services.session("/close");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    assert_eq!(Receiver::Xhr.poll(&session).await, GO_AWAY);
    within("the name to be free", async {
        loop {
            tokio::time::sleep(timeout * 2).await;
            match Receiver::Xhr.poll(&session).await.as_str() {
                "o" => break,
                other => assert_eq!(other, GO_AWAY),
            }
        }
    })
    .await;
}

/// Heartbeats come from the attaching on, whatever else is sent; one ends a poll.
#[tokio::test]
async fn heartbeats_come_to_whoever_waits() {
    let interval = Duration::from_millis(150);
    let services = Services::echo_with(SockJsOptions::new().heartbeat(interval)).await;
    for receiver in Receiver::ALL {
        let session = services.session("/echo");
        // Before it attaches: the test may hear of that late.
        let start = Instant::now();
        let mut attached = receiver.attach(&session).await;
        attached.expect("o").await;
        for _ in 0..3 {
            if receiver.polls() {
                attached.expect_end().await;
                attached = receiver.attach(&session).await;
            } else {
                // Messages do not put them off.
                session.send(r#"["x"]"#).await;
                attached.expect(r#"a["x"]"#).await;
            }
            attached.expect("h").await;
        }
        assert!(start.elapsed() >= interval * 3, "{receiver:?}: {:?}", start.elapsed());
    }
}

/// Messages for a session without a receiver wait, and come in one frame, behind `o` too.
#[tokio::test]
async fn messages_wait_for_a_receiver_and_come_together() {
    let handler = |mut socket: SockJsSocket| async move {
        for greeting in ["1", "2"] {
            socket.send(greeting).await.unwrap();
        }
        while let Some(message) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    };
    let services = Services::of(Server::builder().authenticate_anyone().sockjs("/s", handler)).await;
    for receiver in Receiver::ALL {
        let session = services.session("/s");
        let mut attached = receiver.attach(&session).await;
        attached.expect("o").await;
        let mut greeted = Vec::new();
        while greeted.len() < 2 {
            if receiver.polls() {
                attached.expect_end().await;
                attached = receiver.attach(&session).await;
            }
            greeted.extend(messages(&attached.frame().await));
        }
        assert_eq!(greeted, ["1", "2"]);
        if receiver.polls() {
            attached.expect_end().await;
            session.send(r#"["a","b"]"#).await;
            session.send(r#"["c"]"#).await;
            let mut waited = Vec::new();
            while waited.len() < 3 {
                waited.extend(messages(&receiver.poll(&session).await));
            }
            assert_eq!(waited, ["a", "b", "c"], "{receiver:?}");
        }
    }
}

/// What was sent before a close comes before it.
#[tokio::test]
async fn a_close_comes_behind_all_messages() {
    let handler = |mut socket: SockJsSocket| async move {
        socket.recv().await.unwrap();
        for number in 0..20 {
            socket.send(number.to_string()).await.unwrap();
        }
        socket.close(3001, "done \u{2028}\"<");
    };
    let services = Services::of(Server::builder().authenticate_anyone().sockjs("/s", handler)).await;
    for receiver in Receiver::ALL {
        let session = services.session("/s");
        assert_eq!(Receiver::Xhr.poll(&session).await, "o");
        session.send(r#"["go"]"#).await;
        let mut attached = receiver.attach(&session).await;
        let mut received = Vec::new();
        let close = loop {
            match attached.frame_or_end().await {
                Some(frame) if frame.starts_with('c') => break frame,
                Some(frame) => received.extend(messages(&frame)),
                None => attached = receiver.attach(&session).await,
            }
        };
        assert_eq!(received, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
        let close: (u16, String) = serde_json::from_str(&close[1..]).unwrap();
        assert_eq!(close, (3001, "done \u{2028}\"<".to_owned()));
        attached.expect_end().await;
    }
}

/// `JSONEncoding.test_xhr_server_encodes`: characters that browsers lose are sent as escapes.
#[tokio::test]
async fn unsafe_characters_are_escaped() {
    let services = Services::start().await;
    let ranges =
        ['\u{200c}'..='\u{200f}', '\u{2028}'..='\u{202f}', '\u{2060}'..='\u{206f}', '\u{fff0}'..='\u{ffff}'];
    let sent: String = ranges.into_iter().flatten().collect();
    let escapes: Vec<String> = sent.chars().map(|unit| format!("\\u{:04x}", u32::from(unit))).collect();
    let escapes = escapes.concat();
    for receiver in Receiver::ALL {
        let session = services.session("/echo");
        assert_eq!(Receiver::Xhr.poll(&session).await, "o");
        session.send(&format!("[\"{sent}\"]")).await;
        let mut attached = receiver.attach(&session).await;
        assert_eq!(attached.frame().await, format!("a[\"{escapes}\"]"), "{receiver:?}");
    }
}

/// `JSONEncoding.test_xhr_server_decodes`: every escape that clients write is read, and every plane comes back.
#[tokio::test]
async fn every_character_comes_back() {
    let services = Services::start().await;
    let escaped: Vec<String> = (0..0x21_u32)
        .chain([
            0x22, 0x5c, 0x7f, 0xad, 0x600, 0x604, 0x70f, 0x17b4, 0x17b5, 0x200c, 0x2028, 0xfeff, 0xfff0,
            0xffff,
        ])
        .map(|unit| format!("\\u{unit:04x}"))
        .collect();
    let escaped = escaped.concat();
    let planes: String = (0..=16_u32)
        .flat_map(|plane| [plane << 16 | 0x41, plane << 16 | 0x2028, plane << 16 | 0xfffe])
        .filter_map(char::from_u32)
        .collect();
    for body in
        [format!("[\"{escaped}\"]"), json!([planes]).to_string(), r#"["\ud83d\ude00 % %41 +"]"#.to_owned()]
    {
        for receiver in Receiver::ALL {
            let session = services.session("/echo");
            assert_eq!(Receiver::Xhr.poll(&session).await, "o");
            session.send(&body).await;
            let frame = receiver.attach(&session).await.frame().await;
            let sent: Vec<String> = serde_json::from_str(&body).unwrap();
            assert_eq!(messages(&frame), sent, "{receiver:?}");
        }
    }
}

/// A handler's close without a code is 1000.
#[tokio::test]
async fn a_handler_that_returns_closes_its_session() {
    let handler = |_: SockJsSocket| async {};
    let services = Services::of(Server::builder().authenticate_anyone().sockjs("/s", handler)).await;
    let session = services.session("/s");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    assert_eq!(Receiver::Xhr.poll(&session).await, r#"c[1000,"Normal closure"]"#);
    // Others are served as before.
    let services = Services::of(Server::builder().authenticate_anyone().sockjs("/echo", echo)).await;
    assert_eq!(Receiver::Xhr.poll(&services.session("/echo")).await, "o");
}

fn messages(frame: &str) -> Vec<String> {
    let messages = frame.strip_prefix('a').unwrap_or_else(|| panic!("{frame}"));
    serde_json::from_str(messages).unwrap_or_else(|error| panic!("{error}: {frame}"))
}

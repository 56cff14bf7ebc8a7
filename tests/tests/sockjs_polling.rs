//! The SockJS transports `xhr` and `xhr_send`.
//!
//! Each test names the section of the SockJS protocol text (0.3.3) that it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use serde_json::json;
use tokensocket_server::{Server, SockJsOptions};
use tokensocket_tests::sockjs::{
    Receiver, Services, check_cors, check_never_cached, check_no_cookie, check_not_found, echo,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// `XhrPolling.test_transport`.
#[tokio::test]
async fn a_poll_answers_with_one_frame() {
    let services = Services::start().await;
    for origin in [None, Some("http://test"), Some("null")] {
        let with_origin = |request: tokensocket_tests::sockjs::Request| match origin {
            Some(origin) => request.header("Origin", origin),
            None => request,
        };
        let session = services.session("/echo");
        // What a poll's body says is of no interest.
        let poll = with_origin(session.request("POST", "xhr").body("anything").header("Content-Type", "x/y"));
        let send = with_origin(session.request("POST", "xhr_send").body(r#"["x"]"#));
        for frame in ["o\n", "a[\"x\"]\n"] {
            let mut response = services.send(poll.clone()).await;
            assert_eq!(response.status, 200);
            let content_type = response.header("Content-Type");
            assert_eq!(content_type.as_deref(), Some("application/javascript; charset=UTF-8"));
            check_cors(&response, origin);
            check_never_cached(&response);
            check_no_cookie(&response);
            response.expect(frame).await;
            response.expect_end().await;

            let mut response = services.send(send.clone()).await;
            assert_eq!(response.status, 204);
            assert_eq!(response.header("Content-Type").as_deref(), Some("text/plain; charset=UTF-8"));
            check_cors(&response, origin);
            check_never_cached(&response);
            check_no_cookie(&response);
            assert_eq!(response.text().await, "");
        }
    }
}

/// `http-quirks`: some libraries leave out how long an empty body is.
#[tokio::test]
async fn a_poll_need_not_say_how_long_its_body_is() {
    let services = Services::start().await;
    let request = services.session("/echo").request("POST", "xhr").without_length();
    let mut response = services.send(request).await;
    assert_eq!((response.status, response.text().await.as_str()), (200, "o\n"));
}

/// `XhrPolling.test_invalid_session`.
#[tokio::test]
async fn an_answer_of_404_can_be_read_by_pages() {
    let services = Services::start().await;
    let request = services.session("/echo").request("POST", "xhr_send").body(r#"["x"]"#);
    let mut response = services.send(request.header("Origin", "http://test")).await;
    check_cors(&response, Some("http://test"));
    check_never_cached(&response);
    check_not_found(&mut response, "an unknown session").await;
}

/// `XhrPolling.test_invalid_json`.
#[tokio::test]
async fn a_broken_body_is_refused_and_the_session_lives() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    for (body, why) in [
        (&b"[\"x"[..], "Broken JSON encoding."),
        (b"x", "Broken JSON encoding."),
        (b"", "Payload expected."),
        (b"null", "Payload expected."),
        (b"{\"a\":1}", "Payload expected."),
        (b"\"a\"", "Payload expected."),
        (b"1", "Payload expected."),
    ] {
        let mut response = session.post(body).await;
        assert_eq!(response.status, 500, "{body:?}");
        check_cors(&response, None);
        check_never_cached(&response);
        let text = response.text().await;
        assert!(text.contains(why), "{text:?}");
        assert!(!text.contains('\n'), "clients would read it as a frame: {text:?}");
    }
    session.send(r#"["a"]"#).await;
    assert_eq!(Receiver::Xhr.poll(&session).await, r#"a["a"]"#);
}

/// A body that is no text is no message; npm `sockjs` would change it and go on.
#[tokio::test]
async fn broken_utf_8_is_refused() {
    let services = Services::echo_with(SockJsOptions::new()).await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    for body in [&b"[\"\xff\"]"[..], b"[\"\xc3\"]", b"[\"\xed\xa0\x80\"]", br#"["\ud800"]"#] {
        let mut response = session.post(body).await;
        assert_eq!((response.status, response.text().await.as_str()), (500, "Broken JSON encoding."));
    }
    session.send(r#"["a"]"#).await;
    assert_eq!(Receiver::Xhr.poll(&session).await, r#"a["a"]"#);
}

/// `XhrPolling.test_content_types`.
#[tokio::test]
async fn a_body_may_call_itself_what_browsers_call_it() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    let names = [
        "text/plain",
        "T",
        "application/json",
        "application/xml",
        "",
        "application/json; charset=utf-8",
        "text/xml; charset=utf-8",
        "text/xml",
    ];
    for name in names {
        let request = session.request("POST", "xhr_send").body(r#"["a"]"#).header("Content-Type", name);
        assert_eq!(services.send(request).await.status, 204, "{name:?}");
    }
    let all = json!(vec!["a"; names.len()]).to_string();
    assert_eq!(Receiver::Xhr.poll(&session).await, format!("a{all}"));
    for name in ["application/x-www-form-urlencoded", "application/octet-stream", "multipart/form-data"] {
        let request = session.request("POST", "xhr_send").body(r#"["b"]"#).header("Content-Type", name);
        let mut response = services.send(request).await;
        assert_eq!((response.status, response.text().await.as_str()), (500, "Payload expected."), "{name}");
    }
}

/// `XhrPolling.test_sending_empty_frame`.
#[tokio::test]
async fn an_empty_array_is_no_message() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    session.send("[]").await;
    session.send(r#"["a"]"#).await;
    assert_eq!(Receiver::Xhr.poll(&session).await, r#"a["a"]"#);
}

/// Clients in Node do not say how long their bodies are.
#[tokio::test]
async fn a_body_may_come_in_chunks() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    let request = session.request("POST", "xhr_send").without_length().header("Transfer-Encoding", "chunked");
    let mut connection = request.begin(services.address).await.into_inner();
    for chunk in [&b"2\r\n[\"\r\n"[..], b"1\r\na\r\n", b"2\r\n\"]\r\n", b"0\r\n\r\n"] {
        connection.write_all(chunk).await.unwrap();
    }
    let mut status = [0; 12];
    let read = connection.read_exact(&mut status);
    tokensocket_tests::limit::within("an answer", read).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 204");
    assert_eq!(Receiver::Xhr.poll(&session).await, r#"a["a"]"#);
}

/// Polls may share a connection with what is sent.
#[tokio::test]
async fn polls_and_sends_take_turns_on_one_connection() {
    let services = Services::start().await;
    let session = services.session("/echo");
    let poll = session.request("POST", "xhr");
    let mut response = services.send(poll.clone()).await;
    response.expect("o\n").await;
    for number in 0..50 {
        response.expect_end().await;
        let send = session.request("POST", "xhr_send").body(format!("[\"{number}\"]"));
        let sent = send.send_on(response.into_connection(), services.address).await;
        assert_eq!(sent.status, 204);
        response = poll.send_on(sent.into_connection(), services.address).await;
        response.expect(&format!("a[\"{number}\"]\n")).await;
    }
}

/// A message of one mebibyte, which the original servers take too.
#[tokio::test]
async fn a_large_message_comes_back_whole() {
    let services = Services::of(Server::builder().authenticate_anyone().sockjs("/echo", echo)).await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    let large = "x".repeat((1 << 20) - 100);
    session.send(&format!("[\"{large}\"]")).await;
    let frame = Receiver::Xhr.poll(&session).await;
    assert!(frame == format!("a[\"{large}\"]"), "{} bytes", frame.len());
}

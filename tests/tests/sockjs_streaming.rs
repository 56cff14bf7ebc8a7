//! The streaming SockJS transports: `xhr_streaming`, `eventsource` and `htmlfile`.
//!
//! Each test names the section of the SockJS protocol text (0.3.3) that it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use tokensocket_server::SockJsOptions;
use tokensocket_tests::limit::within;
use tokensocket_tests::sockjs::{
    GO_AWAY, Receiver, Request, Services, check_cors, check_never_cached, check_no_cookie,
};
use tokio::io::AsyncReadExt;

/// `XhrStreaming.test_transport`, `EventSource.test_transport` and `HtmlFile.test_transport`.
#[tokio::test]
async fn a_stream_is_a_prelude_and_a_chunk_for_each_frame() {
    let services = Services::start().await;
    for receiver in Receiver::STREAMING {
        let session = services.session("/echo");
        let mut attached = receiver.attach(&session).await;
        attached.expect("o").await;
        for message in [r#"["x"]"#, r#"["  \u0000\n\r "]"#, r#"["%20%"]"#] {
            session.send(message).await;
            attached.expect(&format!("a{message}")).await;
        }
        for several in [r#"["1","2","3"]"#, r#"["<","</script>","<!--"]"#] {
            session.send(several).await;
            let sent: Vec<String> = serde_json::from_str(several).unwrap();
            let mut received = Vec::new();
            while received.len() < sent.len() {
                let frame = attached.frame().await;
                received.extend(serde_json::from_str::<Vec<String>>(&frame[1..]).unwrap());
            }
            assert_eq!(received, sent);
        }
        let response = attached.response().await;
        response.expect_quiet().await;
    }
}

/// The headers of `XhrStreaming.test_transport`, `EventSource.test_transport` and `HtmlFile.test_transport`.
#[tokio::test]
async fn a_stream_is_never_cached() {
    let services = Services::start().await;
    for receiver in Receiver::STREAMING {
        for origin in [None, Some("http://test"), Some("null")] {
            let session = services.session("/echo");
            let (method, last) = receiver.request();
            let mut request = session.request(method, last);
            if let Some(origin) = origin {
                request = request.header("Origin", origin);
            }
            let response = services.send(request).await;
            assert_eq!(response.status, 200);
            assert_eq!(response.header("Content-Type").as_deref(), Some(receiver.content_type()));
            check_never_cached(&response);
            check_no_cookie(&response);
            match receiver {
                Receiver::XhrStreaming => check_cors(&response, origin),
                // Browsers that send `null` here want to read `*`.
                Receiver::EventSource => match origin {
                    Some("null") | None => {
                        let allowed = response.header("Access-Control-Allow-Origin");
                        assert_eq!(allowed.as_deref(), Some("*"));
                    }
                    origin => check_cors(&response, origin),
                },
                _ => assert_eq!(response.header("Access-Control-Allow-Origin"), None),
            }
            // What would keep a page out of a frame, or a script from another origin.
            for header in ["X-Frame-Options", "Content-Security-Policy", "Cross-Origin-Resource-Policy"] {
                assert_eq!(response.header(header), None, "{receiver:?}");
            }
        }
    }
}

/// `XhrStreaming.test_response_limit`: 31 frames of 134 bytes and the open frame's two reach 4096.
#[tokio::test]
async fn a_stream_of_lines_ends_at_its_limit() {
    let services = Services::start().await;
    let session = services.session("/echo");
    let mut attached = Receiver::XhrStreaming.attach(&session).await;
    attached.expect("o").await;
    let message = "x".repeat(128);
    for _ in 0..31 {
        session.send(&format!("[\"{message}\"]")).await;
        attached.expect(&format!("a[\"{message}\"]")).await;
    }
    attached.expect_end().await;
    // The session goes on, with a prelude and without an open frame.
    let mut attached = Receiver::XhrStreaming.attach(&session).await;
    session.send(r#"["next"]"#).await;
    attached.expect(r#"a["next"]"#).await;
}

/// `EventSource.test_response_limit` and `HtmlFile.test_response_limit`: a frame is never held back or split.
#[tokio::test]
async fn the_frame_that_passes_the_limit_is_whole() {
    let services = Services::start().await;
    for receiver in Receiver::STREAMING {
        let session = services.session("/echo");
        let mut attached = receiver.attach(&session).await;
        attached.expect("o").await;
        for length in [4096, 10_000] {
            let message = "x".repeat(length);
            session.send(&format!("[\"{message}\"]")).await;
            attached.expect(&format!("a[\"{message}\"]")).await;
            attached.expect_end().await;
            attached = receiver.attach(&session).await;
        }
    }
}

/// The limit counts what a frame becomes, and not the prelude.
#[tokio::test]
async fn the_limit_counts_frames_as_they_are_sent() {
    for receiver in Receiver::STREAMING {
        let open = receiver.framed("o").len();
        let frame = receiver.framed(r#"a["\"\""]"#).len();
        for (limit, frames) in [(open + 3 * frame, 3), (open + 3 * frame + 1, 4), (open + 3 * frame - 1, 3)] {
            let services = Services::echo_with(SockJsOptions::new().response_limit(limit)).await;
            let session = services.session("/echo");
            let mut attached = receiver.attach(&session).await;
            attached.expect("o").await;
            for _ in 0..frames {
                session.send(r#"["\"\""]"#).await;
                attached.expect(r#"a["\"\""]"#).await;
            }
            attached.expect_end().await;
        }
    }
}

/// The limit is 128 KiB unless told otherwise.
#[tokio::test]
async fn the_limit_is_128_kib_unless_told_otherwise() {
    let services = Services::echo_with(SockJsOptions::new()).await;
    let session = services.session("/echo");
    let mut attached = Receiver::XhrStreaming.attach(&session).await;
    attached.expect("o").await;
    let message = "x".repeat(1024 - 6);
    for _ in 0..128 {
        session.send(&format!("[\"{message}\"]")).await;
        attached.expect(&format!("a[\"{message}\"]")).await;
    }
    attached.expect_end().await;
}

/// `HtmlFile.test_no_callback` and `HtmlFile.test_invalid_callback`.
#[tokio::test]
async fn a_page_of_scripts_needs_a_callback() {
    let services = Services::start().await;
    let session = services.session("/echo");
    for (query, why) in [
        ("", r#""callback" parameter required"#),
        ("?x=1", r#""callback" parameter required"#),
        ("?c=%20", r#"invalid "callback" parameter"#),
        ("?c=*", r#"invalid "callback" parameter"#),
        ("?c=abc(", r#"invalid "callback" parameter"#),
        ("?c=abc%28", r#"invalid "callback" parameter"#),
        ("?callback=abc%0A", r#"invalid "callback" parameter"#),
        ("?c=%3C/script%3E", r#"invalid "callback" parameter"#),
    ] {
        let mut response = services.send(session.request("GET", &format!("htmlfile{query}"))).await;
        assert_eq!(response.status, 500, "{query}");
        check_never_cached(&response);
        let text = response.text().await;
        assert!(text.contains(why), "{query}: {text:?}");
    }
    // None of it has made a session.
    assert_eq!(session.post(r#"["a"]"#).await.status, 404);
    // Both names of the parameter are known.
    let mut response = services.send(session.request("GET", "htmlfile?callback=_jp.a12-b")).await;
    assert_eq!(response.status, 200);
    let page = response.chunk().await.unwrap();
    assert!(page.contains("\n    var c = parent._jp.a12-b;\n"), "{page}");
}

/// `Http11.test_streaming`.
#[tokio::test]
async fn a_stream_of_http_1_1_is_chunked() {
    let services = Services::start().await;
    let request = services.session("/close").request("POST", "xhr_streaming");
    let response = services.send(request.header("Connection", "Keep-Alive")).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("Transfer-Encoding").as_deref(), Some("chunked"));
    assert_eq!(response.header("Content-Length"), None);
    let mut attached = Receiver::XhrStreaming.attached(response).await;
    attached.expect("o").await;
    attached.expect(GO_AWAY).await;
    attached.expect_end().await;
}

/// `Http10.test_streaming`.
#[tokio::test]
async fn a_stream_of_http_1_0_ends_with_its_connection() {
    let services = Services::start().await;
    let request = services.session("/close").request("POST", "xhr_streaming").http_1_0();
    let mut stream = request.begin(services.address).await;
    let mut all = String::new();
    within("the end of the stream", stream.read_to_string(&mut all)).await.unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.0 200"), "{head}");
    let head = head.to_lowercase();
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    assert_eq!(body, format!("{}\no\n{GO_AWAY}\n", "h".repeat(2048)));
}

/// A kept connection serves another request behind a stream.
#[tokio::test]
async fn a_connection_goes_on_behind_a_stream() {
    let services = Services::start().await;
    let session = services.session("/close");
    let mut response = services.send(session.request("POST", "xhr_streaming")).await;
    assert!(response.text().await.ends_with(&format!("{GO_AWAY}\n")));
    if response.header("Connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
        let mut next = Request::get("/echo").send_on(response.into_connection(), services.address).await;
        assert_eq!(next.text().await, "Welcome to SockJS!\n");
    }
}

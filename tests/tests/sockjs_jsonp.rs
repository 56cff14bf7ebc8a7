//! The SockJS transports `jsonp` and `jsonp_send`.
//!
//! Each test names the section of the SockJS protocol text (0.3.3) that it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use tokensocket_tests::sockjs::{
    Receiver, Response, Services, Session, check_cookie, check_never_cached, check_no_cookie, check_not_found,
};

const FORM: &str = "application/x-www-form-urlencoded";

async fn send(session: &Session, content_type: &str, body: &str) -> Response {
    let request = session.request("POST", "jsonp_send").header("Content-Type", content_type).body(body);
    request.send(session.address).await
}

async fn expect_ok(response: &mut Response) {
    assert_eq!((response.status, response.text().await.as_str()), (200, "ok"));
    assert_eq!(response.header("Content-Type").as_deref(), Some("text/plain; charset=UTF-8"));
    assert_eq!(response.header("Access-Control-Allow-Origin"), None);
    check_never_cached(response);
}

/// `JsonPolling.test_transport`.
#[tokio::test]
async fn a_poll_answers_with_one_call() {
    let services = Services::start().await;
    let session = services.session("/echo");
    for frame in ["/**/callback(\"o\");\r\n", "/**/callback(\"a[\\\"x\\\"]\");\r\n"] {
        let mut response = services.send(session.request("GET", "jsonp?c=%63allback")).await;
        assert_eq!(response.status, 200);
        let content_type = response.header("Content-Type");
        assert_eq!(content_type.as_deref(), Some("application/javascript; charset=UTF-8"));
        assert_eq!(response.header("X-Content-Type-Options").as_deref(), Some("nosniff"));
        assert_eq!(response.header("Access-Control-Allow-Origin"), None);
        assert_eq!(response.header("Cross-Origin-Resource-Policy"), None);
        check_never_cached(&response);
        check_no_cookie(&response);
        response.expect(frame).await;
        response.expect_end().await;

        let mut response = send(&session, FORM, "d=%5B%22x%22%5D").await;
        check_no_cookie(&response);
        expect_ok(&mut response).await;
    }
}

/// `JsonPolling.test_no_callback` and `JsonPolling.test_invalid_callback`.
#[tokio::test]
async fn a_poll_needs_a_callback() {
    let services = Services::start().await;
    let session = services.session("/echo");
    let long = format!("?c={}", "a".repeat(33));
    for (query, why) in [
        ("", r#""callback" parameter required"#),
        ("?c=%20", r#"invalid "callback" parameter"#),
        ("?c=*", r#"invalid "callback" parameter"#),
        ("?c=abc(", r#"invalid "callback" parameter"#),
        ("?c=abc%28", r#"invalid "callback" parameter"#),
        (&long, r#"invalid "callback" parameter"#),
    ] {
        let mut response = services.send(session.request("GET", &format!("jsonp{query}"))).await;
        assert_eq!(response.status, 500, "{query}");
        check_never_cached(&response);
        let text = response.text().await;
        assert!(text.contains(why), "{query}: {text:?}");
    }
    check_not_found(&mut send(&session, FORM, "d=%5B%22x%22%5D").await, "none was made").await;
    let longest = format!("jsonp?callback={}", "a".repeat(32));
    let mut response = services.send(session.request("GET", &longest)).await;
    assert_eq!(response.text().await, format!("/**/{}(\"o\");\r\n", "a".repeat(32)));
}

/// `JsonPolling.test_invalid_json`.
#[tokio::test]
async fn a_broken_body_is_refused_and_the_session_lives() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Jsonp.poll(&session).await, "o");
    for (content_type, body, why) in [
        (FORM, "d=%5B%22x", "Broken JSON encoding."),
        (FORM, "", "Payload expected."),
        (FORM, "d=", "Payload expected."),
        (FORM, "p=p", "Payload expected."),
        (FORM, "d=1", "Payload expected."),
        ("text/plain", "[\"x", "Broken JSON encoding."),
        ("text/plain", "", "Payload expected."),
        ("application/octet-stream", "[\"x\"]", "Payload expected."),
    ] {
        let mut response = send(&session, content_type, body).await;
        assert_eq!(response.status, 500, "{content_type} {body}");
        check_never_cached(&response);
        let text = response.text().await;
        assert!(text.contains(why), "{body}: {text:?}");
    }
    expect_ok(&mut send(&session, FORM, "d=%5B%22b%22%5D").await).await;
    let mut response = services.send(session.request("GET", "jsonp?c=x")).await;
    response.expect("/**/x(\"a[\\\"b\\\"]\");\r\n").await;
}

/// `JsonPolling.test_content_types`.
#[tokio::test]
async fn a_body_is_a_form_or_as_it_is() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Jsonp.poll(&session).await, "o");
    expect_ok(&mut send(&session, FORM, "d=%5B%22abc%22%5D").await).await;
    expect_ok(&mut send(&session, "text/plain", r#"["%61bc"]"#).await).await;
    expect_ok(&mut send(&session, "text/plain; charset=UTF-8", r#"["+"]"#).await).await;
    expect_ok(&mut send(&session, &format!("{FORM}; charset=UTF-8"), "x=1&d=[%22%2B+%22]").await).await;
    let mut response = services.send(session.request("GET", "jsonp?c=x")).await;
    response.expect("/**/x(\"a[\\\"abc\\\",\\\"%61bc\\\",\\\"+\\\",\\\"+ \\\"]\");\r\n").await;
}

/// `JsonPolling.test_sending_empty_frame`.
#[tokio::test]
async fn an_empty_array_is_no_message() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Jsonp.poll(&session).await, "o");
    expect_ok(&mut send(&session, FORM, "d=%5B%5D").await).await;
    expect_ok(&mut send(&session, FORM, "d=%5B%22x%22%5D").await).await;
    assert_eq!(Receiver::Jsonp.poll(&session).await, r#"a["x"]"#);
}

/// `JsonPolling.test_close`.
#[tokio::test]
async fn a_closed_session_says_so_in_calls() {
    let services = Services::start().await;
    let session = services.session("/close");
    for frame in ["o", r#"c[3000,\"Go away!\"]"#, r#"c[3000,\"Go away!\"]"#] {
        let mut response = services.send(session.request("GET", "jsonp?c=x")).await;
        assert_eq!(response.text().await, format!("/**/x(\"{frame}\");\r\n"));
    }
}

/// `JsessionidCookie.test_jsonp`.
#[tokio::test]
async fn polls_and_forms_carry_the_cookie() {
    let services = Services::start().await;
    let session = services.session("/cookie_needed_echo");
    for frame in ["o", r#"a[\"x\"]"#] {
        let poll = session.request("GET", "jsonp?c=%63allback").header("Cookie", "JSESSIONID=abcdef");
        let mut response = services.send(poll).await;
        check_cookie(&response, "abcdef");
        assert_eq!(response.text().await, format!("/**/callback(\"{frame}\");\r\n"));
        let mut response = send(&session, FORM, "d=%5B%22x%22%5D").await;
        check_cookie(&response, "dummy");
        expect_ok(&mut response).await;
    }
}

/// A message cannot end the script it stands in.
#[tokio::test]
async fn no_message_is_a_script() {
    let services = Services::start().await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Jsonp.poll(&session).await, "o");
    expect_ok(&mut send(&session, "text/plain", "[\"</script><!--\u{2028}\"]").await).await;
    let mut response = services.send(session.request("GET", "jsonp?c=x")).await;
    let text = response.text().await;
    assert!(!text.contains('<') && !text.contains('\u{2028}'), "{text}");
}

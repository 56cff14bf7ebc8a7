//! SockJS endpoints over HTTP: greeting, `/info`, the page for frames, preflights, cookies, and what is no path.
//!
//! Each test names the section of the SockJS protocol text (0.3.3) that it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use serde_json::Value;
use tokensocket_server::{Server, SockJsOptions};
use tokensocket_tests::sockjs::{
    Receiver, Request, Services, check_cached, check_cookie, check_cors, check_never_cached, check_no_cookie,
    check_not_found, check_preflight, echo,
};
use tokio::io::AsyncReadExt;

/// `BaseUrlGreeting.test_greeting`.
#[tokio::test]
async fn greets_at_its_prefix() {
    let services = Services::start().await;
    for path in ["/echo", "/echo/", "/echo/?x=1"] {
        let mut response = services.send(Request::get(path)).await;
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("Content-Type").as_deref(), Some("text/plain; charset=UTF-8"));
        assert_eq!(response.text().await, "Welcome to SockJS!\n");
        check_no_cookie(&response);
    }
}

/// `BaseUrlGreeting.test_notFound`, `IframePage.test_invalidUrl` and `SessionURLs.test_invalidPaths`.
#[tokio::test]
async fn paths_that_are_none_are_404() {
    let services = Services::start().await;
    let none =
        ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/", "/info//", "/a/b/c/xhr", "/a/b/nothing"];
    let frames = ["/iframe.htm", "/iframe", "/IFRAME.HTML", "/IFRAME", "/iframe.HTML", "/iframe.xml"];
    for path in none.into_iter().chain(frames).chain(["/iframe-/.html", "/iframexhtml"]) {
        let mut response = services.send(Request::get(format!("/echo{path}"))).await;
        check_not_found(&mut response, path).await;
    }
    for session in ["//", "/a./a", "/a/a.", "/./.", "/", "///"] {
        for method in ["GET", "POST"] {
            let path = format!("/echo{session}/xhr");
            let mut response = services.send(Request::new(method, path.clone())).await;
            check_not_found(&mut response, &format!("{method} {path}")).await;
        }
    }
}

/// `WebsocketHttpErrors.test_invalidMethod` (`verify405`), and the same for every other path.
#[tokio::test]
async fn other_methods_are_405_and_say_which_are_not() {
    let services = Services::start().await;
    let session = services.session("").url;
    for (path, methods, others) in [
        (String::new(), "GET", &["POST"][..]),
        ("/info".to_owned(), "OPTIONS, GET", &["POST", "PUT"]),
        ("/iframe.html".to_owned(), "GET", &["POST"]),
        ("/websocket".to_owned(), "GET", &["POST"]),
        (format!("{session}/websocket"), "GET", &["POST", "OPTIONS"]),
        (format!("{session}/xhr"), "POST, OPTIONS", &["GET", "DELETE"]),
        (format!("{session}/xhr_send"), "POST, OPTIONS", &["GET"]),
        (format!("{session}/xhr_streaming"), "POST, OPTIONS", &["GET"]),
        (format!("{session}/eventsource"), "GET", &["POST", "OPTIONS"]),
        (format!("{session}/htmlfile"), "GET", &["POST", "OPTIONS"]),
        (format!("{session}/jsonp"), "GET", &["POST", "OPTIONS"]),
        (format!("{session}/jsonp_send"), "POST", &["GET", "OPTIONS"]),
    ] {
        for method in others {
            let mut response = services.send(Request::new(method, format!("/echo{path}"))).await;
            assert_eq!(response.status, 405, "{method} {path}");
            let allow = response.header("Allow").expect("the methods that are");
            let sorted = |list: &str| {
                let mut names: Vec<String> = list
                    .split(',')
                    .map(|name| name.trim().to_owned())
                    .filter(|name| name != "HEAD")
                    .collect();
                names.sort();
                names
            };
            assert_eq!(sorted(&allow), sorted(methods), "{path}");
            assert_eq!(response.header("Content-Type"), None, "{path}");
            assert_eq!(response.text().await, "");
        }
    }
}

/// `InfoTest.test_basic` and `InfoTest.test_disabled_websocket`.
#[tokio::test]
async fn info_says_what_is_offered() {
    let services = Services::start().await;
    for (prefix, websocket, cookies) in [
        ("/echo", true, false),
        ("/disabled_websocket_echo", false, false),
        ("/cookie_needed_echo", true, true),
    ] {
        for origin in [None, Some("http://test"), Some("null")] {
            let mut request = Request::get(format!("{prefix}/info"));
            if let Some(origin) = origin {
                request = request.header("Origin", origin);
            }
            let mut response = services.send(request).await;
            assert_eq!(response.status, 200);
            assert_eq!(response.header("Content-Type").as_deref(), Some("application/json; charset=UTF-8"));
            check_never_cached(&response);
            check_no_cookie(&response);
            check_cors(&response, origin);
            let info: Value = serde_json::from_str(&response.text().await).unwrap();
            assert_eq!(info["websocket"], websocket, "{prefix}");
            assert_eq!(info["cookie_needed"], cookies, "{prefix}");
            assert_eq!(info["origins"], serde_json::json!(["*:*"]));
            assert!(info["entropy"].as_u64().is_some_and(|entropy| u32::try_from(entropy).is_ok()), "{info}");
        }
    }
}

/// `InfoTest.test_entropy`.
#[tokio::test]
async fn the_entropy_is_another_each_time() {
    let services = Services::start().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let mut response = services.send(Request::get("/echo/info")).await;
        let info: Value = serde_json::from_str(&response.text().await).unwrap();
        seen.insert(info["entropy"].as_u64());
    }
    assert!(seen.len() > 8, "{seen:?}");
}

/// `InfoTest.test_options`, `XhrPolling.test_options`, `XhrStreaming.test_options` and
/// `InfoTest.test_options_null_origin`.
#[tokio::test]
async fn preflights_allow_every_origin() {
    let services = Services::start().await;
    let session = services.session("/echo").url;
    for (path, methods) in [
        ("/echo/info".to_owned(), "OPTIONS, GET"),
        (format!("{session}/xhr"), "OPTIONS, POST"),
        (format!("{session}/xhr_send"), "OPTIONS, POST"),
        (format!("{session}/xhr_streaming"), "OPTIONS, POST"),
    ] {
        for (origin, asks, allowed) in [
            (None, None, None),
            (Some("http://test"), None, Some("http://test")),
            (Some("test"), Some("POST"), Some("test")),
            // The older text wants `*` here, the newer one `null`, and only the newer one asks as browsers do.
            (Some("null"), None, None),
            (Some("null"), Some("POST"), Some("null")),
        ] {
            let mut request = Request::new("OPTIONS", path.clone());
            if let Some(origin) = origin {
                request = request.header("Origin", origin);
            }
            if let Some(method) = asks {
                request = request.header("Access-Control-Request-Method", method);
            }
            let mut response = services.send(request).await;
            check_preflight(&mut response, methods, allowed).await;
            check_no_cookie(&response);
        }
    }
    // None of it has made a session.
    let mut response = services.send(Request::post(format!("{session}/xhr_send")).body(r#"["a"]"#)).await;
    check_not_found(&mut response, "a session that nobody opened").await;
}

/// `XhrPolling.test_request_headers_cors`.
#[tokio::test]
async fn headers_that_a_page_wants_to_send_are_allowed() {
    let services = Services::start().await;
    for (wanted, allowed) in [(Some("a, b, c"), Some("a, b, c")), (Some(""), None), (None, None)] {
        for method in ["POST", "OPTIONS"] {
            let session = services.session("/echo");
            let mut request = session.request(method, "xhr").header("Origin", "http://test");
            if let Some(wanted) = wanted {
                request = request.header("Access-Control-Request-Headers", wanted);
            }
            let response = services.send(request).await;
            assert!(matches!(response.status, 200 | 204), "{response:?}");
            assert_eq!(response.header("Access-Control-Allow-Headers").as_deref(), allowed, "{method}");
            check_cors(&response, Some("http://test"));
        }
    }
}

/// `IframePage.test_simpleUrl`, `IframePage.test_versionedUrl` and `IframePage.test_queriedUrl`.
#[tokio::test]
async fn the_page_for_frames_is_the_same_whatever_its_version() {
    let services = Services::start().await;
    let mut seen = Vec::new();
    for name in [
        "iframe.html",
        "iframe-a.html",
        "iframe-.html",
        "iframe-0.1.2.html",
        "iframe-0.1.2abc-dirty.2144.html",
        "iframe-a.html?t=1234",
        "iframe-0.1.2.html?t=123414",
        "iframe-0.1.2abc-dirty.2144.html?t=qweqweq123",
    ] {
        let mut response = services.send(Request::get(format!("/echo/{name}"))).await;
        assert_eq!(response.status, 200, "{name}");
        assert_eq!(response.header("Content-Type").as_deref(), Some("text/html; charset=UTF-8"));
        for keeps_out_of_frames in ["X-Frame-Options", "Content-Security-Policy"] {
            assert_eq!(response.header(keeps_out_of_frames), None);
        }
        check_cached(&response);
        check_no_cookie(&response);
        assert!(response.header("ETag").is_some_and(|tag| tag.starts_with('"') && tag.len() > 2), "{name}");
        seen.push(response.text().await);
    }
    seen.dedup();
    let [page] = seen.as_slice() else { panic!("{seen:?}") };
    let (before, behind) = PAGE.split_once("{client}").unwrap();
    let client = page.trim().strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
    let client = client.unwrap_or_else(|| panic!("{page}"));
    assert!(client.starts_with('/') || client.starts_with("http"), "{client}");
    assert!(!client.contains('"'), "{client}");
}

const PAGE: &str = r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{client}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"#;

/// `IframePage.test_cacheability`.
#[tokio::test]
async fn the_page_for_frames_is_not_sent_twice() {
    let services = Services::start().await;
    let path = "/echo/iframe.html";
    let tag = services.send(Request::get(path)).await.header("ETag").unwrap();
    assert_eq!(services.send(Request::get(path)).await.header("ETag").as_ref(), Some(&tag));
    let mut response = services.send(Request::get(path).header("If-None-Match", tag)).await;
    assert_eq!(response.status, 304);
    assert_eq!(response.header("Content-Type"), None);
    assert_eq!(response.text().await, "");
    check_cached(&response);
    let response = services.send(Request::get(path).header("If-None-Match", "\"another\"")).await;
    assert_eq!(response.status, 200);
}

/// The page names the client that was chosen.
#[tokio::test]
async fn the_page_for_frames_loads_the_client_it_is_told() {
    let options = SockJsOptions::new().client_url("/js/sockjs.min.js");
    let services = Services::echo_with(options).await;
    let page = services.send(Request::get("/echo/iframe.html")).await.text().await;
    assert!(page.contains(r#"<script src="/js/sockjs.min.js"></script>"#), "{page}");
}

/// `JsessionidCookie.test_basic`, `.test_xhr`, `.test_xhr_streaming`, `.test_eventsource`, `.test_htmlfile` and
/// `.test_jsonp`.
#[tokio::test]
async fn cookies_are_set_where_they_were_asked_for() {
    let services = Services::start().await;
    for (sent, expected) in [
        (None, "dummy"),
        (Some("JSESSIONID=abcdef"), "abcdef"),
        (Some("a=b; JSESSIONID=abcdef ;c=d"), "abcdef"),
        (Some("JSESSIONID="), "dummy"),
        (Some("XJSESSIONID=abcdef"), "dummy"),
    ] {
        let with_cookie = |request: Request| match sent {
            Some(cookie) => request.header("Cookie", cookie),
            None => request,
        };
        for receiver in Receiver::ALL {
            let session = services.session("/cookie_needed_echo");
            let (method, last) = receiver.request();
            let response = services.send(with_cookie(session.request(method, last))).await;
            check_cookie(&response, expected);
            check_never_cached(&response);
            let mut attached = receiver.attached(response).await;
            attached.expect("o").await;
            let send = session.request("POST", "xhr_send").body("[]");
            check_cookie(&services.send(with_cookie(send)).await, expected);
            let form = session.request("POST", "jsonp_send").body("d=%5B%5D");
            let form = form.header("Content-Type", "application/x-www-form-urlencoded");
            check_cookie(&services.send(with_cookie(form)).await, expected);
        }
        for path in ["/info", "/000/a/xhr", "/000/a/xhr_send", "/000/a/xhr_streaming"] {
            let options = Request::new("OPTIONS", format!("/cookie_needed_echo{path}"));
            check_cookie(&services.send(with_cookie(options)).await, expected);
        }
        for path in ["", "/info", "/iframe.html"] {
            let request = Request::get(format!("/cookie_needed_echo{path}"));
            check_no_cookie(&services.send(with_cookie(request)).await);
        }
    }
}

/// `Http10.test_synchronous` and `Http11.test_synchronous`.
#[tokio::test]
async fn connections_are_kept_as_their_version_says() {
    let services = Services::start().await;
    let request = Request::get("/echo").http_1_0();
    let mut response = services.send(request.clone()).await;
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(response.text().await, "Welcome to SockJS!\n");
    let kept = response.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive"));
    let mut connection = response.into_connection();
    if kept {
        let mut response = request.send_on(connection, services.address).await;
        assert_eq!(response.text().await, "Welcome to SockJS!\n");
    } else {
        let mut rest = Vec::new();
        let end = connection.read_to_end(&mut rest);
        tokensocket_tests::limit::within("the end of the connection", end).await.unwrap();
        assert_eq!(rest, b"");
    }
    let request = Request::get("/echo").header("Connection", "Keep-Alive");
    let mut response = services.send(request.clone()).await;
    for _ in 0..3 {
        assert_eq!((response.status, response.text().await.as_str()), (200, "Welcome to SockJS!\n"));
        response = request.send_on(response.into_connection(), services.address).await;
    }
}

/// What stands beside an endpoint is somebody else's.
#[tokio::test]
async fn endpoints_do_not_share_sessions() {
    let server = Server::builder().authenticate_anyone();
    let services = Services::of(server.sockjs("/echo", echo).sockjs("/echo2", echo)).await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    let path = session.url.replace("/echo/", "/echo2/");
    let mut response = services.send(Request::post(format!("{path}/xhr_send")).body(r#"["a"]"#)).await;
    check_not_found(&mut response, "another endpoint's session").await;
    let mut response = services.send(Request::post(format!("{path}/xhr"))).await;
    assert_eq!(response.text().await, "o\n");
}

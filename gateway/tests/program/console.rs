//! The console's files over HTTP. What the page does is tested in a browser: `tests/browser`.

use std::fs;
use std::path::Path;

use crate::http::request_with;
use crate::program::Gateway;

const BROWSER: &str = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
const FILES: [(&str, &str); 5] = [
    ("console.js", "text/javascript; charset=utf-8"),
    ("console.css", "text/css; charset=utf-8"),
    ("icon.svg", "image/svg+xml"),
    ("tokensocket.mjs", "text/javascript; charset=utf-8"),
    ("tokensocket_bg.wasm", "application/wasm"),
];

/// An answer in its parts.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

async fn ask(gateway: &Gateway, line: &str, headers: &str) -> Answer {
    let answer = request_with(gateway, line, headers).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

fn built(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("console/dist").join(name)).unwrap()
}

#[tokio::test]
async fn a_browser_gets_the_console() {
    let gateway = Gateway::start().await;
    let page = ask(&gateway, "GET /", BROWSER).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("vary"), Some("accept, accept-encoding"), "{}", page.head);
    assert_eq!(page.body, built("index.html"));
}

#[tokio::test]
async fn every_file_comes_with_its_type_plain_or_compressed() {
    let gateway = Gateway::start().await;
    for (name, media_type) in FILES {
        let line = format!("GET /console/{name}");
        let plain = ask(&gateway, &line, "accept-encoding: br, gzip;q=0\r\n").await;
        assert_eq!((plain.status, plain.header("content-type")), (200, Some(media_type)), "{name}");
        assert_eq!(plain.header("content-encoding"), None, "{name}");
        assert!(plain.body == built(name), "{name} is not the file that was built");

        let gzip = ask(&gateway, &line, "accept-encoding: deflate, gzip\r\n").await;
        assert_eq!((gzip.status, gzip.header("content-type")), (200, Some(media_type)), "{name}");
        assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{name}");
        assert!(gzip.body == built(&format!("{name}.gz")), "{name} is not the file that was compressed");
        assert_ne!(plain.header("etag"), gzip.header("etag"), "{name}");
    }
}

#[tokio::test]
async fn the_page_may_do_nothing_but_speak_to_this_server() {
    let gateway = Gateway::start().await;
    for line in ["GET /", "GET /console/console.js"] {
        let answer = ask(&gateway, line, BROWSER).await;
        let policy = answer.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|directive| directive == rule), "{rule}: {policy}");
        }
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn who_has_a_file_already_is_told_so() {
    let gateway = Gateway::start().await;
    for (line, headers) in
        [("GET /", BROWSER), ("GET /console/tokensocket_bg.wasm", "accept-encoding: gzip\r\n")]
    {
        let first = ask(&gateway, line, headers).await;
        assert_eq!(first.header("cache-control"), Some("no-cache"));
        let tag = first.header("etag").unwrap();
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = ask(&gateway, line, &format!("{headers}if-none-match: {known}\r\n")).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{line} {known}");
            assert_eq!(again.header("etag"), Some(tag));
        }
        let newer = ask(&gateway, line, &format!("{headers}if-none-match: \"other\"\r\n")).await;
        assert_eq!((newer.status, newer.body), (200, first.body));
    }
}

#[tokio::test]
async fn a_head_says_what_a_get_would_bring() {
    let gateway = Gateway::start().await;
    for (line, headers) in [("/", BROWSER), ("/console/console.css", "")] {
        let get = ask(&gateway, &format!("GET {line}"), headers).await;
        let head = ask(&gateway, &format!("HEAD {line}"), headers).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{line}");
        for name in ["content-type", "content-length", "etag", "vary"] {
            assert_eq!(head.header(name), get.header(name), "{line} {name}");
        }
    }
}

#[tokio::test]
async fn there_is_nothing_else_below_the_console() {
    let gateway = Gateway::start().await;
    for path in
        ["/console", "/console/", "/console/index.html", "/console/../main.rs", "/console/console.js.gz"]
    {
        let answer = ask(&gateway, &format!("GET {path}"), BROWSER).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let wrong = ask(&gateway, "POST /console/console.js", "content-length: 0\r\n").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn the_client_in_it_is_the_published_one() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../js-dist/dist");
    for name in ["tokensocket.mjs", "tokensocket_bg.wasm"] {
        let published = fs::read(bundle.join(name)).unwrap();
        assert!(published == built(name), "{name} is another: run `npm run build` in gateway/console");
    }
}

//! What the gateway answers over plain HTTP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::Gateway;

/// Sends a request with these headers, each ending in CRLF. The answer as it came.
pub(crate) async fn request_with(gateway: &Gateway, line: &str, headers: &str) -> Vec<u8> {
    request_to(gateway.address(), line, headers).await
}

/// The same, wherever that is.
pub(crate) async fn request_to(address: &str, line: &str, headers: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn request(gateway: &Gateway, line: &str) -> String {
    String::from_utf8(request_with(gateway, line, "").await).unwrap()
}

#[tokio::test]
async fn the_front_page_says_what_this_is() {
    let gateway = Gateway::start().await;
    for accept in ["", "accept: */*\r\n", "accept: text/html;q=0, text/plain\r\n"] {
        let answer = String::from_utf8(request_with(&gateway, "GET /", accept).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("text/plain"), "{answer}");
        assert!(answer.contains("vary: accept"), "{answer}");
        assert!(answer.contains("TokenSocket server"), "{answer}");
    }
    let head = request(&gateway, "HEAD /").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain"), "{head}");
}

#[tokio::test]
async fn the_health_check_answers_ok() {
    let gateway = Gateway::start().await;
    let answer = request(&gateway, "GET /healthcheck").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let head = request(&gateway, "HEAD /healthcheck").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn tokens_go_to_anybody() {
    let gateway = Gateway::start().await;
    let answer = request(&gateway, "GET /socket/token").await;
    assert!(answer.contains(r#"{"token":""#), "{answer}");
}

#[tokio::test]
async fn whatever_is_not_there_is_refused_with_a_reason() {
    let gateway = Gateway::start().await;
    let missing = request(&gateway, "GET /nothing").await;
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    assert!(missing.contains("nothing at this path"), "{missing}");
    let wrong = request(&gateway, "DELETE /healthcheck").await;
    assert!(wrong.starts_with("HTTP/1.1 405"), "{wrong}");
    assert!(wrong.contains("allow: GET, HEAD"), "{wrong}");
}

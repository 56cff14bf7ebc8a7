//! The HTTP API of the running program.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::Gateway;

async fn post(gateway: &Gateway, target: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_request_is_named_in_the_log_until_each_device_has_what_it_sent() {
    let log = "info,tokensocket_server::delivery=debug";
    let mut gateway = Gateway::with(&["--in-memory", "--listen", "127.0.0.1:0", "--log", log]).await;
    let receive = ["receive", "order", "--user", "ann", "--room", "kitchen", "--device", "phone"];
    let mut phone = gateway.start_command(&receive);
    phone.complains("receiving order for ann on phone").await;
    let body = r#"{"rooms":["Kitchen"],"event":"order","args":[7]}"#;
    let answer = post(&gateway, "/send?site=default", "x-request-id: send-1\r\n", body).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    assert!(answer.contains("x-request-id: send-1\r\n"), "{answer}");
    assert_eq!(phone.line().await, "order\t[7]");
    for what in ["kept", "acknowledged"] {
        let fields = r#""request":"send-1","user":"ann","device":"phone","seq":1"#;
        gateway.program.complains(&format!(r#""message":"{what}",{fields}"#)).await;
    }
}

#[tokio::test]
async fn commands_are_done() {
    let gateway = Gateway::start().await;
    let answer = post(&gateway, "/api/v1/status", "", "{}").await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET"), "{answer}");
    let answer = post(&gateway, "/api/v1/publish", "", r#"{"channel":"news","data":1}"#).await;
    assert!(answer.contains(r#""offset":1"#), "{answer}");
}

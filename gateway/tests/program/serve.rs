//! `serve`: where it listens, what it says, how it ends.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::{Gateway, Program, run};

#[tokio::test]
async fn the_commands_it_prints_work() {
    let gateway = Gateway::start().await;
    let address = gateway.url.clone();
    gateway.program.signal(Signal::SIGTERM);
    let greeting = gateway.program.ended().await.out;
    assert!(greeting.contains("other machines cannot reach it"), "{greeting}");
    assert!(greeting.contains(&format!("Open {address} in a browser")), "{greeting}");

    let mut gateway = Gateway::start().await;
    let mut calls = Vec::new();
    loop {
        let line = gateway.program.line().await;
        if line.starts_with("Ctrl-C") {
            break;
        }
        if line.starts_with("  ") && !line.contains(" sub ") {
            calls.push(line);
        }
    }
    assert_eq!(calls.len(), 4);
    for line in calls {
        let ended = Program::shell(line.trim()).ended().await;
        assert_eq!(ended.status, 0, "{line}: {ended:?}");
    }
}

#[tokio::test]
async fn refuses_an_address_that_other_machines_can_reach() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1337"] {
        let ended = run(&["serve", "--listen", address]).await;
        assert_eq!(ended.status, 2, "{ended:?}");
        assert_eq!(ended.out, "");
        assert!(ended.err.contains("everybody gets a token"), "{ended:?}");
        assert!(ended.err.contains("--open-to-anybody"), "{ended:?}");
    }
}

#[tokio::test]
async fn listens_for_other_machines_when_that_is_meant() {
    let program = Program::start(&["serve", "--in-memory", "--listen", "0.0.0.0:0", "--open-to-anybody"]);
    let mut gateway = Gateway::of(program).await;
    let reach = gateway.program.line().await;
    assert!(reach.contains("Everybody who can reach this address"), "{reach}");
}

#[tokio::test]
async fn says_that_an_address_is_taken() {
    let gateway = Gateway::start().await;
    let ended = run(&["serve", "--in-memory", "--listen", gateway.address()]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("cannot listen on"), "{ended:?}");
}

#[tokio::test]
async fn explains_an_address_or_a_log_filter_that_is_none() {
    let ended = run(&["serve", "--listen", "localhost"]).await;
    assert_eq!(ended.status, 2);
    assert!(ended.err.contains("ADDRESS:PORT"), "{ended:?}");
    let ended = run(&["serve", "--listen", "127.0.0.1:0", "--log", "a=b=c"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
}

#[tokio::test]
async fn ends_in_order_on_sigterm_and_on_ctrl_c() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let gateway = Gateway::start().await;
        let mut follower = gateway.start_command(&["sub", "news"]);
        follower.complains("following news").await;
        gateway.program.signal(signal);
        let ended = gateway.program.ended().await;
        assert_eq!(ended.status, 0, "{ended:?}");
        follower.complains("connection lost: the server closed the connection: 1012").await;
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut gateway = Gateway::start().await;
    // A peer that never answers the close holds the end up.
    let mut peer = TcpStream::connect(gateway.address()).await.unwrap();
    let upgrade = "GET /sockets/websocket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    peer.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    peer.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");

    gateway.program.signal(Signal::SIGTERM);
    gateway.program.complains("ending").await;
    gateway.program.signal(Signal::SIGTERM);
    let ended = gateway.program.ended().await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("ended at once"), "{ended:?}");
}

#[tokio::test]
async fn logs_json_lines_when_nobody_watches() {
    let gateway =
        Gateway::of(Program::start(&["serve", "--in-memory", "--listen", "127.0.0.1:0", "--log", "debug"]))
            .await;
    gateway.run(&["call", "time"]).await;
    gateway.program.signal(Signal::SIGTERM);
    let logged = gateway.program.ended().await.err;
    assert!(logged.contains(r#""message":"connected""#), "{logged}");
    for line in logged.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
}

#[tokio::test]
async fn only_the_named_origins_may_ask_for_tokens() {
    let program = Program::start(&[
        "serve",
        "--in-memory",
        "--listen",
        "127.0.0.1:0",
        "--allow-origin",
        "http://localhost:3000",
    ]);
    let gateway = Gateway::of(program).await;
    for (origin, allowed) in [("http://localhost:3000", true), ("http://other.test", false)] {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        let request = format!(
            "GET /socket/token HTTP/1.1\r\nhost: test\r\norigin: {origin}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.contains("access-control-allow-origin"), allowed, "{answer}");
    }
}

#[tokio::test]
async fn a_half_sent_request_does_not_hold_up_the_end() {
    let gateway = Gateway::start().await;
    let mut peer = TcpStream::connect(gateway.address()).await.unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    gateway.run(&["call", "time"]).await;
    let asked = Instant::now();
    gateway.program.signal(Signal::SIGTERM);
    let ended = gateway.program.ended().await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_clients_mistake_is_no_error_of_ours() {
    let gateway = Gateway::start().await;
    let mut peer = TcpStream::connect(gateway.address()).await.unwrap();
    peer.write_all(b"garbage\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    gateway.program.signal(Signal::SIGTERM);
    let logged = gateway.program.ended().await.err;
    assert!(!logged.contains("ERROR") && !logged.contains("WARN"), "{logged}");
}

#[tokio::test]
async fn an_engines_address_that_is_mistyped_is_not_repeated_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    for mistyped in ["redis//:54321@host", ":54321@redis://host", "redis://:54321@host:x"] {
        let given = Program::start_in(folder.path(), &[], &[&serve[..], &["--broker", mistyped]].concat());
        let set = Program::start_in(folder.path(), &[("BROKER_URL", mistyped)], &serve);
        for (program, name) in [(given, "--broker"), (set, "BROKER_URL")] {
            let ended = program.ended().await;
            assert_eq!(ended.status, 2, "{ended:?}");
            assert!(ended.err.contains(name) && ended.err.contains("redis://host:6379"), "{ended:?}");
            assert!(!ended.err.contains("54321") && !ended.out.contains("54321"), "{ended:?}");
        }
    }
}

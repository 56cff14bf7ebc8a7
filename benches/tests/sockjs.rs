//! SockJS sessions of the load generator: with our own server, and with servers
//! that do not behave.
#![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use tokensocket_benches::{
    BenchError, Options, Report, SockjsEcho, SockjsIdle, Target, Transport, Workload, run,
};
use tokensocket_server::{Identity, Server, SockJsOptions, SockJsSocket};

const SHORT: Options = Options { measure: Duration::from_millis(300), warm_up: Duration::from_millis(50) };

const TRANSPORTS: [Transport; 6] = [
    Transport::Websocket,
    Transport::XhrStreaming,
    Transport::Eventsource,
    Transport::Htmlfile,
    Transport::XhrPolling,
    Transport::JsonpPolling,
];

const OPEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no\n";
const FIRST: &str = r#"a["{\"id\":100000000016,\"data\":\"\"}"]"#;
const SECOND: &str = r#"a["{\"id\":100000000017,\"data\":\"\"}"]"#;

/// Our own server with an echo service, on a thread of its own; it ends with the
/// tests.
fn our_server(options: SockJsOptions) -> Target {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = async |mut socket: SockJsSocket| {
        while let Some(message) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::builder()
                .authenticate(async |_| Ok(Identity::new(())))
                .sockjs_with("/plain/echo", options, echo)
                .build()
                .unwrap();
            server.serve(tokio::net::TcpListener::from_std(listener).unwrap()).await.unwrap();
        });
    });
    target(port)
}

fn target(port: u16) -> Target {
    Target::new(&format!("http://127.0.0.1:{port}")).unwrap().echo_path("/plain/echo")
}

/// A server that answers what sends with 204, and what receives with `answers`
/// in turn, on each connection; then it says nothing, or ends the connection.
fn canned(answers: &[&str], then_ends: bool) -> Target {
    let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answers = answers.clone();
            thread::spawn(move || speak(stream.unwrap(), answers, then_ends));
        }
    });
    target(port)
}

fn speak(mut stream: TcpStream, answers: Vec<String>, then_ends: bool) {
    let mut answers = answers.into_iter().peekable();
    let mut request = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut request) {
        let sends = request[..length].windows(9).any(|part| part == b"/xhr_send");
        let answer = if sends { Some("HTTP/1.1 204 No Content\r\n\r\n".into()) } else { answers.next() };
        let failed = answer.is_some_and(|answer| stream.write_all(answer.as_bytes()).is_err());
        if failed || (then_ends && answers.peek().is_none()) {
            return;
        }
    }
}

/// An answer with `frame` on its line.
fn poll(frame: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{frame}\n", frame.len() + 1)
}

fn echo_on(transport: Transport, target: &Target) -> Result<Report, BenchError> {
    let echo = SockjsEcho { sessions: 3, in_flight: 5, payload: 0, ..SockjsEcho::on(transport) };
    run(target, &Workload::SockjsEcho(echo), &SHORT)
}

#[test]
fn counts_messages_on_every_transport() {
    let server = our_server(SockJsOptions::new());
    for transport in TRANSPORTS {
        let report = echo_on(transport, &server).unwrap();
        assert!(report.window.unwrap().count > 0, "{transport:?}");
        assert!(report.latency.unwrap().p50 > 0, "{transport:?}");
    }
}

#[test]
fn counts_on_when_answers_end_and_are_asked_for_again() {
    let server = our_server(SockJsOptions::new().response_limit(600));
    for transport in [Transport::XhrStreaming, Transport::Eventsource, Transport::Htmlfile] {
        let report = echo_on(transport, &server).unwrap();
        // Many times more than one answer takes.
        assert!(report.window.unwrap().count > 100, "{transport:?}");
    }
}

#[test]
fn measures_the_memory_of_sessions_that_poll() {
    let server = our_server(SockJsOptions::new()).server(std::process::id());
    let idle = SockjsIdle { transport: Transport::XhrPolling, sessions: 5 };
    let report = run(&server, &Workload::SockjsIdle(idle), &SHORT);
    if cfg!(target_os = "linux") {
        assert_eq!(report.unwrap().memory.unwrap().sockets, 5);
    }
}

#[test]
fn memory_needs_to_know_the_server() {
    let idle = SockjsIdle { transport: Transport::Websocket, sessions: 1 };
    let error = run(&canned(&[], false), &Workload::SockjsIdle(idle), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::NoProcess), "{error}");
}

#[test]
fn a_transport_that_is_not_offered_is_named_with_its_status() {
    let server = canned(&["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], false);
    let error = echo_on(Transport::Htmlfile, &server).unwrap_err();
    assert!(matches!(error, BenchError::Status { status: 404, .. }), "{error}");
    assert!(error.to_string().contains("htmlfile"), "{error}");
}

#[test]
fn a_session_that_begins_again_ends_the_run() {
    let server = canned(&[OPEN, OPEN], false);
    for transport in [Transport::XhrPolling, Transport::XhrStreaming] {
        let error = echo_on(transport, &server).unwrap_err();
        assert!(matches!(error, BenchError::Lost), "{error}");
    }
}

#[test]
fn refuses_to_count_what_is_out_of_order_or_was_not_sent() {
    let error = echo_on(Transport::XhrPolling, &canned(&[OPEN, &poll(SECOND)], false)).unwrap_err();
    assert!(matches!(error, BenchError::Disorder { found: 1, wanted: 0 }), "{error}");
    let error = echo_on(Transport::XhrPolling, &canned(&[OPEN, &poll(FIRST), &poll(FIRST)], false));
    assert!(matches!(error, Err(BenchError::Disorder { found: 0, wanted: 1 })), "{error:?}");
    let error = echo_on(Transport::XhrPolling, &canned(&[OPEN, &poll(r#"a["x"]"#)], false)).unwrap_err();
    assert!(matches!(error, BenchError::Foreign(_)), "{error}");
    let early = format!("HTTP/1.1 200 OK\r\n\r\n{FIRST}\no\n");
    let error = echo_on(Transport::XhrStreaming, &canned(&[&early], false)).unwrap_err();
    assert!(matches!(error, BenchError::Unasked), "{error}");
}

#[test]
fn a_session_that_the_server_closes_ends_the_run() {
    let server = canned(&["HTTP/1.1 200 OK\r\n\r\nc[3000,\"Go away!\"]\n"], false);
    let error = echo_on(Transport::XhrStreaming, &server).unwrap_err();
    assert!(error.to_string().contains("Go away!"), "{error}");
}

#[test]
fn an_answer_that_is_cut_off_ends_the_run() {
    let server = canned(&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no\n\r\n"], true);
    let error = echo_on(Transport::XhrStreaming, &server).unwrap_err();
    assert!(matches!(error, BenchError::Closed { .. } | BenchError::Io(_)), "{error}");
    let server = canned(&["HTTP/1.1 200 OK\r\n\r\no\na[\"half"], true);
    let error = echo_on(Transport::XhrStreaming, &server).unwrap_err();
    assert!(matches!(error, BenchError::Closed { .. } | BenchError::Io(_)), "{error}");
}

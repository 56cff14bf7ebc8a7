//! The load generator against servers that behave and servers that do not.
#![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

use std::{
    cell::RefCell,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokensocket_benches::{
    BenchError, Calls, Connect, Deliver, DialectName, FanOut, Idle, Options, Report, Target, Workload, run,
};
use tokensocket_server::{
    Actions, Data, DeliverOptions, Identity, RawJson, RpcError, Server, To, TokenRequest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{LocalSet, spawn_local},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

const SHORT: Options = Options { measure: Duration::from_millis(200), warm_up: Duration::from_millis(50) };

type Followers = Rc<RefCell<Vec<UnboundedSender<Message>>>>;

/// A server of the raw dialect on a thread of its own; it ends with the tests.
fn raw_server() -> Target {
    target(raw_server_with(1, None))
}

/// The same; each follower gets a publication `deliveries` times, and each call
/// as many answers.
fn raw_server_that_repeats(deliveries: usize) -> Target {
    target(raw_server_with(deliveries, None))
}

/// The same through TLS, with a certificate that nobody has signed.
fn raw_server_through_tls() -> Target {
    let certified = rcgen::generate_simple_self_signed(["elsewhere.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    let port = raw_server_with(1, Some(Arc::new(config).into()));
    Target::new(&format!("https://127.0.0.1:{port}")).unwrap().dialect(DialectName::Raw)
}

fn raw_server_with(deliveries: usize, tls: Option<TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let followers = Followers::default();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let followers = Rc::clone(&followers);
                match tls.clone() {
                    None => spawn_local(speak_raw(stream, deliveries, followers)),
                    Some(tls) => spawn_local(async move {
                        speak_raw(tls.accept(stream).await.unwrap(), deliveries, followers).await;
                    }),
                };
            }
        });
    });
    port
}

async fn speak_raw<S>(stream: S, deliveries: usize, followers: Followers)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut sink, mut stream) = accept_async(stream).await.unwrap().split();
    let (queue, mut queued) = unbounded_channel();
    spawn_local(async move {
        while let Some(message) = queued.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
    });
    while let Some(Ok(message)) = stream.next().await {
        match message.to_text().ok().and_then(|text| text.chars().next()) {
            Some('e') => (0..deliveries).for_each(|_| queue.send(message.clone()).unwrap()),
            Some('s') => {
                followers.borrow_mut().push(queue.clone());
                queue.send(message).unwrap();
            }
            Some('p') => followers
                .borrow_mut()
                .retain(|follower| (0..deliveries).all(|_| follower.send(message.clone()).is_ok())),
            _ => {}
        }
    }
}

#[derive(Deserialize)]
struct Wish {
    user: String,
    event: String,
    args: RawJson,
}

/// A server whose action `deliver` delivers `times` times; it ends with the tests.
fn server_that_delivers(times: usize) -> Target {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let deliver = move |Data(Wish { user, event, args }): Data<Wish>, server: Server| async move {
        for _ in 0..times {
            let to = To::user(user.as_str());
            let delivered = server.deliver(to, &event, &args, DeliverOptions::new()).await;
            assert_eq!(delivered.map_err(|error| RpcError::new(error.to_string()))?.devices, 1);
        }
        Ok::<_, RpcError>(())
    };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let server = Server::builder()
                .authenticate(|request: TokenRequest| async move {
                    let identity = Identity::new(());
                    Ok(match request.query("user") {
                        Some(user) => identity.user(user),
                        None => identity,
                    })
                })
                .actions(Actions::new().action("deliver", deliver))
                .build()
                .unwrap();
            server.serve(listener).await.unwrap();
        });
    });
    plain(port)
}

/// The server of the raw dialect on `port`.
fn target(port: u16) -> Target {
    plain(port).dialect(DialectName::Raw)
}

fn plain(port: u16) -> Target {
    Target::new(&format!("http://127.0.0.1:{port}")).unwrap()
}

/// A server that reads a request and answers every connection with `answer`.
fn canned(answer: &'static str) -> Target {
    plain(canned_port(answer))
}

fn canned_port(answer: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

fn counted(report: &Report) -> u64 {
    report.window.as_ref().unwrap().count
}

#[test]
fn counts_calls_and_their_latency() {
    let calls = Calls { sockets: 3, in_flight: 5, payload: 64 };
    let report = run(&raw_server(), &Workload::Calls(calls), &SHORT).unwrap();
    assert!(counted(&report) > 0);
    assert!(report.latency.unwrap().p50 > 0);
    assert_eq!(report.window.unwrap().server_cpu_seconds, None);
}

#[test]
fn counts_deliveries_one_at_a_time_in_flight_and_at_a_rate() {
    let server = raw_server();
    let fan_out = FanOut { subscribers: 7, ..FanOut::default() };
    for fan_out in [
        FanOut { in_flight: 1, ..fan_out.clone() },
        FanOut { in_flight: 32, ..fan_out.clone() },
        FanOut { rate: Some(500.0), ..fan_out },
    ] {
        let report = run(&server, &Workload::FanOut(fan_out), &SHORT).unwrap();
        assert!(counted(&report) > 0);
        assert!(report.latency.is_some());
    }
}

#[test]
fn counts_deliveries_that_devices_have_and_acknowledge() {
    let deliver = Deliver { devices: 5, callers: 2, payload: 64 };
    let report = run(&server_that_delivers(1), &Workload::Deliver(deliver), &SHORT).unwrap();
    assert!(counted(&report) > 10, "{report}");
    assert!(report.latency.is_some());
}

#[test]
fn counts_connects_that_close_cleanly() {
    let connect = Connect { clients: 2, payload: 64 };
    let report = run(&raw_server(), &Workload::Connect(connect), &SHORT).unwrap();
    assert!(counted(&report) > 0);
}

#[test]
fn counts_the_same_through_tls_and_verifies_no_certificate() {
    let server = raw_server_through_tls();
    let workloads = [
        Workload::Calls(Calls { sockets: 3, in_flight: 5, payload: 64 }),
        // More than fits into one record, and into what the system takes at once.
        Workload::Calls(Calls { sockets: 2, in_flight: 4, payload: 300_000 }),
        Workload::FanOut(FanOut { subscribers: 7, in_flight: 32, ..FanOut::default() }),
        Workload::Connect(Connect { clients: 2, payload: 64 }),
    ];
    for workload in workloads {
        let options = Options { measure: Duration::from_millis(500), ..SHORT };
        let report = run(&server, &workload, &options).unwrap();
        assert!(counted(&report) > 0, "{workload:?}");
    }
}

#[test]
fn a_server_without_tls_is_no_server_with_it() {
    let port = canned_port("HTTP/1.1 400 Bad Request\r\n\r\n");
    let secure = Target::new(&format!("https://127.0.0.1:{port}")).unwrap();
    let error = run(&secure, &Workload::Calls(Calls::default()), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::Io(_)), "{error}");
}

#[test]
fn memory_needs_to_know_the_server() {
    let error = run(&raw_server(), &Workload::Memory(Idle::default()), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::NoProcess), "{error}");
}

#[test]
fn refuses_to_count_what_came_twice() {
    let server = raw_server_that_repeats(2);
    let calls = Calls { sockets: 1, in_flight: 4, payload: 64 };
    let error = run(&server, &Workload::Calls(calls), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::Unasked), "{error}");
    for in_flight in [1, 32] {
        let fan_out = FanOut { subscribers: 3, in_flight, ..FanOut::default() };
        let error = run(&server, &Workload::FanOut(fan_out), &SHORT).unwrap_err();
        assert!(matches!(error, BenchError::Unsent), "{error}");
    }
}

#[test]
fn refuses_to_count_what_was_delivered_twice() {
    let deliver = Deliver { devices: 1, callers: 1, payload: 64 };
    let error = run(&server_that_delivers(2), &Workload::Deliver(deliver), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::Unsent), "{error}");
}

#[test]
fn nothing_to_do_is_an_error() {
    let calls = Calls { sockets: 0, ..Calls::default() };
    let error = run(&raw_server(), &Workload::Calls(calls), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::Zero(_)), "{error}");
}

#[test]
fn a_refused_token_is_named_with_its_path() {
    let server = canned("HTTP/1.1 403 Forbidden\r\n\r\n{\"error\":\"Forbidden\"}");
    let error = run(&server, &Workload::Calls(Calls::default()), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::Token { status: 403, .. }), "{error}");
}

#[test]
fn a_refused_upgrade_is_named_with_its_status() {
    let server = canned("HTTP/1.1 404 Not Found\r\n\r\n").dialect(DialectName::Raw);
    let error = run(&server, &Workload::Calls(Calls::default()), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::Upgrade { status: 404, .. }), "{error}");
}

#[test]
fn a_server_that_hangs_up_ends_the_run() {
    let server = canned("HTTP/1.1 101 Switching Protocols\r\n\r\n").dialect(DialectName::Raw);
    let error = run(&server, &Workload::Calls(Calls::default()), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::Closed { .. } | BenchError::Io(_)), "{error}");
}

#[test]
fn a_protocol_error_of_the_server_ends_the_run() {
    // The first part of a message in parts.
    let server = canned("HTTP/1.1 101 Switching Protocols\r\n\r\n\u{1}\u{1}x").dialect(DialectName::Raw);
    let error = run(&server, &Workload::Calls(Calls::default()), &SHORT).unwrap_err();
    assert!(matches!(error, BenchError::Frame(_)), "{error}");
}

//! Socket.IO clients on a WebSocket, packet by packet: namespaces, identities, events, deliveries.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it does not expect")]

use std::time::Duration;

use serde_json::json;
use tokensocket_server::socketio::{EventArgs, NamespaceOptions, Refusal, SocketIoOptions};
use tokensocket_server::{
    CallError, Close, DeliverOptions, Identity, QueueLimits, RpcError, Server, Socket, To,
};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::builder;
use tokensocket_tests::packets::{Came, Packets, serve};
use tokensocket_tests::wire::{Client, Framing};
use tokio::sync::mpsc;

const BOTH: [u8; 2] = [3, 4];

async fn plain() -> tokensocket_tests::node::Node {
    serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await.0
}

fn only_socket(server: &Server) -> Socket {
    let sockets = server.sockets();
    assert_eq!(sockets.len(), 1);
    sockets.into_iter().next().expect("there is one")
}

#[tokio::test]
async fn tells_the_terms_and_joins_by_the_query_of_the_namespace_or_of_the_handshake() {
    let node = plain().await;
    for protocol in BOTH {
        let mut client = Packets::begin(node.address, protocol, "&token=ann").await;
        let open = client.text().await;
        let open: serde_json::Value = serde_json::from_str(&open[1..]).expect("JSON");
        assert_eq!(open["upgrades"], json!([]));
        assert_eq!(open["pingInterval"], 25_000);
        assert_eq!(open["pingTimeout"], 20_000);
        assert_eq!(open.get("maxPayload").is_some(), protocol == 4);
        drop(client);
        let joined = Packets::join(node.address, protocol, "/n", "token=bob&deviceId=d").await;
        let identity = only_socket(&node.server).identity().clone();
        assert_eq!(identity.user_id().map(|id| &**id), Some("bob"));
        drop(joined);
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn takes_auth_before_the_query() {
    let node = plain().await;
    let mut client = Packets::open(node.address, 4, "&token=ann").await;
    client.say(r#"40/n,{"token":"zoe"}"#).await;
    assert!(client.text().await.starts_with("40/n,{"));
    assert_eq!(only_socket(&node.server).identity().user_id().map(|id| &**id), Some("zoe"));
}

#[tokio::test]
async fn refuses_in_the_words_of_the_clients_version_and_goes_on() {
    let node = plain().await;
    let mut old = Packets::open(node.address, 3, "").await;
    old.say("40/n?token=bad,").await;
    assert_eq!(old.text().await, r#"44/n,"Authentication failed""#);
    old.say("40/nowhere").await;
    assert_eq!(old.text().await, r#"44/nowhere,"Invalid namespace""#);
    old.say("40/n?token=ann").await;
    assert_eq!(old.text().await, "40/n,");
    let mut new = Packets::open(node.address, 4, "").await;
    new.say(r#"40/n,{"token":"bad"}"#).await;
    assert_eq!(new.text().await, r#"44/n,{"message":"Authentication failed"}"#);
    new.say("40/nowhere,").await;
    assert_eq!(new.text().await, r#"44/nowhere,{"message":"Invalid namespace"}"#);
    new.say(r#"40/n,{"token":"ann"}"#).await;
    assert!(new.text().await.starts_with("40/n,{"));
}

#[tokio::test]
async fn a_refusal_may_bring_data() {
    let (node, io) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    io.namespace("/strict", NamespaceOptions::new(), &node.server, |_| async {
        Err(Refusal::new("no").data(json!({ "code": 7 })))
    });
    let mut new = Packets::open(node.address, 4, "").await;
    new.say("40/strict,").await;
    assert_eq!(new.text().await, r#"44/strict,{"message":"no","data":{"code":7}}"#);
    let mut old = Packets::open(node.address, 3, "").await;
    old.say("40/strict,").await;
    assert_eq!(old.text().await, r#"44/strict,{"code":7}"#);
}

#[tokio::test]
async fn a_hook_refuses_with_its_own_text() {
    let builder = builder().on_authenticate(|socket: Socket| async move {
        let is_ann = socket.identity().user_id().is_some_and(|id| &**id == "ann");
        if is_ann { Ok(()) } else { Err(RpcError::text("only ann")) }
    });
    let (node, _) = serve(builder, SocketIoOptions::new(), NamespaceOptions::new()).await;
    let mut client = Packets::open(node.address, 4, "&token=bob").await;
    client.say("40/n,").await;
    assert_eq!(client.text().await, r#"44/n,{"message":"only ann"}"#);
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
}

#[tokio::test]
async fn an_event_to_a_namespace_that_was_not_joined_ends_nothing() {
    let node = plain().await;
    for protocol in BOTH {
        let mut client = Packets::join(node.address, protocol, "/n", "token=ann").await;
        client.say(r#"42/other,["x",1]"#).await;
        client.say(r#"43/other,1["x"]"#).await;
        client.say("41/other,").await;
        client.say(r#"42/n,["nobody handles this"]"#).await;
        client.still_there("/n").await;
    }
}

#[tokio::test]
async fn acknowledges_events_with_what_their_handler_returns_as_it_came() {
    let namespace = NamespaceOptions::new()
        .on("none", |_, _| async {})
        .on("several", |_, _| async { (1, "two", json!({ "a": [] })) })
        .on_any(|_, event: String, args: EventArgs| async move { (event, args.len()) });
    let (node, _) = serve(builder(), SocketIoOptions::new(), namespace).await;
    for protocol in BOTH {
        let mut client = Packets::join(node.address, protocol, "/n", "token=ann").await;
        for (event, answer) in [
            (r#"42/n,0["none"]"#, "43/n,0[]"),
            (r#"42/n,7["several",1]"#, r#"43/n,7[1,"two",{"a":[]}]"#),
            (
                r#"42/n,12["echo", 1.0 ,"żółw 🐢",{"b":1, "a":2}]"#,
                r#"43/n,12[1.0 ,"żółw 🐢",{"b":1, "a":2}]"#,
            ),
            (r#"42/n,13["what",1,2]"#, r#"43/n,13["what",2]"#),
        ] {
            client.say(event).await;
            assert_eq!(client.text().await, answer);
        }
        client.say(r#"42/n,["several"]"#).await;
        client.still_there("/n").await;
    }
}

#[tokio::test]
async fn a_handler_that_panics_or_waits_holds_up_nobody() {
    let namespace = NamespaceOptions::new()
        .on("panic", |_, args: EventArgs| async move { assert!(!args.is_empty(), "on purpose") })
        .on("never", |_, _| std::future::pending::<()>());
    let (node, _) = serve(builder(), SocketIoOptions::new(), namespace).await;
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    client.say(r#"42/n,1["panic"]"#).await;
    client.say(r#"42/n,2["never"]"#).await;
    client.still_there("/n").await;
}

#[tokio::test]
async fn carries_bytes_both_ways() {
    let namespace = NamespaceOptions::new().on("give", |socket: Socket, _| async move {
        let args = EventArgs::new().binary(&b"\x00\xff"[..]).json(1).expect("JSON").binary(&b"x"[..]);
        socket.emit_args("given", &args).expect("it is sent");
    });
    let (node, _) = serve(builder(), SocketIoOptions::new(), namespace).await;
    let bytes =
        |protocol, bytes: &[u8]| if protocol == 3 { [b"\x04", bytes].concat() } else { bytes.to_vec() };
    for protocol in BOTH {
        let mut client = Packets::join(node.address, protocol, "/n", "token=ann").await;
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        client.say(&format!(r#"451-/n,5["echo",{placeholder},"a"]"#)).await;
        client.say_bytes(&bytes(protocol, b"\x01\x02")).await;
        assert_eq!(client.text().await, format!(r#"461-/n,5[{placeholder},"a"]"#));
        assert_eq!(client.bytes().await, bytes(protocol, b"\x01\x02"));
        client.say(r#"42/n,["give"]"#).await;
        let other = r#"{"_placeholder":true,"num":1}"#;
        assert_eq!(client.text().await, format!(r#"452-/n,["given",{placeholder},1,{other}]"#));
        assert_eq!(client.bytes().await, bytes(protocol, b"\x00\xff"));
        assert_eq!(client.bytes().await, bytes(protocol, b"x"));
    }
}

#[tokio::test]
async fn asks_its_clients_and_gets_their_answers() {
    let node = plain().await;
    for protocol in BOTH {
        let mut client = Packets::join(node.address, protocol, "/n", "token=ann").await;
        let socket = only_socket(&node.server);
        let asking = tokio::spawn({
            let socket = socket.clone();
            async move { socket.rpc::<String>("name", 1).await.expect("an answer") }
        });
        let (ack, asked) = client.asked("/n").await;
        assert_eq!(asked, r#"["name",1]"#);
        client.say(&format!(r#"{ack}["ann",2]"#)).await;
        assert_eq!(within("the answer", asking).await.expect("it ends"), "ann");
        let asking = tokio::spawn({
            let socket = socket.clone();
            async move { socket.emit_with_ack("bytes", EventArgs::new()).await.expect("an answer") }
        });
        let (ack, asked) = client.asked("/n").await;
        assert_eq!(asked, r#"["bytes"]"#);
        let ack = ack.replace("43/n", "461-/n");
        client.say(&format!(r#"{ack}[1,{{"_placeholder":true,"num":0}}]"#)).await;
        client.say_bytes(if protocol == 3 { b"\x04xyz" } else { b"xyz" }).await;
        let answer = within("the answer", asking).await.expect("it ends");
        assert_eq!(answer.get::<i32>(0).ok(), Some(1));
        assert_eq!(answer.bytes(1).as_deref(), Some(&b"xyz"[..]));
        let late = socket.emit_with_ack("never", EventArgs::new()).timeout(Duration::from_millis(10)).await;
        assert!(matches!(late, Err(CallError::Timeout)));
        let (ack, asked) = client.asked("/n").await;
        assert_eq!(asked, r#"["never"]"#);
        client.say(&format!("{ack}[]")).await;
        client.still_there("/n").await;
        drop(client);
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
        assert!(matches!(socket.rpc::<()>("x", ()).await, Err(CallError::Closed)));
    }
}

#[tokio::test]
async fn delivers_with_an_acknowledgement_and_keeps_what_was_not_acknowledged() {
    let node = plain().await;
    for protocol in BOTH {
        let to = || To::room(format!("staff{protocol}"));
        let who = format!("token=ann{protocol}&deviceId=d&rooms=staff{protocol}");
        let mut client = Packets::join(node.address, protocol, "/n", &who).await;
        let deliver = |event: &'static str, args| {
            let server = node.server.clone();
            async move {
                server.deliver(to(), event, args, DeliverOptions::new()).await.expect("it is kept").devices
            }
        };
        assert_eq!(deliver("a", json!([1, { "x": "ż" }])).await, 1);
        let (ack, delivered) = client.asked("/n").await;
        assert_eq!(delivered, r#"["a",1,{"x":"ż"}]"#);
        assert_eq!(deliver("b", json!([])).await, 1);
        let (late, delivered) = client.asked("/n").await;
        assert_eq!(delivered, r#"["b"]"#);
        client.say(&format!("{ack}[]")).await;
        client.still_there("/n").await;
        drop(client);
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
        assert_eq!(deliver("a", json!([2])).await, 1);
        let mut again = Packets::join(node.address, protocol, "/n", &who).await;
        let (batch, delivered) = again.asked("/n").await;
        assert_eq!(delivered, r#"["_batch",[["b"],["a",2]]]"#);
        assert_eq!(deliver("a", json!([3])).await, 1);
        let (third, delivered) = again.asked("/n").await;
        assert_eq!(delivered, r#"["a",3]"#);
        // One that is late is of another connection, where numbers had another meaning.
        again.say(&format!("{late}[]")).await;
        again.say(&format!("{batch}[]")).await;
        again.say(&format!("{third}[]")).await;
        again.still_there("/n").await;
        drop(again);
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
        let mut last = Packets::join(node.address, protocol, "/n", &who).await;
        last.still_there("/n").await;
        drop(last);
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn a_resync_has_no_arguments_and_is_told_until_the_client_is_known_to_have_it() {
    let store =
        tokensocket_server::MemoryDeviceStore::new(QueueLimits { count: 2, ..QueueLimits::default() });
    let options = || SocketIoOptions::new().ping_interval(Duration::from_millis(50));
    let (node, _) = serve(builder().device_store(store), options(), NamespaceOptions::new()).await;
    let who = "token=ann&deviceId=d";
    let client = Packets::join(node.address, 4, "/n", who).await;
    drop(client);
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
    for _ in 0..3 {
        let delivering = node.server.deliver(To::user("ann"), "a", (), DeliverOptions::new());
        delivering.await.expect("it is kept");
    }
    // It does not say that it has it.
    let mut deaf = Packets::join(node.address, 4, "/n", who).await;
    assert_eq!(deaf.text().await, r#"42/n,["_resync"]"#);
    drop(deaf);
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
    let mut client = Packets::join(node.address, 4, "/n", who).await;
    assert_eq!(client.text().await, r#"42/n,["_resync"]"#);
    assert_eq!(client.text().await, "2");
    client.say("3").await;
    client.still_there_between_pings().await;
    drop(client);
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
    let mut again = Packets::join(node.address, 4, "/n", who).await;
    assert_eq!(again.text().await, "2", "it was told");
}

#[tokio::test]
async fn a_token_is_good_once_and_another_ends_the_connection_soon() {
    let node = plain().await;
    for protocol in BOTH {
        let token = node.token().await;
        let query = format!("&token={token}");
        let mut first = Packets::open(node.address, protocol, &query).await;
        if protocol == 4 {
            first.say("40").await;
            assert!(first.text().await.starts_with("40{"));
        }
        until("the token to be redeemed", || node.server.sockets().iter().any(Socket::is_authenticated))
            .await;
        // Before it is refused: the test may hear of that late.
        let begun = std::time::Instant::now();
        let mut second = Packets::open(node.address, protocol, &query).await;
        if protocol == 4 {
            second.say("40").await;
            assert_eq!(second.text().await, r#"44{"message":"INVALID_TOKEN"}"#);
        } else {
            assert_eq!(second.text().await, r#"44"INVALID_TOKEN""#);
        }
        assert_eq!(second.next().await, Came::End);
        assert!(begun.elapsed() >= Duration::from_millis(20), "{:?}", begun.elapsed());
        drop(first);
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn an_old_client_of_another_namespace_hears_nothing_of_the_root() {
    let node = plain().await;
    let mut client = Packets::join(node.address, 3, "/n", "token=ann").await;
    client.is_quiet().await;
    client.is_quiet().await;
    client.still_there("/n").await;
}

#[tokio::test]
async fn an_emit_reaches_clients_of_both_wires() {
    let node = plain().await;
    let mut old = Packets::join(node.address, 3, "/n", "token=ann").await;
    let mut new = Packets::join(node.address, 4, "/n", "token=bob").await;
    let mut native = Client::ready(&node, Framing::Raw).await;
    node.server.emit_to_everyone("news", json!({ "n": 1 })).await.expect("it is sent");
    assert_eq!(old.text().await, r#"42/n,["news",{"n":1}]"#);
    assert_eq!(new.text().await, r#"42/n,["news",{"n":1}]"#);
    native.expect(json!({ "channel": "news", "message": json!({ "n": 1 }) })).await;
    node.server.emit_to_users(["ann"], "only", json!([1, 2])).await.expect("it is sent");
    assert_eq!(old.text().await, r#"42/n,["only",[1,2]]"#);
    new.is_quiet().await;
}

#[tokio::test]
async fn a_socket_follows_channels_like_any_other() {
    let node = plain().await;
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    only_socket(&node.server).subscribe("news").await.expect("it follows");
    let mut native = Client::ready(&node, Framing::Raw).await;
    native.subscribe("news").await;
    node.server.publish("news", "hello").await.expect("it is published");
    assert_eq!(client.text().await, r#"42/n,["news","hello"]"#);
    native.expect(json!({ "channel": "news", "message": json!("hello") })).await;
    node.server.broadcast(json!({ "all": true })).await.expect("it is published");
    assert_eq!(client.text().await, r#"42/n,["news",{"all":true}]"#);
}

#[tokio::test]
async fn leaves_a_namespace_and_tells_the_hooks_why() {
    let (told, mut reasons) = mpsc::unbounded_channel();
    let builder = builder().on_disconnect(move |socket: Socket, close: Close| {
        let _ = told.send((socket.identity().user_id().map(std::string::ToString::to_string), close.code));
        async {}
    });
    let (node, _) = serve(builder, SocketIoOptions::new(), NamespaceOptions::new()).await;
    let mut reason = async || within("the hook", reasons.recv()).await.expect("it is told");
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    client.say("41/n,").await;
    assert_eq!(reason().await, (Some("ann".to_owned()), 1000));
    client.say("40/n,").await;
    assert!(client.text().await.starts_with("40/n,{"), "it may come again");
    let _settings = client.text().await;
    node.server.disconnect_users(["ann"]).await.expect("it is sent");
    assert_eq!(client.text().await, "41/n,");
    assert_eq!(reason().await, (Some("ann".to_owned()), 1000));
    let client = Packets::join(node.address, 3, "/n", "token=bob").await;
    drop(client);
    assert_eq!(reason().await, (Some("bob".to_owned()), 1001));
}

#[tokio::test]
async fn a_namespace_can_be_replaced_and_removed_while_others_stay() {
    let (node, io) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    io.namespace("/n", NamespaceOptions::new(), &node.server, |_| async {
        Err::<Identity, _>(Refusal::new("new"))
    });
    let mut other = Packets::open(node.address, 4, "&token=bob").await;
    other.say("40/n,").await;
    assert_eq!(other.text().await, r#"44/n,{"message":"new"}"#);
    assert!(io.remove("/n"));
    other.say("40/n,").await;
    assert_eq!(other.text().await, r#"44/n,{"message":"Invalid namespace"}"#);
    client.still_there("/n").await;
}

#[tokio::test]
async fn namespaces_of_several_servers_share_a_connection_and_end_apart() {
    let (node, io) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    let site = Server::builder().authenticate_anyone().build().expect("a server");
    io.namespace("/site", NamespaceOptions::new(), &site, |_| async { Ok(Identity::new(()).user("ann")) });
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    client.say("40/site,").await;
    assert!(client.text().await.starts_with("40/site,{"));
    assert_eq!(client.text().await, r#"42/site,["_settings",{"device_ttl":3600}]"#);
    site.emit_to_everyone("hello", 1).await.expect("it is sent");
    assert_eq!(client.text().await, r#"42/site,["hello",1]"#);
    within("the site's end", site.shutdown()).await;
    assert_eq!(client.text().await, "41/site,");
    client.say("40/site,").await;
    assert_eq!(client.text().await, r#"44/site,{"message":"the server is shutting down"}"#);
    client.still_there("/n").await;
}

#[tokio::test]
async fn a_server_that_ends_has_its_clients_come_back() {
    let node = plain().await;
    let mut clients = Vec::new();
    for protocol in BOTH {
        clients.push(Packets::join(node.address, protocol, "/n", "token=ann").await);
    }
    let ending = tokio::spawn({
        let server = node.server.clone();
        async move { server.shutdown().await }
    });
    for mut client in clients {
        assert_eq!(client.next().await, Came::End, "a client that is told to leave does not come back");
    }
    within("the server's end", ending).await.expect("it ends");
}

#[tokio::test]
async fn volatile_events_are_sent_while_nothing_waits() {
    let node = plain().await;
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    let socket = only_socket(&node.server);
    assert!(socket.emit_volatile("now", 1).expect("it is sent"));
    assert_eq!(client.text().await, r#"42/n,["now",1]"#);
}

#[tokio::test]
async fn volatile_events_are_dropped_while_something_waits() {
    let node = plain().await;
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    let socket = only_socket(&node.server);
    socket.emit("large", "x".repeat(1 << 20)).expect("it is queued");
    assert!(!socket.emit_volatile("now", 1).expect("it is an event"));
    socket.emit("later", 2).expect("it is queued");
    assert!(client.text().await.starts_with(r#"42/n,["large","#));
    assert_eq!(client.text().await, r#"42/n,["later",2]"#);
}

#[tokio::test]
async fn serves_the_files_of_its_client_or_says_why_not() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("socket.io.js"), "/* the client */").expect("a file");
    let options = SocketIoOptions::new().client_files(folder.path());
    let (node, _) = serve(builder(), options, NamespaceOptions::new()).await;
    let get = async |path: &str| tokensocket_tests::http::get(node.address, path).await;
    let file = get("/socket.io/socket.io.js").await;
    assert_eq!((file.status, &*file.body), (200.try_into().expect("a status"), "/* the client */"));
    assert_eq!(file.header("content-type"), "text/javascript; charset=UTF-8");
    assert_eq!(get("/socket.io/socket.io.min.js").await.status, 404);
    assert_eq!(get("/socket.io/other.js").await.status, 404);
    let without = plain().await;
    let missing = tokensocket_tests::http::get(without.address, "/socket.io/socket.io.js").await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("socket.io-client"), "{}", missing.body);
}

#[tokio::test]
async fn events_with_names_of_socket_io_itself_do_not_end_new_clients() {
    let node = plain().await;
    let mut old = Packets::join(node.address, 3, "/n", "token=ann&deviceId=o").await;
    let mut new = Packets::join(node.address, 4, "/n", "token=ann&deviceId=n").await;
    let deliver = |event| node.server.deliver(To::user("ann"), event, (), DeliverOptions::new());
    deliver("disconnect").await.expect("it is kept");
    deliver("fine").await.expect("it is kept");
    assert_eq!(old.asked("/n").await.1, r#"["disconnect"]"#);
    assert_eq!(new.asked("/n").await.1, r#"["fine"]"#);
}

#[tokio::test]
async fn a_server_that_is_being_replaced_refuses_nobody_for_good() {
    let (node, io) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    let site = Server::builder().authenticate_anyone().build().expect("a server");
    io.namespace("/site", NamespaceOptions::new(), &site, |_| async { Ok(Identity::new(())) });
    within("the site's end", site.shutdown()).await;
    for protocol in BOTH {
        let mut client = Packets::open(node.address, protocol, "").await;
        client.say("40/site,").await;
        assert_eq!(client.next().await, Came::End, "a client that is refused does not come back");
    }
}

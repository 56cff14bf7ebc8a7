//! What is listed: in pages, and in lines.

use serde_json::{Value, json};

use super::{Gateway, http::Answer, ready, soon};

async fn in_lines(gateway: &Gateway, target: &str) -> Answer {
    let request = gateway.get(&format!("/api/v1/{target}")).bearer("54321");
    request.header("accept", "application/x-ndjson").send().await
}

/// Every page of a list.
async fn pages(gateway: &Gateway, target: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let page = gateway.ask(&format!("{target}{after}")).await.json();
        pages.push(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn reads_histories_in_pages_and_in_lines() {
    let gateway = Gateway::start().await;
    let mut epoch = String::new();
    for n in 1..=250 {
        let published =
            gateway.command("publish", &json!({ "channel": "kept.c", "data": { "n": n } })).await.json();
        epoch = published["position"]["epoch"].as_str().unwrap().to_owned();
    }
    let first = gateway.ask("history?channel=kept.c").await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 100);
    assert_eq!((&first["more"], &first["gap"]), (&json!(true), &json!(false)));
    assert_eq!(first["position"], json!({ "epoch": epoch, "offset": 250 }));
    assert_eq!((&first["items"][0]["offset"], &first["items"][0]["data"]), (&json!(1), &json!({ "n": 1 })));
    assert!(first["items"][0]["at"].as_u64().unwrap() > 1_600_000_000_000);
    let rest = gateway.ask(&format!("history?channel=kept.c&epoch={epoch}&offset=240&limit=5")).await.json();
    assert_eq!((&rest["items"][0]["offset"], &rest["more"]), (&json!(241), &json!(true)));
    let last = gateway.ask("history?channel=kept.c&reverse=true&limit=1").await.json();
    assert_eq!(last["items"][0]["offset"], 250);

    let lines = in_lines(&gateway, "history?channel=kept.c&site=newsite").await.lines();
    assert_eq!(lines.len(), 251, "all of them, and the end");
    assert_eq!(lines[249]["data"], json!({ "n": 250 }));
    assert_eq!(
        lines[250],
        json!({ "end": { "position": { "epoch": epoch, "offset": 250 }, "gap": false, "more": false } })
    );

    for (target, expected) in [
        ("history?channel=plain", (404, "not-kept")),
        ("history", (400, "bad-request")),
        ("history?channel=", (400, "bad-request")),
        ("history?channel=kept.c&offset=1", (400, "bad-request")),
        ("history?channel=kept.c&limit=x", (400, "bad-request")),
        ("history?channel=kept.c&lmit=1", (400, "bad-request")),
    ] {
        let (status, kind) = gateway.ask(target).await.problem();
        assert_eq!((status, kind.as_str()), expected, "{target}");
    }
}

#[tokio::test]
async fn lists_who_is_there_and_where() {
    let gateway = Gateway::start().await;
    let mut sockets = Vec::new();
    for user in ["ann", "ben", "cid", "ann", "dot"] {
        let socket = gateway.client("newsite", user, "user_x").connect().unwrap();
        ready(&socket).await;
        let kept = soon(socket.subscribe("kept.c")).await.unwrap();
        let own = soon(socket.subscribe(format!("of.{user}"))).await.unwrap();
        sockets.push((socket, kept, own));
    }
    let presence = gateway.ask("presence?channel=kept.c").await.json();
    assert_eq!(
        (&presence["clients"], &presence["users"], &presence["next"]),
        (&json!(5), &json!(4), &Value::Null)
    );
    assert_eq!(presence["items"][0]["user"], "ann");
    assert_eq!(presence["items"][0]["info"], json!({ "name": "ann" }));
    let paged = pages(&gateway, "presence?channel=kept.c&limit=2").await;
    assert_eq!(paged.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    let lines = in_lines(&gateway, "presence?channel=kept.c&site=newsite").await.lines();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[5], json!({ "end": { "clients": 5, "users": 4, "next": null } }));
    assert_eq!(gateway.ask("presence?channel=plain").await.problem(), (404, "not-kept".to_owned()));

    let channels = gateway.ask("channels").await.json();
    let names = |channels: &Value| -> Vec<String> {
        let items = channels["items"].as_array().unwrap().iter();
        items.map(|item| format!("{} {}", item["channel"].as_str().unwrap(), item["sockets"])).collect()
    };
    assert_eq!(names(&channels), ["kept.c 5", "of.ann 2", "of.ben 1", "of.cid 1", "of.dot 1"]);
    assert_eq!(
        names(&gateway.ask("channels?prefix=of.&after=of.ben").await.json()),
        ["of.cid 1", "of.dot 1"]
    );
    assert_eq!(pages(&gateway, "channels?limit=2").await.len(), 3);

    let all = gateway.ask("sockets").await.json();
    let first = &all["items"][0];
    assert_eq!((&first["user"], &first["channels"]), (&json!("ann"), &json!(["kept.c", "of.ann"])));
    assert_eq!((&first["rooms"], &first["authenticated"]), (&json!(["user_x"]), &json!(true)));
    assert!(first["remote_address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(!all.to_string().contains("secret"), "what an identity holds may be secret");
    assert_eq!(pages(&gateway, "sockets?limit=2").await.concat(), *all["items"].as_array().unwrap());
    assert_eq!(gateway.ask("sockets?user=ann").await.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(gateway.ask("sockets?channel=of.cid").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(gateway.ask("sockets?user=ann&channel=of.cid").await.json()["items"], json!([]));
    let lines = in_lines(&gateway, "sockets?site=newsite").await.lines();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[5], json!({ "end": { "next": null, "nodes": { "answered": 1, "asked": 1 } } }));
    let id = first["socket"].as_str().unwrap();
    assert_eq!(gateway.ask(&format!("sockets/{id}")).await.json()["user"], "ann");
    assert_eq!(gateway.ask("sockets/ffffffff").await.problem(), (404, "not-found".to_owned()));

    let status = gateway.ask("status").await.json();
    let site = &status["sites"][0];
    assert_eq!(
        (&site["site"], &site["connections"], &site["users"]),
        (&json!("newsite"), &json!(5), &json!(4))
    );
    assert_eq!(
        (&site["channels"], &site["opened"], &site["closed"], &site["slow"]),
        (&json!(5), &json!(5), &json!(0), &json!(0))
    );
    assert_eq!(status["sites"].as_array().unwrap().len(), 1, "a key opens its site alone");
}

#[tokio::test]
async fn counts_messages_in_and_out() {
    let gateway = Gateway::start().await;
    let mut sockets = Vec::new();
    for user in ["ann", "ben", "cid"] {
        let socket = gateway.client("newsite", user, "").connect().unwrap();
        ready(&socket).await;
        let news = soon(socket.subscribe("news")).await.unwrap();
        sockets.push((socket, news));
    }
    let counts = async || {
        let status = gateway.ask("status").await.json();
        let count = |name: &str| status["sites"][0][name].as_u64().unwrap();
        (count("received"), count("sent"))
    };
    let before = counts().await;
    assert!(before.0 >= 6 && before.1 >= 6, "{before:?}");
    // One message for each who follows.
    for n in 0..10 {
        gateway.command("publish", &json!({ "channel": "news", "data": n })).await.json();
    }
    assert_eq!(counts().await, (before.0, before.1 + 30));
    // A call and its answer.
    let (caller, _) = &sockets[0];
    for _ in 0..5 {
        soon(caller.rpc::<Value>("nothing", &()).into_future()).await.unwrap_err();
    }
    assert_eq!(counts().await, (before.0 + 5, before.1 + 35));
    let status = gateway.ask("status").await.json();
    let site = &status["sites"][0];
    assert_eq!(site["nodes"], json!({ "answered": 1, "asked": 1 }));
    assert_eq!(
        (&site["node_list"][0]["here"], &site["node_list"][0]["connections"]),
        (&json!(true), &json!(3))
    );
    assert_eq!(status.get("broker"), None, "this gateway is alone");
}

#[tokio::test]
async fn counts_deliveries_until_they_are_acknowledged() {
    let gateway = Gateway::start().await;
    let mut device = gateway.device("newsite", "ann", "user_ann", "phone", "e").await;
    for n in 0..3 {
        gateway.command("deliver", &json!({ "users": ["ann", "ben"], "event": "e", "args": n })).await.json();
        device.next().await;
    }
    loop {
        let status = gateway.ask("status").await.json();
        assert_eq!(status["sites"][0]["accepted"], 3);
        if status["sites"][0]["acknowledged"] == 3 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

//! Many commands in one request.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::operations::http_upgrade;
use super::{Gateway, Request, ready, soon};

#[tokio::test]
async fn does_a_thousand_commands_in_their_order() {
    let gateway = Gateway::start().await;
    let mut device = gateway.device("newsite", "ann", "user_ann", "phone", "e").await;
    let mut channel = soon(device.socket.subscribe("kept.c")).await.unwrap();
    let commands: Vec<Value> = (0..500)
        .flat_map(|n| {
            let publish = json!({ "publish": { "channel": "kept.c", "data": n } });
            [publish, json!({ "deliver": { "users": "ann", "event": "e", "args": n } })]
        })
        .collect();
    let body = json!({ "commands": commands });
    let (answer, ()) = tokio::join!(gateway.command("batch", &body), async {
        for n in 0..500 {
            let item = soon(channel.next()).await.unwrap().unwrap();
            assert_eq!(item.parse::<Value>().unwrap(), json!(n));
        }
    });
    let answer = answer.json();
    assert_eq!(answer["commands"], 1000);
    let outcomes = answer["items"].as_array().unwrap();
    assert_eq!(outcomes.len(), 1000);
    for (n, two) in outcomes.chunks(2).enumerate() {
        assert_eq!(
            (&two[0]["status"], &two[0]["answer"]["position"]["offset"]),
            (&json!(200), &json!(n + 1))
        );
        assert_eq!(two[1], json!({ "status": 200, "answer": { "devices": 1, "duplicate": false } }));
    }
    for n in 0..500 {
        assert_eq!(device.next().await, json!([n]));
    }
}

#[tokio::test]
async fn what_it_publishes_goes_out_together() {
    let gateway = Gateway::start().await;
    let token = gateway.command("tokens", &json!({ "user": "ann" })).await.json();
    let mut follower = http_upgrade(&gateway, "newsite").await;
    follower.authenticate(token["token"].as_str().unwrap()).await;
    for channel in ["a", "b"] {
        follower.say(&json!({ "rpc": "_subscribe", "req": { "channel": channel }, "uuid": channel })).await;
        follower.hear().await;
    }
    let channels = ["a", "b"].iter().cycle();
    let commands: Vec<_> = channels
        .zip(0..200)
        .map(|(channel, n)| json!({ "publish": { "channel": channel, "data": n } }))
        .collect();
    for accept in ["application/json", "application/x-ndjson"] {
        let request = gateway.post("/api/v1/batch?site=newsite", &json!({ "commands": commands }));
        let answer = request.bearer("54321").header("accept", accept).send().await;
        assert_eq!(answer.status, 200);
        let mut heard = Vec::new();
        for _ in 0..200 {
            heard.push(follower.hear().await["message"].as_u64().unwrap());
        }
        for channel in 0..2 {
            let of_channel = heard.iter().filter(|n| **n % 2 == channel);
            assert!(
                of_channel.copied().eq((channel..200).step_by(2)),
                "each channel keeps its order: {heard:?}"
            );
        }
        // What is written together is of one channel.
        let pieces = heard.chunk_by(|one, next| one % 2 == next % 2).count();
        assert!(pieces <= 10, "{pieces} pieces: {heard:?}");
    }
}

#[tokio::test]
async fn each_command_fails_by_itself() {
    let gateway = Gateway::start().await;
    let body = json!({ "commands": [
        { "publish": { "channel": "", "data": 1 } },
        { "nothing": {} },
        { "history": { "channel": "kept.c" } },
        { "batch": { "commands": [] } },
        { "deliver": { "users": "a" } },
        { "call": { "user": "nobody", "action": "x" } },
        { "publish": { "channel": "c", "data": 1 } },
    ] });
    let answer = gateway.command("batch", &body).await.json();
    let statuses: Vec<u64> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| outcome["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [400, 404, 404, 404, 400, 404, 200]);
    assert_eq!(answer["items"][0]["problem"]["type"], "urn:tokensocket:problem:bad-request");
    assert_eq!(answer["items"][0]["answer"], Value::Null);
}

#[tokio::test]
async fn answers_line_by_line_and_takes_lines() {
    let gateway = Gateway::start().await;
    let lines = "{\"publish\":{\"channel\":\"kept.c\",\"data\":1}}\n\n{\"publish\":{\"channel\":\"kept.c\",\"data\":2}}\r\n";
    let request = Request::new(gateway.address, "POST", "/api/v1/batch?site=newsite").bearer("54321");
    let request = request.header("accept", "application/x-ndjson").body("application/x-ndjson", lines);
    let answer = request.send().await.lines();
    assert_eq!(answer.len(), 3);
    assert_eq!(answer[1]["answer"]["position"]["offset"], 2);
    assert_eq!(answer[2], json!({ "end": { "commands": 2 } }));
}

#[tokio::test]
async fn is_recognised_when_it_is_sent_again() {
    let gateway = Gateway::start().await;
    let socket = gateway.client("newsite", "ann", "").connect().unwrap();
    ready(&socket).await;
    let publish = json!({ "publish": { "channel": "kept.c", "data": 1 } });
    let body = json!({ "commands": [publish, publish] });
    let send = async || {
        let request = gateway.post("/api/v1/batch?site=newsite", &body).bearer("54321");
        let answer = request.header("idempotency-key", "b").send().await.json();
        [0, 1].map(|at| answer["items"][at]["answer"]["duplicate"].clone())
    };
    assert_eq!(send().await, [false, false], "two commands are two");
    assert_eq!(send().await, [true, true]);
}

#[tokio::test]
async fn is_bounded() {
    let gateway = Gateway::start().await;
    let command = json!({ "publish": { "channel": "c", "data": 1 } });
    for commands in [0, 1001] {
        let body = json!({ "commands": vec![&command; commands] });
        assert_eq!(gateway.command("batch", &body).await.problem(), (400, "bad-request".to_owned()));
    }
    for wrong in [json!({ "commands": [{}] }), json!({ "commands": [{ "a": 1, "b": 2 }] }), json!([command])]
    {
        assert_eq!(gateway.command("batch", &wrong).await.problem().0, 400, "{wrong}");
    }
    let large = Request::new(gateway.address, "POST", "/api/v1/batch?site=newsite").bearer("54321");
    let large = large.header("content-length", &(9 << 20).to_string()).body("application/json", "{");
    assert_eq!(large.send().await.problem(), (413, "too-large".to_owned()));
}

//! `send`, `token`, `sites`, `top`, `healthcheck`: what they ask a gateway, and what they make of its answers.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use warp::http::Method;

use crate::program::{Gateway, Program, run};
use crate::stub::Stub;

const STATUS: &str = r#"{"version":"1.2.3","at":1000,"uptime_seconds":5.5,"sites":[
    {"site":"one","nodes":{"answered":2,"asked":3},"connections":3,"users":2,"queued":7,"sent":10},
    {"site":"two","connections":9}]}"#;
const LATER: &str = r#"{"version":"1.2.3","at":3000,"uptime_seconds":7.5,"sites":[
    {"site":"one","connections":4,"users":2,"queued":7,"sent":30},
    {"site":"two","connections":9}]}"#;

#[tokio::test]
async fn an_event_is_sent_as_the_sites_application_does() {
    let stub = Stub::answering(&[(200, "OK")]).await;
    let send = ["send", "--site", "newsite", "--key", "54321", "--room", "user_1", "--room", "staff"];
    let event = ["update_store", "\"user\"", r#"{"id":1,"age":5}"#];
    let ended = stub.run(&[&send[..], &event[..]].concat()).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.out, "update_store was sent to user_1, staff\n");
    let asked = &stub.asked()[0];
    assert_eq!((&asked.method, asked.path.as_str()), (&Method::POST, "/send?site=newsite&resync=false"));
    assert_eq!(asked.authorization, "Bearer 54321");
    let body = json!({
        "rooms": ["user_1", "staff"], "event": "update_store", "args": ["user", { "id": 1, "age": 5 }]
    });
    assert_eq!(asked.body, body);

    let ended = stub.run(&[&send[..], &["--resync", "--json", "closing"]].concat()).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(said, json!({ "sent": true, "event": "closing", "rooms": ["user_1", "staff"] }));
    assert!(stub.asked()[1].path.ends_with("resync=true"));
}

#[tokio::test]
async fn the_key_may_stand_in_the_environment_and_is_never_printed() {
    let stub = Stub::answering(&[(200, "OK")]).await;
    let folder = tempfile::tempdir().unwrap();
    let variables = [("TOKENSOCKET_SITE", "newsite"), ("TOKENSOCKET_KEY", "54321")];
    let send = ["send", "--room", "staff", "closing", "--url", &stub.url];
    assert_eq!(Program::start_in(folder.path(), &variables, &send).ended().await.status, 0);
    let asked = &stub.asked()[0];
    assert_eq!(asked.authorization, "Bearer 54321");
    assert!(asked.path.contains("site=newsite"), "{asked:?}");
    let help = Program::start_in(folder.path(), &variables, &["send", "--help"]).ended().await;
    assert!(!help.out.contains("54321"), "{help:?}");
}

#[tokio::test]
async fn a_refusal_says_what_the_gateway_said_and_what_to_do() {
    let stub = Stub::answering(&[
        (401, "ApiKey invalid."),
        (404, r#"{"title":"Not Found","detail":"there is no site newsite","status":404}"#),
    ])
    .await;
    let send = ["send", "--site", "newsite", "--key", "1", "--room", "staff", "closing"];
    let ended = stub.run(&send).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("401 Unauthorized: ApiKey invalid."), "{ended:?}");
    assert!(ended.err.contains("TOKENSOCKET_KEY"), "{ended:?}");
    let ended = stub.run(&["sites"]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("there is no site newsite"), "{ended:?}");
}

#[tokio::test]
async fn nobody_there_and_no_gateway_are_told_apart() {
    for command in
        [&["sites"][..], &["nodes"], &["top"], &["healthcheck"], &["send", "--room", "a", "b"], &["token"]]
    {
        let at = |url| run_at(command, url);
        let ended = at("http://127.0.0.1:1").await;
        assert_eq!(ended.status, 3, "{command:?} {ended:?}");
        let ended = at("nonsense").await;
        assert_eq!(ended.status, 2, "{command:?} {ended:?}");
    }
    let stub = Stub::answering(&[(200, "<html>")]).await;
    let ended = stub.run(&["sites"]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("no gateway of this kind"), "{ended:?}");
}

async fn run_at(command: &[&str], url: &str) -> crate::program::Ended {
    run(&[command, &["--url", url]].concat()).await
}

#[tokio::test]
async fn a_token_comes_from_the_api_with_a_key_and_as_a_page_gets_it_without() {
    let stub = Stub::answering(&[(200, r#"{"token":"t1"}"#)]).await;
    let token = ["token", "--site", "newsite", "--user", "ann", "--room", "a", "--room", "b"];
    let ended = stub.run(&[&token[..], &["--key", "54321"]].concat()).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "t1\n"), "{ended:?}");
    let asked = &stub.asked()[0];
    assert_eq!((&asked.method, asked.path.as_str()), (&Method::POST, "/api/v1/tokens?site=newsite"));
    assert_eq!(asked.body, json!({ "user": "ann", "rooms": ["a", "b"] }));
    let ended = stub.run(&token).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    let path = &stub.asked()[1].path;
    assert!(path.starts_with("/newsite/socket/token?") && path.contains("user=ann&rooms=a%2Cb"), "{path}");

    let gateway = Gateway::start().await;
    let ended = gateway.run(&["token", "--user", "ann", "--json"]).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert!(said["token"].as_str().is_some_and(|token| token.len() > 20), "{ended:?}");
}

#[tokio::test]
async fn sites_are_listed_with_what_is_known_of_them() {
    let stub = Stub::answering(&[(200, STATUS)]).await;
    let ended = stub.run(&["sites"]).await;
    let expected =
        "site\tconnections\tusers\tchannels\tqueued\tnodes\none\t3\t2\t-\t7\t2 of 3\ntwo\t9\t-\t-\t-\t-\n";
    assert_eq!((ended.status, ended.out.as_str()), (0, expected), "{ended:?}");
    let ended = stub.run(&["sites", "--json"]).await;
    let sites: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let nodes = json!({ "answered": 2, "asked": 3 });
    let one = json!({
        "site": "one", "nodes": nodes, "connections": 3, "users": 2, "queued": 7, "sent": 10
    });
    assert_eq!(sites[0], one);
    assert_eq!(sites[1], json!({ "site": "two", "connections": 9 }));
}

const NODES: &str = r#"{"version":"1.2.3","at":7261000,"sites":[
    {"site":"one","nodes":{"answered":2,"asked":3},"connections":4218,"node_list":[
        {"id":"4f1c09aa11","name":"web-2","version":"1.2.3","since":1000,"connections":7,"channels":1,"load":0.5,"draining":true},
        {"id":"9be2d7c322","name":"web-1","version":"1.2.4","since":61000,"connections":4211,"channels":310,"load":0.126,"here":true}]},
    {"site":"two","connections":9}]}"#;

#[tokio::test]
async fn nodes_are_listed_below_each_other_with_how_many_answered() {
    let stub = Stub::answering(&[(200, NODES)]).await;
    let ended = stub.run(&["nodes"]).await;
    let expected = "one: 2 of 3 nodes answered
  node   id        version     up  load  connections  channels
* web-1  9be2d7c3  1.2.4       2h  13 %        4,211       310
  web-2  4f1c09aa  1.2.3    2h 1m  50 %            7         1  draining

two: its nodes are not known
";
    assert_eq!((ended.status, ended.out.as_str()), (0, expected), "{ended:?}");
    let ended = stub.run(&["nodes", "--json"]).await;
    let sites: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(sites[0]["nodes"], json!({ "answered": 2, "asked": 3 }));
    assert_eq!(sites[0]["node_list"][1]["load"], json!(0.126));
    assert_eq!(sites[1], json!({ "site": "two", "nodes": null, "node_list": [] }));
}

#[tokio::test]
async fn the_view_is_lines_where_there_is_no_terminal() {
    let stub = Stub::answering(&[(200, STATUS), (200, LATER)]).await;
    let ended = stub.run(&["top", "--count", "2", "--interval", "50ms"]).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines.len(), 4, "{ended:?}");
    assert!(lines[1].starts_with("1970-01-01T00:00:01.000Z\tone\tconnections 3"), "{ended:?}");
    assert!(lines[1].contains("\tout/s -"), "{ended:?}");
    assert!(lines[3].ends_with("\tone\tconnections 4\tout/s 10\tqueued 7"), "{ended:?}");
    assert!(!ended.out.contains('\u{1b}'), "{ended:?}");

    let stub = Stub::answering(&[(200, STATUS), (200, LATER)]).await;
    let ended = stub.run(&["top", "--count", "2", "--interval", "50ms", "--json"]).await;
    let last: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["site"], &last["per_second"]["sent"]), (&json!("one"), &json!(10.0)));
}

#[tokio::test]
async fn the_view_ends_on_a_signal_in_order() {
    let stub = Stub::answering(&[(200, STATUS)]).await;
    let mut top = stub.start(&["top"]);
    assert!(top.line().await.contains("two"));
    top.signal(Signal::SIGINT);
    assert_eq!(top.ended().await.status, 0);
}

#[tokio::test]
async fn a_health_check_is_an_exit_status() {
    let gateway = Gateway::start().await;
    let ended = gateway.run(&["healthcheck"]).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "ok\n"), "{ended:?}");
    let ended = gateway.run(&["healthcheck", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap()["ok"], json!(true));
    let stub = Stub::answering(&[(200, "another page"), (503, "no")]).await;
    for _ in 0..2 {
        assert_eq!(stub.run(&["healthcheck"]).await.status, 1);
    }
}

#[tokio::test]
async fn commands_of_a_client_reach_a_site_of_several() {
    let stub = Stub::answering(&[(403, r#"{"error":"Forbidden"}"#)]).await;
    let ended = stub.run(&["call", "time", "--site", "newsite", "--with", "token=12345"]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    let path = &stub.asked()[0].path;
    assert!(path.starts_with("/newsite/socket/token?") && path.contains("token=12345"), "{path}");
}

//! `history` and `presence`: what a channel kept, and who is there.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokensocket_client::TokenSocket;
use tokensocket_server::{ChannelOptions, History, Presence, Server, ServerBuilder};
use tokio::net::TcpListener;

use crate::program::{Ended, Gateway, run};

/// A server of an application's, whose channels keep things, and where it is.
async fn application(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (Server, String) {
    let history = History::new(100, Duration::from_hours(1));
    let options = ChannelOptions::new().history(history).presence(Presence::new());
    let builder = Server::builder().authenticate_anyone().channels(">", options);
    let server = configure(builder).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    (server, url)
}

async fn run_against(url: &str, arguments: &[&str]) -> Ended {
    run(&[arguments, &["--url", url, "--timeout", "20s"]].concat()).await
}

#[tokio::test]
async fn reads_page_by_page_and_where_only_followers_may() {
    let (server, url) = application(|builder| builder.max_history(2)).await;
    for message in 1..=5 {
        server.publish("news", message).await.unwrap();
    }
    for (options, expected) in [
        (vec![], vec![1, 2, 3, 4, 5]),
        (vec!["--reverse"], vec![5, 4, 3, 2, 1]),
        (vec!["--limit", "3"], vec![1, 2, 3]),
        (vec!["--limit", "4", "--reverse"], vec![5, 4, 3, 2]),
    ] {
        let ended = run_against(&url, &[&["history", "news", "--json"], &options[..]].concat()).await;
        let kept =
            ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["offset"].clone());
        assert_eq!(kept.collect::<Vec<_>>(), expected, "{options:?} {ended:?}");
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{options:?}");
    }
}

#[tokio::test]
async fn names_everybody_however_many_they_are() {
    let (_server, url) = application(|builder| builder.on_presence(|_, _| async { Ok(()) })).await;
    let followers = join_all((0..103).map(|_| async {
        let socket = TokenSocket::builder(&url).connect().unwrap();
        socket.subscribe("news").await.unwrap().detach();
        socket
    }));
    let followers = followers.await;
    for (options, expected) in [(vec![], followers.len()), (vec!["--limit", "102"], 102)] {
        let ended = run_against(&url, &[&["presence", "news", "--json"], &options[..]].concat()).await;
        let all: Value = serde_json::from_str(&ended.out).unwrap();
        let mut clients: Vec<&str> = all["members"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|member| member["client"].as_str())
            .collect();
        clients.sort_unstable();
        clients.dedup();
        assert_eq!((clients.len(), &all["clients"]), (expected, &json!(103)), "{options:?}");
    }
}

#[tokio::test]
async fn says_that_a_server_does_not_tell() {
    let (_server, url) = application(|builder| builder).await;
    let ended = run_against(&url, &["presence", "news"]).await;
    assert_eq!((ended.status, ended.out.as_str()), (1, ""), "{ended:?}");
    assert!(ended.err.contains("(forbidden)"), "{ended:?}");
    let ended = run_against(&url, &["receive", "order", "--user", "ann"]).await;
    assert_eq!((ended.status, ended.out.as_str()), (1, ""), "{ended:?}");
    assert!(ended.err.contains("delivers nothing to ann"), "{ended:?}");
}

/// Publishes 1, 2 and so on, and gives the channel's epoch.
async fn publish(gateway: &Gateway, count: usize) -> String {
    for message in 1..=count {
        gateway.run(&["pub", "news", &message.to_string()]).await;
    }
    let last = gateway.run(&["history", "news", "--reverse", "--limit", "1", "--json"]).await.out;
    let last: Value = serde_json::from_str(&last).unwrap();
    last["epoch"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn prints_what_was_kept_in_order_or_in_reverse() {
    let gateway = Gateway::start().await;
    let epoch = publish(&gateway, 4).await;
    let ended = gateway.run(&["history", "news"]).await;
    let lines: Vec<Vec<&str>> = ended.out.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((ended.status, lines.len()), (0, 4), "{ended:?}");
    assert_eq!(lines[1][0], format!("{epoch}:2"));
    assert!(humantime::parse_rfc3339(lines[1][1]).is_ok(), "{lines:?}");
    assert_eq!(lines[1][2], "2");

    let (since, messages) = (format!("{epoch}:2"), |out: &str| {
        out.lines().map(|line| line.rsplit('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    });
    for (options, expected) in [
        (vec!["--since", &since], vec!["3", "4"]),
        (vec!["--limit", "1"], vec!["1"]),
        (vec!["--reverse", "--limit", "3"], vec!["4", "3", "2"]),
        (vec!["--reverse", "--since", &since], vec!["2", "1"]),
    ] {
        let ended = gateway.run(&[&["history", "news"], &options[..]].concat()).await;
        assert_eq!(
            (ended.status, messages(&ended.out)),
            (0, expected.iter().map(ToString::to_string).collect()),
            "{options:?}"
        );
        assert_eq!(ended.err, "", "{options:?}");
    }
}

#[tokio::test]
async fn says_when_something_is_no_longer_kept() {
    let gateway = Gateway::start().await;
    let epoch = publish(&gateway, 1).await;
    for since in ["another:1", &format!("{epoch}:7")] {
        let ended = gateway.run(&["history", "news", "--since", since]).await;
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.err.contains("no longer kept"), "{ended:?}");
    }
    let ended = run(&["history", "news", "--since", "yesterday"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.err.contains("EPOCH:OFFSET"), "{ended:?}");
}

#[tokio::test]
async fn a_channel_on_which_nothing_was_published_has_nothing() {
    let gateway = Gateway::start().await;
    let ended = gateway.run(&["history", "news"]).await;
    assert_eq!((ended.status, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    let ended = gateway.run(&["presence", "news"]).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "clients 0, users 0\n"));
}

#[tokio::test]
async fn prints_who_is_there_and_does_not_become_one_of_them() {
    let gateway = Gateway::start().await;
    let mut followers = Vec::new();
    for user in ["ann", "ann", "ben"] {
        let mut follower = gateway.start_command(&["sub", "news", "--user", user]);
        follower.complains("following news").await;
        followers.push(follower);
    }
    let mut nobody = gateway.start_command(&["sub", "news"]);
    nobody.complains("following news").await;
    let ended = gateway.run(&["presence", "news", "--user", "eve"]).await;
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!((ended.status, lines[0]), (0, "clients 4, users 3"), "{ended:?}");
    let users: Vec<&str> = lines[1..].iter().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(users, ["ann", "ann", "ben", "-"]);

    let ended = gateway.run(&["presence", "news", "--limit", "1", "--json"]).await;
    let all: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&all["clients"], &all["users"]), (&json!(4), &json!(3)));
    let members = all["members"].as_array().unwrap();
    assert_eq!((members.len(), &members[0]["user"]), (1, &json!("ann")));
    let ended = gateway.run(&["presence", "news", "--limit", "0"]).await;
    assert_eq!(ended.out, "clients 4, users 3\n");
}

#[tokio::test]
async fn a_follower_is_told_who_comes_and_goes() {
    let gateway = Gateway::start().await;
    let mut follower = gateway.start_command(&["sub", "news", "--presence"]);
    follower.complains("following news").await;
    let mut ann = gateway.start_command(&["sub", "news", "--user", "ann"]);
    ann.complains("following news").await;
    follower.complains("news: ann (").await;
    ann.killed().await;
    follower.complains(") left").await;
}

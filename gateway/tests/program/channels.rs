//! `sub` and `pub`: what one publishes, the other prints.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::program::{Gateway, Program};

#[tokio::test]
async fn one_prints_what_the_other_publishes() {
    let gateway = Gateway::start().await;
    let mut follower = gateway.start_command(&["sub", "news", "weather", "--count", "2"]);
    follower.complains("following news, weather").await;
    let ended = gateway.run(&["pub", "news", r#"{"a":1}"#]).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.out.starts_with("published on news at ") && ended.out.ends_with(":1\n"), "{ended:?}");
    assert_eq!(follower.line().await, "news\t{\"a\":1}");
    let rain = gateway.start_command(&["pub", "weather", "-", "--json"]).input("\"rain\"\n").await;
    let rain: Value = serde_json::from_str(&rain.ended().await.out).unwrap();
    assert_eq!(
        (&rain["channel"], &rain["published"], &rain["offset"]),
        (&json!("weather"), &json!(true), &json!(1))
    );
    let ended = follower.ended().await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "weather\t\"rain\"\n"), "{ended:?}");
}

#[tokio::test]
async fn machine_lines_have_the_channel_and_the_message() {
    let gateway = Gateway::start().await;
    let mut follower = gateway.start_command(&["sub", "news", "--json", "--count", "1"]);
    follower.complains("following news").await;
    gateway.run(&["pub", "news", "[1]"]).await;
    let ended = follower.ended().await;
    assert_eq!(ended.out, "{\"channel\":\"news\",\"message\":[1]}\n");
}

#[tokio::test]
async fn a_follower_says_when_the_connection_is_lost_and_comes_back() {
    let gateway = Gateway::start().await;
    let mut follower = gateway.start_command(&["sub", "news", "--count", "1"]);
    follower.complains("following news").await;
    let address = gateway.address().to_owned();
    // No close, no goodbye.
    gateway.program.killed().await;
    follower.complains("connection lost").await;
    let gateway = Gateway::at(&address).await;
    follower.complains("connected again").await;
    // A server that kept nothing is in another epoch.
    follower.complains("news: messages were lost here").await;
    gateway.run(&["pub", "news", "1"]).await;
    let ended = follower.ended().await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "news\t1\n"), "{ended:?}");
}

#[tokio::test]
async fn a_follower_gets_what_it_missed_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::keeping_in(folder.path()).await;
    let mut follower = gateway.start_command(&["sub", "news", "--count", "3"]);
    follower.complains("following news").await;
    gateway.run(&["pub", "news", "1"]).await;
    assert_eq!(follower.line().await, "news\t1");
    follower.signal(Signal::SIGSTOP);
    let address = gateway.address().to_owned();
    gateway.program.killed().await;
    let gateway = Gateway::with(&["--data", folder.path().to_str().unwrap(), "--listen", &address]).await;
    gateway.run(&["pub", "news", "2"]).await;
    follower.signal(Signal::SIGCONT);
    follower.complains("news: recovered").await;
    assert_eq!(follower.line().await, "news\t2");
    gateway.run(&["pub", "news", "3"]).await;
    let ended = follower.ended().await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "news\t3\n"), "{ended:?}");
}

#[tokio::test]
async fn a_follower_begins_where_it_is_told_to() {
    let gateway = Gateway::start().await;
    let first = gateway.run(&["pub", "news", "1"]).await.out;
    let place = first.trim_end().rsplit(' ').next().unwrap();
    gateway.run(&["pub", "news", "2"]).await;
    let ended = gateway.run(&["sub", "news", "--since", place, "--count", "1"]).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "news\t2\n"), "{ended:?}");

    let mut lost = gateway.start_command(&["sub", "news", "--since", "another:1"]);
    lost.complains("news: messages were lost here").await;
    let ended = gateway.run(&["sub", "news", "weather", "--since", place]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
    let ended = gateway.run(&["sub", "news", "--since", "yesterday"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.err.contains("EPOCH:OFFSET"), "{ended:?}");
}

#[tokio::test]
async fn a_follower_of_a_pattern_gets_what_it_covers() {
    let gateway = Gateway::start().await;
    let mut follower = gateway.start_command(&["sub", "news.*", "news.b", "--count", "3"]);
    follower.complains("following news.*, news.b").await;
    for channel in ["news", "news.a.b", "news.a", "news.b", "news.c"] {
        gateway.run(&["pub", channel, &format!("{channel:?}")]).await;
    }
    let ended = follower.ended().await;
    let mut lines: Vec<&str> = ended.out.lines().collect();
    lines.sort_unstable();
    let expected = ["news.a\t\"news.a\"", "news.b\t\"news.b\"", "news.c\t\"news.c\""];
    assert_eq!((ended.status, lines), (0, expected.to_vec()), "{ended:?}");
}

#[tokio::test]
async fn the_same_key_is_the_same_publication() {
    let gateway = Gateway::start().await;
    let publish = ["pub", "news", "1", "--key", "once"];
    let first = gateway.run(&publish).await.out;
    let ended = gateway.run(&publish).await;
    let place = first.trim_end();
    assert_eq!((ended.status, ended.out), (0, format!("{place} before, under this key\n")));
    let ended = gateway.run(&[&publish[..], &["--json"]].concat()).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&said["duplicate"], &said["offset"]), (&json!(true), &json!(1)));
    let kept = gateway.run(&["history", "news", "--json"]).await.out;
    assert_eq!(kept.lines().count(), 1, "{kept}");
}

#[tokio::test]
async fn a_follower_says_goodbye_on_ctrl_c() {
    let program = Program::start(&["serve", "--listen", "127.0.0.1:0", "--in-memory", "--log", "debug"]);
    let mut gateway = Gateway::of(program).await;
    let mut follower = gateway.start_command(&["sub", "news"]);
    follower.complains("following news").await;
    follower.signal(Signal::SIGINT);
    assert_eq!(follower.ended().await.status, 0);
    gateway.program.complains(r#""close":"1000 Normal closure""#).await;
}

#[tokio::test]
async fn names_that_cannot_be_channels_end_with_status_2() {
    let gateway = Gateway::start().await;
    for arguments in [vec!["sub", "___all___"], vec!["pub", "", "1"]] {
        let ended = gateway.run(&arguments).await;
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(ended.err.contains("channel"), "{ended:?}");
    }
}

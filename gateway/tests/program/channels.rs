//! `sub` and `pub`: what one publishes, the other prints.

use nix::sys::signal::Signal;

use crate::program::{Gateway, Program};

#[tokio::test]
async fn one_prints_what_the_other_publishes() {
    let gateway = Gateway::start().await;
    let mut follower = gateway.start_command(&["sub", "news", "weather", "--count", "2"]);
    follower.complains("following news, weather").await;
    let ended = gateway.run(&["pub", "news", r#"{"a":1}"#]).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "published on news\n"), "{ended:?}");
    assert_eq!(follower.line().await, "news\t{\"a\":1}");
    let rain = gateway.start_command(&["pub", "weather", "-", "--json"]).input("\"rain\"\n").await;
    assert_eq!(rain.ended().await.out, "{\"channel\":\"weather\",\"published\":true}\n");
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
    gateway.run(&["pub", "news", "1"]).await;
    let ended = follower.ended().await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "news\t1\n"), "{ended:?}");
}

#[tokio::test]
async fn a_follower_says_goodbye_on_ctrl_c() {
    let program = Program::start(&["serve", "--listen", "127.0.0.1:0", "--log", "debug"]);
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

//! `deliver` and `receive`: what is kept for devices until they have it.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::program::{Ended, Gateway, Program, run};

/// Starts to receive orders, and waits until the server knows the device.
async fn receiver(gateway: &Gateway, user: &str, device: &str, options: &[&str]) -> Program {
    let receive = [&["receive", "order", "--user", user, "--device", device], options].concat();
    let mut program = gateway.start_command(&receive);
    program.complains(&format!("receiving order for {user} on {device}")).await;
    program
}

async fn deliver(gateway: &Gateway, options: &[&str]) -> Ended {
    gateway.run(&[&["deliver"], options].concat()).await
}

#[tokio::test]
async fn a_device_gets_what_came_while_it_was_away_once_and_in_order() {
    let gateway = Gateway::start().await;
    receiver(&gateway, "ann", "phone", &[]).await.killed().await;
    let ended = deliver(&gateway, &["--user", "ann", "order", "{\"id\":7}", "\"tea\""]).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "order is kept for 1 device\n"), "{ended:?}");
    deliver(&gateway, &["--user", "ann", "order"]).await;

    let mut phone = receiver(&gateway, "ann", "phone", &[]).await;
    assert_eq!(phone.line().await, "order\t[{\"id\":7},\"tea\"]");
    assert_eq!(phone.line().await, "order\t[]");
    deliver(&gateway, &["--user", "ann", "order", "3"]).await;
    assert_eq!(phone.line().await, "order\t[3]");
    phone.signal(Signal::SIGINT);
    assert_eq!(phone.ended().await.status, 0);

    deliver(&gateway, &["--user", "ann", "order", "4"]).await;
    let again = receiver(&gateway, "ann", "phone", &["--count", "1", "--json"]).await.ended().await;
    assert_eq!(again.out, "{\"args\":[4],\"event\":\"order\"}\n");
}

#[tokio::test]
async fn the_last_that_is_counted_is_acknowledged_too() {
    let gateway = Gateway::start().await;
    receiver(&gateway, "ann", "phone", &[]).await.killed().await;
    for number in ["1", "2", "3"] {
        deliver(&gateway, &["--user", "ann", "order", number]).await;
    }
    for number in 1..=3 {
        let ended = receiver(&gateway, "ann", "phone", &["--count", "1"]).await.ended().await;
        assert_eq!((ended.status, ended.out), (0, format!("order\t[{number}]\n")));
    }
}

#[tokio::test]
async fn reaches_users_rooms_and_everybody() {
    let gateway = Gateway::start().await;
    let mut ann = receiver(&gateway, "ann", "phone", &["--room", "kitchen", "--room", "garden"]).await;
    let mut ben = receiver(&gateway, "ben", "till", &[]).await;
    let devices = |out: &str| serde_json::from_str::<Value>(out).unwrap()["devices"].clone();
    for (to, expected) in [
        (vec!["--user", "ann"], 1),
        (vec!["--user", "ann", "--user", "ben"], 2),
        (vec!["--room", "garden"], 1),
        (vec!["--room", "cellar"], 0),
        (vec!["--everyone"], 2),
    ] {
        let ended = deliver(&gateway, &[&to[..], &["order", "--json"]].concat()).await;
        assert_eq!((ended.status, devices(&ended.out)), (0, json!(expected)), "{to:?} {ended:?}");
        if expected > 0 {
            assert_eq!(ann.line().await, "order\t[]");
        }
        if expected > 1 {
            assert_eq!(ben.line().await, "order\t[]");
        }
    }
}

#[tokio::test]
async fn a_device_is_told_what_could_not_be_kept() {
    let gateway = Gateway::start().await;
    receiver(&gateway, "ann", "phone", &[]).await.killed().await;
    // Two of these are more than a queue holds.
    let large = format!("\"{}\"", "x".repeat(600_000));
    for _ in 0..2 {
        let sent = gateway.start_command(&["deliver", "--user", "ann", "order", "-"]).input(&large).await;
        assert_eq!(sent.ended().await.status, 0);
    }
    let mut phone = receiver(&gateway, "ann", "phone", &[]).await;
    phone.complains("were lost: more came than is kept").await;
}

#[tokio::test]
async fn the_same_key_is_the_same_delivery() {
    let gateway = Gateway::start().await;
    let mut phone = receiver(&gateway, "ann", "phone", &[]).await;
    let order = ["--user", "ann", "order", "1", "--key", "order-1"];
    assert_eq!(deliver(&gateway, &order).await.out, "order is kept for 1 device\n");
    assert_eq!(deliver(&gateway, &order).await.out, "order was delivered before under this key\n");
    deliver(&gateway, &["--user", "ann", "order", "2"]).await;
    assert_eq!(phone.line().await, "order\t[1]");
    assert_eq!(phone.line().await, "order\t[2]");
}

#[tokio::test]
async fn wants_to_know_whom_it_is_for() {
    for options in [vec![], vec!["--user", "ann", "--everyone"], vec!["--room", "a", "--user", "ann"]] {
        let ended = run(&[&["deliver", "order"], &options[..]].concat()).await;
        assert_eq!(ended.status, 2, "{options:?} {ended:?}");
    }
    let ended = run(&["receive", "order"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.err.contains("--user"), "{ended:?}");
}

#[tokio::test]
async fn a_delivery_without_bounds_is_refused() {
    let gateway = Gateway::start().await;
    for event in ["", &"x".repeat(129)] {
        let ended = deliver(&gateway, &["--everyone", event]).await;
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.err.contains("bad_request"), "{ended:?}");
    }
}

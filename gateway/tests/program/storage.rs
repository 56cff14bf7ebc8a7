//! Where `serve` keeps things: a directory that outlives it, or nothing.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::program::{Ended, Gateway, Program, run};

/// Ends the server without a word.
async fn kill(gateway: Gateway) {
    gateway.program.killed().await;
}

async fn end(gateway: Gateway) -> Ended {
    gateway.program.signal(Signal::SIGTERM);
    gateway.program.ended().await
}

/// What the server says of what it keeps.
async fn storage_line(gateway: &mut Gateway) -> String {
    gateway.program.line().await;
    gateway.program.line().await
}

/// What is delivered to ann's phone now.
async fn received(gateway: &Gateway, count: &str) -> Ended {
    let who = ["receive", "order", "--user", "ann", "--device", "phone", "--count", count];
    gateway.run(&who).await
}

#[tokio::test]
async fn histories_and_queues_survive_a_restart_and_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::keeping_in(folder.path()).await;
    // The device has to be known before something is kept for it.
    let mut phone = gateway.start_command(&["receive", "order", "--user", "ann", "--device", "phone"]);
    phone.complains("receiving order for ann on phone").await;
    phone.killed().await;
    gateway.run(&["pub", "news", "1"]).await;
    gateway.run(&["deliver", "--user", "ann", "order", "1"]).await;
    assert_eq!(end(gateway).await.status, 0);

    let mut gateway = Gateway::keeping_in(folder.path()).await;
    let line = storage_line(&mut gateway).await;
    assert!(line.ends_with("1 publication of 1 channel, 1 delivery for 1 device"), "{line}");
    gateway.run(&["pub", "news", "2"]).await;
    gateway.run(&["deliver", "--user", "ann", "order", "2"]).await;
    kill(gateway).await;

    let gateway = Gateway::keeping_in(folder.path()).await;
    let kept = gateway.run(&["history", "news", "--json"]).await.out;
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let read: Vec<_> = kept.iter().map(|kept| (&kept["offset"], &kept["message"])).collect();
    assert_eq!(read, [(&json!(1), &json!(1)), (&json!(2), &json!(2))]);
    assert_eq!(kept[0]["epoch"], kept[1]["epoch"]);
    assert_eq!(received(&gateway, "2").await.out, "order\t[1]\norder\t[2]\n");
    // An end in order, so that the last acknowledgement is on the disk as well.
    end(gateway).await;

    let mut gateway = Gateway::keeping_in(folder.path()).await;
    let line = storage_line(&mut gateway).await;
    assert!(line.ends_with("2 publications of 1 channel, 0 deliveries for 1 device"), "{line}");
    gateway.run(&["deliver", "--user", "ann", "order", "3"]).await;
    assert_eq!(received(&gateway, "1").await.out, "order\t[3]\n");
}

#[tokio::test]
async fn keeps_things_in_a_directory_of_its_own_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let start = |variables: &[(&str, &str)], options: &[&str]| {
        let serve = [&["serve", "--listen", "127.0.0.1:0"], options].concat();
        Gateway::of(Program::start_in(folder.path(), variables, &serve))
    };
    let mut gateway = start(&[], &[]).await;
    assert_eq!(storage_line(&mut gateway).await, "Histories and deliveries are kept in tokensocket-data");
    let ignored = fs::read_to_string(folder.path().join("tokensocket-data/.gitignore")).unwrap();
    assert_eq!(ignored, "*\n");

    let named = [("TOKENSOCKET_DATA", "named")];
    let mut gateway = start(&named, &[]).await;
    assert!(storage_line(&mut gateway).await.ends_with("kept in named"));
    let mut gateway = start(&named, &["--data", "said"]).await;
    assert!(storage_line(&mut gateway).await.ends_with("kept in said"));
    assert!(folder.path().join("said").is_dir());
}

#[tokio::test]
async fn keeps_nothing_where_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--in-memory"];
    let program = Program::start_in(folder.path(), &[("TOKENSOCKET_DATA", "named")], &serve);
    let mut gateway = Gateway::of(program).await;
    let line = storage_line(&mut gateway).await;
    assert!(line.contains("in memory"), "{line}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let ended = run(&["serve", "--in-memory", "--data", "somewhere"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_told_both_ways_out() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::keeping_in(folder.path()).await;
    let directory = folder.path().to_str().unwrap();
    let ended = run(&["serve", "--listen", "127.0.0.1:0", "--data", directory]).await;
    assert_eq!((ended.status, ended.out.as_str()), (1, ""), "{ended:?}");
    for part in [directory, "in use by another process", "--data", "--in-memory"] {
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
    kill(gateway).await;
    // A lock that nobody holds any more holds up nobody.
    Gateway::keeping_in(folder.path()).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let ended = run(&["serve", "--listen", "127.0.0.1:0", "--data", file.to_str().unwrap()]).await;
    assert_eq!((ended.status, ended.out.as_str()), (1, ""), "{ended:?}");
    assert!(ended.err.contains("cannot open the store") && ended.err.contains("--in-memory"), "{ended:?}");
}

#[tokio::test]
async fn damage_is_said_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::keeping_in(folder.path()).await;
    for (channel, message) in [("news", "\"needle in news\""), ("weather", "\"rain\"")] {
        gateway.run(&["pub", channel, message]).await;
    }
    let before = gateway.run(&["history", "news"]).await.out;
    kill(gateway).await;
    assert!(damage(folder.path(), b"needle in news") > 0);

    let mut gateway = Gateway::keeping_in(folder.path()).await;
    storage_line(&mut gateway).await;
    let mut said = String::new();
    while !said.contains("Open ") {
        said += &gateway.program.line().await;
    }
    assert!(said.contains("It was damaged") && said.contains("the followers of 1 channel"), "{said}");
    let rain = gateway.run(&["history", "weather"]).await.out;
    assert!(rain.ends_with("\t\"rain\"\n"), "{rain}");
    // The channel begins anew, so that nobody takes a loss for nothing.
    let place = before.split('\t').next().unwrap();
    let ended = gateway.run(&["history", "news", "--since", place]).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, ""), "{ended:?}");
    assert!(ended.err.contains("no longer kept"), "{ended:?}");
    assert!(end(gateway).await.err.contains("the store was damaged"));
}

/// Changes one byte in the middle of each occurrence of a text. Says how many there were.
fn damage(folder: &Path, text: &[u8]) -> usize {
    let mut damaged = 0;
    for file in files(folder) {
        let mut bytes = fs::read(&file).unwrap();
        let places: Vec<usize> = bytes
            .windows(text.len())
            .enumerate()
            .filter(|(_, window)| *window == text)
            .map(|(at, _)| at)
            .collect();
        for at in &places {
            bytes[at + text.len() / 2] ^= 1;
        }
        if !places.is_empty() {
            fs::write(&file, bytes).unwrap();
        }
        damaged += places.len();
    }
    damaged
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

//! `init` and `check`: a configuration is written, and what is wrong with one is said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Ended, Program};

async fn run_in(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    Program::start_in(folder, variables, arguments).ended().await
}

#[tokio::test]
async fn what_init_writes_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["tokensocket.yml", "tokensocket.toml", "other.yaml"] {
        let init = ["init", file, "--site", "shop", "--auth-url", "http://app.test:3000/rooms?v=1"];
        let ended = run_in(folder.path(), &[], &init).await;
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.out.contains("tokensocket serve --config"), "{ended:?}");
        let ended = run_in(folder.path(), &[], &["check", file]).await;
        assert_eq!((ended.status, ended.out.as_str()), (0, "all is well: shop\n"), "{file} {ended:?}");
        let written = folder.path().join(file);
        let mode = fs::metadata(&written).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "the key is for nobody else: {mode:o}");
    }
    // Each has a key of its own.
    let key = |file| {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        text.lines().find(|line| line.contains("apiKey")).unwrap().to_owned()
    };
    assert_ne!(key("tokensocket.yml"), key("other.yaml"));
}

#[tokio::test]
async fn what_is_there_is_not_written_over_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokensocket.yml");
    fs::write(&file, "mine").unwrap();
    let ended = run_in(folder.path(), &[], &["init"]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("--force"), "{ended:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let ended = run_in(folder.path(), &[], &["init", "--force", "--json"]).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(said, json!({ "file": "tokensocket.yml", "site": "newsite" }));
    assert!(fs::read_to_string(&file).unwrap().contains("newsite:"));
    let printed = run_in(folder.path(), &[], &["init", "-"]).await.out;
    assert!(printed.contains("newsite:") && !folder.path().join("-").exists());
}

#[tokio::test]
async fn a_name_or_an_address_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [["--site", "a/b"], ["--site", ""], ["--auth-url", "app/rooms"], ["--auth-url", "ftp://a"]] {
        let ended = run_in(folder.path(), &[], &["init", wrong[0], wrong[1]]).await;
        assert_eq!(ended.status, 2, "{ended:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn each_mistake_comes_with_its_line_and_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "sites:\n  newsite:\n    apiKey: 54321\n    authURI: http://newsite.com/rooms\n    open: maybe\n";
    fs::write(folder.path().join("tokensocket.yml"), text).unwrap();
    let ended = run_in(folder.path(), &[], &["check", "tokensocket.yml"]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.out.contains("tokensocket.yml:4:5: error: ") && ended.out.contains("authUrl"), "{ended:?}");
    assert!(ended.out.contains("tokensocket.yml:5:") && ended.out.contains("true or false"), "{ended:?}");
    assert!(ended.err.contains("mistakes; nothing would be served"), "{ended:?}");
    assert!(!ended.out.contains('\u{1b}'), "no colours where nobody sees them: {ended:?}");

    let ended = run_in(folder.path(), &[], &["check", "--json"]).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.status, &said["ok"]), (1, &json!(false)), "{ended:?}");
    assert_eq!(said["mistakes"][0]["line"], json!(4), "{said}");
}

#[tokio::test]
async fn a_site_of_the_environment_is_checked_when_no_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let site = [("SITE_NAME", "goodcity"), ("API_KEY", "54321"), ("AUTH_URL", "http://app.test/rooms")];
    let ended = run_in(folder.path(), &site, &["check"]).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "all is well: goodcity\n"), "{ended:?}");
    let ended = run_in(folder.path(), &[], &["check"]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.out.contains("tokensocket init"), "{ended:?}");
}

#[tokio::test]
async fn the_examples_of_the_documentation_have_no_mistake() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway.md");
    let page = fs::read_to_string(page).unwrap();
    let mut checked = 0;
    for block in page.split("```").skip(1).step_by(2) {
        let Some((_, text)) = block.split_once('\n').filter(|(kind, _)| ["yaml", "toml"].contains(kind))
        else {
            continue;
        };
        let name =
            text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("its file's name first");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let ended = run_in(folder.path(), &[], &["check", name]).await;
        assert!(ended.status == 0 && ended.out.starts_with("all is well"), "{text}\n{ended:?}");
        checked += 1;
    }
    assert!(checked >= 4, "only {checked} examples");
}

#[tokio::test]
async fn commands_take_the_address_and_the_keys_from_the_configuration() {
    let stub = crate::stub::Stub::answering(&[
        (200, r#"{"at":1,"sites":[{"site":"one","connections":1}]}"#),
        (200, r#"{"at":1,"sites":[{"site":"two","connections":2}]}"#),
        (200, "OK"),
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let listen = stub.url.strip_prefix("http://").unwrap();
    let text = format!(
        "listen: {listen}\nsites:\n  one: {{apiKey: k1, open: true}}\n  two: {{apiKey: k2, open: true}}\n"
    );
    fs::write(folder.path().join("tokensocket.yml"), text).unwrap();
    let config = [("TOKENSOCKET_CONFIG", "tokensocket.yml")];
    let ended = run_in(folder.path(), &config, &["sites", "--json"]).await;
    assert_eq!((ended.status, ended.out.lines().count()), (0, 2), "{ended:?}");
    let mut asked: Vec<String> =
        stub.asked().iter().map(|asked| format!("{} {}", asked.path, asked.authorization)).collect();
    asked.sort();
    assert_eq!(asked, ["/api/v1/status?site=one Bearer k1", "/api/v1/status?site=two Bearer k2"]);

    let send = ["send", "--config", "tokensocket.yml", "--room", "staff", "closing"];
    let ended = run_in(folder.path(), &[], &send).await;
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.err.contains("one, two") && ended.err.contains("--site"), "{ended:?}");
    let ended = run_in(folder.path(), &[("TOKENSOCKET_SITE", "two")], &send).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(stub.asked()[2].authorization, "Bearer k2");
    let ended = run_in(folder.path(), &[("TOKENSOCKET_SITE", "three")], &send).await;
    assert_eq!(ended.status, 2, "{ended:?}");
}

#[tokio::test]
async fn what_is_sent_to_a_site_reaches_its_devices_and_no_other_sites() {
    let application = crate::stub::Stub::answering(&[(200, r#"["user_8", "Staff"]"#)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokensocket.yml");
    let text = format!(
        "in_memory: true\nlisten: 127.0.0.1:0\nsites:\n  one:\n    authUrl: {}/rooms\n    apiKey: k1\n    \
         userRoomPrefix: user_\n  two:\n    apiKey: k2\n    authUrl: {}/rooms\n    userRoomPrefix: user_\n",
        application.url, application.url
    );
    fs::write(&file, text).unwrap();
    let config = file.to_str().unwrap();
    let gateway = crate::program::Gateway::with(&["--config", config]).await;
    let receive = ["receive", "update_store", "--user", "8", "--device", "phone", "--with", "token=12345"];
    let mut one = gateway.start_command(&[&receive[..], &["--site", "one"]].concat());
    one.complains("receiving update_store").await;
    let mut two = gateway.start_command(&[&receive[..], &["--site", "two"]].concat());
    two.complains("receiving update_store").await;
    let asked = &application.asked()[0];
    assert_eq!((asked.path.as_str(), asked.authorization.as_str()), ("/rooms?", "Bearer 12345"));

    let send = |site, rooms: [&'static str; 2], arg| {
        let (url, rooms) = (gateway.url.clone(), rooms);
        async move {
            let send = ["send", "--config", config, "--url", &url, "--site", site];
            run_in(
                Path::new("."),
                &[],
                &[&send[..], &["--room", rooms[0], "--room", rooms[1], "update_store", arg]].concat(),
            )
            .await
        }
    };
    // In both rooms, and once.
    let ended = send("one", ["user_8", "staff"], "1").await;
    assert_eq!(
        (ended.status, ended.out.as_str()),
        (0, "update_store was sent to user_8, staff\n"),
        "{ended:?}"
    );
    assert_eq!(one.line().await, "update_store\t[1]");
    assert_eq!(send("two", ["STAFF", "user_9"], "2").await.status, 0);
    assert_eq!(two.line().await, "update_store\t[2]");
    assert_eq!(send("one", ["user_8", "user_9"], "3").await.status, 0);
    assert_eq!(one.line().await, "update_store\t[3]");

    let at_gateway = ["--config", config, "--url", &gateway.url];
    let sites = run_in(folder.path(), &[], &[&["sites"], &at_gateway[..]].concat()).await;
    let lines: Vec<&str> = sites.out.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("one\t1\t1\t"), "{sites:?}");
    let top = run_in(
        folder.path(),
        &[],
        &[&["top", "--count", "2", "--interval", "50ms"], &at_gateway[..]].concat(),
    )
    .await;
    assert!(top.status == 0 && top.out.lines().count() == 4, "{top:?}");
    let token = ["token", "--site", "one", "--user", "8"];
    let token = run_in(folder.path(), &[], &[&token[..], &at_gateway[..]].concat()).await;
    assert!(token.status == 0 && token.out.trim().len() > 20, "{token:?}");
    let wrong = run_in(
        folder.path(),
        &[("TOKENSOCKET_KEY", "k2")],
        &["sites", "--site", "one", "--url", &gateway.url],
    )
    .await;
    assert_eq!(wrong.status, 1, "{wrong:?}");
}

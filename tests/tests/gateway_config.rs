//! The configurations of `socket.io-webservice`, read as they are; mistakes, each with its line; and changes while
//! clients are connected.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokensocket_tests::gateway::{Gateway, tokensocket};
use tokensocket_tests::http;
use tokensocket_tests::limit::until;
use tokensocket_tests::scenarios::run_asked;
use tokensocket_tests::site::{Asked, Orders, Site};
use tokensocket_tests::wire::Client;

/// The sample of the original's README.
const CONFIG: &str = "production:
  port: 80
  device_ttl: 3600
  redis:
    url: rediss://:<password>@<host>:<port>/<database>
  flakeid:
    datacenter: 0
    worker: 0
  io:
    pingTimeout: 60000
  servers:
    - deployer@server1.example.com
    - deployer@server2.example.com
";

/// The sample that lies in the original's repository.
const CONFIG_SAMPLE: &str = "development:

production:
  port: 80
  device_ttl: 3600
  redis:
    url: rediss://:<password>@<host>:<port>/<database>
  flakeid:
    datacenter: 0
    worker: 0
  io:
    pingTimeout: 60000
  winston:
    file:
      level: info
      filename: ./logs/log.txt
      handleExceptions: true
      json: true
      maxsize: 5242880 #5MB
      maxFiles: 5
      colorize: false
    console:
      level: info
";

const SITES: &str = "newsite:
  authUrl: http://newsite.com/socketrooms
  authScheme: Bearer
  apiKey: 54321
  userRoomPrefix: user_
  updateUserUrl: http://newsite.com/users/:id
";

/// What `/send` says to a site's key.
async fn sends(gateway: &Gateway, site: &str, key: &str) -> u16 {
    let body = json!({ "rooms": ["user_1"], "event": "e", "args": [] });
    gateway.post(&format!("/send?site={site}&apiKey={key}"), &body).await.status
}

#[tokio::test]
async fn the_originals_sample_files_are_served() {
    for config in [CONFIG, CONFIG_SAMPLE] {
        let files = [("config.yml", config), ("sites.yml", SITES)];
        for named in [&["--config", "config.yml"][..], &["--config", "config.yml", "--config", "sites.yml"]] {
            let gateway = Gateway::start_with(&files, &[named, &["--in-memory"]].concat(), &[]).await;
            assert_eq!(sends(&gateway, "newsite", "54321").await, 200);
            assert_eq!(sends(&gateway, "newsite", "54322").await, 401);
        }
    }
    let gateway =
        Gateway::start_with(&[("sites.yml", SITES)], &["--config", "sites.yml", "--in-memory"], &[]).await;
    assert_eq!(sends(&gateway, "newsite", "54321").await, 200);
    let printed =
        tokensocket(&[("config.yml", CONFIG_SAMPLE), ("sites.yml", SITES)], &["check", "config.yml"], &[])
            .await;
    assert!(printed.success, "{}", printed.text);
}

#[tokio::test]
async fn the_originals_files_do_what_they_say() {
    let site = Site::start().await;
    let sites = SITES.replace("http://newsite.com", &site.url());
    let config = CONFIG.replace("device_ttl: 3600", "device_ttl: 7");
    let files = [("config.yml", &*config), ("sites.yml", &*sites)];
    let gateway = Gateway::start_with(&files, &["--config", "config.yml", "--in-memory"], &[]).await;
    let token = Orders::rooms(["user_8", "staff"]).token();
    let mut visitor = gateway.visit("newsite", &token).await.unwrap();
    assert_eq!(visitor.event().await, json!(["_settings", { "device_ttl": 7 }]));
    gateway
        .send("newsite", "54321", &["STAFF"], "update_store", json!(["user", { "id": 1, "age": 5 }]))
        .await;
    assert_eq!(visitor.event().await, json!(["update_store", "user", { "id": 1, "age": 5 }]));
    let asked = site.until_asked(&token, 2).await;
    assert!(asked.iter().any(|asked| asked.method == "PUT" && asked.path == "/users/8"), "{asked:?}");
}

#[tokio::test]
async fn the_originals_variables_are_a_site() {
    let site = Site::start().await;
    let url = site.url();
    let (auth, user) = (format!("{url}/api/v1/auth/current_user_rooms"), format!("{url}/api/v1/users/:id"));
    let variables = [
        ("NODE_ENV", "production"),
        ("REDIS_URL", "rediss://:password@host:6380/0"),
        ("DEVICE_TTL", "9"),
        ("SITE_NAME", "goodcity"),
        ("AUTH_URL", &*auth),
        ("AUTH_SCHEME", "Token"),
        ("API_KEY", "a key"),
        ("USER_ROOM_PREFIX", "user_"),
        ("UPDATE_USER_URL", &*user),
        ("PUBLIC_CHANNEL", "browse"),
    ];
    let gateway = Gateway::start_with(&[], &["--in-memory"], &variables).await;
    let token = Orders::rooms(["user_8"]).token();
    let mut visitor = gateway.visit("goodcity", &token).await.unwrap();
    assert_eq!(visitor.event().await, json!(["_settings", { "device_ttl": 9 }]));
    gateway.send("goodcity", "a%20key", &["user_8"], "e", json!([1])).await;
    assert_eq!(visitor.event().await, json!(["e", 1]));
    let asked = site.until_asked(&token, 2).await;
    assert_eq!(asked[0].path, "/api/v1/auth/current_user_rooms");
    assert!(asked.iter().all(|asked| asked.authorization.starts_with("Token ")), "{asked:?}");
    assert!(asked.iter().any(|asked| asked.path == "/api/v1/users/8"), "{asked:?}");
    gateway
        .visit("goodcity", &Orders::rooms(["browse"]).token())
        .await
        .expect("the public channel is enough");
}

#[tokio::test]
async fn every_mistake_has_its_line_and_a_suggestion() {
    let site = "newsite:\n  authUrl: http://newsite.com/socketrooms\n  apiKey: 54321\n";
    let mistakes = [
        // A file, the line, and what must be said.
        (format!("{site}  userRoomPrefx: user_\n"), 4, "userRoomPrefix"),
        (format!("{site}  updateUserUrl: newsite.com/users/:id\n"), 4, "http"),
        (format!("{site}  updateUserUrl: http://newsite.com/users\n"), 4, ":id"),
        (format!("{site}  authTimeout: soon\n"), 4, "authTimeout"),
        (format!("{site}  authRetries: -1\n"), 4, "authRetries"),
        ("newsite:\n  authUrl: ftp://newsite.com/\n  apiKey: 1\n".to_owned(), 2, "authUrl"),
        ("newsite:\n  authUrl: http://newsite.com/\n".to_owned(), 1, "apiKey"),
        ("new/site:\n  apiKey: 1\n".to_owned(), 1, "new/site"),
        (format!("{site}{site}"), 4, "newsite"),
        (format!("{site}  publicChannel: [a\n"), 4, ""),
        (format!("{site}\tapiKey: 1\n"), 4, ""),
        ("newsite: http://newsite.com/socketrooms\n".to_owned(), 1, ""),
    ];
    for (text, line, says) in mistakes {
        let printed = tokensocket(&[("sites.yml", &text)], &["check", "sites.yml"], &[]).await;
        assert!(!printed.success, "this is no mistake:\n{text}\n{}", printed.text);
        let place = format!("sites.yml:{line}");
        assert!(printed.text.contains(&place), "no {place} for\n{text}\n{}", printed.text);
        assert!(printed.text.contains(says), "no {says} for\n{text}\n{}", printed.text);
        let serve = ["serve", "--listen", "127.0.0.1:0", "--in-memory", "--config", "sites.yml"];
        let printed = tokensocket(&[("sites.yml", &text)], &serve, &[]).await;
        assert!(!printed.success && printed.text.contains(&place), "it is served:\n{text}\n{}", printed.text);
    }
}

/// Two sites, of which the second has this key.
fn two(site: &Site, key: &str) -> String {
    format!("{}{}", one(site), of("site2", site, key))
}

fn one(site: &Site) -> String {
    of("newsite", site, "54321")
}

fn of(name: &str, site: &Site, key: &str) -> String {
    format!("{name}:\n  authUrl: {}/socketrooms\n  apiKey: {key}\n  userRoomPrefix: user_\n", site.url())
}

#[tokio::test]
async fn sites_come_change_and_go_while_others_are_served() {
    let site = Site::start().await;
    let files = [("sites.yml", &*one(&site))];
    let gateway = Gateway::start_with(&files, &["--config", "sites.yml", "--in-memory"], &[]).await;
    let token = |user: &str| Orders::rooms([user]).token();
    let mut stays = gateway.visit("newsite", &token("user_stays")).await.unwrap();
    assert_eq!(stays.event().await[0], "_settings");
    assert_eq!(
        gateway.visit("site2", &token("user_2")).await.unwrap_err(),
        "44/site2,{\"message\":\"Invalid namespace\"}"
    );

    // One more, told by a signal.
    gateway.write("sites.yml", &two(&site, "1"));
    gateway.signal(Signal::SIGHUP);
    becomes(&gateway, "site2", "1", 200).await;
    let mut second = gateway.visit("site2", &token("user_2")).await.unwrap();
    assert_eq!(second.event().await[0], "_settings");

    // Another key; nobody of either site is disconnected. The file alone tells.
    gateway.write("sites.yml", &two(&site, "2"));
    becomes(&gateway, "site2", "1", 401).await;
    assert_eq!(sends(&gateway, "site2", "2").await, 200);
    gateway.send("site2", "2", &["user_2"], "e", json!(["still there"])).await;
    assert_eq!(second.event().await, json!(["e", "still there"]));

    // A mistake changes nothing.
    gateway.write("sites.yml", "newsite:\n  apiKy: 1\n");
    gateway.signal(Signal::SIGHUP);
    assert_eq!(sends(&gateway, "site2", "2").await, 200);

    // What a server is built with: the site begins anew, and takes its clients back.
    gateway.write("sites.yml", &format!("{}  deviceTtl: 5s\n", two(&site, "2")));
    gateway.signal(Signal::SIGHUP);
    assert!(second.ends().await, "a client of a site that began anew was left behind");
    let again = async {
        loop {
            if let Ok(mut visitor) = gateway.visit("site2", &token("user_2")).await {
                assert_eq!(visitor.event().await, json!(["_settings", { "device_ttl": 5 }]));
                return visitor;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let mut second = tokensocket_tests::limit::within("the site to be back", again).await;

    // It goes, with its clients.
    gateway.write("sites.yml", &one(&site));
    gateway.signal(Signal::SIGHUP);
    becomes(&gateway, "site2", "2", 401).await;
    assert!(second.ends().await, "a client of a site that is gone was left connected");

    // All the while the first had its connection.
    gateway.send("newsite", "54321", &["user_stays"], "e", json!(["stays"])).await;
    assert_eq!(stays.event().await, json!(["e", "stays"]));
    assert_eq!(http::request(gateway.address, Method::GET, "/healthcheck", &[]).await.body, "ok");
}

#[tokio::test]
async fn a_site_in_memory_takes_nothing_while_it_begins_anew() {
    let site = Site::start().await;
    let more = "  events: true\n  open: true\n";
    let files = [("sites.yml", &*format!("{}{more}", one(&site)))];
    let gateway = Gateway::start_with(&files, &["--config", "sites.yml", "--in-memory"], &[]).await;
    assert_eq!(sends(&gateway, "newsite", "54321").await, 200);
    // It does not answer to a close, so that the site's old server waits for it.
    let client = Client::connect_at(gateway.address, "/newsite/events").await;
    gateway.write("sites.yml", &format!("{}{more}  deviceTtl: 5s\n", one(&site)));
    gateway.signal(Signal::SIGHUP);
    becomes(&gateway, "newsite", "54321", 503).await;
    let body = json!({ "rooms": ["user_1"], "event": "e", "args": [] });
    let refused = gateway.post("/send?site=newsite&apiKey=54321", &body).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.body);
    for command in ["deliver", "publish"] {
        let body = json!({ "users": ["1"], "event": "e", "channel": "e", "data": 1 });
        let fields: &[&str] = if command == "deliver" { &["users", "event"] } else { &["channel", "data"] };
        let body: Value = fields.iter().map(|&name| (name.to_owned(), body[name].clone())).collect();
        let refused = gateway.post(&format!("/api/v1/{command}?apiKey=54321"), &body).await;
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, "1"),
            "{command}: {}",
            refused.body
        );
    }
    drop(client);
    becomes(&gateway, "newsite", "54321", 200).await;
}

#[tokio::test]
async fn clients_hear_what_changed_and_those_of_other_sites_hear_nothing() {
    let site = Site::start().await;
    let files = [("sites.yml", &*two(&site, "98765"))];
    let gateway = Gateway::start_with(&files, &["--config", "sites.yml", "--in-memory"], &[]).await;
    let (url, stub) = (gateway.url(), site.url());
    let mut ttl = 5;
    let arguments = ["a_changed_site_tells_its_settings_again", "--parallel", "1"];
    let outcome = run_asked(&url, &stub, &arguments, async |question| {
        assert_eq!(question, "another deviceTtl for newsite");
        ttl += 1;
        let changed = format!("{}  deviceTtl: {ttl}s\n", one(&site));
        gateway.write("sites.yml", &format!("{changed}{}", of("site2", &site, "98765")));
        gateway.signal(Signal::SIGHUP);
    });
    outcome.await.expect(9);
}

/// Waits until `/send` has this status.
async fn becomes(gateway: &Gateway, site: &str, key: &str, status: u16) {
    let looks = async {
        while sends(gateway, site, key).await != status {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokensocket_tests::limit::within(&format!("{site} to answer {status}"), looks).await;
}

#[tokio::test]
async fn a_site_has_its_own_time_for_devices() {
    let site = Site::start().await;
    let more = |name, time| {
        let (site, url) = (of(name, &site, "54321"), site.url());
        format!("{site}  deviceTtl: {time}\n  updateUserUrl: {url}/users/:id\n")
    };
    let config = more("long", "1h") + &more("short", "300ms");
    let files = [("sites.yml", &*config)];
    let gateway = Gateway::start_with(&files, &["--config", "sites.yml", "--in-memory"], &[]).await;
    let has_left = |asked: &Asked| asked.body["user"].get("last_disconnected").is_some();
    // Somebody was there and is not any more.
    let visited = async |name, user: &str| {
        let token = Orders::rooms([user]).token();
        drop(gateway.visit(name, &token).await.unwrap());
        until("the user has left", || site.asked(&token).iter().any(has_left)).await;
        token
    };

    // What is sent in time is kept.
    let token = visited("long", "user_8").await;
    gateway.send("long", "54321", &["user_8"], "e", json!([1])).await;
    let mut visitor = gateway.visit("long", &token).await.unwrap();
    assert_eq!(visitor.event().await[0], "_settings");
    assert_eq!(visitor.event().await, json!(["_batch", [["e", 1]]]));

    // Whoever is away for longer is forgotten, with all that waited.
    let token = visited("short", "user_9").await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    gateway.send("short", "54321", &["user_9"], "e", json!([2])).await;
    let mut visitor = gateway.visit("short", &token).await.unwrap();
    assert_eq!(visitor.event().await[0], "_settings");
    gateway.send("short", "54321", &["user_9"], "e", json!([3])).await;
    assert_eq!(visitor.event().await, json!(["e", 3]));
}

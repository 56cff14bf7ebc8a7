//! `serve --config`: sites, and changes of them while the program runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::request_with;
use crate::program::{Ended, Gateway, Program};

const ONE: &str = "one:\n  apiKey: k1\n  publish: true\n  services:\n    - { key: s1, user: ann }\n";
const TWO: &str = "two:\n  apiKey: k2\n  services:\n    - { key: s2, user: bob }\n";

struct Configured {
    folder: TempDir,
    gateway: Gateway,
}

impl Configured {
    async fn start(sites: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sites.yml"), sites).unwrap();
        let arguments = ["serve", "--config", "sites.yml", "--in-memory", "--listen", "127.0.0.1:0"];
        let program = Program::start_in(folder.path(), &[], &arguments);
        Self { gateway: Gateway::of(program).await, folder }
    }

    fn write(&self, sites: &str) {
        fs::write(self.folder.path().join("sites.yml"), sites).unwrap();
    }

    async fn token(&self, path: &str) -> String {
        let answer = request_with(&self.gateway, &format!("GET {path}"), "").await;
        String::from_utf8(answer).unwrap()
    }
}

async fn check(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    Program::start_in(folder, variables, arguments).ended().await
}

#[tokio::test]
async fn each_site_lets_its_own_clients_in() {
    let served = Configured::start(&format!("{ONE}{TWO}")).await;
    for (path, is_let_in) in [
        ("/one/socket/token?token=s1", true),
        ("/two/socket/token?token=s2", true),
        ("/one/socket/token?token=s2", false),
        ("/two/socket/token", false),
    ] {
        let answer = served.token(path).await;
        assert_eq!(answer.contains(r#"{"token":""#), is_let_in, "{path}: {answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 403"), !is_let_in, "{path}: {answer}");
    }
    let nobodys = served.token("/socket/token?token=s1").await;
    assert!(nobodys.starts_with("HTTP/1.1 404"), "{nobodys}");
}

#[tokio::test]
async fn a_site_that_is_alone_has_the_plain_paths_too() {
    let served = Configured::start(ONE).await;
    for path in ["/socket/token?token=s1", "/one/socket/token?token=s1"] {
        let answer = served.token(path).await;
        assert!(answer.contains(r#"{"token":""#), "{answer}");
    }
}

#[tokio::test]
async fn a_changed_file_and_a_signal_change_sites_and_leave_others_alone() {
    let mut served = Configured::start(ONE).await;
    let mut follower =
        served.gateway.start_command(&["sub", "news", "--count", "1", "--site", "one", "--with", "token=s1"]);
    follower.complains("following news").await;

    served.write(&format!("{ONE}{TWO}"));
    served.gateway.program.complains("was read again").await;
    assert!(served.token("/two/socket/token?token=s2").await.contains("token\":"));

    served.write(&format!("{ONE}two:\n  apikye: k2\n"));
    served.gateway.program.signal(Signal::SIGHUP);
    served.gateway.program.complains("did you mean `apiKey`?").await;
    served.gateway.program.complains("everything stays as it was").await;
    assert!(served.token("/two/socket/token?token=s2").await.contains("token\":"));

    served.write(&ONE.replace("s1", "s3"));
    served.gateway.program.complains("was read again").await;
    assert!(served.token("/two/socket/token?token=s2").await.starts_with("HTTP/1.1 404"));
    assert!(served.token("/one/socket/token?token=s1").await.starts_with("HTTP/1.1 403"));
    assert!(served.token("/one/socket/token?token=s3").await.contains("token\":"));

    // Whoever was there was never disturbed.
    let publish = ["pub", "news", "1", "--site", "one", "--with", "token=s3"];
    assert_eq!(served.gateway.run(&publish).await.status, 0);
    let said = follower.ended().await;
    assert_eq!(said.status, 0, "{said:?}");
    assert!(!said.err.contains("connection lost"), "{said:?}");
}

#[tokio::test]
async fn a_site_whose_server_is_built_anew_keeps_what_it_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sites.yml");
    let history = ONE.replace("publish: true", "publish: true\n  history: 10");
    fs::write(&file, format!("{history}{TWO}")).unwrap();
    let arguments = ["serve", "--config", "sites.yml", "--data", "data", "--listen", "127.0.0.1:0"];
    let mut gateway = Gateway::of(Program::start_in(folder.path(), &[], &arguments)).await;
    let with = ["--site", "one", "--with", "token=s1"];
    let published = gateway.run(&[&["pub", "news", "1"], &with[..]].concat()).await;
    assert_eq!(published.status, 0, "{published:?}");
    let mut follower = gateway.start_command(&[&["sub", "other", "--count", "1"], &with[..]].concat());
    follower.complains("following other").await;

    fs::write(&file, format!("{history}  deviceTtl: 5s\n{TWO}")).unwrap();
    follower.complains("connection lost").await;
    gateway.program.complains("was read again").await;
    let kept = gateway.run(&[&["history", "news"], &with[..]].concat()).await;
    assert!(kept.out.contains('1') && kept.status == 0, "{kept:?}");
    // It came back by itself.
    follower.complains("connected again").await;
    assert_eq!(gateway.run(&[&["pub", "other", "2"], &with[..]].concat()).await.status, 0);
    assert_eq!(follower.ended().await.status, 0);
}

/// A gateway that ends at a pace which no test waits for, and keeps things on the disk where nothing else is said.
struct Paced {
    folder: TempDir,
    gateway: Gateway,
}

const SLOWLY: &str = "drain: 10m\nsites:\n";

impl Paced {
    async fn start(sites: &str) -> Self {
        Self::start_keeping(&["--data", "data"], sites).await
    }

    /// The same, keeping things where these arguments say.
    async fn start_keeping(place: &[&str], sites: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokensocket.yml"), paced(SLOWLY, sites)).unwrap();
        let serve = ["serve", "--config", "tokensocket.yml", "--listen", "127.0.0.1:0"];
        let arguments = [&serve, place].concat();
        let gateway = Gateway::of(Program::start_in(folder.path(), &[], &arguments)).await;
        Self { folder, gateway }
    }

    async fn reload(&mut self, sites: &str) {
        fs::write(self.folder.path().join("tokensocket.yml"), paced(SLOWLY, sites)).unwrap();
        self.gateway.program.complains("was read again").await;
    }

    /// So many connections of a site; only the first has its turn within any test.
    async fn followers(&self, site: &str, count: usize) -> Vec<Program> {
        let with = format!("token=s{}", if site == "one" { 1 } else { 2 });
        let mut followers = Vec::new();
        for _ in 0..count {
            let mut follower =
                self.gateway.start_command(&["sub", "news", "--count", "1", "--site", site, "--with", &with]);
            follower.complains("following news").await;
            followers.push(follower);
        }
        followers
    }
}

/// Sites, one level deeper, below what is said of the gateway.
fn paced(of_the_gateway: &str, sites: &str) -> String {
    let deeper = sites.lines().map(|line| format!("  {line}"));
    let lines: Vec<String> = std::iter::once(of_the_gateway.trim_end().to_owned()).chain(deeper).collect();
    lines.join("\n")
}

#[tokio::test]
async fn a_site_that_is_begun_anew_is_not_down_for_as_long_as_a_drain_takes() {
    let mut served = Paced::start(ONE).await;
    let followers = served.followers("one", 3).await;
    served.reload(&format!("{ONE}  deviceTtl: 5s\n")).await;
    // All of them are back, on the one site that there is.
    for mut follower in followers {
        follower.complains("connected again").await;
        let publish = ["pub", "news", "1", "--site", "one", "--with", "token=s1"];
        assert_eq!(served.gateway.run(&publish).await.status, 0);
        assert_eq!(follower.ended().await.status, 0);
    }
}

#[tokio::test]
async fn a_site_that_leaves_at_a_pace_holds_up_no_change_and_may_come_back() {
    let mut served = Paced::start(&format!("{ONE}{TWO}")).await;
    let followers = served.followers("two", 3).await;
    served.reload(ONE).await;
    served.reload(&ONE.replace("publish: true", "publish: false")).await;
    // What it keeps is still open: those who are left are told to go at once.
    served.reload(&format!("{ONE}{TWO}")).await;
    let answer = request_with(&served.gateway, "GET /two/socket/token?token=s2", "").await;
    assert!(String::from_utf8(answer).unwrap().contains("token\":"));
    for mut follower in followers {
        follower.complains("connected again").await;
    }
}

#[tokio::test]
async fn a_site_in_memory_that_leaves_at_a_pace_has_left_before_it_comes_back() {
    let mut served = Paced::start_keeping(&["--in-memory"], &format!("{ONE}{TWO}")).await;
    let followers = served.followers("two", 3).await;
    served.reload(ONE).await;
    served.reload(&format!("{ONE}{TWO}")).await;
    for mut follower in followers {
        follower.complains("connected again").await;
    }
}

#[tokio::test]
async fn an_end_sends_clients_away_side_by_side_with_those_of_a_site_that_is_leaving() {
    let mut served = Paced::start(&format!("{ONE}{TWO}")).await;
    let mut staying = served.followers("one", 1).await.remove(0);
    let _leaving = served.followers("two", 3).await;
    served.reload(ONE).await;
    served.gateway.program.signal(Signal::SIGTERM);
    staying.complains("connection lost").await;
}

#[tokio::test]
async fn an_end_waits_for_a_site_that_is_leaving() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokensocket.yml");
    let pace = "drain: 3s\nsites:\n";
    fs::write(&file, paced(pace, &format!("{ONE}{TWO}"))).unwrap();
    let arguments = ["serve", "--config", "tokensocket.yml", "--in-memory", "--listen", "127.0.0.1:0"];
    let gateway = Gateway::of(Program::start_in(folder.path(), &[], &arguments)).await;
    let mut served = Paced { folder, gateway };
    let _leaving = served.followers("two", 3).await;
    let began = Instant::now();
    fs::write(&file, paced(pace, ONE)).unwrap();
    served.gateway.program.complains("was read again").await;
    served.gateway.program.signal(Signal::SIGTERM);
    assert_eq!(served.gateway.program.ended().await.status, 0);
    // The last of three has its turn after two thirds.
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_site_that_cannot_begin_anew_is_tried_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sites.yml");
    let history = ONE.replace("publish: true", "publish: true\n  history: 10");
    fs::write(&file, format!("{history}{TWO}")).unwrap();
    let arguments = ["serve", "--config", "sites.yml", "--data", "data", "--listen", "127.0.0.1:0"];
    let mut gateway = Gateway::of(Program::start_in(folder.path(), &[], &arguments)).await;
    let with = ["--site", "one", "--with", "token=s1"];
    let published = gateway.run(&[&["pub", "news", "1"], &with[..]].concat()).await;
    assert_eq!(published.status, 0, "{published:?}");

    // What it keeps is not where it was, when it is opened again.
    let kept = folder.path().join("data/sites/one");
    let away = folder.path().join("away");
    fs::rename(&kept, &away).unwrap();
    fs::write(&kept, "in the way").unwrap();
    fs::write(&file, format!("{history}  deviceTtl: 5s\n{TWO}")).unwrap();
    gateway.program.complains("a site cannot be served as it is configured").await;
    // It is still a site, for whoever comes meanwhile.
    let answer = request_with(&gateway, "GET /one/socket/token?token=s1", "").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let other = request_with(&gateway, "GET /two/socket/token?token=s2", "").await;
    assert!(String::from_utf8(other).unwrap().contains("token\":"));

    fs::remove_file(&kept).unwrap();
    fs::rename(&away, &kept).unwrap();
    gateway.program.complains("what could not be served before is served").await;
    let read = gateway.run(&[&["history", "news"], &with[..]].concat()).await;
    assert!(read.out.contains('1') && read.status == 0, "{read:?}");
}

#[tokio::test]
async fn a_machine_without_certificates_will_do_for_http() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("nothing");
    let nothing = nothing.to_str().unwrap();
    let variables = [("SSL_CERT_FILE", nothing), ("SSL_CERT_DIR", nothing)];
    let site = |url: &str| format!("one:\n  apiKey: k1\n  authUrl: {url}/rooms\n");
    fs::write(folder.path().join("sites.yml"), site("http://127.0.0.1:9")).unwrap();
    let serve = ["serve", "--config", "sites.yml", "--in-memory", "--listen", "127.0.0.1:0"];
    let mut gateway = Gateway::of(Program::start_in(folder.path(), &variables, &serve)).await;
    // It follows its files once it answers.
    let answer = request_with(&gateway, "GET /one/socket/token?token=s1", "").await;
    assert!(String::from_utf8(answer).unwrap().contains("the site cannot be reached"));
    // Somebody who is to be asked by https cannot be.
    fs::write(folder.path().join("sites.yml"), site("https://127.0.0.1:9")).unwrap();
    gateway.program.complains("HTTP client for sites cannot be made").await;
    let answer = request_with(&gateway, "GET /one/socket/token?token=s1", "").await;
    assert!(String::from_utf8(answer).unwrap().contains("the site cannot be reached"), "it stays as it was");
    let ended = check(folder.path(), &serve, &variables).await;
    assert_eq!(ended.status, 1, "{ended:?}");
}

/// What a Socket.IO client of version 4 is answered that joins a namespace with this token.
async fn join(gateway: &Gateway, namespace: &str, token: &str) -> String {
    let path = "/socket.io/?EIO=4&transport=polling";
    let ask = |line: String, body: String| async move {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        let length = body.len();
        let head =
            format!("{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: text/plain\r\n");
        stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let open = ask(format!("GET {path}"), String::new()).await;
    let (_, sid) = open.split_once("\"sid\":\"").unwrap();
    let (sid, _) = sid.split_once('"').unwrap();
    let joining = format!("40{namespace},{{\"token\":\"{token}\"}}");
    ask(format!("POST {path}&sid={sid}"), joining).await;
    ask(format!("GET {path}&sid={sid}"), String::new()).await
}

#[tokio::test]
async fn a_token_that_was_issued_joins_a_namespace_once() {
    let sites = format!("{ONE}{TWO}none:\n  apiKey: k3\n");
    let served = Configured::start(&sites).await;
    let issued = served.token("/one/socket/token?token=s1").await;
    let (_, issued) = issued.split_once("{\"token\":\"").unwrap();
    let (issued, _) = issued.split_once('"').unwrap();
    let other = join(&served.gateway, "/two", issued).await;
    assert!(other.contains(r#"44/two,{"message":"Authentication failed"}"#), "{other}");
    let first = join(&served.gateway, "/one", issued).await;
    assert!(first.contains("40/one,"), "{first}");
    let again = join(&served.gateway, "/one", issued).await;
    assert!(again.contains(r#"44/one,{"message":"Authentication failed"}"#), "{again}");
    let nobody = join(&served.gateway, "/none", issued).await;
    assert!(nobody.contains(r#"44/none,{"message":"INVALID_TOKEN"}"#), "{nobody}");
    let own = join(&served.gateway, "/one", "s1").await;
    assert!(own.contains("40/one,"), "{own}");
}

#[tokio::test]
async fn variables_alone_configure_a_site() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("SITE_NAME", "goodcity"), ("AUTH_URL", "http://127.0.0.1:9/rooms"), ("API_KEY", "k")];
    let arguments = ["serve", "--in-memory", "--listen", "127.0.0.1:0", "--json"];
    let mut program = Program::start_in(folder.path(), &variables, &arguments);
    let line = program.line().await;
    assert!(line.contains(r#""sites":["goodcity"]"#), "{line}");
}

#[tokio::test]
async fn a_configuration_with_mistakes_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sites.yml"), "one:\n  apiKey: k\n  authURI: http://a/b\n").unwrap();
    let ended =
        check(folder.path(), &["serve", "--config", "sites.yml", "--listen", "127.0.0.1:0"], &[]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("sites.yml:3:3: there is no setting `authURI`"), "{ended:?}");
    assert!(ended.err.contains("did you mean `authUrl`?"), "{ended:?}");
    let ended =
        check(folder.path(), &["serve", "--listen", "127.0.0.1:0"], &[("TOKENSOCKET_CONFIG", "no.yml")])
            .await;
    assert!(ended.err.contains("no.yml: cannot be read"), "{ended:?}");
}

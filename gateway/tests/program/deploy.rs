//! The files of `deploy`: a real nginx takes its own, and in the others every command is one that the program has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rcgen::generate_simple_self_signed;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::program::{Ended, Gateway, Program, run};

const NGINX: &str = "/usr/sbin/nginx";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

pub(crate) fn file(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// A configuration for nginx as a program of its own, with the site's file in it.
fn nginx_configuration(folder: &Path, site: &str) -> PathBuf {
    fs::write(folder.join("site.conf"), site).unwrap();
    let place = folder.display();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {place}/nginx.pid;\nerror_log stderr;\n\
         events {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {place}/body;\nproxy_temp_path {place}/proxy;\n\
         fastcgi_temp_path {place}/fastcgi;\nuwsgi_temp_path {place}/uwsgi;\nscgi_temp_path {place}/scgi;\n\
         include {place}/site.conf;\n}}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, whole).unwrap();
    file
}

/// The text with one part replaced, which must be there.
pub(crate) fn with(text: &str, part: &str, other: &str) -> String {
    assert!(text.contains(part), "{part}");
    text.replace(part, other)
}

#[tokio::test]
async fn nginx_accepts_its_file_as_it_is_with_a_certificate() {
    let place = tempfile::tempdir().unwrap();
    let made = generate_simple_self_signed(vec!["sockets.example.com".to_owned()]).unwrap();
    let (certificate, key) = (place.path().join("crt"), place.path().join("key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let site = file("nginx.conf");
    let site = with(&site, "/etc/ssl/sockets.example.com.crt", certificate.to_str().unwrap());
    let site = with(&site, "/etc/ssl/sockets.example.com.key", key.to_str().unwrap());
    // It binds the port even to test; any other will do.
    let site =
        with(&site, "listen 443 ssl", &format!("listen unix:{}/test.sock ssl", place.path().display()));
    let configuration = nginx_configuration(place.path(), &site);
    let tested = Command::new(NGINX).arg("-t").arg("-c").arg(configuration).output().await.unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
}

/// A real nginx before gateways.
pub(crate) struct Proxied {
    pub(crate) url: String,
    _nginx: Child,
    _place: tempfile::TempDir,
}

impl Proxied {
    async fn before(gateway: &Gateway, changes: &[(&str, &str)]) -> Self {
        let site = file("nginx.conf");
        let site = with(&site, "server 127.0.0.1:1337;", &format!("server {};", gateway.address()));
        let lines: Vec<&str> = site.lines().filter(|line| !line.contains("ssl_certificate")).collect();
        let site = changes.iter().fold(lines.join("\n"), |site, (part, other)| with(&site, part, other));
        Self::serving(&site, "listen 443 ssl http2;").await
    }

    /// Serves a site that says where it listens by this line.
    pub(crate) async fn serving(site: &str, listen: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("nginx.sock");
        let site = with(site, listen, &format!("listen unix:{};", socket.display()));
        let configuration = nginx_configuration(place.path(), &site);
        let nginx = Command::new(NGINX)
            .arg("-c")
            .arg(configuration)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let nginx = nginx.unwrap();
        let opened = async {
            while UnixStream::connect(&socket).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, opened).await.expect("nginx listens in time");
        // nginx takes no port that is free; it listens in the folder, and this passes on.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let socket = socket.clone();
                tokio::spawn(async move {
                    let mut to = UnixStream::connect(socket).await?;
                    copy_bidirectional(&mut from, &mut to).await
                });
            }
        });
        Self { url, _nginx: nginx, _place: place }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Program {
        Program::start(&[arguments, &["--url", &self.url, "--timeout", "20s"]].concat())
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).ended().await
    }
}

#[tokio::test]
async fn a_websocket_comes_through_nginx_in_both_directions() {
    let gateway = Gateway::start().await;
    // The commands know nothing but WebSockets.
    let proxied = Proxied::before(&gateway, &[]).await;
    assert_eq!(proxied.run(&["call", "echo", "1"]).await.out, "1\n");
    let mut follower = proxied.start(&["sub", "news", "--count", "1"]);
    follower.complains("following news").await;
    gateway.run(&["pub", "news", "2"]).await;
    assert_eq!(follower.ended().await.out, "news\t2\n");
    assert_eq!(proxied.run(&["healthcheck"]).await.status, 0);
}

#[tokio::test]
async fn without_the_files_upgrade_headers_no_websocket_comes_through() {
    let gateway = Gateway::start().await;
    let upgrade = ("proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Upgrade \"\";");
    let proxied = Proxied::before(&gateway, &[upgrade]).await;
    assert_eq!(proxied.run(&["call", "echo", "1"]).await.status, 3);
}

#[tokio::test]
async fn nginx_answers_the_api_to_the_applications_alone() {
    let gateway = Gateway::start().await;
    // Whoever comes by nginx's socket in the folder is of no address that is allowed.
    let proxied = Proxied::before(&gateway, &[]).await;
    for command in [&["sites"][..], &["send", "--room", "a", "b"]] {
        let ended = proxied.run(command).await;
        assert!(ended.err.contains("403"), "{ended:?}");
    }
}

/// Sections of a unit, each a list of settings.
fn unit(text: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut sections: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else {
            let (key, value) = line.split_once('=').expect("a setting");
            sections.entry(section.clone()).or_default().push((key.to_owned(), value.to_owned()));
        }
    }
    sections
}

/// Whether the program understands these arguments; nothing is done.
pub(crate) async fn is_understood(arguments: &[&str]) -> bool {
    run(&[arguments, &["--help"]].concat()).await.status == 0
}

#[tokio::test]
async fn the_units_commands_are_understood() {
    assert!(!is_understood(&["serve", "--nonsense", "x"]).await);
    let service = unit(&file("systemd/tokensocket.service"));
    let mut commands = 0;
    for (_, line) in service["Service"].iter().filter(|(key, _)| key.starts_with("Exec")) {
        if let Some(arguments) = line.strip_prefix("/usr/local/bin/tokensocket ") {
            assert!(is_understood(&arguments.split(' ').collect::<Vec<_>>()).await, "{line}");
            commands += 1;
        }
    }
    assert_eq!(commands, 2);
    let setting =
        |key: &str| service["Service"].iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(setting("Type"), Some("notify"));
    assert_eq!(setting("TimeoutStopSec"), Some("60s"), "as docs/deploy.md says, and the others");
    let socket = unit(&file("systemd/tokensocket.socket"));
    assert_eq!(socket["Socket"][0], ("ListenStream".to_owned(), "127.0.0.1:1337".to_owned()));
}

#[tokio::test]
async fn the_images_commands_are_understood_and_nothing_in_it_is_roots() {
    let text = file("Dockerfile").replace("\\\n", " ");
    let last = text.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n"), "nothing but the program");
    let instruction = |name: &str| {
        last.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}")).trim()
    };
    let user = instruction("USER ");
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
    let list = |text: &str| serde_json::from_str::<Vec<String>>(&text[text.find('[').unwrap()..]).unwrap();
    assert_eq!(list(instruction("ENTRYPOINT")), ["/tokensocket"]);
    let command = list(instruction("CMD"));
    assert!(is_understood(&command.iter().map(String::as_str).collect::<Vec<_>>()).await, "{command:?}");
    let health = list(instruction("HEALTHCHECK"));
    assert_eq!(health, ["/tokensocket", "healthcheck"]);
    assert!(last.contains("COPY --from=build /tokensocket /tokensocket"));
}

pub(crate) fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

#[tokio::test]
async fn the_manifests_fit_together_and_their_configuration_has_no_mistake() {
    let all = documents(&file("kubernetes/tokensocket.yaml"));
    let of = |kind: &str| {
        all.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    };
    let (secret, service, set, ingress) = (of("Secret"), of("Service"), of("StatefulSet"), of("Ingress"));
    let template = &set["spec"]["template"];
    assert_eq!(service["spec"]["selector"], template["metadata"]["labels"]);
    assert_eq!(set["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]);
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    assert_eq!(template["spec"]["volumes"][0]["secret"]["secretName"], secret["metadata"]["name"]);
    let backend = &ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(backend["name"], service["metadata"]["name"]);
    assert_eq!(backend["port"]["name"], service["spec"]["ports"][0]["name"]);
    assert_eq!(template["spec"]["securityContext"]["runAsNonRoot"], true);
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 60);

    let container = &template["spec"]["containers"][0];
    let arguments: Vec<&str> =
        container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
    assert!(is_understood(&arguments).await, "{arguments:?}");
    let path = Path::new(arguments.last().unwrap());
    assert_eq!(container["volumeMounts"][0]["mountPath"], path.parent().unwrap().to_str().unwrap());
    let place = tempfile::tempdir().unwrap();
    let configuration = place.path().join(path.file_name().unwrap());
    let text = secret["stringData"][path.file_name().unwrap().to_str().unwrap()].as_str().unwrap();
    fs::write(&configuration, text).unwrap();
    let ended = run(&["check", configuration.to_str().unwrap()]).await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "all is well: newsite\n"), "{ended:?}");
}

#[tokio::test]
async fn the_compose_file_mounts_what_the_image_reads() {
    let compose = &documents(&file("compose.yml"))[0]["services"]["tokensocket"];
    assert_eq!(compose["stop_grace_period"], "60s");
    let mounted = compose["volumes"][0].as_str().unwrap();
    let text = file("Dockerfile");
    let read = mounted.split(':').nth(1).unwrap();
    assert!(text.contains(read), "{read}");
    let context = folder().join(compose["build"]["context"].as_str().unwrap());
    assert!(context.join(compose["build"]["dockerfile"].as_str().unwrap()).is_file());
}

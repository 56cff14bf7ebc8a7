//! The files of `deploy` for several gateways: a real Redis is started with the settings that stand there, gateways with the
//! variables, and a real nginx with the configuration. No container is built.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::deploy::{Proxied, documents, file, is_understood, with};
use crate::http::request_to;
use crate::program::{Gateway, Program, run};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// What compose.yml says has to be in it.
const CONFIGURATION: &str =
    "drain: 20s\nsites:\n  newsite:\n    apiKey: 54321\n    open: true\n    publish: true\n";

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Two gateways, their Redis and the balancer before them, as the files say.
struct Several {
    gateways: Vec<Gateway>,
    balancer: Proxied,
    _redis: Child,
    _place: TempDir,
}

impl Several {
    async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let compose = documents(&file("several/compose.yml")).remove(0);
        let services = &compose["services"];
        let (redis, at) = redis(&texts(&services["redis"]["command"]), place.path()).await;
        fs::write(place.path().join("tokensocket.yml"), CONFIGURATION).unwrap();
        let mut gateways = Vec::new();
        let mut site = file("several/nginx.conf");
        for name in ["gateway-1", "gateway-2"] {
            let variables = &services[name]["environment"];
            let variables: Vec<_> = variables.as_object().unwrap().iter().collect();
            let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
            let variables: Vec<_> =
                variables.map(|(name, value)| (name, with(value, "redis://redis:6379", &at))).collect();
            let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let serve = ["serve", "--config", "tokensocket.yml", "--listen", "127.0.0.1:0"];
            let gateway = Gateway::of(Program::start_in(place.path(), &variables, &serve)).await;
            site = with(&site, &format!("server {name}:1337 "), &format!("server {} ", gateway.address()));
            gateways.push(gateway);
        }
        let balancer = Proxied::serving(&site, "listen 1337;").await;
        Self { gateways, balancer, _redis: redis, _place: place }
    }

    fn gateway(&self, at: usize) -> &Gateway {
        &self.gateways[at]
    }
}

/// A Redis that is started by this command, in a folder and on a port of its own, and its address.
async fn redis(command: &[&str], folder: &Path) -> (Child, String) {
    for _ in 0..10 {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut program = Command::new(command[0]);
        program.args(&command[1..]).args([
            "--bind",
            "127.0.0.1",
            "--port",
            &free.port().to_string(),
            "--dir",
        ]);
        let mut child = program.arg(folder).kill_on_drop(true).spawn().unwrap();
        let opened = async {
            while TcpStream::connect(free).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            // Somebody else has the port by now, or the command is wrong.
            _ = child.wait() => continue,
            () = opened => {}
        }
        return (child, format!("redis://{free}"));
    }
    panic!("no Redis began by {command:?}");
}

#[tokio::test]
async fn two_gateways_behind_the_balancer_are_one() {
    let mut several = Several::start().await;
    let nodes = ["nodes", "--site", "newsite", "--key", "54321"];
    let know_each_other = async {
        while !several.balancer.run(&nodes).await.out.starts_with("newsite: 2 of 2 nodes answered") {}
    };
    timeout(PATIENCE, know_each_other).await.expect("they know each other in time");
    let news = ["news", "--site", "newsite"];
    let mut follower = several.gateway(0).start_command(&[&["sub", "--count", "1"], &news[..]].concat());
    follower.complains("following news").await;
    let published = several.gateway(1).run(&["pub", "news", "1", "--site", "newsite"]).await;
    assert_eq!(published.status, 0, "{published:?}");
    assert_eq!(follower.ended().await.out, "news\t1\n");

    // Requests of one session come to one gateway, whichever that is.
    let balancer = several.balancer.url.strip_prefix("http://").unwrap().to_owned();
    for session in 0..16 {
        let path = format!("/newsite/sockets/000/session{session}");
        for (request, answer) in
            [("xhr", "HTTP/1.1 200"), ("xhr_send", "HTTP/1.1 500"), ("xhr_send", "HTTP/1.1 500")]
        {
            let said =
                request_to(&balancer, &format!("POST {path}/{request}"), "content-length: 0\r\n").await;
            let said = String::from_utf8_lossy(&said);
            // Without a body, and so without one that the session could take; but the session is there.
            assert!(said.starts_with(answer), "{session} {request}: {said}");
        }
    }

    // One that is gone is passed by.
    several.gateways.remove(0).program.killed().await;
    for _ in 0..6 {
        let published = several.balancer.run(&["pub", "news", "1", "--site", "newsite"]).await;
        assert_eq!(published.status, 0, "{published:?}");
        let answer = request_to(&balancer, "GET /newsite/socket/token?user=ann", "").await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn the_recipe_for_two_nodes_works_line_by_line() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/nodes.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, recipe) = page.split_once("```sh\nredis-server").expect("the recipe");
    let (recipe, _) = recipe.split_once("```").unwrap();
    let recipe = format!("redis-server{recipe}");
    let lines: Vec<Vec<&str>> = recipe.lines().map(|line| line.split(' ').collect()).collect();
    let [engine, one, other, follow, publish, list] = &*lines else { panic!("{lines:?}") };

    let place = tempfile::tempdir().unwrap();
    let (_redis, at) = redis(engine, place.path()).await;
    // Ports that are free take the place of those that stand there, and nothing else changes.
    let mut addresses = vec![("redis://127.0.0.1:6379".to_owned(), at)];
    let start = |line: &[&str], addresses: &[(String, String)]| {
        assert_eq!(line[0], "tokensocket");
        let put = |word: &str| {
            let word = word.trim_matches('\'').to_owned();
            addresses.iter().fold(word, |word, (usual, here)| word.replace(usual.as_str(), here))
        };
        let words: Vec<String> = line[1..].iter().map(|word| put(word)).collect();
        Program::start(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut nodes = Vec::new();
    for line in [one, other] {
        let usual = line[line.iter().position(|word| *word == "--listen").unwrap() + 1];
        let free = [addresses.clone(), vec![(usual.to_owned(), "127.0.0.1:0".to_owned())]].concat();
        let node = Gateway::of(start(line, &free)).await;
        addresses.push((usual.to_owned(), node.address().to_owned()));
        nodes.push(node);
    }
    let mut follower = start(follow, &addresses);
    follower.complains("following news").await;
    let published = start(publish, &addresses).ended().await;
    assert_eq!(published.status, 0, "{published:?}");
    assert_eq!(follower.line().await, "news\t\"hello\"");
    let both = async {
        loop {
            let listed = start(list, &addresses).ended().await;
            if listed.out.starts_with("default: 2 of 2 nodes answered\n") && listed.out.lines().count() == 4 {
                return;
            }
        }
    };
    timeout(PATIENCE, both).await.expect("they know each other in time");
}

#[tokio::test]
async fn the_compose_file_of_several_fits_together() {
    let compose = documents(&file("several/compose.yml")).remove(0);
    let services = compose["services"].as_object().unwrap();
    let text = file("Dockerfile");
    for name in ["gateway-1", "gateway-2"] {
        let gateway = &services[name];
        assert_eq!(gateway["hostname"], name);
        assert_eq!(gateway["stop_grace_period"], "60s");
        let context =
            crate::deploy::folder().join("several").join(gateway["build"]["context"].as_str().unwrap());
        assert!(context.join(gateway["build"]["dockerfile"].as_str().unwrap()).is_file());
        let mounted = gateway["volumes"][0].as_str().unwrap().split(':').nth(1).unwrap();
        assert!(text.contains(mounted), "{mounted}");
        for network in texts(&gateway["networks"]) {
            assert!(network == "default" || compose["networks"].get(network).is_some(), "{network}");
        }
        for needed in gateway["depends_on"].as_object().unwrap().keys() {
            assert!(services.contains_key(needed), "{needed}");
        }
    }
    let redis = &services["redis"];
    assert_eq!(texts(&redis["networks"]), ["engine"]);
    assert_eq!(compose["networks"]["engine"]["internal"], true);
    let volume = redis["volumes"][0].as_str().unwrap().split(':').next().unwrap();
    assert!(compose["volumes"].get(volume).is_some());
    let mounted = services["balancer"]["volumes"][0].as_str().unwrap().split(':').next().unwrap();
    assert!(crate::deploy::folder().join("several").join(mounted).is_file(), "{mounted}");
    let published = services["balancer"]["ports"][0].as_str().unwrap();
    assert!(
        file("several/nginx.conf").contains(&format!("listen {};", published.rsplit(':').next().unwrap()))
    );
}

#[tokio::test]
async fn the_manifests_of_several_fit_together_and_have_the_same_redis() {
    let all = documents(&file("kubernetes/several.yaml"));
    let of = |kind: &str, name: &str| {
        let found = all.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    };
    let (gateways, redis) = (of("Deployment", "tokensocket"), of("StatefulSet", "tokensocket-redis"));
    for (set, name) in [(gateways, "tokensocket"), (redis, "tokensocket-redis")] {
        let labels = &set["spec"]["template"]["metadata"]["labels"];
        assert_eq!(set["spec"]["selector"]["matchLabels"], *labels);
        assert_eq!(of("Service", name)["spec"]["selector"], *labels);
    }
    let template = &gateways["spec"]["template"];
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 60);
    assert!(gateways["spec"]["replicas"].as_u64().unwrap() > 1);
    let labels = &template["metadata"]["labels"];
    assert_eq!(of("PodDisruptionBudget", "tokensocket")["spec"]["selector"]["matchLabels"], *labels);
    let policy = &of("NetworkPolicy", "tokensocket-redis")["spec"];
    assert_eq!(policy["podSelector"]["matchLabels"], redis["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"], *labels);
    let backend = &of("Ingress", "tokensocket")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(backend["name"], "tokensocket");

    let container = &template["spec"]["containers"][0];
    let arguments = texts(&container["args"]);
    assert!(is_understood(&arguments).await, "{arguments:?}");
    let secrets = |container: &Value| {
        for variable in container["env"].as_array().unwrap() {
            let Some(key) = variable["valueFrom"].get("secretKeyRef") else { continue };
            let secret = of("Secret", key["name"].as_str().unwrap());
            assert!(secret["stringData"].get(key["key"].as_str().unwrap()).is_some(), "{key}");
        }
    };
    secrets(container);
    let server = &redis["spec"]["template"]["spec"]["containers"][0];
    secrets(server);
    // Those that the other tests set.
    let names =
        container["env"].as_array().unwrap().iter().map(|variable| variable["name"].as_str().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(["BROKER_URL", "TOKENSOCKET_LISTEN"]));
    let (arguments, compose) = (texts(&server["args"]), documents(&file("several/compose.yml")).remove(0));
    let settings = texts(&compose["services"]["redis"]["command"]);
    assert_eq!(arguments[..settings.len()], settings);
    assert_eq!(arguments[settings.len()..], ["--requirepass", "$(PASSWORD)"]);
    assert_eq!(server["env"][0]["name"], "PASSWORD");
    let secret = &of("Secret", "tokensocket-redis")["stringData"];
    let url = format!("redis://:{}@tokensocket-redis:6379", secret["password"].as_str().unwrap());
    assert_eq!(secret["url"], url);

    let place = tempfile::tempdir().unwrap();
    let configuration = place.path().join("tokensocket.yml");
    let text = of("Secret", "tokensocket")["stringData"]["tokensocket.yml"].as_str().unwrap();
    fs::write(&configuration, text).unwrap();
    let configuration = configuration.to_str().unwrap();
    let checked = Program::start_in(place.path(), &[("BROKER_URL", &url)], &["check", configuration]);
    let ended = checked.ended().await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "all is well: newsite\n"), "{ended:?}");
    // A variable that is none would have been passed over.
    let wrong = Program::start_in(place.path(), &[("BROKER_URL", "nonsense")], &["check", configuration]);
    assert_eq!(wrong.ended().await.status, 1);
    let elsewhere = run(&["serve", "--config", configuration, "--listen", "nonsense"]).await;
    assert_eq!(elsewhere.status, 2);
}

//! Every example runs, and shows what it says it shows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure is the test's result")]

use std::env;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokensocket_client::TokenSocket;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// An example as a child process; it is killed when the test ends.
struct Example {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        // Cargo builds examples beside the folder of the tests.
        let tests = env::current_exe().unwrap();
        let program = tests.parent().unwrap().with_file_name("examples").join(name);
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    async fn line(&mut self) -> String {
        timeout(PATIENCE, self.output.next_line()).await.expect("a line in time").unwrap().expect("a line")
    }

    /// Where it listens: what it prints first.
    async fn url(&mut self) -> String {
        self.line().await.strip_prefix("listening on ").expect("its address").to_owned()
    }

    async fn types(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Ends its input and waits for its end.
    async fn ends_well(self) {
        let Self { mut child, input, output: _output } = self;
        drop(input);
        let status = timeout(PATIENCE, child.wait()).await.expect("an end in time").unwrap();
        assert!(status.success(), "{status}");
    }
}

async fn client(url: &str) -> TokenSocket {
    let socket = TokenSocket::builder(url).authentication(&json!({ "user": "ann" })).connect().unwrap();
    socket.ready().await.unwrap();
    socket
}

#[tokio::test]
async fn embed_shares_routes_state_and_actions() {
    let mut embed = Example::start("embed", &["--listen", "127.0.0.1:0"]);
    let url = embed.url().await;
    let socket = client(&url).await;
    let mut orders = socket.subscribe("orders").await.unwrap().typed::<Value>();

    let tea = json!({ "item": "tea", "by": "ben" });
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let body = tea.to_string();
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(orders.next().await.unwrap().unwrap(), tea);

    let milk = json!({ "item": "milk", "by": "ann" });
    socket.rpc::<()>("orders.add", &json!({ "item": "milk" })).await.unwrap();
    assert_eq!(orders.next().await.unwrap().unwrap(), milk);
    let all: Vec<Value> = socket.rpc("orders.list", &()).await.unwrap();
    assert_eq!(all, [tea, milk]);
}

#[tokio::test]
async fn chat_carries_lines_from_one_terminal_to_the_other() {
    let mut ann = Example::start("chat", &["--name", "ann", "--listen", "127.0.0.1:0"]);
    let url = ann.url().await;
    assert_eq!(ann.line().await, "you are ann, in lobby; Ctrl-D ends");
    let mut ben = Example::start("chat", &["--name", "ben", "--join", &url]);
    assert_eq!(ben.line().await, "you are ben, in lobby; Ctrl-D ends");
    ann.types("hello").await;
    assert_eq!(ben.line().await, "ann: hello");
    ben.types("good morning").await;
    assert_eq!(ann.line().await, "ben: good morning");
    ben.ends_well().await;
    ann.ends_well().await;
}

#[tokio::test]
async fn chat_lets_nobody_speak_under_another_name() {
    let mut ann = Example::start("chat", &["--name", "ann", "--listen", "127.0.0.1:0"]);
    let url = ann.url().await;
    let eve = TokenSocket::builder(&url).authentication(&json!({ "name": "eve" })).connect().unwrap();
    let forged = json!({ "from": "ann", "text": "I owe eve 100 €" });
    assert!(eve.publish("lobby", &forged).await.is_err());
    assert!(eve.broadcast(&forged).await.is_err());
}

#[tokio::test]
async fn server_calls_client_shows_answers_and_their_absence() {
    let mut example = Example::start("server_calls_client", &["--listen", "127.0.0.1:0"]);
    example.url().await;
    let attic = example.line().await;
    assert!(attic.starts_with("attic: no reading: "), "{attic}");
    assert_eq!(example.line().await, "cellar: 11.5 °C");
    let garage = example.line().await;
    assert!(garage.starts_with("garage: no reading: ") && garage.contains("not_found"), "{garage}");
    assert_eq!(example.line().await, "kitchen: 21.0 °C");
    example.ends_well().await;
}

#[tokio::test]
async fn away_shows_each_message_once_and_in_order() {
    let mut example = Example::start("away", &["--listen", "127.0.0.1:0"]);
    example.url().await;
    for line in [
        "phone: price 10",
        "phone: order 1",
        "-- the server is replaced",
        "phone: price 11",
        "phone: price 12",
        "phone: order 2",
        "-- the phone is switched off",
        "-- and on again",
        "phone: order 3",
        "phone: order 4",
    ] {
        assert_eq!(example.line().await, line);
    }
    example.ends_well().await;
}

#[tokio::test]
async fn playground_answers_calls() {
    let mut playground = Example::start("playground", &["--listen", "127.0.0.1:0"]);
    let socket = client(&playground.url().await).await;
    assert_eq!(socket.rpc::<Value>("whoami", &()).await.unwrap(), json!({ "user": "ann" }));
    let nested: Value = socket.rpc("something.nested", &5).await.unwrap();
    assert_eq!(nested, json!({ "nested": 5 }));
}

#[tokio::test]
async fn every_example_explains_itself() {
    for name in ["away", "chat", "embed", "playground", "push_service", "server_calls_client"] {
        let mut example = Example::start(name, &["--help"]);
        assert!(!example.line().await.is_empty(), "{name}");
        example.ends_well().await;
    }
}

//! The program `tokensocket` with a configuration, as a process of its own.
//!
//! In: files, arguments, variables. Out: its address, its HTTP face, and clients of its sites. It ends when the
//! [`Gateway`] is dropped, as `kill -9` ends it.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::http::{self, Answer};
use crate::limit::within;
use crate::program::Program;
use crate::site::Site;

/// The variables that the gateway reads, which a test's own environment must not set.
pub(crate) const VARIABLES: [&str; 14] = [
    "NODE_ENV",
    "PORT",
    "DEVICE_TTL",
    "REDIS_URL",
    "BROKER_URL",
    "SITE_NAME",
    "AUTH_URL",
    "AUTH_SCHEME",
    "API_KEY",
    "USER_ROOM_PREFIX",
    "UPDATE_USER_URL",
    "PUBLIC_CHANNEL",
    "TOKENSOCKET_CONFIG",
    "TOKENSOCKET_DATA",
];

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    program: Program,
    folder: TempDir,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl Gateway {
    /// Starts one with this configuration, which is YAML, in memory.
    pub async fn start(configuration: &str) -> Self {
        Self::start_with(
            &[("tokensocket.yml", configuration)],
            &["--config", "tokensocket.yml", "--in-memory"],
            &[],
        )
        .await
    }

    /// Starts one that keeps things on the disk.
    pub async fn start_durable(configuration: &str) -> Self {
        let arguments = ["--config", "tokensocket.yml", "--data", "data"];
        Self::start_with(&[("tokensocket.yml", configuration)], &arguments, &[]).await
    }

    /// Starts one in a folder with these files, and in it.
    pub async fn start_with(
        files: &[(&str, &str)],
        arguments: &[&str],
        variables: &[(&'static str, &str)],
    ) -> Self {
        let folder = folder(files);
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (program, address) = serve(&folder, &arguments, &variables, "127.0.0.1:0").await;
        Self { address, program, folder, arguments, variables }
    }

    /// Ends it as `kill -9` does, and starts it again where it was.
    pub async fn kill_and_restart(&mut self) {
        self.program.signal(Signal::SIGKILL);
        self.program.ended().await;
        let address = self.address.to_string();
        (self.program, _) = serve(&self.folder, &self.arguments, &self.variables, &address).await;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Writes one of its files anew.
    pub fn write(&self, name: &str, text: &str) {
        // As editors do, so that nobody reads half of it.
        let new = self.folder.path().join(format!("{name}.new"));
        std::fs::write(&new, text).expect("a file can be written");
        std::fs::rename(new, self.folder.path().join(name)).expect("a file can be renamed");
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends an event by `/send`, which must succeed.
    pub async fn send(&self, site: &str, key: &str, rooms: &[&str], event: &str, args: Value) {
        let body = json!({ "rooms": rooms, "event": event, "args": args });
        let answer = self.post(&format!("/send?site={site}&apiKey={key}"), &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    }

    /// POSTs JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        http::request_with(self.address, Method::POST, path, &headers, body.to_string()).await
    }

    /// Connects to a site with Socket.IO, on a WebSocket.
    pub async fn visit(&self, site: &str, token: &str) -> Result<Visitor, String> {
        Visitor::connect(self.address, site, token, "").await
    }
}

/// What a program printed that ran to its end.
#[derive(Debug)]
pub struct Printed {
    /// Whether its status was 0.
    pub success: bool,
    /// Its standard output and, behind it, its standard error.
    pub text: String,
}

/// Runs `tokensocket` to its end, in a folder with these files.
pub async fn tokensocket(
    files: &[(&str, &str)],
    arguments: &[&str],
    variables: &[(&'static str, &str)],
) -> Printed {
    let folder = folder(files);
    let mut command = tokio::process::Command::new(crate::program::gateway_program());
    command.args(arguments).current_dir(folder.path()).kill_on_drop(true);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let output = within("the program to end", command.output()).await.expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    Printed { success: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file can be written");
    }
    folder
}

async fn serve(
    folder: &TempDir,
    arguments: &[String],
    variables: &[(&'static str, String)],
    listen: &str,
) -> (Program, SocketAddr) {
    let mut all = vec!["serve", "--log", "warn", "--listen", listen];
    all.extend(arguments.iter().map(String::as_str));
    let mut program = Program::gateway_in(folder.path(), &all, &VARIABLES, variables);
    let address = program.listening().await;
    (program, address)
}

/// The sites that the scenarios want, with this stub behind them.
pub fn sites(site: &Site) -> String {
    let url = site.url();
    format!(
        "device_ttl: 3600
sites:
  newsite:
    authUrl: {url}/socketrooms
    authScheme: Bearer
    apiKey: 54321
    userRoomPrefix: user_
    updateUserUrl: {url}/users/:id
    publicChannel: browse
    events: true
  site2:
    authUrl: {url}/socketrooms2
    authScheme: Bearer
    apiKey: 98765
    userRoomPrefix: user_
  open:
    authUrl: {url}/socketrooms/open
    authScheme: Bearer
    apiKey: 11111
  trouble:
    authUrl: {url}/socketrooms/trouble
    authScheme: Bearer
    apiKey: 22222
    userRoomPrefix: user_
"
    )
}

/// A Socket.IO client of version 4 on a WebSocket, as far as tests of the gateway need one.
#[derive(Debug)]
pub struct Visitor {
    socket: WebSocketStream<TcpStream>,
    site: String,
}

impl Visitor {
    /// Connects, and is let in or refused. `query` is added behind the token.
    pub async fn connect(address: SocketAddr, site: &str, token: &str, query: &str) -> Result<Self, String> {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket&token={token}{query}");
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let upgraded = within("an upgrade", client_async(url, stream)).await;
        let (socket, _) = upgraded.map_err(|error| error.to_string())?;
        let mut visitor = Self { socket, site: site.to_owned() };
        let open = visitor.packet().await;
        assert!(open.starts_with("0{"), "{open}");
        visitor.say(&format!("40/{site},")).await;
        // A server that is being replaced ends the connection.
        let answer = visitor.next().await?;
        if answer.starts_with(&format!("40/{site},{{")) { Ok(visitor) } else { Err(answer) }
    }

    /// The next packet that is no ping, as text.
    pub async fn packet(&mut self) -> String {
        self.next().await.unwrap_or_else(|end| panic!("{end}"))
    }

    /// The same, or how the connection ended.
    async fn next(&mut self) -> Result<String, String> {
        loop {
            let message = within("a packet", self.socket.next()).await.ok_or("the connection ended")?;
            match message.map_err(|error| error.to_string())? {
                Message::Text(text) if text.as_str() == "2" => self.say("3").await,
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                other => return Err(format!("{other:?}")),
            }
        }
    }

    /// The next event, with its arguments.
    pub async fn event(&mut self) -> Value {
        let packet = self.packet().await;
        let rest = packet.strip_prefix(&format!("42/{},", self.site)).unwrap_or_else(|| panic!("{packet}"));
        let event = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {packet}"))
    }

    /// Whether the connection ends, rather than say anything.
    pub async fn ends(&mut self) -> bool {
        loop {
            match within("the end", self.socket.next()).await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.say("3").await,
                None | Some(Ok(Message::Close(_)) | Err(_)) => return true,
                Some(Ok(Message::Text(text))) if text.starts_with("41") => return true,
                Some(Ok(_)) => return false,
            }
        }
    }

    async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("the connection is open");
    }
}

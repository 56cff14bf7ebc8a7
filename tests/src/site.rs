//! A site as the gateway knows it: an auth URL and a user URL, which do as the client's token says.
//!
//! In: requests. Out: what the token orders, and a memory of what was asked. A token is [`Orders`] as JSON in
//! hexadecimal digits, so that whoever makes a token decides what becomes of it, and tests share a stub without
//! sharing its state. It can be slow, fail, hang, hang up, and lie.
//!
//! ```text
//! GET /socketrooms…      what the token orders
//! PUT /users/ID          what the token's `put` orders
//! GET /asked/TOKEN       what came with this token so far, as JSON; for scripts
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::limit::until;
use crate::node::listen;

/// What a token orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is an order of its own, as it stands in a token")]
pub struct Orders {
    /// The rooms to answer with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<String>,
    /// The status, 200 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// This body instead of the rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Where else to look: a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// How long the answer takes, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// How many requests are answered with 503 first.
    #[serde(skip_serializing_if = "is_zero")]
    pub fail: u64,
    /// As many bytes of rooms, none of which is whole before the end.
    #[serde(skip_serializing_if = "is_zero")]
    pub huge: u64,
    /// A list in a list in a list, so often.
    #[serde(skip_serializing_if = "is_zero")]
    pub deep: u64,
    /// Never to answer.
    #[serde(skip_serializing_if = "is_false")]
    pub hang: bool,
    /// To answer when the test lets it, see [`Site::answer_held`].
    #[serde(skip_serializing_if = "is_false")]
    pub hold: bool,
    /// To hang up without an answer.
    #[serde(skip_serializing_if = "is_false")]
    pub drop: bool,
    /// To promise more than comes, and hang up.
    #[serde(skip_serializing_if = "is_false")]
    pub cut: bool,
    /// What the user URL does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put: Option<Box<Orders>>,
    /// Tells this token from others with the same orders.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(is: &bool) -> bool {
    !*is
}

impl Orders {
    /// A token whose client is in `rooms`.
    pub fn rooms<const N: usize>(rooms: [&str; N]) -> Self {
        Self { rooms: rooms.map(str::to_owned).into(), ..Self::default() }
    }

    /// A token that is answered with `status`.
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// A token that is answered with this text.
    pub fn body(body: &str) -> Self {
        Self { body: Some(body.to_owned()), ..Self::default() }
    }

    /// The token.
    pub fn token(&self) -> String {
        use std::fmt::Write;
        let text = serde_json::to_string(self).expect("orders are JSON");
        text.bytes().fold(String::new(), |mut token, byte| {
            let _ = write!(token, "{byte:02x}");
            token
        })
    }

    /// What a token orders; one of no orders is answered with 401.
    fn of(token: &str) -> Self {
        let digits = token.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        let text: Option<Vec<u8>> = digits.collect();
        let orders = text.and_then(|text| serde_json::from_slice(&text).ok());
        orders.unwrap_or_else(|| Self::status(401))
    }
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// `GET` or `PUT`.
    pub method: String,
    /// The path, with the query if there is one.
    pub path: String,
    /// The header `Authorization`; empty when there is none.
    pub authorization: String,
    /// The header `X-META`.
    pub meta: Option<String>,
    /// The body as JSON; null when it is none.
    pub body: Value,
    /// When it came.
    #[serde(skip)]
    pub at: Instant,
}

#[derive(Debug, Default)]
struct Memory {
    asked: Vec<Asked>,
    /// Answers under way on each path, and the most there ever were.
    under_way: HashMap<String, (usize, usize)>,
}

/// A running stub. It ends when it is dropped.
#[derive(Debug)]
pub struct Site {
    /// Where it listens.
    pub address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
    /// Closed when held answers may go.
    held: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Site {
    /// Starts one.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let memory = Arc::<Mutex<Memory>>::default();
        let held = Arc::new(Semaphore::new(0));
        let (remembering, holding) = (Arc::clone(&memory), Arc::clone(&held));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (memory, held) = (Arc::clone(&remembering), Arc::clone(&holding));
                // It ends with its peer, or with the test's runtime.
                tokio::spawn(async move { serve(stream, &memory, &held).await });
            }
        });
        Self { address, memory, held, task }
    }

    /// The stub's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that came with this token so far.
    pub fn asked(&self, token: &str) -> Vec<Asked> {
        locked(&self.memory).asked(token)
    }

    /// All that came so far.
    pub fn all(&self) -> Vec<Asked> {
        locked(&self.memory).asked.clone()
    }

    /// How many answers were under way at once on a path, at most.
    pub fn most_at_once(&self, path: &str) -> usize {
        locked(&self.memory).under_way.get(path).map_or(0, |(_, most)| *most)
    }

    /// Lets all answers go that are held, and holds none any more.
    pub fn answer_held(&self) {
        self.held.close();
    }

    /// Waits until this token was used `count` times.
    pub async fn until_asked(&self, token: &str, count: usize) -> Vec<Asked> {
        until("the site to be asked", || self.asked(token).len() >= count).await;
        self.asked(token)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn asked(&self, token: &str) -> Vec<Asked> {
        let is_of_token = |asked: &&Asked| token_in(&asked.authorization) == token;
        self.asked.iter().filter(is_of_token).cloned().collect()
    }

    fn begin(&mut self, path: &str) {
        let (now, most) = self.under_way.entry(path.to_owned()).or_default();
        *now += 1;
        *most = (*most).max(*now);
    }

    fn end(&mut self, path: &str) {
        if let Some((now, _)) = self.under_way.get_mut(path) {
            *now -= 1;
        }
    }
}

/// What stands behind the scheme.
fn token_in(authorization: &str) -> &str {
    authorization.split_once(' ').map_or("", |(_, token)| token)
}

/// Ends an answer under way, also when its peer goes away before it.
struct UnderWay<'a> {
    memory: &'a Mutex<Memory>,
    path: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        locked(self.memory).end(&self.path);
    }
}

/// Serves one connection until a side ends it.
async fn serve(stream: TcpStream, memory: &Mutex<Memory>, held: &Semaphore) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = read(&mut stream).await {
        if asked.method == "GET"
            && let Some(token) = asked.path.strip_prefix("/asked/")
        {
            let answer = json!(locked(memory).asked(token)).to_string();
            if write(&mut stream, 200, "", answer.as_bytes()).await.is_none() {
                return;
            }
            continue;
        }
        let path = asked.path.clone();
        let _under_way = UnderWay { memory, path: path.clone() };
        let before = {
            let mut memory = locked(memory);
            memory.begin(&path);
            let earlier = memory.asked(token_in(&asked.authorization));
            memory.asked.push(asked.clone());
            earlier.iter().filter(|earlier| earlier.method == asked.method).count()
        };
        let mut orders = Orders::of(token_in(&asked.authorization));
        if asked.method == "PUT" {
            orders = *orders.put.unwrap_or_default();
        }
        if obey(&mut stream, &orders, before as u64, held).await.is_none() {
            return;
        }
    }
}

/// Answers as ordered. `None` ends the connection.
async fn obey(
    stream: &mut BufReader<TcpStream>,
    orders: &Orders,
    before: u64,
    held: &Semaphore,
) -> Option<()> {
    let waits = Duration::from_millis(orders.delay_ms);
    let delay = async {
        if orders.hang {
            return std::future::pending().await;
        }
        if orders.hold {
            let _ = held.acquire().await;
        }
        tokio::time::sleep(waits).await;
    };
    tokio::select! {
        biased;
        () = delay => {}
        // It asks nothing meanwhile, so this is its end.
        _ = stream.fill_buf() => return None,
    }
    if orders.drop {
        return None;
    }
    if before < orders.fail {
        return write(stream, 503, "", b"not now").await;
    }
    if let Some(place) = &orders.redirect {
        return write(stream, 302, &format!("Location: {place}\r\n"), b"").await;
    }
    let rooms = || json!(orders.rooms).to_string();
    if orders.cut {
        let text = rooms();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len() + 10);
        stream.get_mut().write_all(format!("{head}{text}").as_bytes()).await.ok()?;
        return None;
    }
    if orders.huge > 0 {
        return flood(stream, orders.huge).await;
    }
    if orders.deep > 0 {
        let depth = usize::try_from(orders.deep).ok()?;
        return write(stream, 200, "", &[b"[".repeat(depth), b"]".repeat(depth)].concat()).await;
    }
    let body = orders.body.clone().unwrap_or_else(rooms);
    write(stream, orders.status.unwrap_or(200), "", body.as_bytes()).await
}

/// Sends `bytes` of a JSON array, as long as somebody takes them.
async fn flood(stream: &mut BufReader<TcpStream>, bytes: u64) -> Option<()> {
    const ROOM: &[u8] = b"\"user_0123456789\",";
    let count = bytes / ROOM.len() as u64 + 1;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n[", count * ROOM.len() as u64 + 10);
    stream.get_mut().write_all(head.as_bytes()).await.ok()?;
    let some = ROOM.repeat(1000);
    let mut left = count;
    while left > 0 {
        let now = left.min(1000);
        let piece = some.get(..ROOM.len() * usize::try_from(now).ok()?)?;
        stream.get_mut().write_all(piece).await.ok()?;
        left -= now;
    }
    stream.get_mut().write_all(b"\"user_1\"]").await.ok()
}

async fn write(stream: &mut BufReader<TcpStream>, status: u16, headers: &str, body: &[u8]) -> Option<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Ordered\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    stream.get_mut().write_all(&[head.as_bytes(), body].concat()).await.ok()
}

/// The next line; headers may hold any bytes.
async fn read_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.ok()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// The next request; `None` when there is none, or nothing that looks like one.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let line = read_line(stream).await?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut asked = Asked {
        method,
        path,
        authorization: String::new(),
        meta: None,
        body: Value::Null,
        at: Instant::now(),
    };
    let mut length = 0;
    loop {
        let line = read_line(stream).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => asked.authorization = value,
            "x-meta" => asked.meta = Some(value),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    asked.body = serde_json::from_slice(&body).unwrap_or_default();
    Some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    async fn ask(site: &Site, orders: &Orders) -> http::Answer {
        let authorization = format!("Bearer {}", orders.token());
        let headers = [("authorization", authorization.as_str()), ("x-meta", "m")];
        http::request(site.address, hyper::Method::GET, "/socketrooms", &headers).await
    }

    #[tokio::test]
    async fn does_as_the_token_says() {
        let site = Site::start().await;
        let rooms = Orders::rooms(["user_1", "staff"]);
        let answer = ask(&site, &rooms).await;
        assert_eq!((answer.status, answer.json()), (200, json!(["user_1", "staff"])));
        assert_eq!(ask(&site, &Orders::status(418)).await.status, 418);
        let answer = ask(&site, &Orders::body("{")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{"));
        let redirect = Orders { redirect: Some("/there".to_owned()), ..Orders::default() };
        let answer = ask(&site, &redirect).await;
        assert_eq!((answer.status, answer.header("location")), (302, "/there"));
        let huge = ask(&site, &Orders { huge: 100_000, ..Orders::default() }).await;
        assert!(huge.body.len() > 100_000 && huge.json().is_array());
        let fails = Orders { fail: 1, ..rooms.clone() };
        assert_eq!(ask(&site, &fails).await.status, 503);
        assert_eq!(ask(&site, &fails).await.status, 200);
        let asked = site.asked(&rooms.token());
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].method.as_str(), asked[0].meta.as_deref()), ("GET", Some("m")));
        assert_eq!(site.most_at_once("/socketrooms"), 1);
    }

    #[tokio::test]
    async fn tells_scripts_what_it_was_asked() {
        let site = Site::start().await;
        let orders = Orders::rooms(["user_1"]);
        ask(&site, &orders).await;
        let answer = http::get(site.address, &format!("/asked/{}", orders.token())).await.json();
        assert_eq!(answer[0]["path"], "/socketrooms");
        assert_eq!(http::get(site.address, "/socketrooms").await.status, 401);
    }
}

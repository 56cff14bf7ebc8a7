//! The class that JavaScript makes.

use std::time::Duration;

use fastrand::Rng;
use tokensocket_protocol::client::Session;
use tokensocket_protocol::message::Failure;
use tokensocket_protocol::{Channel, ErrorCode};
use wasm_bindgen::prelude::*;

use super::codec::{JsCodec, Payload};
use super::host::{Host, name};
use super::options::{self, duration};
use crate::driver::Driver;

#[wasm_bindgen(module = "/src/bundle/values.js")]
extern "C" {
    #[wasm_bindgen(js_name = partsOf)]
    fn parts_of(error: &JsValue) -> Parts;
    fn split(names: &str, separator: &str) -> JsValue;
}

#[wasm_bindgen]
extern "C" {
    /// An error, taken apart as the wire has it.
    type Parts;

    #[wasm_bindgen(method, getter)]
    fn error(this: &Parts) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn code(this: &Parts) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn details(this: &Parts) -> JsValue;

    #[wasm_bindgen(js_namespace = Math, js_name = random)]
    fn random() -> f64;
}

/// So many milliseconds are beyond any page's life, and below what a number counts exactly.
const FOR_EVER: f64 = 1e15;

/// No channel's name has a control character.
const SEPARATOR: &str = "\n";

/// One session with a server. Starts to connect when it is made.
///
/// `host` is an object with the functions that are told what happens. Each request has a number of the
/// caller's choice, by which `host.settled` names it.
#[wasm_bindgen]
pub struct Connection {
    driver: Driver<JsCodec, Host>,
}

#[wasm_bindgen]
impl Connection {
    /// Fails when an option is not of its type, and says which.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &JsValue, host: JsValue) -> Result<Connection, JsError> {
        let (config, target) = options::read(options).map_err(|wrong| JsError::new(&wrong))?;
        // Names of requests have to differ on one connection, and delays between clients; no more.
        let mut random = Rng::with_seed(random().to_bits());
        let session = Session::new(JsCodec, config, Box::new(move || random.u64(..)));
        Ok(Self { driver: Driver::start(session, target, Host(host)) })
    }

    /// Calls an action. `timeout` in milliseconds: undefined for the default, 0 for none.
    pub fn call(&self, id: f64, path: &JsValue, data: &JsValue, timeout: Option<f64>) {
        let Some(path) = path.as_string() else {
            return self.driver.face().refuse(id, "an action's name has to be a string");
        };
        let is_time = |timeout: &f64| *timeout > 0.0 && *timeout < FOR_EVER;
        let timeout = timeout.map(|timeout| Some(timeout).filter(is_time).map_or(Duration::MAX, duration));
        self.with_payload(id, data, |driver, data| {
            driver.request(id, |session, now| session.handle_call(now, path, data, timeout));
        });
    }

    /// Follows a channel.
    pub fn subscribe(&self, id: f64, channel: &JsValue) {
        if let Some(channel) = self.channel(id, channel) {
            self.driver.request(id, |session, now| session.handle_subscribe(now, channel));
        }
    }

    /// Follows a channel no longer.
    pub fn unsubscribe(&self, id: f64, channel: &JsValue) {
        if let Some(channel) = self.channel(id, channel) {
            self.driver.request(id, |session, now| session.handle_unsubscribe(now, channel));
        }
    }

    /// Publishes on a channel.
    pub fn publish(&self, id: f64, channel: &JsValue, data: &JsValue) {
        if let Some(channel) = self.channel(id, channel) {
            self.with_payload(id, data, |driver, data| {
                driver.request(id, |session, now| session.handle_publish(now, channel, data));
            });
        }
    }

    /// Publishes on every channel.
    pub fn broadcast(&self, id: f64, data: &JsValue) {
        self.with_payload(id, data, |driver, data| {
            driver.request(id, |session, now| session.handle_broadcast(now, data));
        });
    }

    /// Gives a request up.
    #[allow(clippy::float_cmp, reason = "a request is known by the very number that came with it")]
    pub fn cancel(&self, id: f64) {
        self.driver.cancel(|waiter| *waiter == id);
    }

    /// Answers a call of the server's: the result, or the error as a string or an object, whose `code` and
    /// `details` become the wire's.
    pub fn answer(&self, fid: &JsValue, ok: bool, value: &JsValue) {
        let Some(fid) = fid.as_string() else { return };
        let outcome = if ok { Payload::new(value).map_err(unwritable) } else { Err(failure(value)) };
        self.driver.advance(|session, now| session.handle_answer(now, &fid, outcome));
    }

    /// The channels that are wanted, oldest first.
    #[wasm_bindgen(unchecked_return_type = "string[]")]
    pub fn channels(&self) -> JsValue {
        let mut names = String::new();
        for channel in self.driver.ask(Session::channels).unwrap_or_default() {
            names.push_str(channel.as_str());
            names.push_str(SEPARATOR);
        }
        split(&names, SEPARATOR)
    }

    /// Where it stands: `connecting`, `ready`, `disconnected` or `ended`.
    pub fn state(&self) -> String {
        self.driver.ask(|session| name(session.state())).unwrap_or_default().to_owned()
    }

    /// Ends it; `host.ended` follows.
    pub fn end(&self) {
        self.driver.advance(Session::handle_end);
    }
}

impl Connection {
    fn channel(&self, id: f64, channel: &JsValue) -> Option<Channel> {
        let why = match channel.as_string().as_deref().map(Channel::new) {
            Some(Ok(channel)) => return Some(channel),
            Some(Err(error)) => error.message(),
            None => "a channel's name has to be a string".into(),
        };
        self.driver.face().refuse(id, &why);
        None
    }

    fn with_payload(&self, id: f64, data: &JsValue, request: impl FnOnce(&Driver<JsCodec, Host>, Payload)) {
        match Payload::new(data) {
            Ok(data) => request(&self.driver, data),
            Err(why) => self.driver.face().refuse(id, &why),
        }
    }
}

fn failure(error: &JsValue) -> Failure<Payload> {
    let parts = parts_of(error);
    let details = parts.details();
    match Payload::new(&parts.error()) {
        Ok(error) => Failure {
            error,
            message: String::new(),
            code: parts.code().and_then(|code| ErrorCode::parse(&code)),
            details: Payload::new(&details).ok().filter(|_| !details.is_undefined()),
        },
        Err(why) => unwritable(why),
    }
}

/// What an action answered has no JSON.
fn unwritable(why: String) -> Failure<Payload> {
    let error = Payload::new(&JsValue::from_str(&why)).unwrap_or(Payload::NULL);
    Failure { error, message: why, code: Some(ErrorCode::Internal), details: None }
}

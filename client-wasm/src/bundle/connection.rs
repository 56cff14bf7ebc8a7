//! The class that JavaScript makes.

use std::time::Duration;

use fastrand::Rng;
use tokensocket_protocol::client::{DeliveryId, PublishOptions, Session, SubscribeOptions};
use tokensocket_protocol::message::Failure;
use tokensocket_protocol::{Channel, ErrorCode, InvalidChannel};
use wasm_bindgen::prelude::*;

use super::codec::{JsCodec, Payload, number_of, position, whole};
use super::host::Host;
use super::options::{self, duration};
use crate::driver::Driver;

#[wasm_bindgen(module = "/src/bundle/values.js")]
extern "C" {
    #[wasm_bindgen(js_name = partsOf)]
    fn parts_of(error: &JsValue) -> Parts;
    fn split(names: &str, separator: &str) -> JsValue;
    fn place(epoch: &str, offset: f64) -> JsValue;
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

// The kinds of requests, as socket.ts knows them. Any other number is a call of the action `name` with `data`, where
// `number` is the time limit in milliseconds: undefined for the default, 0 for none.

/// Follows the channel `name`; with its presence, and from the place that is the epoch `text` and the offset `number`,
/// where there is one.
const SUBSCRIBE: u32 = 1;
/// Follows the channel `name` no longer.
const UNSUBSCRIBE: u32 = 2;
/// Publishes `data` on the channel `name`, under the key `text` if there is one.
const PUBLISH: u32 = 3;
/// Publishes `data` on every channel.
const BROADCAST: u32 = 4;

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

    /// Makes a request. `kind` is one of those above; what a kind does not need is not looked at. No `number` is
    /// `NaN`.
    #[allow(
        clippy::too_many_arguments,
        reason = "one function of many arguments is a third of five functions"
    )]
    pub fn request(
        &self,
        id: f64,
        kind: u32,
        name: &JsValue,
        data: &JsValue,
        text: &JsValue,
        number: f64,
        presence: bool,
    ) {
        let asked = Asked { kind, text: text.as_string(), number, presence };
        if let Err(why) = self.ask(id, name, data, asked) {
            self.driver.face().refuse(id, &why);
        }
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

    /// A delivery or a resync is handled, or given back.
    pub fn settle(&self, id: f64, done: bool) {
        let id = DeliveryId::from_number(whole(id));
        self.driver.advance(|session, now| {
            if done {
                session.handle_acknowledge(now, id);
            } else {
                session.handle_give_back(now, id);
            }
        });
    }

    /// The place behind the last message of a channel that was told, as an object; undefined where there is none.
    #[wasm_bindgen(unchecked_return_type = "{ epoch: string; offset: number } | undefined")]
    pub fn position(&self, channel: &str) -> JsValue {
        let position = |session: &Session<JsCodec>| {
            let position = session.position(&Channel::new(channel).ok()?)?;
            Some(place(position.epoch.as_str(), number_of(position.offset)))
        };
        self.driver.ask(position).flatten().unwrap_or(JsValue::UNDEFINED)
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

    /// Ends it; `host.ended` follows.
    pub fn end(&self) {
        self.driver.advance(Session::handle_end);
    }
}

/// What else a request says.
struct Asked {
    kind: u32,
    text: Option<String>,
    number: f64,
    presence: bool,
}

impl Connection {
    fn ask(&self, id: f64, name: &JsValue, data: &JsValue, asked: Asked) -> Result<(), String> {
        let Asked { kind, text, number, presence } = asked;
        let name = name.as_string().ok_or("the name has to be a string")?;
        let channel = match kind {
            SUBSCRIBE | UNSUBSCRIBE | PUBLISH => {
                Some(Channel::new(&name).map_err(|invalid: InvalidChannel| invalid.message())?)
            }
            _ => None,
        };
        let mut following = SubscribeOptions::new();
        if kind == SUBSCRIBE {
            if presence {
                following = following.presence();
            }
            if let Some(epoch) = &text {
                let since = position(epoch, number);
                following = following.since(since.ok_or("since has to be a position")?);
            }
        }
        let data = Payload::new(data)?;
        self.driver.request(id, move |session, now| match (kind, channel) {
            (SUBSCRIBE, Some(channel)) => session.handle_subscribe_with(now, channel, following),
            (UNSUBSCRIBE, Some(channel)) => session.handle_unsubscribe(now, channel),
            (PUBLISH, Some(channel)) => {
                let publishing = text.into_iter().fold(PublishOptions::new(), PublishOptions::key);
                session.handle_publish_with(now, channel, data, publishing)
            }
            (BROADCAST, _) => session.handle_broadcast(now, data),
            _ => {
                let is_time = number > 0.0 && number < FOR_EVER;
                let timeout = if is_time { duration(number) } else { Duration::MAX };
                session.handle_call(now, name, data, Some(timeout).filter(|_| !number.is_nan()))
            }
        });
        Ok(())
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

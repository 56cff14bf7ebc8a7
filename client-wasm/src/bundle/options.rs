//! The options that JavaScript hands in, read once.
//!
//! In: a plain object. Out: a session's [`Config`] and where to connect, or which option is not as it
//! should be. Times are milliseconds; what is undefined or null keeps its default.

use std::time::Duration;

use tokensocket_protocol::client::{Config, WhenFull};
use wasm_bindgen::prelude::*;

use crate::driver::Target;
use crate::token::{Means, TokenSource};

#[wasm_bindgen(module = "/src/bundle/options.js")]
extern "C" {
    fn wrong(options: &JsValue) -> Option<String>;
    /// `NaN` for none, 1 for true.
    fn number(options: &JsValue, key: &str) -> f64;
    fn text(options: &JsValue, key: &str) -> String;
    fn value(options: &JsValue, key: &str) -> JsValue;
    #[wasm_bindgen(js_name = isNull)]
    fn is_null(options: &JsValue, key: &str) -> bool;
}

/// Reads everything.
pub(crate) fn read(options: &JsValue) -> Result<(Config, Target), String> {
    match wrong(options) {
        Some(wrong) => Err(wrong),
        None => Ok((config(options), target(options))),
    }
}

fn config(options: &JsValue) -> Config {
    let is = |key, default| amount(options, key).map_or(default, |is| is > 0.0);
    let count = |key, count: &mut usize| *count = amount(options, key).map_or(*count, whole);
    let time = |key, time: &mut Duration| *time = amount(options, key).map_or(*time, duration);
    let mut config = Config::default();
    config.reconnect = is("reconnect", true);
    config.ping = amount(options, "ping").map(duration);
    time("pongTimeout", &mut config.pong_timeout);
    time("connectTimeout", &mut config.connect_timeout);
    if is_null(options, "callTimeout") {
        config.call_timeout = None;
    } else if let Some(timeout) = amount(options, "callTimeout") {
        config.call_timeout = Some(duration(timeout)).filter(|timeout| !timeout.is_zero());
    }
    count("maxInFlight", &mut config.max_in_flight);
    count("queueCalls", &mut config.queue_calls);
    count("queueBytes", &mut config.queue_bytes);
    count("maxInvocations", &mut config.max_invocations);
    if text(options, "whenFull") == "drop-oldest" {
        config.when_full = WhenFull::DropOldest;
    }
    config.hello = config.hello.filter(|_| is("hello", true));
    if let Some(hello) = &mut config.hello {
        "tokensocket".clone_into(&mut hello.name);
        hello.version = text(options, "version");
        hello.device = Some(text(options, "device")).filter(|device| !device.is_empty());
    }
    config
}

fn target(options: &JsValue) -> Target {
    let means = if text(options, "tokenRequest") == "jsonp" {
        Means::Jsonp
    } else {
        Means::Fetch {
            headers: value(options, "headers"),
            credentials: value(options, "credentials"),
            fetch: value(options, "fetch"),
        }
    };
    Target {
        token: TokenSource { url: text(options, "tokenUrl"), means },
        socket_url: text(options, "socketUrl"),
        ways: options.clone(),
    }
}

fn amount(options: &JsValue, key: &str) -> Option<f64> {
    let number = number(options, key);
    (number >= 0.0).then_some(number)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is not negative, and the cast saturates"
)]
fn whole(number: f64) -> usize {
    number as usize
}

/// A time in milliseconds; what is negative or no number is none at all.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates: for ever is for ever"
)]
pub(crate) fn duration(millis: f64) -> Duration {
    Duration::from_millis(millis as u64)
}

//! The object of functions that JavaScript hands in to be told.
//!
//! In: what the driver tells. Out: calls of the host's functions. What they throw is reported as an
//! uncaught error and does no other harm.

use std::borrow::Cow;
use std::time::Duration;

use tokensocket_protocol::client::{CallError, ConnectionError, DeliveryId, Event, State};
use tokensocket_protocol::{Close, ErrorCode};
use wasm_bindgen::prelude::*;

use super::codec::{JsCodec, Payload, number_of};
use crate::driver::Face;

#[wasm_bindgen(module = "/src/bundle/host.js")]
extern "C" {
    fn tell(host: &JsValue, method: &str, first: Option<&str>, second: Option<&str>, third: Option<&str>);
    #[wasm_bindgen(js_name = tell)]
    fn tell_of(host: &JsValue, method: &str, name: Option<&str>, value: &JsValue, number: f64);
    fn message(host: &JsValue, publication: &JsValue);
    fn collect(messages: &JsValue, publication: &JsValue) -> JsValue;
    fn invoke(host: &JsValue, fid: &str, path: &str, call: &JsValue, timeout: Option<f64>);
    fn succeed(host: &JsValue, id: f64, answer: &JsValue);
    fn fail(host: &JsValue, id: f64, answer: &JsValue, message: &str, code: &str);
}

/// The host. A request is known by the number that JavaScript gave it.
pub(crate) struct Host(pub(crate) JsValue);

impl Host {
    /// A request could not be made.
    pub(crate) fn refuse(&self, id: f64, message: &str) {
        fail(&self.0, id, &JsValue::UNDEFINED, message, ErrorCode::BadRequest.as_str());
    }

    fn attempt(&self, method: &str, outcome: &Result<(), ConnectionError>) {
        match outcome {
            Ok(()) => tell(&self.0, method, None, None, None),
            Err(error) => {
                let (message, code) = describe(error);
                tell(&self.0, method, Some(&message), Some(code), None);
            }
        }
    }
}

impl Face<JsCodec> for Host {
    type Waiter = f64;

    fn settle(&self, id: f64, outcome: Result<Payload, CallError<Payload>>) {
        let mut answer = JsValue::UNDEFINED;
        let (message, code) = match outcome {
            Ok(payload) => {
                if let Payload::Within(within) = payload {
                    answer = within;
                }
                return succeed(&self.0, id, &answer);
            }
            Err(CallError::Refused(failure)) => {
                if let Payload::Within(within) = failure.error {
                    answer = within;
                }
                (failure.message.into(), failure.code.unwrap_or(ErrorCode::Internal).as_str())
            }
            Err(error) => {
                let code = match &error {
                    CallError::Timeout => "timeout",
                    CallError::Cancelled => "cancelled",
                    CallError::Disconnected => "disconnected",
                    CallError::Overloaded => "overloaded",
                    CallError::TooLarge { .. } => "too_large",
                    _ => "ended",
                };
                (error.message(), code)
            }
        };
        fail(&self.0, id, &answer, &message, code);
    }

    fn tell(&self, event: Event<Payload>) {
        match event {
            Event::Message { message: Payload::Within(publication), .. } => message(&self.0, &publication),
            Event::State(state) => tell(&self.0, "state", Some(name(state)), None, None),
            Event::Ready(outcome) => self.attempt("ready", &outcome),
            Event::Reconnect(outcome) => self.attempt("reconnect", &outcome),
            Event::Disconnected(error) => self.attempt("disconnected", &Err(error)),
            Event::SubscriptionLost { channel, failure } => {
                let message = failure.as_ref().map(|failure| failure.message.as_str());
                let code =
                    failure.as_ref().map(|failure| failure.code.unwrap_or(ErrorCode::Internal).as_str());
                tell(&self.0, "lost", Some(&channel), message, code);
            }
            Event::Recovered { channel, publications } => {
                let messages = publications.iter().fold(JsValue::UNDEFINED, |messages, publication| {
                    collect(&messages, publication.value())
                });
                tell_of(&self.0, "recovered", Some(&channel), &messages, 0.0);
            }
            Event::Unrecovered { channel } => tell(&self.0, "unrecovered", Some(&channel), None, None),
            Event::Pattern { channel } => tell(&self.0, "pattern", Some(&channel), None, None),
            Event::Member { member, .. } => tell_of(&self.0, "member", None, member.value(), 0.0),
            Event::Settings(settings) => {
                let resumed = JsValue::from_bool(settings.resumed);
                tell_of(
                    &self.0,
                    "settings",
                    Some(&settings.device),
                    &resumed,
                    number_of(settings.device_ttl),
                );
            }
            #[allow(clippy::cast_precision_loss, reason = "a batch is one message")]
            Event::Batch { deliveries } => {
                tell_of(&self.0, "batch", None, &JsValue::UNDEFINED, deliveries as f64);
            }
            Event::Delivery { id, args, .. } => {
                tell_of(&self.0, "delivery", None, args.value(), number(id));
            }
            Event::Resync { id, event, reason } => {
                let reason = JsValue::from_str(reason.as_str());
                tell_of(&self.0, "resync", event.as_deref(), &reason, number(id));
            }
            _ => {}
        }
    }

    fn invoke(&self, fid: String, path: String, args: Payload, timeout: Option<Duration>) {
        if let Payload::Within(call) = args {
            let timeout = timeout.map(|timeout| timeout.as_secs_f64() * 1000.0);
            invoke(&self.0, &fid, &path, &call, timeout);
        }
    }

    fn cancelled(&self, fid: String) {
        tell(&self.0, "cancelled", Some(&fid), None, None);
    }

    fn ended(&self) {
        tell(&self.0, "ended", None, None, None);
    }
}

/// A delivery or a resync as JavaScript knows it.
fn number(id: DeliveryId) -> f64 {
    number_of(id.number())
}

/// A state as JavaScript knows it.
fn name(state: State) -> &'static str {
    match state {
        State::Connecting => "connecting",
        State::Ready => "ready",
        State::Disconnected => "disconnected",
        State::Ended => "ended",
    }
}

fn describe(error: &ConnectionError) -> (Cow<'static, str>, &'static str) {
    let code = match error {
        ConnectionError::Refused(_) => "refused",
        ConnectionError::Token(_) => "token",
        ConnectionError::Auth { code, .. } => code.unwrap_or(ErrorCode::Unauthenticated).as_str(),
        ConnectionError::Closed(Close { .. }) => "closed",
        ConnectionError::Timeout => "timeout",
        ConnectionError::Silent => "silent",
        ConnectionError::Ended => "ended",
        _ => "transport",
    };
    (error.message(), code)
}

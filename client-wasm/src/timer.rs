//! The page's clock, and one timer that is armed again and again.
//!
//! In: when to be called. Out: that call, maybe early after the time was moved away, which the session does
//! not mind. A page in the background is called at most once a second, or once a minute.

use std::cell::RefCell;
use std::time::Duration;

use wasm_bindgen::prelude::*;

use crate::listener::Listener;

#[wasm_bindgen(module = "/src/timer.js")]
extern "C" {
    #[wasm_bindgen(js_name = now)]
    fn performance_now() -> f64;
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(due: &JsValue, delay: i32) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// The time since the page's or worker's start. Never runs backwards.
pub(crate) fn now() -> Duration {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and microseconds since the start are far below its limits"
    )]
    let micros = (performance_now() * 1000.0) as u64;
    Duration::from_micros(micros)
}

/// One timer. Dropped, it calls no more.
pub(crate) struct Timer {
    due: Listener,
    armed: RefCell<Option<(Duration, JsValue)>>,
}

impl Timer {
    pub(crate) fn new(due: Listener) -> Self {
        Self { due, armed: RefCell::new(None) }
    }

    /// Calls at the time named, or earlier if that was asked for before: most deadlines are met and never
    /// come to matter, so that moving the timer for each would be in vain.
    pub(crate) fn arm(&self, at: Duration) {
        let is_soon_enough = |(earlier, _): &(Duration, _)| *earlier <= at;
        if self.armed.borrow().as_ref().is_some_and(is_soon_enough) {
            return;
        }
        self.disarm();
        // Above 2^31 - 1 ms a page's timer comes at once; an early call does no harm.
        let wait = at.saturating_sub(now());
        let wait = wait.as_secs().saturating_mul(1000) + u64::from(wait.subsec_nanos().div_ceil(1_000_000));
        let timer = set_timeout(self.due.as_ref(), i32::try_from(wait).unwrap_or(i32::MAX));
        self.armed.replace(Some((at, timer)));
    }

    /// The call has come.
    pub(crate) fn fired(&self) {
        self.armed.take();
    }

    /// Calls no more.
    pub(crate) fn disarm(&self) {
        if let Some((_, timer)) = self.armed.take() {
            clear_timeout(&timer);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

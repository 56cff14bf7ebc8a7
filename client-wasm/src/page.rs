//! Hints of the page that the network may be back or that somebody looks again.
//!
//! Out: `wake` is called on `online`, when a hidden page is shown, and when it comes back from the
//! back/forward cache. In a worker there is only the first, in Node none. It must not know what waking
//! does.

use wasm_bindgen::prelude::*;

use crate::listener::Listener;

#[wasm_bindgen(module = "/src/page.js")]
extern "C" {
    fn listen(wake: &JsValue) -> AbortController;
}

#[wasm_bindgen]
extern "C" {
    /// What the page's own functions take to be called off.
    pub(crate) type AbortController;

    #[wasm_bindgen(method)]
    pub(crate) fn abort(this: &AbortController);
}

/// Listens for as long as it lives.
pub(crate) struct PageHints {
    listening: AbortController,
    _wake: Listener,
}

impl PageHints {
    pub(crate) fn listen(wake: Listener) -> Self {
        Self { listening: listen(wake.as_ref()), _wake: wake }
    }
}

impl Drop for PageHints {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

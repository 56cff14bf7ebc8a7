//! A token request by `fetch`.

use wasm_bindgen::prelude::*;

use crate::page::AbortController;

#[wasm_bindgen(module = "/src/token/fetch.js")]
extern "C" {
    pub(super) fn ask(
        url: &str,
        headers: &JsValue,
        credentials: &JsValue,
        fetch: &JsValue,
        answered: &JsValue,
    ) -> AbortController;
}

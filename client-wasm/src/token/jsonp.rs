//! A token request by JSONP: a script that calls a function of the page's.

use wasm_bindgen::prelude::*;

use crate::page::AbortController;

#[wasm_bindgen(module = "/src/token/jsonp.js")]
extern "C" {
    pub(super) fn ask(url: &str, answered: &JsValue) -> AbortController;
}

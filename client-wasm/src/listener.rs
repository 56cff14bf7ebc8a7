//! The one kind of function that JavaScript calls: each of another kind would bring glue of its own.

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

/// A function of ours that JavaScript calls, also while it runs. Dropped, it may be called no more.
pub(crate) type Listener = Closure<dyn Fn(JsValue)>;

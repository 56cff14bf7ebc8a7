//! Clients whose listeners are there before anything happens.
//!
//! In: what begins a client and listens to it. Out: the client. Most listeners that come later than what they
//! listen to hear nothing of it, and elsewhere a client may be connected before the next line of a test has run.

use std::future;
use std::sync::LazyLock;
use std::thread;

use tokensocket_client::TokenSocket;
use tokio::runtime::{self, Handle};

/// Begins a client, which lives on a thread that does nothing else until `begin` has returned.
pub async fn listening(begin: impl FnOnce() -> TokenSocket + Send + 'static) -> TokenSocket {
    static THREAD: LazyLock<Handle> = LazyLock::new(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(future::pending::<()>()));
        handle
    });
    THREAD.spawn(async move { begin() }).await.expect("a client with its listeners")
}

//! Time limits: nothing in a test waits for ever.

use std::future::Future;
use std::time::Duration;

/// How long a test waits for one thing.
pub const LIMIT: Duration = Duration::from_secs(10);

/// How long nothing may happen before a test believes that nothing will.
pub const QUIET: Duration = Duration::from_millis(100);

/// Waits for `future`, at most [`LIMIT`]; `what` says what a failure waited for.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited {LIMIT:?} for {what}"))
}

/// Looks at a condition again and again until it holds, at most [`LIMIT`]. For what no future tells.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    within(what, async {
        while !condition() {
            looks.tick().await;
        }
    })
    .await;
}

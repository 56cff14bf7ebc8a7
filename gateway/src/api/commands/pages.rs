//! Lists of what all nodes have, page by page.
//!
//! In: a question that is answered in pages. Out: one page, or all of them one after the other, and how many nodes
//! answered. It must not know what is listed.

use std::future::Future;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use tokensocket_server::{BrokerError, Listed, Surveyed};

use crate::api::answer::Listing;
use crate::api::problem::Problem;

/// The most items of one question.
const MOST: usize = 1_000;

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Nodes {
    /// How many nodes answered in time. What the others have is missing.
    pub(super) answered: usize,
    /// How many there are, as far as is known.
    pub(super) asked: usize,
}

impl Nodes {
    pub(super) fn of<T>(found: &Surveyed<T>) -> Self {
        Self { answered: found.answered, asked: found.asked }
    }
}

/// A list whose first page is there.
pub(super) struct Pages<T, K, P> {
    ask: P,
    key: fn(&T) -> K,
    first: Vec<T>,
    more: bool,
    nodes: Nodes,
    /// How many more items are wanted, behind the first page.
    left: usize,
}

/// What is known at a list's end.
struct Ended<K> {
    last: Option<K>,
    more: bool,
    nodes: Nodes,
    broke_off: bool,
}

impl<T, K, P, F> Pages<T, K, P>
where
    T: Send + 'static,
    K: Clone + Send + 'static,
    P: Fn(Option<K>, usize) -> F + Send + 'static,
    F: Future<Output = Result<Surveyed<Listed<T>>, BrokerError>> + Send + 'static,
{
    /// Asks for the first page of at most `limit` items, those behind `after`.
    pub(super) async fn begin(
        ask: P,
        key: fn(&T) -> K,
        after: Option<K>,
        limit: usize,
    ) -> Result<Self, Problem> {
        let found = ask(after, limit.min(MOST)).await?;
        let nodes = Nodes::of(&found);
        let Listed { items, more } = found.value;
        Ok(Self { left: limit.saturating_sub(items.len()), ask, key, first: items, more, nodes })
    }

    /// The items, and at the end what there is to be said: the last one's key where there are more behind it.
    pub(super) fn listing<I, E>(
        self,
        item: impl Fn(T) -> I + Send + 'static,
        end: impl FnOnce(Option<K>, Nodes) -> E + Send + 'static,
    ) -> Listing<I, E>
    where
        I: Send + 'static,
        E: 'static,
    {
        let Self { ask, key, first, more, nodes, left } = self;
        let last = first.last().map(key);
        let ended = Arc::new(Mutex::new(Ended { last, more, nodes, broke_off: false }));
        let followed = Arc::clone(&ended);
        let rest = stream::unfold((ask, left), move |(ask, left)| {
            let ended = Arc::clone(&followed);
            async move {
                let after = {
                    let ended = ended.lock();
                    ended.last.clone().filter(|_| ended.more && left > 0)?
                };
                let found = ask(Some(after), left.min(MOST)).await;
                let mut ended = ended.lock();
                let Ok(found) = found.inspect_err(|error| tracing::warn!(%error, "a list breaks off")) else {
                    (ended.more, ended.broke_off) = (false, true);
                    return None;
                };
                // What one page does not have, the list does not have.
                ended.nodes.answered = ended.nodes.answered.min(found.answered);
                let Listed { items, more } = found.value;
                if let Some(last) = items.last() {
                    ended.last = Some(key(last));
                }
                ended.more = more && !items.is_empty();
                let left = left.saturating_sub(items.len());
                Some((stream::iter(items), (ask, left)))
            }
        });
        let items = stream::iter(first).chain(rest.flatten()).map(item);
        Listing::ending(items, move || {
            let ended = ended.lock();
            (!ended.broke_off).then(|| end(ended.last.clone().filter(|_| ended.more), ended.nodes))
        })
    }
}

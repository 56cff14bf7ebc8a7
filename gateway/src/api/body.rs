//! The bodies of requests: bounded each, and together for each site, so that no site waits for another's.
//!
//! In: bytes as they come. Out: all of them, or why not. A body is read only when it is known whose it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::{self, HeaderMap};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::answer::LINES;
use super::problem::{Kind, Problem};
use crate::site::Site;

/// The largest body of one command.
pub(super) const COMMAND: usize = 1 << 20;
/// The largest body of a batch.
pub(super) const BATCH: usize = 8 << 20;
/// What all bodies for one site that are being read or worked at may take together.
const TOGETHER: usize = 36 << 20;
/// What of that those may take that wait for as long as an engine is away: the others still come through.
const WAITING: usize = 32 << 20;
/// How long a body may take to come, and to wait for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// What that is counted in.
const UNIT: usize = 1 << 10;

/// How long a request may be worked at once its body is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Not long, whatever happens.
    Short,
    /// As long as an engine is away.
    Outage,
}

/// A budget for each site, by its name.
pub(super) struct Budgets {
    budgets: Mutex<HashMap<String, Budget>>,
    waiting: TaskTracker,
}

/// What all bodies for one site may take together.
#[derive(Clone)]
pub(super) struct Budget {
    together: Arc<Semaphore>,
    outage: Arc<Semaphore>,
    waiting: TaskTracker,
}

/// A body, and its part of the budget until it is dropped.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _parts: [Option<OwnedSemaphorePermit>; 2],
    _waiting: Option<TaskTrackerToken>,
}

impl Budgets {
    /// `waiting`: counts the requests that may be worked at for as long as an engine is away.
    pub(super) fn new(waiting: TaskTracker) -> Self {
        Self { budgets: Mutex::default(), waiting }
    }

    /// That of a site. Only what is configured asks, so there are no more of them than there were sites.
    pub(super) fn of(&self, site: &Site) -> Budget {
        let mut budgets = self.budgets.lock();
        budgets.entry(site.name().to_owned()).or_insert_with(|| Budget::new(self.waiting.clone())).clone()
    }
}

impl Budget {
    fn new(waiting: TaskTracker) -> Self {
        let of = |bytes| Arc::new(Semaphore::new(bytes / UNIT));
        Self { together: of(TOGETHER), outage: of(WAITING), waiting }
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read<B: Buf, E>(
        &self,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
        limit: usize,
        length: Length,
    ) -> Result<Body, Problem> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|announced: usize| announced > limit) {
            return Err(too_large(limit));
        }
        let units = announced.unwrap_or(limit).div_ceil(UNIT).max(1);
        let mut parts =
            timeout(PATIENCE, self.parts(units, length)).await.ok().flatten().ok_or_else(|| {
                Problem::new(Kind::Overloaded, "too many large requests are being read: come back later")
            })?;
        let mut bytes = BytesMut::with_capacity(announced.unwrap_or_default());
        let reading = async {
            let mut body = std::pin::pin!(body);
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|_| Problem::bad_request("the request's body broke off"))?;
                if bytes.len() + piece.remaining() > limit {
                    return Err(too_large(limit));
                }
                bytes.put(piece);
            }
            Ok(())
        };
        let late = |_| Problem::new(Kind::BodyTimeout, "the request's body did not come in time");
        timeout(PATIENCE, reading).await.map_err(late)??;
        // Who did not say how much it would be was given as much as it could be.
        let spare = units - bytes.len().div_ceil(UNIT).clamp(1, units);
        for part in parts.iter_mut().flatten() {
            drop(part.split(spare));
        }
        let waiting = (length == Length::Outage).then(|| self.waiting.token());
        Ok(Body { bytes: bytes.freeze(), _parts: parts, _waiting: waiting })
    }

    /// So many units: of those that may wait first, so that nobody holds what others need while he waits for his.
    async fn parts(&self, units: usize, length: Length) -> Option<[Option<OwnedSemaphorePermit>; 2]> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let of = |budget: &Arc<Semaphore>| Arc::clone(budget).acquire_many_owned(units);
        let outage = match length {
            Length::Outage => Some(of(&self.outage).await.ok()?),
            Length::Short => None,
        };
        Some([outage, Some(of(&self.together).await.ok()?)])
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body of this request has at most {limit} bytes"))
}

/// The media type of a body, without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next()?.trim().to_ascii_lowercase())
}

/// Whether a body has one JSON text on each line.
pub(super) fn is_lines(headers: &HeaderMap) -> bool {
    media_type(headers).as_deref() == Some(LINES)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::HeaderValue;

    use super::*;

    async fn read(budget: &Budget, bytes: usize, limit: usize, length: Length) -> Result<Body, Problem> {
        let announced = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(bytes))]);
        let body = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b' '; bytes]))]);
        budget.read(&announced, body, limit, length).await
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_for_an_engine_leave_room_for_the_others() {
        let waiting = TaskTracker::new();
        let budget = Budget::new(waiting.clone());
        let publish = || read(&budget, COMMAND, COMMAND, Length::Outage);
        let mut waiters = Vec::new();
        for _ in 0..WAITING / COMMAND {
            waiters.push(publish().await.unwrap());
        }
        assert_eq!(waiting.len(), waiters.len());
        assert!(publish().await.is_err());
        let others =
            [(); (TOGETHER - WAITING) / COMMAND].map(|()| read(&budget, COMMAND, COMMAND, Length::Short));
        let others = futures_util::future::try_join_all(others).await;
        assert!(others.is_ok(), "as many as there is room for");
        assert!(read(&budget, 1, COMMAND, Length::Short).await.is_err());
        drop(others);
        waiters.pop();
        waiters.push(publish().await.unwrap());
        waiters.clear();
        assert_eq!(waiting.len(), 0);
        let alone: Vec<_> =
            (0..TOGETHER / BATCH).map(|_| read(&budget, BATCH, BATCH, Length::Short)).collect();
        assert!(
            futures_util::future::try_join_all(alone).await.is_ok(),
            "nothing is held back for those that wait"
        );
    }
}

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

use super::answer::LINES;
use super::problem::{Kind, Problem};
use crate::site::Site;

/// The largest body of one command.
pub(super) const COMMAND: usize = 1 << 20;
/// The largest body of a batch.
pub(super) const BATCH: usize = 8 << 20;
/// What all bodies for one site that are being read or worked at may take together.
const TOGETHER: usize = 32 << 20;
/// How long a body may take to come, and to wait for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// What that is counted in.
const UNIT: usize = 1 << 10;

/// A budget for each site, by its name.
#[derive(Default)]
pub(super) struct Budgets(Mutex<HashMap<String, Budget>>);

/// What all bodies for one site may take together.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>);

/// A body, and its part of the budget until it is dropped.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _part: OwnedSemaphorePermit,
}

impl Budgets {
    /// That of a site. Only what is configured asks, so there are no more of them than there were sites.
    pub(super) fn of(&self, site: &Site) -> Budget {
        let mut budgets = self.0.lock();
        let new = || Budget(Arc::new(Semaphore::new(TOGETHER / UNIT)));
        budgets.entry(site.name().to_owned()).or_insert_with(new).clone()
    }
}

impl Budget {
    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read<B: Buf, E>(
        &self,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
        limit: usize,
    ) -> Result<Body, Problem> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|announced: usize| announced > limit) {
            return Err(too_large(limit));
        }
        let units = announced.unwrap_or(limit).div_ceil(UNIT).max(1);
        let part = Arc::clone(&self.0).acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX));
        let mut part = timeout(PATIENCE, part).await.ok().and_then(Result::ok).ok_or_else(|| {
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
        drop(part.split(units - bytes.len().div_ceil(UNIT).clamp(1, units)));
        Ok(Body { bytes: bytes.freeze(), _part: part })
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

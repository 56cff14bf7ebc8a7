//! The line of what this node says without it being kept: publications, announcements, control messages.
//!
//! ```text
//! many callers ──▶ line ──▶ one task: all that waits, then one question ──answered──▶ callers
//! ```
//!
//! In: frames and their subjects. Out: that the server has them, or what is known of them. One task, so that a node's
//! messages leave in the order in which they were given; the question behind a group is answered when the server has
//! all of it, so a round trip is shared by all that waited.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokensocket_protocol::RawJson;
use tokio::sync::{Notify, oneshot};

use super::frame::{Live, Sent};
use super::pending::Place;
use crate::nats::error::LinkError;
use crate::nats::link::Link;

/// So many messages share a question, at most.
const GROUP: usize = 1024;
/// So many questions may be open.
const QUESTIONS: usize = 16;

/// What is said.
#[derive(Debug)]
pub(super) enum Said {
    Publication(RawJson),
    Announcement(RawJson),
    /// To nodes.
    Frame(Bytes),
}

impl Said {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Publication(text) | Self::Announcement(text) => text.as_bytes().len(),
            Self::Frame(frame) => frame.len(),
        }
    }
}

#[derive(Debug)]
struct Item {
    subject: String,
    said: Said,
    told: oneshot::Sender<Result<(), LinkError>>,
    place: Place,
}

/// The line.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    line: Mutex<VecDeque<Item>>,
    grown: Notify,
}

impl Outbox {
    /// Puts something in the line. Resolves when the server has it.
    pub(super) fn say(
        &self,
        subject: String,
        said: Said,
        place: Place,
    ) -> impl Future<Output = Result<(), LinkError>> + Send + use<> {
        let (told, outcome) = oneshot::channel();
        self.line.lock().push_back(Item { subject, said, told, place });
        self.grown.notify_one();
        // The line ends with the broker.
        async move { outcome.await.unwrap_or(Err(LinkError::Unknown)) }
    }

    fn take(&self) -> Vec<Item> {
        let mut line = self.line.lock();
        let count = line.len().min(GROUP);
        line.drain(..count).collect()
    }

    /// Sends what is in the line, for ever. While NATS is away what waits is refused, unless it `waits`.
    pub(super) async fn run(self: Arc<Self>, link: Arc<Link>, origin: u64, waits: bool) {
        let mut number = 0;
        let mut open = FuturesUnordered::new();
        loop {
            while open.len() >= QUESTIONS {
                open.next().await;
            }
            let grown = self.grown.notified();
            let group = self.take();
            if group.is_empty() {
                tokio::select! {
                    () = grown => {}
                    Some(()) = open.next(), if !open.is_empty() => {}
                }
                continue;
            }
            if waits {
                link.returned().await;
            }
            let connects = link.connects();
            let group = send(&link, origin, &mut number, group).await;
            let link = Arc::clone(&link);
            open.push(async move {
                if group.is_empty() {
                    return;
                }
                // Given to the client they are: without an answer nobody knows what became of them. Nor with one that
                // came over another connection, since what the client had not sent went with the first.
                let outcome = match link.settled().await {
                    Ok(()) if link.connects() == connects => Ok(()),
                    _ => Err(LinkError::Unknown),
                };
                for (told, place) in group {
                    let _ = told.send(outcome.clone());
                    drop(place);
                }
            });
            // Asked now, answered later.
            while let Some(Some(())) = open.next().now_or_never() {}
        }
    }
}

type Waiting = (oneshot::Sender<Result<(), LinkError>>, Place);

/// Gives a group to the client, and returns who waits for it.
async fn send(link: &Link, origin: u64, number: &mut u64, group: Vec<Item>) -> Vec<Waiting> {
    let mut waiting = Vec::with_capacity(group.len());
    for Item { subject, said, told, place } in group {
        *number += 1;
        let sent = Sent { origin, number: *number };
        let frame = match said {
            Said::Publication(message) => Live::publication(sent, &message),
            Said::Announcement(announcement) => Live::announcement(sent, &announcement),
            Said::Frame(frame) => frame,
        };
        let limit = link.client().max_payload();
        let outcome = if frame.len() > limit {
            Err(LinkError::TooLarge(limit))
        } else {
            let publishing = link.client().publish(subject, frame);
            link.during(async { publishing.await.map_err(|_| LinkError::Away) }).await
        };
        match outcome {
            Ok(()) => waiting.push((told, place)),
            Err(error) => drop(told.send(Err(error))),
        }
    }
    waiting
}

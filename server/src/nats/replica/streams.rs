//! The two streams of a replica: the log, and the images that let it be forgotten.
//!
//! ```text
//! …r.devices.log                 frames, 1 2 3 …, those before the last of the latest image forgotten
//! …r.devices.image.ID.NUMBER     an image in parts
//! …r.devices.image.latest        which image is whole: its place in the log, its parts, its sum
//! ```
//!
//! In: frames, images. Out: the same, in the log's order, and what is known of failures. Knows no ledger.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{Context, PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RawMessageErrorKind, Stream};
use async_nats::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::super::error::LinkError;
use super::super::link::Link;
use super::super::names::Names;
use super::feed::Feed;

/// How long a server that has just begun to lead may be behind, and how often is looked.
const LAG: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);
/// How many parts of an image are under way at once, and how many deletions.
const PARTS: usize = 8;
const DELETIONS: usize = 64;

/// Which image is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Latest {
    /// The place in the log up to which it goes.
    place: u64,
    /// Which run of the log that is.
    era: u64,
    id: String,
    parts: usize,
    bytes: usize,
    sum: String,
}

impl Latest {
    /// Whether an image that goes up to `place` in that era may take its place. One that was made slowly may be older.
    fn yields_to(&self, place: u64, era: u64) -> bool {
        self.era == era && self.place < place
    }
}

/// An image, and the place in the log up to which it goes.
pub(super) struct Found {
    /// Of what says which image is the latest.
    pub(super) revision: u64,
    pub(super) place: u64,
    pub(super) era: u64,
    pub(super) text: Bytes,
}

/// How far the log goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// How it stands with what was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    /// The log has it.
    There,
    /// The log has forgotten it, and what came behind it.
    Passed,
    /// The log has something else in its place, or ends before it.
    Lost,
}

#[derive(Clone)]
pub(super) struct Streams {
    link: Arc<Link>,
    log: String,
    log_subject: String,
    images: String,
    image_subject: String,
}

impl Streams {
    pub(super) fn new(link: &Arc<Link>, names: &Names, of: &str) -> Self {
        Self {
            link: Arc::clone(link),
            log: names.stream(of),
            log_subject: names.subject(format_args!("r.{of}.log")),
            images: names.stream(format_args!("{of}-images")),
            image_subject: names.subject(format_args!("r.{of}.image")),
        }
    }

    /// Makes the streams, if they are not there.
    pub(super) async fn make(&self) -> Result<(), LinkError> {
        let log = Config {
            name: self.log.clone(),
            subjects: vec![self.log_subject.clone()],
            discard: DiscardPolicy::New,
            num_replicas: self.link.options.replicas,
            ..Config::default()
        };
        let images = Config {
            name: self.images.clone(),
            subjects: vec![format!("{}.>", self.image_subject)],
            max_messages_per_subject: 1,
            num_replicas: self.link.options.replicas,
            ..Config::default()
        };
        let jetstream = self.link.jetstream()?;
        for config in [log, images] {
            self.link
                .during(async {
                    jetstream
                        .get_or_create_stream(config)
                        .await
                        .map_err(|error| LinkError::Answer(error.to_string()))
                })
                .await?;
        }
        Ok(())
    }

    pub(super) async fn extent(&self) -> Result<Extent, LinkError> {
        self.info(&self.log).await
    }

    async fn info(&self, name: &str) -> Result<Extent, LinkError> {
        let stream = stream(self.link.jetstream()?, name).await?;
        let info = self
            .link
            .during(async { stream.get_info().await.map_err(|error| LinkError::Answer(error.to_string())) });
        let state = info.await?.state;
        Ok(Extent { first: state.first_sequence, last: state.last_sequence })
    }

    /// How far the log goes, where it is known to go up to `place`. Of a stream with replicas a server that has just begun to
    /// lead may not have looked at all that it has: it is given time to.
    pub(super) async fn extent_to(&self, place: u64) -> Result<Extent, LinkError> {
        let until = Instant::now() + LAG;
        loop {
            let extent = self.extent().await?;
            if extent.last >= place || self.link.options.replicas == 1 || Instant::now() >= until {
                return Ok(extent);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether the log still has this at this place, which was applied last.
    pub(super) async fn look(
        &self,
        place: u64,
        payload: &Bytes,
        extent: Extent,
    ) -> Result<Applied, LinkError> {
        if place == 0 {
            return Ok(if extent.first > 1 { Applied::Passed } else { Applied::There });
        }
        if extent.last < place {
            return Ok(Applied::Lost);
        }
        if extent.first > place + 1 {
            return Ok(Applied::Passed);
        }
        if extent.first == place + 1 {
            // Purged up to there, because of an image that holds it.
            return Ok(Applied::There);
        }
        match self.frame(place).await? {
            Some(found) if found == *payload => Ok(Applied::There),
            Some(_) => Ok(Applied::Lost),
            None => {
                // An image may have been kept since it was looked how far the log goes, and what it holds be forgotten.
                let latest = self.latest().await?;
                let is_in_image = latest.is_some_and(|(_, latest)| latest.place >= place);
                Ok(if is_in_image { Applied::Passed } else { Applied::Lost })
            }
        }
    }

    /// The log from a place on.
    pub(super) async fn feed(&self, from: u64) -> Result<Feed, LinkError> {
        Feed::begin(&self.link, &self.log, from).await
    }

    /// The first place of the log from this one on at which something stands.
    pub(super) async fn next_place(&self, from: u64) -> Result<Option<u64>, LinkError> {
        let stream = stream(self.link.jetstream()?, &self.log).await?;
        let getting = stream.get_first_raw_message_by_subject(&self.log_subject, from);
        match self.link.during(async { Ok(getting.await) }).await? {
            Ok(message) => Ok(Some(message.sequence)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(LinkError::Answer(error.to_string())),
        }
    }

    async fn frame(&self, place: u64) -> Result<Option<Bytes>, LinkError> {
        let stream = stream(self.link.jetstream()?, &self.log).await?;
        match self.link.during(async { Ok(stream.get_raw_message(place).await) }).await? {
            Ok(message) => Ok(Some(message.payload)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(LinkError::Answer(error.to_string())),
        }
    }

    /// Sends a frame. When this returns, it stands behind those that were sent before; what comes of it is told later.
    pub(super) async fn send(&self, frame: Bytes) -> Result<PublishAckFuture, PublishError> {
        let jetstream = self.link.jetstream().map_err(|_| PublishErrorKind::StreamNotFound)?;
        jetstream.send_publish(self.log_subject.clone(), PublishMessage::build().payload(frame)).await
    }

    /// The latest image that is whole, if there is one. Reads it again when another takes its place meanwhile.
    pub(super) async fn image(&self) -> Result<Option<Found>, LinkError> {
        let mut before = None;
        loop {
            let Some((revision, latest)) = self.latest().await? else { return Ok(None) };
            if let Some(text) = self.parts(&latest).await? {
                return Ok(Some(Found { revision, place: latest.place, era: latest.era, text }));
            }
            if before.as_ref() == Some(&latest) {
                return Err(LinkError::Answer(
                    "an image is not whole: its parts are missing or damaged".to_owned(),
                ));
            }
            before = Some(latest);
        }
    }

    /// Of what says which image is the latest; 0 when nothing does.
    pub(super) async fn revision(&self) -> Result<u64, LinkError> {
        Ok(self.latest().await?.map_or(0, |(revision, _)| revision))
    }

    async fn latest(&self) -> Result<Option<(u64, Latest)>, LinkError> {
        let stream = stream(self.link.jetstream()?, &self.images).await?;
        let subject = format!("{}.latest", self.image_subject);
        let got =
            self.link.during(async { Ok(stream.get_last_raw_message_by_subject(&subject).await) }).await?;
        match got {
            Ok(message) => serde_json::from_slice(&message.payload)
                .map(|latest| Some((message.sequence, latest)))
                .map_err(|error| LinkError::Answer(error.to_string())),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(LinkError::Answer(error.to_string())),
        }
    }

    async fn parts(&self, latest: &Latest) -> Result<Option<Bytes>, LinkError> {
        let images = stream(self.link.jetstream()?, &self.images).await?;
        let parts = stream::iter(0..latest.parts).map(|number| {
            let subject = format!("{}.{}.{number}", self.image_subject, latest.id);
            let images = &images;
            async move {
                let got = images.get_last_raw_message_by_subject(&subject);
                match self.link.during(async { Ok(got.await) }).await? {
                    Ok(message) => Ok(Some(message.payload)),
                    Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                    Err(error) => Err(LinkError::Answer(error.to_string())),
                }
            }
        });
        let parts: Vec<Option<Bytes>> = parts.buffered(PARTS).try_collect().await?;
        let Some(parts) = parts.into_iter().collect::<Option<Vec<Bytes>>>() else { return Ok(None) };
        let mut text = BytesMut::with_capacity(latest.bytes);
        for part in &parts {
            text.extend_from_slice(part);
        }
        let is_whole = text.len() == latest.bytes && sum(&text) == latest.sum;
        Ok(is_whole.then(|| text.freeze()))
    }

    /// Keeps an image that goes up to `place`, and has the log forget what it holds. Fails when there is one that goes as
    /// far, or of another era, or when another is kept meanwhile.
    pub(super) async fn keep(&self, place: u64, era: u64, text: Bytes) -> Result<(), LinkError> {
        let before = match self.latest().await? {
            Some((_, latest)) if !latest.yields_to(place, era) => {
                return Err(LinkError::Answer("another node has kept a later image".to_owned()));
            }
            Some((revision, _)) => revision,
            None => 0,
        };
        self.keep_over(before, place, era, text).await
    }

    /// Keeps an image in place of the one of revision `before`, whatever that is; 0: there is none. Fails when another is
    /// the latest.
    pub(super) async fn keep_over(
        &self,
        before: u64,
        place: u64,
        era: u64,
        text: Bytes,
    ) -> Result<(), LinkError> {
        let part = self.link.client().max_payload().saturating_sub(super::HEAD).clamp(1024, 512 << 10);
        let id = format!("{:016x}", rand::random::<u64>());
        let count = text.len().div_ceil(part);
        let parts = stream::iter(0..count).map(|number| {
            let subject = format!("{}.{id}.{number}", self.image_subject);
            let part = text.slice(number * part..text.len().min((number + 1) * part));
            async move { acked(&self.link.request(subject, None, part).await?.payload) }
        });
        let acks: Vec<PublishAck> = parts.buffered(PARTS).try_collect().await?;
        let latest = Latest { place, era, id, parts: count, bytes: text.len(), sum: sum(&text) };
        self.announce(before, &latest).await?;
        // The image's last frame stays: a stream that is emptied forgets what is appended at that moment, and how far it
        // went if the server is killed then.
        let mut forgetting = vec![(&self.log, self.forget_frames(place).await)];
        if let Some(first) = acks.iter().map(|ack| ack.sequence).min() {
            forgetting.push((&self.images, self.forget(&self.images, first).await));
        }
        for (stream, forgotten) in forgetting {
            if let Err(error) = forgotten {
                tracing::warn!(
                    %error,
                    stream,
                    "what an image holds, or an earlier one, stays in the stream until the next; its messages must be allowed to be deleted and purged"
                );
            }
        }
        Ok(())
    }

    /// Says that the latest image goes up to another place, in another era, because the log ends there. Fails when
    /// somebody else has said so.
    pub(super) async fn rebase(&self, revision: u64, place: u64) -> Result<(), LinkError> {
        match self.latest().await? {
            Some((known, latest)) if known == revision => {
                let latest = Latest { place, era: rand::random::<u32>().into(), ..latest };
                self.announce(revision, &latest).await
            }
            // Then it has been said.
            _ => Ok(()),
        }
    }

    async fn announce(&self, before: u64, latest: &Latest) -> Result<(), LinkError> {
        let latest = serde_json::to_vec(latest).map_err(|error| LinkError::Answer(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, before.to_string());
        let subject = format!("{}.latest", self.image_subject);
        acked(&self.link.request(subject, Some(headers), latest.into()).await?.payload).map(drop)
    }

    /// Has the log forget what stands before a place. Servers before 2.10 are not asked to purge it: they write the file anew
    /// in which the last frame stands, and one that is killed at that moment has lost it; and one of a cluster that begins anew
    /// does a purge again as one of all that there was when it was asked for.
    async fn forget_frames(&self, before: u64) -> Result<(), LinkError> {
        // Of the first place NATS would take it for no place at all, and purge everything.
        if before <= 1 {
            return Ok(());
        }
        if !self.link.is_strict() {
            return self.forget(&self.log, before).await;
        }
        let stream = stream(self.link.jetstream()?, &self.log).await?;
        let purged = self.link.during(async {
            stream.purge().sequence(before).await.map_err(|error| LinkError::Answer(error.to_string()))
        });
        purged.await.map(drop)
    }

    /// Has a stream forget what stands before a place, message by message: a purge has NATS write the file anew in which the
    /// last one stands, and one that is killed at that moment has lost it. What stays is forgotten the next time.
    async fn forget(&self, stream: &str, before: u64) -> Result<(), LinkError> {
        let first = self.info(stream).await?.first;
        let forgetting = stream::iter(first..before).map(|place| {
            let wanted = serde_json::json!({ "seq": place, "no_erase": true }).to_string();
            let subject = format!("$JS.API.STREAM.MSG.DELETE.{stream}");
            // There may be nothing at this place.
            async move { self.link.request(subject, None, wanted.into()).await.map(drop) }
        });
        forgetting.buffered(DELETIONS).try_collect::<()>().await?;
        // Whether it was refused is seen by what stays.
        if self.info(stream).await?.first < before {
            return Err(LinkError::Answer("messages of a stream were not deleted".to_owned()));
        }
        Ok(())
    }
}

async fn stream(jetstream: &Context, name: &str) -> Result<Stream<()>, LinkError> {
    jetstream.get_stream_no_info(name).await.map_err(|error| LinkError::Answer(error.to_string()))
}

fn sum(text: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, Sha1::digest(text))
}

/// What JetStream says to a publication.
fn acked(payload: &[u8]) -> Result<PublishAck, LinkError> {
    match serde_json::from_slice(payload) {
        Ok(Response::Ok(ack)) => Ok(ack),
        Ok(Response::Err { error }) => Err(error.into()),
        Err(error) => Err(LinkError::Answer(error.to_string())),
    }
}

/// What JetStream says why it did not take a frame; `None` when it did not say anything.
pub(super) fn refusal(error: &PublishError) -> Option<LinkError> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<async_nats::jetstream::Error>().map(|error| error.clone().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_yields_to_a_later_one_of_its_era_alone() {
        let latest = Latest { place: 500, era: 7, id: String::new(), parts: 1, bytes: 0, sum: String::new() };
        assert!(latest.yields_to(501, 7));
        assert!(!latest.yields_to(500, 7), "it goes as far");
        assert!(!latest.yields_to(100, 7), "it was made before and kept late");
        assert!(!latest.yields_to(501, 8), "of another run of the log");
    }
}

//! The log as it comes.
//!
//! In: a stream, a place. Out: what stands there and behind it, in its order, and whether the server is silent. Knows no frame.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::jetstream::context::Context;
use async_nats::{StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;

use super::super::error::LinkError;
use super::super::link::Link;

/// How often the server says that it has nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// For how long it may be silent.
const SILENCE: Duration = Duration::from_secs(7);

/// The log as it comes.
pub(super) struct Feed {
    subscriber: Subscriber,
    context: Context,
    /// When something came last.
    heard: Instant,
}

impl Feed {
    /// Begins to follow the stream of this name from a place on.
    pub(super) async fn begin(link: &Link, stream: &str, from: u64) -> Result<Self, LinkError> {
        let jetstream = link.jetstream()?.clone();
        let client = link.client();
        let config = push::Config {
            deliver_subject: client.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.max(1) },
            ack_policy: AckPolicy::None,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: Duration::from_secs(10),
            memory_storage: true,
            num_replicas: 1,
            ..push::Config::default()
        };
        link.during(async {
            let answer = |error: &dyn std::fmt::Display| LinkError::Answer(error.to_string());
            // Subscribed first, so that nothing is sent to nobody.
            let subscriber =
                client.subscribe(config.deliver_subject.clone()).await.map_err(|error| answer(&error))?;
            let consumer = jetstream.create_consumer_on_stream(config, stream).await;
            consumer.map_err(|error| answer(&error))?;
            Ok(Self { subscriber, context: jetstream.clone(), heard: Instant::now() })
        })
        .await
    }

    /// The next message, and its place. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Result<(u64, Bytes), LinkError> {
        loop {
            let message = self.subscriber.next().await.ok_or(LinkError::Unknown)?;
            self.heard = Instant::now();
            match message.status {
                None => {
                    let message = async_nats::jetstream::Message { message, context: self.context.clone() };
                    let place = message.info().map_err(|error| LinkError::Answer(error.to_string()))?;
                    return Ok((place.stream_sequence, message.message.payload));
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {
                    let stalled =
                        message.headers.as_ref().and_then(|headers| headers.get("Nats-Consumer-Stalled"));
                    let stalled = stalled.map(|subject| subject.as_str().to_owned());
                    let asked = message.reply.map(|subject| subject.to_string()).or(stalled);
                    if let Some(subject) = asked {
                        // What is not said now is asked again with the next heartbeat.
                        let _ = self.context.client().publish(subject, Bytes::new()).await;
                    }
                }
                Some(status) => return Err(LinkError::Answer(format!("the log's consumer ended: {status}"))),
            }
        }
    }

    /// Whether the server has not even said that it has nothing to say.
    pub(super) fn is_silent(&self) -> bool {
        self.heard.elapsed() > SILENCE
    }
}

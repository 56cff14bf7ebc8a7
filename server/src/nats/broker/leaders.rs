//! Servers of a cluster that begin to lead a stream of histories.
//!
//! The server that led it before may have kept a message, and died before it published it again. Nobody's connection
//! need have broken: so followers of its channels are told to look.
//!
//! In: what JetStream says of leaders. Out: gaps of the channels that this node knows.

use std::sync::{Arc, Weak};

use futures_util::StreamExt;
use futures_util::stream::SelectAll;

use super::GAPS;
use super::histories::Histories;
use crate::broker::{BrokerHandler, Gap};
use crate::nats::link::Link;
use crate::nats::names::Names;

/// Where JetStream says that a stream has another leader.
const ELECTED: &str = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED";

/// Tells of gaps, for ever. Without replicas there is nothing to tell.
pub(super) async fn watch(
    link: Arc<Link>,
    names: Names,
    histories: Weak<Histories>,
    handler: Weak<dyn BrokerHandler>,
) {
    if link.options.replicas == 1 {
        return;
    }
    let mut elected = SelectAll::new();
    for number in 0..link.options.history_streams {
        let subject = format!("{ELECTED}.{}", names.stream(format_args!("history-{number}")));
        match link.client().subscribe(subject).await {
            Ok(subscriber) => elected.push(subscriber.map(move |_| number)),
            Err(error) => tracing::warn!(%error, "leaders of streams are not heard of"),
        }
    }
    while let Some(stream) = elected.next().await {
        let (Some(histories), Some(handler)) = (histories.upgrade(), handler.upgrade()) else { return };
        let channels = histories.channels_of(stream);
        if !channels.is_empty() {
            handler.handle_gap(Gap::Channels(channels));
        }
        drop((histories, handler));
        tokio::time::sleep(GAPS).await;
    }
}

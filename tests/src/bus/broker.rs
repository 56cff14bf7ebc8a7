//! Publications and control messages over the bus.

use std::sync::Weak;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_server::log::Log;
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, Epoch, History, HistoryPage, HistoryQuery, Kept,
    NodeId, Pattern, Position, Publication, Publish, Published, RawJson, Timestamp,
};

use super::{Seat, State, Told};

/// A seat as its node's broker.
pub(super) struct SeatBroker(pub(super) Seat);

impl SeatBroker {
    fn done<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State, usize) -> Result<R, BrokerError>,
    ) -> BoxFuture<'static, Result<R, BrokerError>> {
        let result = if self.0.is_cut() {
            Err(BrokerError::Unavailable("cut off".to_owned()))
        } else {
            work(&mut self.0.bus.0.state(), self.0.number)
        };
        ready(result).boxed()
    }
}

fn log<'a>(
    state: &'a mut State,
    channel: &Channel,
    history: &History,
    now: Timestamp,
) -> &'a mut Log<RawJson> {
    let new = || Log::new(Epoch::from_random(7), history.clone(), now);
    state.logs.entry(channel.clone()).or_insert_with(new)
}

impl Broker for SeatBroker {
    fn start(&self, node: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        let queued = self.0.with(|place| {
            (place.node, place.handler) = (Some(node), Some(handler));
            place.queued.take()
        });
        let one = || BrokerError::Unavailable("a seat is for one node".to_owned());
        self.0.serve(queued.ok_or_else(one)?);
        Ok(())
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.done(|state, _| {
            let Publish { channel, message, history, at, .. } = publish;
            let position = history.map(|history| {
                let log = log(state, &channel, &history, at);
                log.append(at, message.clone(), message.as_bytes().len(), &history);
                log.position()
            });
            let publication = Publication { channel: channel.clone(), message, position: position.clone() };
            state.tell(&Told::Publication(publication), |_, place| {
                place.followed.contains(&channel)
                    || place.patterns.iter().any(|pattern| pattern.covers(channel.as_str()))
            });
            Ok(Published { position, duplicate: false })
        })
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        self.done(|state, _| {
            let log = log(state, channel, history, now);
            let selection = log.select(&query, now);
            let kept = |offset| {
                log.get(offset).map(|item| Kept { offset, message: item.message.clone(), at: item.at })
            };
            let position: Position = selection.position.clone();
            Ok(HistoryPage {
                publications: selection.offsets().filter_map(kept).collect(),
                position,
                gap: selection.gap,
                more: selection.more,
            })
        })
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.done(|state, _| {
            state.tell(&Told::Broadcast(message), |_, _| true);
            Ok(())
        })
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.done(|state, _| {
            state.tell(&Told::Control(passed_on(&control)), |_, _| true);
            Ok(())
        })
    }

    fn tell(&self, node: NodeId, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.done(|state, _| {
            if !state.seats.iter().any(|place| place.node == Some(node)) {
                return Err(BrokerError::NoSuchNode(node));
            }
            state.tell(&Told::Control(passed_on(&control)), |_, place| place.node == Some(node));
            Ok(())
        })
    }

    fn announce(&self, channel: &Channel, announcement: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.done(|state, own| {
            let told = Told::Announcement(channel.clone(), announcement);
            state.tell(&told, |number, place| number != own && place.followed.contains(channel));
            Ok(())
        })
    }

    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        // The wish counts, also while it cannot be told.
        self.0.with(|place| place.followed.insert(channel.clone()));
        self.done(|_, _| Ok(()))
    }

    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.with(|place| place.followed.remove(channel));
        self.done(|_, _| Ok(()))
    }

    fn subscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.with(|place| place.patterns.insert(pattern.clone()));
        self.done(|_, _| Ok(()))
    }

    fn unsubscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.with(|place| place.patterns.remove(pattern));
        self.done(|_, _| Ok(()))
    }
}

/// As an engine would: by way of its bytes.
fn passed_on(control: &Control) -> Control {
    Control::from_json(&control.to_json()).expect("a control message is read as it was written")
}

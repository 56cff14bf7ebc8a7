//! What is delivered to this device, and its acknowledgement.
//!
//! In: the server's frames, what the user is done with. Out: events, acknowledgements. Which is which, `deliveries`
//! knows.

use std::time::Duration;

use super::calls::Sent;
use super::deliveries::What;
use super::event::{DeliveryId, Event, Output};
use super::session::Session;
use crate::codec::Codec;
use crate::message::{ClientMessage, Delivery, ResyncReason, Settings};

impl<C: Codec> Session<C> {
    /// The user has handled a delivery or a resync, and it will not be told again. Does nothing when he said so
    /// before.
    pub fn handle_acknowledge(&mut self, _now: Duration, id: DeliveryId) {
        self.settle(id, true);
    }

    /// The user could not handle a delivery or a resync: the server keeps it, and it is told again when it comes
    /// again, after a reconnect.
    pub fn handle_give_back(&mut self, _now: Duration, id: DeliveryId) {
        self.settle(id, false);
    }

    fn settle(&mut self, id: DeliveryId, is_done: bool) {
        self.deliveries.settle(id, is_done);
        self.acknowledge_due();
    }

    pub(super) fn acknowledge_due(&mut self) {
        for what in self.deliveries.take_due() {
            let (number, uuid) = self.name();
            self.send(&ClientMessage::Acknowledge { what, uuid });
            self.calls.send(number, Sent::Acknowledge(what));
        }
    }

    pub(super) fn receive_settings(&mut self, settings: Settings) {
        self.deliveries.greeted(&settings.device, &settings.epoch);
        self.outputs.push_back(Output::Event(Event::Settings(settings)));
    }

    pub(super) fn receive_batch(&mut self, last: u64, items: Vec<Delivery<C::Payload>>) {
        if !self.deliveries.is_greeted() {
            return;
        }
        self.deliveries.begin_batch(last);
        let mut told = Vec::new();
        for item in items {
            if let Some(id) = self.deliveries.admit_in_batch(last, item.id) {
                told.push((id, item));
            }
        }
        self.deliveries.batch_is_read(last);
        self.outputs.push_back(Output::Event(Event::Batch { deliveries: told.len() }));
        for (id, delivery) in told {
            self.tell_delivery(id, delivery);
        }
        self.acknowledge_due();
    }

    pub(super) fn receive_delivery(&mut self, delivery: Delivery<C::Payload>) {
        if !self.deliveries.is_greeted() {
            return;
        }
        if let Some(id) = self.deliveries.admit(What::Entry(delivery.id)) {
            self.tell_delivery(id, delivery);
        }
        self.acknowledge_due();
    }

    fn tell_delivery(&mut self, id: DeliveryId, delivery: Delivery<C::Payload>) {
        let Delivery { event, args, .. } = delivery;
        self.outputs.push_back(Output::Event(Event::Delivery { id, event, args }));
    }

    pub(super) fn receive_resync(&mut self, number: u64, event: Option<String>, reason: ResyncReason) {
        if !self.deliveries.is_greeted() {
            return;
        }
        if let Some(id) = self.deliveries.admit(What::Resync(number)) {
            self.outputs.push_back(Output::Event(Event::Resync { id, event, reason }));
        }
        self.acknowledge_due();
    }
}

//! That this node is there, as Redis sees it, and that Redis knows which devices are connected to it.
//!
//! In: time, answers that do not fit, connections that were lost. Out: leases renewed, devices connected anew,
//! departures that Redis did not get, and the handler's word that there is a gap.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use redis::Value;

use super::here::{Here, Notes};
use super::{
    Again, Answer, Calling, Device, Devices, Script, Sending, StoreError, answers, flag, millis, number,
    scripts, text,
};
use crate::delivery::Resync;
use crate::redis::link::LinkError;
use crate::timestamp::Timestamp;

/// So many devices are connected anew by one call.
const BATCH: usize = 200;
/// So many departures are said again at a time, so that others find room beside them.
const DEPARTURES: usize = 32;
/// How long Redis is left alone that did not take something.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps this node's lease, until the store is dropped.
pub(super) async fn keep(devices: Weak<Devices>) {
    while let Some(here) = devices.upgrade() {
        let is_well = here.look_around().await;
        let wait = if is_well { here.link.lease() / 3 } else { PAUSE.min(here.link.lease() / 3) };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = here.look.notified() => {}
        }
    }
}

/// By what epochs change, if they do.
pub(super) fn salt() -> bytes::Bytes {
    format!("{:016x}", rand::random::<u64>()).into()
}

impl Devices {
    /// Ends the connections of nodes that are gone, before anything else is asked.
    pub(super) fn open(&self) {
        for shard in 0..self.shards.count() {
            let args =
                vec![number(Timestamp::now().0), self.node(), millis(self.limits.age), number(super::WORK)];
            drop(self.send(&scripts::OPEN, shard, args, Again::Safe));
        }
    }

    /// Ends this node's connections. Waits for nothing.
    pub(super) fn release(&self) {
        for shard in 0..self.shards.count() {
            drop(self.send(&scripts::RELEASE, shard, vec![self.node()], Again::Safe));
        }
    }

    /// Hints may not have come, or the answers to what this node did.
    pub(super) fn missed(&self) {
        for lane in &self.lanes {
            lane.notes().must_rejoin = true;
        }
        self.gap.store(true, Ordering::Release);
        self.look.notify_one();
    }

    /// What an answer says of this node's place in a shard.
    pub(super) fn seen(&self, shard: usize, is_leased: bool, salt: String) {
        let Ok(lane) = self.lane(shard) else { return };
        let mut notes = lane.notes();
        let is_salted = notes.salt.as_ref().is_some_and(|before| *before != salt);
        notes.salt = Some(salt);
        drop(notes);
        self.leased(shard, is_leased && !is_salted);
    }

    /// Whether Redis has known all the time who is connected here.
    fn leased(&self, shard: usize, is_leased: bool) {
        let Ok(lane) = self.lane(shard) else { return };
        let mut notes = lane.notes();
        let was_leased = std::mem::replace(&mut notes.is_leased, true);
        if was_leased && !is_leased {
            notes.must_rejoin = true;
            drop(notes);
            self.gap.store(true, Ordering::Release);
            self.look.notify_one();
        }
    }

    /// Says whether there was nothing that went wrong.
    async fn look_around(&self) -> bool {
        let is_gap = self.gap.swap(false, Ordering::AcqRel);
        let looked = join_all((0..self.shards.count()).map(|shard| self.look_at(shard))).await;
        let failed = looked.into_iter().filter_map(Result::err).next_back();
        match &failed {
            // What there was to be told, is.
            None if is_gap => {
                if let Some(handler) = self.handler() {
                    handler.handle_gap();
                }
            }
            None => {}
            Some(error) => {
                tracing::debug!(%error, "Redis does not know for certain who is connected here");
                if is_gap {
                    self.gap.store(true, Ordering::Release);
                }
            }
        }
        failed.is_none()
    }

    async fn look_at(&self, shard: usize) -> Result<(), StoreError> {
        let args = vec![self.node(), millis(self.link.lease()), flag(false), salt()];
        let mut answer = Answer::new(self.send_lasting(&scripts::RENEW, shard, args).await?)?;
        self.seen(shard, answer.take()?, answer.take()?);
        self.counted(shard, answer.take()?, Some(answer.take()?));
        let lane = self.lane(shard)?;
        if std::mem::take(&mut lane.notes().must_rejoin)
            && let Err(error) = self.rejoin(shard).await
        {
            lane.notes().must_rejoin = true;
            return Err(error);
        }
        self.put_right(shard).await
    }

    /// Sends a script whose third argument says whether restarts lose nothing.
    fn send_lasting(&self, script: &'static Script, shard: usize, args: Vec<bytes::Bytes>) -> Calling {
        let sending = Sending::new(script, self.shards.route(shard), args, Again::Safe);
        sending.lasting(2, &self.link).send(&self.link)
    }

    pub(super) fn send_departure(
        &self,
        shard: usize,
        device: &Device,
        connections: usize,
        now: Timestamp,
    ) -> Calling {
        let args = vec![
            number(now.0),
            self.node(),
            text(&device.user),
            text(&device.id),
            number(connections),
            millis(self.limits.age),
        ];
        self.send(&scripts::DEPART, shard, args, Again::Safe)
    }

    /// Says again how many connections those devices have of which Redis may have another number.
    async fn put_right(&self, shard: usize) -> Result<(), StoreError> {
        let lane = self.lane(shard)?;
        let wrong: Vec<Device> = lane.notes().wrong.drain().collect();
        for (at, some) in wrong.chunks(DEPARTURES).enumerate() {
            let departing = some.iter().map(|device| async move {
                let calling = {
                    let notes = lane.notes();
                    self.send_departure(shard, device, notes.connections(device), Timestamp::now())
                };
                let departed = calling.await;
                if departed.is_err() {
                    lane.notes().is_wrong(device.clone());
                }
                departed
            });
            if let Some(error) = join_all(departing).await.into_iter().find_map(Result::err) {
                let left = wrong.iter().skip((at + 1) * DEPARTURES).cloned();
                lane.notes().wrong.extend(left);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Connects anew whatever is connected here, and ends what Redis takes for it that is not.
    async fn rejoin(&self, shard: usize) -> Result<(), StoreError> {
        let lane = self.lane(shard)?;
        let all: Vec<Device> = lane.notes().here.keys().cloned().collect();
        for batch in all.chunks(BATCH) {
            let calling = {
                let notes = lane.notes();
                self.send_lasting(&scripts::REJOIN, shard, self.rejoin_args(&notes, batch))
            };
            let mut answer = Answer::new(calling.await?)?;
            self.leased(shard, answer.take()?);
            let told = answer.rest(rejoined)?;
            for (device, last, resyncs) in told {
                lane.notes().is_at(&device, last);
                if let Some(handler) = self.handler() {
                    for resync in &resyncs {
                        handler.handle_resync(&device, resync);
                    }
                }
            }
        }
        let mut cursor = "0".to_owned();
        loop {
            let args = vec![self.node(), cursor.into()];
            let mut answer = Answer::new(self.send(&scripts::STRAY, shard, args, Again::Safe).await?)?;
            cursor = answer.take()?;
            let strays = answer.take::<Vec<(String, String)>>()?;
            {
                let mut notes = lane.notes();
                let devices =
                    strays.into_iter().map(|(user, id)| Device { user: user.into(), id: id.into() });
                let gone: Vec<Device> = devices.filter(|device| !notes.here.contains_key(device)).collect();
                notes.wrong.extend(gone);
            }
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    fn rejoin_args(&self, notes: &Notes, batch: &[Device]) -> Vec<bytes::Bytes> {
        let mut args = vec![self.node(), millis(self.link.lease()), flag(false), salt()];
        for device in batch {
            let Some(Here { rooms, ttl, connections, last }) = notes.here.get(device) else { continue };
            args.extend([
                text(&device.user),
                text(&device.id),
                number(connections),
                millis(*ttl),
                number(last),
                salt(),
                number(rooms.len()),
            ]);
            args.extend(rooms.iter().map(text));
        }
        args
    }
}

fn rejoined(value: Value) -> Result<(Device, u64, Vec<Resync>), LinkError> {
    let mut answer = Answer::new(value)?;
    let (user, id): (String, String) = (answer.take()?, answer.take()?);
    let device = Device { user: user.into(), id: id.into() };
    Ok((device, answer.take()?, answer.take_list(answers::resync)?))
}

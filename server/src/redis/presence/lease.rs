//! That this node is there, as Redis sees it, and that Redis knows who is there by it.
//!
//! In: time, answers that do not fit, connections that were lost. Out: leases renewed, members put back, and those taken
//! off that Redis takes for there and that are not.

use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokensocket_protocol::Channel;

use super::{Answer, Listener, Rosters, StoreError, flag, scripts, text};

/// So many members are put back by one call.
const BATCH: usize = 200;
/// How long Redis is left alone that did not take something.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps this node's lease, until the store is dropped.
pub(super) async fn keep(rosters: Weak<Rosters>) {
    while let Some(here) = rosters.upgrade() {
        let is_well = here.look_around().await;
        let wait = if is_well { here.link.lease() / 3 } else { PAUSE.min(here.link.lease() / 3) };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = here.look.notified() => {}
        }
    }
}

impl Listener for Rosters {
    fn heard(&self, _: &str, _: Bytes) {}

    fn gap(&self) {
        for lane in &self.lanes {
            lane.notes().must_rejoin = true;
        }
        self.look.notify_one();
    }
}

impl Rosters {
    /// Ends this node's members. Waits for nothing.
    pub(super) fn release(&self) {
        for shard in 0..self.shards.count() {
            drop(self.send(&scripts::RELEASE, shard, vec![self.node()]));
        }
    }

    /// Says whether there was nothing that went wrong.
    async fn look_around(&self) -> bool {
        let looked = join_all((0..self.shards.count()).map(|shard| self.look_at(shard))).await;
        let failed = looked.into_iter().filter_map(Result::err).next_back();
        if let Some(error) = &failed {
            tracing::debug!(%error, "Redis does not know for certain who is there by this node");
        }
        failed.is_none()
    }

    pub(super) async fn look_at(&self, shard: usize) -> Result<(), StoreError> {
        let args = vec![self.node(), self.lease()];
        let is_leased = Answer::read(self.send(&scripts::RENEW, shard, args).await?)?;
        self.seen(shard, is_leased);
        let Some(lane) = self.lanes.get(shard) else { return Ok(()) };
        if std::mem::take(&mut lane.notes().must_rejoin)
            && let Err(error) = self.rejoin(shard).await
        {
            lane.notes().must_rejoin = true;
            return Err(error);
        }
        Ok(())
    }

    fn lease(&self) -> Bytes {
        text(&self.link.lease().as_millis().to_string())
    }

    /// Puts back whoever is there by this node, and takes off who is not.
    async fn rejoin(&self, shard: usize) -> Result<(), StoreError> {
        let Some(lane) = self.lanes.get(shard) else { return Ok(()) };
        let all: Vec<_> = lane.notes().here.keys().cloned().collect();
        for batch in all.chunks(BATCH) {
            let calling = {
                let notes = lane.notes();
                let mut args = vec![self.node(), self.lease()];
                for place in batch {
                    if let Some(here) = notes.here.get(place) {
                        args.extend(here.args(&place.0, &place.1));
                    }
                }
                self.send(&scripts::REJOIN, shard, args)
            };
            self.seen(shard, Answer::read(calling.await?)?);
        }
        let mut cursor = "0".to_owned();
        loop {
            let args = vec![self.node(), cursor.into()];
            let mut answer = Answer::new(self.send(&scripts::STRAY, shard, args).await?)?;
            cursor = answer.take()?;
            let strays: Vec<(String, String, bool)> = answer.take()?;
            let leaving = {
                let notes = lane.notes();
                let gone = strays.into_iter().filter(|(channel, client, _)| {
                    Channel::new(channel)
                        .is_ok_and(|channel| !notes.here.contains_key(&(channel, Arc::from(client.as_str()))))
                });
                let leave = |(channel, client, per_user): (String, String, bool)| {
                    self.send(&scripts::LEAVE, shard, vec![text(&channel), text(&client), flag(per_user)])
                };
                join_all(gone.map(leave).collect::<Vec<_>>())
            };
            for left in leaving.await {
                left?;
            }
            if cursor == "0" {
                return Ok(());
            }
        }
    }
}

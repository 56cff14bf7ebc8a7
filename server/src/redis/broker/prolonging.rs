//! Keeps the logs of channels that somebody follows from being forgotten by Redis.
//!
//! In: the channels whose time has come. Out: longer times to live of their keys, and which of them Redis has prolonged. Some
//! at a time, each when those before are answered for: a node may follow very many, and publications are to find room beside
//! them. What Redis does not take is due again.

use std::sync::Arc;

use ::redis::cmd;
use futures_util::future::join_all;

use super::followed::Due;
use super::incoming::Incoming;
use super::names;
use crate::history::AROUND;
use crate::redis::link::{Again, Link};
use crate::timestamp::Timestamp;

/// So many channels at a time.
const TOGETHER: usize = 32;

pub(super) async fn prolong(link: Link, incoming: Arc<Incoming>, due: Vec<Due>, now: Timestamp) {
    for some in due.chunks(TOGETHER) {
        let prolonged = join_all(some.iter().map(|one| prolong_one(&link, one))).await;
        let mut followed = incoming.followed();
        for (one, _) in some.iter().zip(prolonged).filter(|(_, is_so)| *is_so) {
            followed.prolonged(&one.topic, now);
        }
    }
}

/// Whether Redis has prolonged it.
fn prolong_one(link: &Link, one: &Due) -> impl Future<Output = bool> + use<> {
    let sent = [names::line(link, &one.channel), names::log(link, &one.channel)].map(|key| {
        let mut command = cmd("PEXPIRE");
        // What was published or read of late lasts longer already.
        command.arg(&key).arg(one.lasting.followed).arg("GT");
        link.call(&key, command, AROUND, Again::Safe)
    });
    async move { join_all(sent).await.iter().all(Result::is_ok) }
}

//! Work on its way, and what became of it so far.
//!
//! In: what each try says. Out: one outcome. Whether something was done of which no answer came stays unknown, whatever
//! later tries say.

use ::redis::Value;
use tokio::time::Instant;

use super::work::{Share, Work};
use crate::redis::error::LinkError;

/// Work on its way.
pub(super) struct Item {
    pub(super) work: Box<dyn Work>,
    pub(super) slot: usize,
    /// It waits while its server is away.
    pub(super) waits: bool,
    /// It has a part of what may wait for a server that is away.
    pub(super) is_held: bool,
    /// What became of it when it was last tried.
    last: Option<LinkError>,
    /// When it was first tried, or began to stand behind what is tried again.
    tried: Option<Instant>,
    /// When it was last sent.
    sent: Option<Instant>,
    /// When it was first sent of those times of which no answer came.
    doubted: Option<Instant>,
    /// Its part of what may wait, unless the work has it.
    share: Option<Share>,
}

impl Item {
    pub(super) fn new(
        work: Box<dyn Work>,
        slot: usize,
        share: Option<Share>,
        waits: bool,
        is_held: bool,
    ) -> Self {
        Self { work, slot, waits, is_held, last: None, tried: None, sent: None, doubted: None, share }
    }

    /// It is tried now.
    pub(super) fn is_tried(&mut self, now: Instant) {
        self.tried.get_or_insert(now);
        self.sent = Some(now);
    }

    /// It stands behind what is tried again, from now on at the latest.
    pub(super) fn is_held_up(&mut self, now: Instant) {
        self.tried.get_or_insert(now);
    }

    /// Whether it was tried, and failed.
    pub(super) fn has_failed(&self) -> bool {
        self.last.is_some()
    }

    /// Has it wait for a server that is away, with this part of what may wait.
    pub(super) fn hold(&mut self, share: Share) {
        self.share = Some(share);
        self.is_held = true;
    }

    /// It failed, and is to be tried again.
    pub(super) fn fail(&mut self, error: LinkError) {
        if !matches!(self.last, Some(LinkError::Unknown(_))) {
            if matches!(error, LinkError::Unknown(_)) {
                self.doubted = self.sent;
                self.work.doubted();
            }
            self.last = Some(error);
        }
    }

    /// It is not tried again.
    pub(super) fn end(self, outcome: Result<Value, LinkError>) {
        self.work.done(match (outcome, self.last) {
            (Err(_), Some(unknown @ LinkError::Unknown(_))) => Err(unknown),
            (outcome, _) => outcome,
        });
    }

    /// What may have been done so long ago that it would be done twice now ends with that.
    pub(super) fn unless_forgotten(self, now: Instant) -> Option<Self> {
        let ends =
            self.doubted.zip(self.work.remembered()).and_then(|(sent, window)| sent.checked_add(window));
        if ends.is_none_or(|ends| now < ends) { Some(self) } else { self.unless_failed() }
    }

    /// What was tried for long enough ends with what became of it, unless it waits for its server.
    pub(super) fn unless_late(self, since: Option<Instant>) -> Option<Self> {
        if self.waits && self.is_held || self.tried > since { Some(self) } else { self.unless_failed() }
    }

    /// What failed ends with that.
    fn unless_failed(mut self) -> Option<Self> {
        match self.last.take() {
            Some(error) => {
                self.work.done(Err(error));
                None
            }
            None => Some(self),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use std::time::Duration;

    use ::redis::{Cmd, cmd};
    use tokio::sync::oneshot;

    use super::*;
    use crate::redis::link::facts::Facts;
    use crate::redis::link::work::{Again, Call};

    type Told = oneshot::Receiver<Result<Value, LinkError>>;

    fn item() -> (Item, Told) {
        let (told, outcome) = oneshot::channel();
        let command: Cmd = cmd("PING");
        let work = Call { command, bytes: 0, again: Again::Safe, waits: false, told };
        (Item::new(Box::new(work), 0, None, false, false), outcome)
    }

    /// Work that is remembered for ten seconds.
    struct Remembered(oneshot::Sender<Result<Value, LinkError>>);

    impl Work for Remembered {
        fn command(&mut self, _: &Facts) -> Cmd {
            cmd("PING")
        }

        fn bytes(&self) -> usize {
            0
        }

        fn again(&self) -> Again {
            Again::Safe
        }

        fn waits(&self) -> bool {
            true
        }

        fn remembered(&self) -> Option<Duration> {
            Some(Duration::from_secs(10))
        }

        fn done(self: Box<Self>, outcome: Result<Value, LinkError>) {
            let _ = self.0.send(outcome);
        }
    }

    #[test]
    fn what_may_have_been_done_is_not_sent_again_when_it_is_forgotten() {
        let (told, outcome_of) = oneshot::channel();
        let mut item = Item::new(Box::new(Remembered(told)), 0, None, true, true);
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        item.is_tried(begun);
        item.fail(LinkError::Away("CLUSTERDOWN".to_owned()));
        let mut item = item.unless_forgotten(after(60)).unwrap();
        item.is_tried(after(60));
        item.fail(LinkError::Unknown("no answer".to_owned()));
        let item = item.unless_late(Some(after(60))).unwrap();
        let mut item = item.unless_forgotten(after(69)).unwrap();
        item.is_tried(after(69));
        item.fail(LinkError::Unknown("no answer again".to_owned()));
        assert!(
            item.unless_forgotten(after(70)).is_none(),
            "it counts from the first that may have been done"
        );
        assert_eq!(outcome(outcome_of), Err(LinkError::Unknown("no answer".to_owned())));
    }

    fn outcome(mut told: Told) -> Result<Value, LinkError> {
        told.try_recv().unwrap()
    }

    #[test]
    fn what_may_have_been_done_is_not_told_as_undone() {
        let unknown = LinkError::Unknown("no answer".to_owned());
        let moved = || LinkError::Away("MOVED".to_owned());
        for refusal in [LinkError::Full, moved(), LinkError::Refused("ERR".to_owned())] {
            let (mut item, told) = item();
            item.fail(unknown.clone());
            item.fail(moved());
            item.end(Err(refusal));
            assert_eq!(outcome(told), Err(unknown.clone()));
        }
        let (mut late, told) = item();
        late.fail(unknown.clone());
        late.fail(moved());
        assert!(late.unless_late(None).is_none());
        assert_eq!(outcome(told), Err(unknown.clone()));
        let (mut done, told) = item();
        done.fail(unknown);
        done.end(Ok(Value::Okay));
        assert_eq!(outcome(told), Ok(Value::Okay), "an answer is an answer");
        let (mut undone, told) = item();
        undone.fail(moved());
        undone.end(Err(LinkError::Full));
        assert_eq!(outcome(told), Err(LinkError::Full));
    }
}

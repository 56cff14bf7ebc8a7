//! A script on its way, which says what is true when it is sent, and whether an answer to it was lost.
//!
//! In: a script and its arguments. Out: its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use redis::{Cmd, Value, cmd};
use tokio::sync::oneshot;

use super::Calling;
use crate::redis::link::{Again, Facts, Link, LinkError, Work};
use crate::redis::script::Script;

/// About so many bytes stand around a call's arguments.
const AROUND: usize = 64;

/// About how large a call with these arguments is.
pub(in crate::redis) fn carried(args: &[Bytes]) -> usize {
    args.iter().map(Bytes::len).sum::<usize>() + AROUND
}

/// A script that is to be sent.
pub(in crate::redis) struct Sending {
    script: &'static Script,
    key: String,
    args: Vec<Bytes>,
    again: Again,
    /// In place of this argument, whether a restart of Redis loses nothing that was answered.
    lasting: Option<(usize, Link)>,
    /// In place of this argument, the server's present run.
    run: Option<usize>,
    /// Notes that it was sent, and that no answer came.
    is_doubted: Arc<AtomicBool>,
    told: Option<oneshot::Sender<Result<Value, LinkError>>>,
}

impl Sending {
    pub(in crate::redis) fn new(script: &'static Script, key: &str, args: Vec<Bytes>, again: Again) -> Self {
        let is_doubted = Arc::default();
        Self { script, key: key.to_owned(), args, again, lasting: None, run: None, is_doubted, told: None }
    }

    /// Says in place of this argument whether a restart of Redis loses nothing, as of the server it is sent to.
    pub(in crate::redis) fn lasting(mut self, at: usize, link: &Link) -> Self {
        self.lasting = Some((at, link.clone()));
        self
    }

    /// Says in place of this argument which run of Redis it is that it is sent to.
    pub(in crate::redis) fn run(mut self, at: usize) -> Self {
        self.run = Some(at);
        self
    }

    /// Notes there that it was sent and no answer came, so that it is sent once more.
    pub(in crate::redis) fn noting(mut self, is_doubted: &Arc<AtomicBool>) -> Self {
        self.is_doubted = Arc::clone(is_doubted);
        self
    }

    /// It is in the queue when this returns.
    pub(in crate::redis) fn send(mut self, link: &Link) -> Calling {
        let (tell, told) = oneshot::channel();
        self.told = Some(tell);
        let key = self.key.clone();
        link.submit(&key, Box::new(self));
        let ended = || Err(LinkError::Unknown("the connection was ended".to_owned()));
        async move { told.await.unwrap_or_else(|_| ended()) }.boxed()
    }
}

impl Work for Sending {
    fn command(&mut self, facts: &Facts) -> Cmd {
        if let Some((at, link)) = &self.lasting
            && let Some(arg) = self.args.get_mut(*at)
        {
            *arg = Bytes::from_static(if link.is_lasting() { b"1" } else { b"0" });
        }
        if let Some(arg) = self.run.and_then(|at| self.args.get_mut(at)) {
            *arg = Bytes::copy_from_slice(facts.run.as_bytes());
        }
        let mut command = cmd("EVALSHA");
        // The second one is there, the first never is: while a slot moves, a step that finds but half of a shard's keys is
        // refused (TRYAGAIN), on either side.
        command.arg(self.script.name()).arg(2).arg(&self.key).arg(format!("{}n", self.key));
        for arg in &self.args {
            command.arg(&**arg);
        }
        command
    }

    fn bytes(&self) -> usize {
        self.key.len() + carried(&self.args)
    }

    fn again(&self) -> Again {
        self.again
    }

    fn waits(&self) -> bool {
        false
    }

    fn doubted(&mut self) {
        self.is_doubted.store(true, Ordering::Relaxed);
    }

    fn done(mut self: Box<Self>, outcome: Result<Value, LinkError>) {
        if let Some(told) = self.told.take() {
            let _ = told.send(outcome);
        }
    }
}

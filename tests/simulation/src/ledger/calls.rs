//! Calls: each resolves once, with its own answer; none runs twice.

use std::collections::{BTreeMap, BTreeSet};

use tokensocket_protocol::client::{CallError, CallId};
use tokensocket_protocol::{ErrorCode, RawJson};

use crate::client::{ClientName, Wish};

/// What a session says of a request.
pub(crate) type Outcome = Result<RawJson, CallError<RawJson>>;

/// The requests of all clients, and the calls of the application.
#[derive(Default)]
pub(super) struct Calls {
    open: BTreeMap<(ClientName, CallId), Wish>,
    /// Which actions ran, by the number that they were called with.
    ran: BTreeSet<u64>,
    invoked: BTreeSet<u64>,
}

impl Calls {
    pub(super) fn asked(&mut self, client: ClientName, call: CallId, wish: &Wish) {
        self.open.insert((client, call), wish.clone());
    }

    /// Gives the wish that this was.
    pub(super) fn resolved(
        &mut self,
        client: ClientName,
        call: CallId,
        outcome: &Outcome,
    ) -> Result<Wish, String> {
        let wish = self.open.remove(&(client, call));
        let wish = wish.ok_or_else(|| format!("client {client}: {call:?} resolved without being open"))?;
        let Wish::Call { path, number, .. } = wish else { return Ok(wish) };
        let as_it_should = match (path, outcome) {
            (_, Err(CallError::Refused(failure))) => match failure.code {
                // What a server that shuts down says.
                Some(ErrorCode::Overloaded) => true,
                Some(ErrorCode::NotFound) => path == "nothing",
                _ => path == "fail" && self.ran.contains(&number),
            },
            (_, Err(CallError::TooLarge { .. })) => false,
            (_, Err(_)) => true,
            ("echo" | "slow", Ok(answer)) => {
                super::number(answer) == Some(number) && self.ran.contains(&number)
            }
            (_, Ok(_)) => false,
        };
        if as_it_should {
            Ok(wish)
        } else {
            Err(format!("client {client}: {wish:?} resolved to {outcome:?}"))
        }
    }

    pub(super) fn ran(&mut self, number: u64) -> Result<(), String> {
        if self.ran.insert(number) { Ok(()) } else { Err(format!("the call {number} ran twice")) }
    }

    pub(super) fn invoked(&mut self, client: ClientName, args: &RawJson) -> Result<(), String> {
        match super::number(args) {
            Some(number) if self.invoked.insert(number) => Ok(()),
            _ => Err(format!("client {client} was called with {args:?}, again or out of nowhere")),
        }
    }

    pub(super) fn called_back(&mut self, number: u64, answer: Option<u64>) -> Result<(), String> {
        match answer {
            None => Ok(()),
            Some(answer) if answer == number && self.invoked.contains(&number) => Ok(()),
            Some(answer) => Err(format!("a client was called with {number} and answered {answer}")),
        }
    }

    /// How many requests of a client are open.
    pub(super) fn open(&self, client: ClientName) -> usize {
        self.open.keys().filter(|(other, _)| *other == client).count()
    }

    pub(super) fn forget(&mut self, client: ClientName) {
        self.open.retain(|(other, _), _| *other != client);
    }
}

//! Publications on their way to Redis.
//!
//! In: publications, in the order of their calls. Out: what became of each. All that wait for one channel go together, in
//! one script: that is one step for each, in their order, and a fraction of the work.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::{Cmd, Value, cmd, from_redis_value};
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Epoch, Position, RawJson};
use tokio::sync::oneshot;

use super::lasting::{Lasting, milliseconds};
use super::{PUBLISH, frame, names};
use crate::broker::{BrokerError, Key, Publish, Published};
use crate::history::{AROUND, History};
use crate::redis::link::{Again, Facts, Link, LinkError, Share, Work};
use crate::timestamp::Timestamp;

/// So many publications go together at most, and so many bytes, about: Redis does nothing else meanwhile.
const MOST: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// A publication that nobody has answered for.
struct Waiting {
    message: RawJson,
    history: Option<History>,
    key: Option<Key>,
    at: Timestamp,
    told: oneshot::Sender<Result<Published, BrokerError>>,
    _share: Share,
}

impl Waiting {
    /// Whether both can be in one script.
    fn goes_with(&self, other: &Self) -> bool {
        self.history == other.history && self.key.is_some() == other.key.is_some()
    }
}

/// All channels that something waits for.
pub(super) struct Outgoing {
    link: Link,
    /// A channel is here from its first publication on until the last is on its way; for as long there is one
    /// [`Publishing`] for it in the link's queue.
    channels: Mutex<HashMap<Channel, VecDeque<Waiting>>>,
}

/// The publications of a channel that are next.
struct Publishing {
    outgoing: Weak<Outgoing>,
    channel: Channel,
    /// Those that are on their way; before that, none.
    taken: Vec<Waiting>,
}

impl Outgoing {
    pub(super) fn new(link: Link) -> Arc<Self> {
        Arc::new(Self { link, channels: Mutex::default() })
    }

    /// Puts a publication behind those of its channel.
    pub(super) fn publish(
        self: &Arc<Self>,
        publish: Publish,
    ) -> Result<oneshot::Receiver<Result<Published, BrokerError>>, BrokerError> {
        let Publish { channel, message, history, key, at } = publish;
        let line = names::line(&self.link, &channel);
        let share = self.link.admit(&line, message.as_bytes().len() + AROUND)?;
        let (told, outcome) = oneshot::channel();
        let waiting = Waiting { message, history, key, at, told, _share: share };
        let mut channels = self.channels.lock();
        if let Some(queue) = channels.get_mut(&channel) {
            queue.push_back(waiting);
        } else {
            channels.insert(channel.clone(), VecDeque::from([waiting]));
            self.submit(&line, channel);
        }
        Ok(outcome)
    }

    fn submit(self: &Arc<Self>, line: &str, channel: Channel) {
        let outgoing = Arc::downgrade(self);
        self.link.submit(line, Box::new(Publishing { outgoing, channel, taken: Vec::new() }));
    }

    /// Takes what goes together; what is left is next.
    fn take(self: &Arc<Self>, channel: &Channel, line: &str) -> Vec<Waiting> {
        let mut channels = self.channels.lock();
        let Some(queue) = channels.get_mut(channel) else { return Vec::new() };
        let mut bytes = 0;
        let together = queue.iter().take(MOST).take_while(|waiting| {
            let fits = bytes < MOST_BYTES && queue.front().is_some_and(|first| waiting.goes_with(first));
            bytes += waiting.message.as_bytes().len();
            fits
        });
        let count = together.count();
        let taken = queue.drain(..count).collect();
        if queue.is_empty() {
            channels.remove(channel);
        } else {
            self.submit(line, channel.clone());
        }
        taken
    }
}

impl Work for Publishing {
    fn command(&mut self, facts: &Facts) -> Cmd {
        let Some(outgoing) = self.outgoing.upgrade() else { return cmd("PING") };
        let link = &outgoing.link;
        let line = names::line(link, &self.channel);
        if self.taken.is_empty() {
            self.taken = outgoing.take(&self.channel, &line);
        }
        let Some(first) = self.taken.first() else { return cmd("PING") };
        let topic = names::topic(link, &self.channel);
        let keyed = first.key.is_some();
        if first.history.is_none() && !keyed {
            let mut command = cmd(link.publishes_by());
            command.arg(topic).arg(frame::publications(self.taken.iter().map(|waiting| &waiting.message)));
            return command;
        }
        let mut command = cmd("EVALSHA");
        command.arg(PUBLISH.name());
        command.arg(2 + self.taken.iter().filter(|waiting| waiting.key.is_some()).count());
        command.arg(&line).arg(names::log(link, &self.channel));
        for key in self.taken.iter().filter_map(|waiting| waiting.key.as_ref()) {
            command.arg(names::key(link, &self.channel, &key.text));
        }
        let epoch = Epoch::from_random(rand::random());
        command.arg(topic).arg(link.publishes_by()).arg(&facts.generation).arg(epoch.as_str());
        match &first.history {
            Some(history) => {
                command.arg(history.count).arg(history.bytes).arg(milliseconds(history.age));
                command.arg(Lasting::of(history).full);
            }
            None => {
                command.arg(-1).arg(0).arg(0).arg(0);
            }
        }
        command.arg(AROUND).arg(u8::from(keyed));
        for waiting in &self.taken {
            command.arg(waiting.at.0);
            if let Some(key) = &waiting.key {
                command.arg(milliseconds(key.window));
            }
            command.arg(waiting.message.as_bytes());
        }
        command
    }

    fn bytes(&self) -> usize {
        0
    }

    fn again(&self) -> Again {
        if self.taken.iter().all(|waiting| waiting.key.is_some()) { Again::Safe } else { Again::Never }
    }

    fn waits(&self) -> bool {
        true
    }

    fn remembered(&self) -> Option<Duration> {
        self.taken.iter().filter_map(|waiting| Some(waiting.key.as_ref()?.window)).min()
    }

    fn is_admitted(&self) -> bool {
        true
    }

    fn done(mut self: Box<Self>, outcome: Result<Value, LinkError>) {
        if self.taken.is_empty()
            && let Some(outgoing) = self.outgoing.upgrade()
        {
            // Nothing was sent, and nothing will be.
            self.taken = outgoing.channels.lock().remove(&self.channel).unwrap_or_default().into();
        }
        let answers = match outcome {
            Ok(value) => read(value, self.taken.len()),
            Err(error) => Err(error.into()),
        };
        match answers {
            Ok(answers) => {
                for (waiting, published) in self.taken.into_iter().zip(answers) {
                    let _ = waiting.told.send(Ok(published));
                }
            }
            Err(error) => {
                for waiting in self.taken {
                    let _ = waiting.told.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Reads what became of so many publications.
fn read(value: Value, count: usize) -> Result<Vec<Published>, BrokerError> {
    let Value::Array(values) = value else {
        // The answer to a plain publication: how many have it.
        return Ok(vec![Published::default(); count]);
    };
    let mut values = values.into_iter();
    let published = values.next().and_then(|epoch| {
        let epoch = Epoch::new(from_redis_value::<String>(epoch).ok()?).ok()?;
        values.map(|value| read_one(value, &epoch)).collect::<Option<Vec<_>>>()
    });
    published
        .filter(|published| published.len() == count)
        .ok_or_else(|| BrokerError::Unavailable("Redis answers what is not understood".to_owned()))
}

fn read_one(value: Value, epoch: &Epoch) -> Option<Published> {
    if let Value::Int(offset) = value {
        let offset = u64::try_from(offset).ok()?;
        let position = (offset > 0).then(|| Position { epoch: epoch.clone(), offset });
        return Some(Published { position, duplicate: false });
    }
    let place: String = from_redis_value(value).ok()?;
    let position = match place.rsplit_once(':') {
        Some((epoch, offset)) => Some(Position::new(Epoch::new(epoch).ok()?, offset.parse().ok()?).ok()?),
        None => None,
    };
    Some(Published { position, duplicate: true })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    #[test]
    fn reads_what_became_of_each() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let place = |epoch: &str, offset| Some(Position::new(Epoch::new(epoch).unwrap(), offset).unwrap());
        let value = Value::Array(vec![text("new"), Value::Int(7), text("old:3"), text(""), Value::Int(0)]);
        let expected = [
            Published { position: place("new", 7), duplicate: false },
            Published { position: place("old", 3), duplicate: true },
            Published { position: None, duplicate: true },
            Published::default(),
        ];
        assert_eq!(read(value, 4).unwrap(), expected);
        assert_eq!(read(Value::Int(3), 2).unwrap(), [Published::default(), Published::default()]);
        assert!(read(Value::Array(vec![text("new"), Value::Int(7)]), 2).is_err());
        assert!(read(Value::Array(Vec::new()), 0).is_err());
    }
}

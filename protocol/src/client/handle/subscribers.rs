//! Who reads which channel, on this side.
//!
//! In: subscriptions that come and go, publications. Out: filled buffers, and which channels nobody reads
//! any more.

use std::collections::HashMap;
use std::sync::Arc;

use super::buffer::Buffer;
use crate::client::Event;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The readers of every channel.
#[derive(Default, Debug)]
pub struct Subscribers {
    channels: HashMap<String, Readers>,
}

#[derive(Default, Debug)]
struct Readers {
    buffers: Vec<Arc<Buffer>>,
    /// The channel is wanted without a reader.
    detached: bool,
}

impl Subscribers {
    /// A reader comes.
    pub fn join(&mut self, channel: &str, buffer: Arc<Buffer>) {
        self.channels.entry(channel.to_owned()).or_default().buffers.push(buffer);
    }

    /// A subscribe failed: whoever else reads the channel goes on.
    pub fn fail(&mut self, channel: &str, buffer: &Arc<Buffer>) {
        buffer.end();
        let Some(readers) = self.channels.get_mut(channel) else { return };
        readers.buffers.retain(|other| !Arc::ptr_eq(other, buffer));
        if readers.buffers.is_empty() && !readers.detached {
            self.channels.remove(channel);
        }
    }

    /// A reader leaves. Says whether nobody wants the channel any more.
    pub fn leave(&mut self, channel: &str, buffer: &Arc<Buffer>, detached: bool) -> bool {
        let Some(readers) = self.channels.get_mut(channel) else { return false };
        let before = readers.buffers.len();
        readers.buffers.retain(|other| !Arc::ptr_eq(other, buffer));
        if readers.buffers.len() == before {
            return false;
        }
        readers.detached |= detached;
        if !readers.buffers.is_empty() || readers.detached {
            return false;
        }
        self.channels.remove(channel);
        true
    }

    /// Something happened: a publication goes to all readers of its channel, and those of a channel that
    /// the server takes away hear why.
    pub fn tell(&mut self, event: &Event<RawJson>) {
        match event {
            Event::Message { channel, message } => self.publish(channel, message),
            Event::SubscriptionLost { channel, failure } => {
                let error: Option<RpcError> = failure.clone().map(Into::into);
                for buffer in self.take(channel) {
                    buffer.lose(error.clone());
                }
            }
            _ => {}
        }
    }

    fn publish(&self, channel: &str, data: &RawJson) {
        if let Some(readers) = self.channels.get(channel) {
            for buffer in &readers.buffers {
                buffer.push(data.clone());
            }
        }
    }

    /// The user unsubscribes.
    pub fn end(&mut self, channel: &str) {
        for buffer in self.take(channel) {
            buffer.end();
        }
    }

    /// The client has ended.
    pub fn end_all(&mut self) {
        for buffer in self.channels.drain().flat_map(|(_, readers)| readers.buffers) {
            buffer.end();
        }
    }

    fn take(&mut self, channel: &str) -> Vec<Arc<Buffer>> {
        self.channels.remove(channel).map(|readers| readers.buffers).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_reader_ends_a_channel_and_not_when_it_detaches() {
        let mut subscribers = Subscribers::default();
        let (first, second) = (Buffer::new(1, 1), Buffer::new(1, 1));
        subscribers.join("c", Arc::clone(&first));
        subscribers.join("c", Arc::clone(&second));
        assert!(!subscribers.leave("c", &first, false));
        assert!(!subscribers.leave("c", &first, false), "leaves once");
        assert!(subscribers.leave("c", &second, false));
        subscribers.join("c", Arc::clone(&first));
        subscribers.join("c", Arc::clone(&second));
        assert!(!subscribers.leave("c", &first, true));
        assert!(!subscribers.leave("c", &second, false), "somebody follows without a stream");
        subscribers.end("c");
        subscribers.join("c", Arc::clone(&first));
        assert!(subscribers.leave("c", &first, false), "and was unsubscribed since");
    }
}

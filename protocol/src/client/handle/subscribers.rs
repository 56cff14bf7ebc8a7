//! Who reads which channel, on this side.
//!
//! In: subscriptions that come and go, publications. Out: filled buffers, and which channels nobody reads
//! any more.

use std::collections::HashMap;
use std::sync::Arc;

use super::buffer::Buffer;
use crate::channel::Channel;
use crate::client::Event;
use crate::pattern::Pattern;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The readers of every channel.
#[derive(Default, Debug)]
pub struct Subscribers {
    channels: HashMap<String, Readers>,
    /// The names among them that the server takes as patterns.
    patterns: Vec<Pattern>,
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
            self.take(channel);
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
        self.take(channel);
        true
    }

    /// Something happened: a publication goes to all readers of its channel, and those of a channel that
    /// the server takes away hear why.
    pub fn tell(&mut self, event: &Event<RawJson>) {
        match event {
            Event::Message { channel, message } => self.serve(channel, |buffer| buffer.push(message.clone())),
            Event::Recovered { channel, publications } => {
                self.serve(channel, |buffer| buffer.recover(publications));
            }
            Event::Unrecovered { channel } => self.serve_by_name(channel, &|buffer| buffer.gap()),
            Event::Pattern { channel } => self.take_as_pattern(channel),
            Event::SubscriptionLost { channel, failure } => {
                let error: Option<RpcError> = failure.clone().map(Into::into);
                for buffer in self.take(channel) {
                    buffer.lose(error.clone());
                }
            }
            _ => {}
        }
    }

    /// Everybody who reads the channel, by its name or by a pattern.
    fn serve(&self, channel: &str, serve: impl Fn(&Buffer)) {
        self.serve_by_name(channel, &serve);
        for pattern in &self.patterns {
            if pattern.as_str() != channel && pattern.covers(channel) {
                self.serve_by_name(pattern.as_str(), &serve);
            }
        }
    }

    fn serve_by_name(&self, channel: &str, serve: &impl Fn(&Buffer)) {
        if let Some(readers) = self.channels.get(channel) {
            readers.buffers.iter().for_each(|buffer| serve(buffer));
        }
    }

    fn take_as_pattern(&mut self, name: &str) {
        let pattern = Channel::new(name).ok().and_then(|channel| Pattern::of(&channel));
        if let Some(pattern) = pattern.filter(|pattern| !self.patterns.contains(pattern)) {
            self.patterns.push(pattern);
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
        self.patterns.clear();
        for buffer in self.channels.drain().flat_map(|(_, readers)| readers.buffers) {
            buffer.end();
        }
    }

    fn take(&mut self, channel: &str) -> Vec<Arc<Buffer>> {
        self.patterns.retain(|pattern| pattern.as_str() != channel);
        self.channels.remove(channel).map(|readers| readers.buffers).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_reads_what_it_covers_only_where_the_server_takes_it_as_one() {
        let mut subscribers = Subscribers::default();
        let [all, one] = ["news.>", "news.a"].map(|name| {
            let buffer = Buffer::new(9, 99);
            subscribers.join(name, Arc::clone(&buffer));
            buffer
        });
        let publish = |subscribers: &mut Subscribers, channel: &str| {
            let message = RawJson::new(channel).unwrap_or_default();
            subscribers.tell(&Event::Message { channel: channel.to_owned(), message });
        };
        publish(&mut subscribers, "news.a");
        subscribers.tell(&Event::Pattern { channel: "news.>".to_owned() });
        for channel in ["news.a", "news.b.c", "other"] {
            publish(&mut subscribers, channel);
        }
        let read = |buffer: &Buffer| {
            let mut read = Vec::new();
            let mut context = std::task::Context::from_waker(futures_util::task::noop_waker_ref());
            while let std::task::Poll::Ready(Some(Ok(data))) = buffer.poll(&mut context) {
                read.push(data.to_string());
            }
            read
        };
        assert_eq!(read(&all), ["\"news.a\"", "\"news.b.c\""]);
        assert_eq!(read(&one), ["\"news.a\"", "\"news.a\""]);
        subscribers.leave("news.>", &all, false);
        subscribers.join("news.>", Arc::clone(&all));
        publish(&mut subscribers, "news.a");
        assert!(read(&all).is_empty(), "it has to be said again");
    }

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

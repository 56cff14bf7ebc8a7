//! One message as it comes from Redis.
//!
//! ```text
//! p 5 7\n"one""three"             publications of which nothing is kept, by their lengths
//! h EPOCH 41 5 7\n"one""three"    publications with positions, the first of which is at 41
//! a NODE\n{…}                     an announcement of a node
//! b\n{…}                          to every channel
//! c\n{…}                          a control message
//! ```
//!
//! In: bytes. Out: what they say, with the messages where they came. What no node wrote says nothing.

use bytes::Bytes;
use tokensocket_protocol::{Epoch, Position, RawJson};

use crate::broker::Control;
use crate::node_id::NodeId;

/// What a message says.
#[derive(Debug)]
pub(super) enum Frame {
    Publications(Vec<(RawJson, Option<Position>)>),
    Announcement(NodeId, RawJson),
    Broadcast(RawJson),
    Control(Control),
}

/// Publications of which nothing is kept.
pub(super) fn publications<'a>(messages: impl Iterator<Item = &'a RawJson> + Clone) -> Vec<u8> {
    let mut frame = b"p".to_vec();
    for message in messages.clone() {
        frame.extend_from_slice(format!(" {}", message.as_bytes().len()).as_bytes());
    }
    frame.push(b'\n');
    for message in messages {
        frame.extend_from_slice(message.as_bytes());
    }
    frame
}

pub(super) fn announcement(node: NodeId, announcement: &RawJson) -> Vec<u8> {
    [format!("a {node}\n").as_bytes(), announcement.as_bytes()].concat()
}

pub(super) fn broadcast(message: &RawJson) -> Vec<u8> {
    [b"b\n", message.as_bytes()].concat()
}

pub(super) fn control(control: &Control) -> Vec<u8> {
    [b"c\n".as_slice(), &control.to_json()].concat()
}

impl Frame {
    pub(super) fn read(bytes: &Bytes) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let rest = bytes.slice(end + 1..);
        let mut words = head.split(' ');
        match words.next()? {
            "p" => read_publications(words, None, &rest),
            "h" => {
                let (epoch, first) = (Epoch::new(words.next()?).ok()?, words.next()?.parse().ok()?);
                read_publications(words, Some(&(epoch, first)), &rest)
            }
            "a" => Some(Self::Announcement(words.next()?.parse().ok()?, RawJson::from_text(rest).ok()?)),
            "b" => Some(Self::Broadcast(RawJson::from_text(rest).ok()?)),
            "c" => Some(Self::Control(Control::from_json(&rest)?)),
            _ => None,
        }
    }
}

fn read_publications<'a>(
    sizes: impl Iterator<Item = &'a str>,
    place: Option<&(Epoch, u64)>,
    messages: &Bytes,
) -> Option<Frame> {
    let mut at = 0_usize;
    let mut publications = Vec::new();
    for (n, size) in (0_u64..).zip(sizes) {
        let to = at.checked_add(size.parse().ok()?)?;
        if to > messages.len() {
            return None;
        }
        let message = RawJson::from_text(messages.slice(at..to)).ok()?;
        at = to;
        let position = match place {
            Some((epoch, first)) => Some(Position::new(epoch.clone(), first.checked_add(n)?).ok()?),
            None => None,
        };
        publications.push((message, position));
    }
    (at == messages.len()).then_some(Frame::Publications(publications))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Frame> {
        Frame::read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn reads_what_it_writes() {
        let messages = [RawJson::new(&1).unwrap(), RawJson::new("two\n").unwrap()];
        let bytes = Bytes::from(publications(messages.iter()));
        let Some(Frame::Publications(read)) = Frame::read(&bytes) else { panic!("{bytes:?}") };
        assert_eq!(read, [(messages[0].clone(), None), (messages[1].clone(), None)]);
        let node = NodeId::from_number(7);
        let bytes = Bytes::from(announcement(node, &messages[1]));
        assert!(
            matches!(Frame::read(&bytes), Some(Frame::Announcement(of, said)) if of == node && said == messages[1])
        );
        let bytes = Bytes::from(broadcast(&messages[0]));
        assert!(matches!(Frame::read(&bytes), Some(Frame::Broadcast(said)) if said == messages[0]));
        let bytes = Bytes::from(control(&Control::Node(messages[0].clone())));
        assert!(
            matches!(Frame::read(&bytes), Some(Frame::Control(Control::Node(said))) if said == messages[0])
        );
    }

    #[test]
    fn gives_each_its_position() {
        let Some(Frame::Publications(read)) = read("h e1 41 1 2\n712") else { panic!("it is well formed") };
        let places = read.into_iter().map(|(message, place)| (message.to_string(), place.unwrap().offset));
        let places: Vec<_> = places.collect();
        assert_eq!(places, [("7".to_owned(), 41), ("12".to_owned(), 42)]);
    }

    #[test]
    fn passes_over_what_no_node_wrote() {
        for text in [
            "",
            "p 1",
            "p 2\n1",
            "p 1\n12",
            "p x\n1",
            "p 18446744073709551615 2\n1",
            "h e\n",
            "h e 1 1\n{",
            "h e 9007199254740991 1 1\n12",
            "x\n1",
            "a nobody\n1",
            "b\n",
            "c\n7",
            "c\n{\"later\":1}",
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}

//! A message that waits in an outbox unframed, for a connection whose task frames it when it writes it.
//!
//! In: a text, the binary parts that belong to it, and a note. Out: the same again, however many records stand
//! behind one another in one piece. The note says what is to be done once the text has been written.
//!
//! ```text
//! ┌ length of the text, 4 bytes ┬ of the binary parts, 4 ┬ kind of note, 1 ┬ its number, 8 ┬ text ┬ parts ┐
//! ```

/// What whoever writes a message must know of it besides its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Note {
    /// Nothing.
    #[default]
    None,
    /// It is this entry of the device's queue.
    Delivery(u64),
    /// It is a batch that ends with this entry.
    Batch(u64),
    /// It is the resync of this number.
    Resync(u64),
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) note: Note,
    parts: &'a [u8],
}

/// Appends a record without binary parts.
pub(super) fn push(out: &mut Vec<u8>, text: &[u8], note: Note) {
    push_with_parts(out, text, note, &[]);
}

/// Appends a record. More than 4 GiB of either cannot be held by any outbox, so what is longer becomes nothing.
pub(crate) fn push_with_parts(out: &mut Vec<u8>, text: &[u8], note: Note, parts: &[bytes::Bytes]) {
    let of_parts = parts.iter().map(|part| part.len().saturating_add(4)).fold(0, usize::saturating_add);
    let (Ok(length), Ok(of_parts)) = (u32::try_from(text.len()), u32::try_from(of_parts)) else { return };
    let (kind, number) = match note {
        Note::None => (0, 0),
        Note::Delivery(seq) => (1, seq),
        Note::Batch(seq) => (2, seq),
        Note::Resync(number) => (3, number),
    };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&of_parts.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&u64::to_le_bytes(number));
    out.extend_from_slice(text);
    for part in parts {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(part);
    }
}

/// The records of one piece.
pub(crate) fn records(mut piece: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (length, rest) = split_number(piece)?;
        let (of_parts, rest) = split_number(rest)?;
        let (&kind, rest) = rest.split_first()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(length)?;
        let (parts, rest) = rest.split_at_checked(of_parts)?;
        piece = rest;
        let number = u64::from_le_bytes(*number);
        let note = match kind {
            1 => Note::Delivery(number),
            2 => Note::Batch(number),
            3 => Note::Resync(number),
            _ => Note::None,
        };
        Some(Record { text, note, parts })
    })
}

impl<'a> Record<'a> {
    /// Its binary parts, in order.
    #[cfg_attr(not(feature = "socketio"), allow(dead_code, reason = "Socket.IO alone has bytes"))]
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut parts = self.parts;
        std::iter::from_fn(move || {
            let (length, rest) = split_number(parts)?;
            let (part, rest) = rest.split_at_checked(length)?;
            parts = rest;
            Some(part)
        })
    }
}

fn split_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn reads_what_was_written_one_behind_the_other() {
        let mut piece = Vec::new();
        push(&mut piece, b"a", Note::None);
        push(&mut piece, b"", Note::Delivery(7));
        let parts = [Bytes::from_static(b"xy"), Bytes::new()];
        push_with_parts(&mut piece, b"b", Note::Batch(u64::MAX), &parts);
        push(&mut piece, b"c", Note::Resync(1));
        let read: Vec<_> = records(&piece)
            .map(|record| {
                (record.text.to_vec(), record.note, record.parts().map(<[u8]>::to_vec).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            read,
            [
                (b"a".to_vec(), Note::None, vec![]),
                (vec![], Note::Delivery(7), vec![]),
                (b"b".to_vec(), Note::Batch(u64::MAX), vec![b"xy".to_vec(), vec![]]),
                (b"c".to_vec(), Note::Resync(1), vec![]),
            ]
        );
    }

    #[test]
    fn ends_at_what_is_no_record() {
        let mut piece = Vec::new();
        push(&mut piece, b"whole", Note::None);
        let whole = piece.len();
        push(&mut piece, b"cut", Note::None);
        for end in whole..piece.len() {
            assert_eq!(records(&piece[..end]).count(), 1);
        }
    }
}

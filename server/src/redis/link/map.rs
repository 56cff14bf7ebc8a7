//! What a cluster's server says of who has which slots.
//!
//! In: the answer to `CLUSTER SLOTS`. Out: ranges with their owners.

use ::redis::{Value, from_redis_value};

use super::address::Host;
use super::slots::SLOTS;

/// The place of a slot's owner when it has none.
pub(super) const NOBODY: u16 = u16::MAX;

/// Slots in a row, and the primary that has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) owner: Host,
}

/// Reads the answer of `asked`, which names itself by nothing where it does not know its own address.
pub(super) fn read_ranges(slots: &Value, asked: &Host) -> Vec<Range> {
    let Value::Array(ranges) = slots else { return Vec::new() };
    ranges.iter().filter_map(|range| read_range(range, asked)).collect()
}

fn read_range(range: &Value, asked: &Host) -> Option<Range> {
    let Value::Array(range) = range else { return None };
    let [from, to, Value::Array(owner), ..] = range.as_slice() else { return None };
    let [name, port, ..] = owner.as_slice() else { return None };
    let name: Option<String> = from_redis_value(name.clone()).ok()?;
    let name = name.filter(|name| !name.is_empty() && name != "?").unwrap_or_else(|| asked.name.clone());
    let (from, to, port) = (
        from_redis_value(from.clone()).ok()?,
        from_redis_value(to.clone()).ok()?,
        from_redis_value(port.clone()).ok()?,
    );
    (from <= to && to < SLOTS).then_some(Range { from, to, owner: Host { name, port } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn reads_who_has_what() {
        let asked = Host { name: "asked".to_owned(), port: 1 };
        let server =
            |name, port| Value::Array(vec![name, Value::Int(port), text("id"), Value::Array(Vec::new())]);
        let range = |from, to, server| Value::Array(vec![Value::Int(from), Value::Int(to), server]);
        let slots = Value::Array(vec![
            range(0, 99, server(text("10.0.0.1"), 7000)),
            range(100, 16_383, server(Value::Nil, 7001)),
            range(5, 99_999, server(text("a"), 1)),
            Value::Nil,
        ]);
        let host = |name: &str, port| Host { name: name.to_owned(), port };
        assert_eq!(
            read_ranges(&slots, &asked),
            [
                Range { from: 0, to: 99, owner: host("10.0.0.1", 7000) },
                Range { from: 100, to: 16_383, owner: host("asked", 7001) },
            ]
        );
        assert!(read_ranges(&Value::Nil, &asked).is_empty());
    }
}

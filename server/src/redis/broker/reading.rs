//! Reads what a channel keeps.
//!
//! In: a query. Out: the command for Redis; and, of its answer, a page.

use std::future::Future;

use ::redis::{Value, cmd, from_redis_value};
use tokensocket_protocol::{Channel, Epoch, Position, RawJson};

use super::lasting::{Lasting, milliseconds};
use super::{HISTORY, names};
use crate::broker::BrokerError;
use crate::history::{AROUND, History, HistoryPage, HistoryQuery, Kept};
use crate::redis::link::{Facts, Link, LinkError};
use crate::timestamp::Timestamp;

pub(super) fn ask(
    link: &Link,
    channel: &Channel,
    history: &History,
    query: &HistoryQuery,
    now: Timestamp,
) -> impl Future<Output = Result<Value, LinkError>> + Send + use<> {
    let (line, log) = (names::line(link, channel), names::log(link, channel));
    let (history, query) = (history.clone(), query.clone());
    let epoch = Epoch::from_random(rand::random());
    let key = line.clone();
    let command = move |facts: &Facts| {
        let lasting = Lasting::of(&history);
        let mut command = cmd("EVALSHA");
        command.arg(HISTORY.name()).arg(2).arg(&line).arg(&log);
        command.arg(&facts.generation).arg(epoch.as_str()).arg(milliseconds(history.age));
        command.arg(lasting.full).arg(lasting.empty).arg(AROUND).arg(now.0);
        match &query.since {
            Some(since) => command.arg(since.epoch.as_str()).arg(since.offset),
            None => command.arg("").arg(-1),
        };
        match query.limit {
            Some(limit) => command.arg(limit),
            None => command.arg(-1),
        };
        command.arg(u8::from(query.reverse));
        command
    };
    link.read(&key, Box::new(command))
}

pub(super) fn read(value: Value) -> Result<HistoryPage, BrokerError> {
    page(value).ok_or_else(|| BrokerError::Unavailable("Redis answers what is not understood".to_owned()))
}

fn page(value: Value) -> Option<HistoryPage> {
    let Value::Array(values) = value else { return None };
    let [epoch, last, gap, more, entries] = <[Value; 5]>::try_from(values).ok()?;
    let position = Position::new(Epoch::new(text(epoch)?).ok()?, from_redis_value(last).ok()?).ok()?;
    let Value::Array(entries) = entries else { return None };
    let publications = entries.into_iter().map(kept).collect::<Option<_>>()?;
    let is = |value| matches!(value, Value::Int(1));
    Some(HistoryPage { position, publications, gap: is(gap), more: is(more) })
}

/// `OFFSET-0`, and its fields `t` and `m`.
fn kept(entry: Value) -> Option<Kept> {
    let Value::Array(entry) = entry else { return None };
    let [id, fields] = <[Value; 2]>::try_from(entry).ok()?;
    let Value::Array(fields) = fields else { return None };
    let [_, at, _, message] = <[Value; 4]>::try_from(fields).ok()?;
    let Value::BulkString(message) = message else { return None };
    Some(Kept {
        offset: text(id)?.split_once('-')?.0.parse().ok()?,
        message: RawJson::from_text(message).ok()?,
        at: Timestamp(text(at)?.parse().ok()?),
    })
}

fn text(value: Value) -> Option<String> {
    from_redis_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn reads_a_page() {
        let fields = Value::Array(vec![text("t"), text("1700"), text("m"), text("{\"a\":1}")]);
        let entries = Value::Array(vec![Value::Array(vec![text("7-0"), fields])]);
        let whole = vec![text("e"), Value::Int(7), Value::Int(1), Value::Int(0), entries];
        let page = read(Value::Array(whole.clone()));
        assert!(page.is_ok_and(|page| {
            let kept = page.publications.first();
            page.position.offset == 7
                && page.gap
                && !page.more
                && kept.is_some_and(|kept| kept.offset == 7 && kept.at == Timestamp(1700))
        }));
        assert!(read(Value::Array(whole.into_iter().take(4).collect())).is_err());
        assert!(read(Value::Nil).is_err());
    }
}

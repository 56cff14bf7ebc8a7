//! What a script has answered, part by part.

use redis::{FromRedisValue, Value};

use crate::redis::link::LinkError;

/// The parts of an answer that were not taken yet.
#[derive(Debug)]
pub(in crate::redis) struct Answer(std::vec::IntoIter<Value>);

impl Answer {
    pub(in crate::redis) fn new(value: Value) -> Result<Self, LinkError> {
        match value {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes the next part.
    pub(in crate::redis) fn take<T: FromRedisValue>(&mut self) -> Result<T, LinkError> {
        Self::read(self.0.next().unwrap_or(Value::Nil))
    }

    /// Takes the next part, which is a list whose parts are read by `each`.
    pub(in crate::redis) fn take_list<T>(
        &mut self,
        each: impl Fn(Value) -> Result<T, LinkError>,
    ) -> Result<Vec<T>, LinkError> {
        Self::new(self.0.next().unwrap_or(Value::Nil))?.rest(each)
    }

    /// Takes everything that is left.
    pub(in crate::redis) fn rest<T>(
        self,
        each: impl Fn(Value) -> Result<T, LinkError>,
    ) -> Result<Vec<T>, LinkError> {
        self.0.map(each).collect()
    }

    /// What a part says.
    pub(in crate::redis) fn read<T: FromRedisValue>(value: Value) -> Result<T, LinkError> {
        redis::from_redis_value(value).map_err(|error| LinkError::Refused(error.to_string()))
    }
}

fn unexpected(value: &Value) -> LinkError {
    LinkError::Refused(format!("an answer of another kind: {value:?}"))
}

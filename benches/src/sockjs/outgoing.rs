//! Messages that wait to be sent.

use std::{mem, rc::Rc};

use super::message::Message;

/// Messages that wait, in the form that they will have.
#[derive(Debug)]
pub(crate) struct Outgoing {
    message: Rc<Message>,
    form: Form,
    bytes: Vec<u8>,
}

/// The form that messages have on their way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A WebSocket frame for each.
    Frames,
    /// One array, as JSON.
    Json,
    /// One array in a form.
    Field,
}

impl Outgoing {
    pub(super) fn new(message: Rc<Message>, form: Form) -> Self {
        Self { message, form, bytes: Vec::new() }
    }

    /// Queues the message with `id`.
    pub(crate) fn send(&mut self, id: u64) {
        match self.form {
            Form::Frames => self.message.frame.write(id, &mut self.bytes),
            Form::Json => self.message.json.push(id, &mut self.bytes),
            Form::Field => self.message.field.push(id, &mut self.bytes),
        }
    }

    /// What waits as frames.
    pub(super) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// All that waits as one body, if anything does; nothing waits then.
    pub(super) fn body(&mut self) -> Option<Vec<u8>> {
        if self.bytes.is_empty() {
            return None;
        }
        let mut body = mem::take(&mut self.bytes);
        match self.form {
            Form::Frames => {}
            Form::Json => self.message.json.close(&mut body),
            Form::Field => self.message.field.close(&mut body),
        }
        Some(body)
    }
}

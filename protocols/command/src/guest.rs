//! A client inside the gateway: it asks for one command through the session path of every client, and hears what comes of it.

use std::collections::BTreeMap;

use bytes::BytesMut;
use chaperone_access::{Refusal, RefusalCode};
use chaperone_wire::{Printed, Stream};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::codec::{self, Ended, REQUEST_BYTES_MAX, Refused, Run, Tag};

/// What a client hears.
#[derive(Debug)]
pub enum Heard {
    /// A piece of output, on record already.
    Printed(Printed, String),
    /// The end; nothing follows.
    Ended(Ended),
    /// It does not run; nothing follows.
    Refused(Refusal),
    /// It may have begun, and nobody can say what it did; nothing follows.
    Lost(Refusal),
}

/// What is asked for, as it goes to the session.
#[derive(Debug)]
pub struct Asked(BytesMut);

impl Asked {
    /// A command with its parameters.
    ///
    /// # Errors
    /// More than [`REQUEST_BYTES_MAX`].
    pub fn new(command: &str, parameters: BTreeMap<String, String>) -> Result<Self, Refusal> {
        let run = Run { command: command.to_owned(), parameters };
        // No such type can fail to be written.
        let body = serde_json::to_vec(&run).unwrap_or_default();
        if body.len() > REQUEST_BYTES_MAX {
            let what = format!(
                "the command with its parameters has {} bytes, more than the {REQUEST_BYTES_MAX} that are taken",
                body.len()
            );
            return Err(
                Refusal::new(RefusalCode::TooLarge, what).hint("give shorter values: nothing was run")
            );
        }
        let mut out = BytesMut::new();
        codec::put(Tag::Run, &body, &mut out);
        Ok(Self(out))
    }
}

/// The session ended without a word.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Gone(String);

/// A session of this client's. Dropping it ends the command.
pub struct Guest {
    stream: Box<dyn Stream>,
    input: BytesMut,
}

impl Guest {
    /// Ask for a command.
    pub async fn run(mut stream: Box<dyn Stream>, asked: Asked) -> Self {
        // One that has been refused already does not read any more, and has said why.
        drop(stream.write_all(&asked.0).await);
        Self { stream, input: BytesMut::new() }
    }

    /// What comes next.
    ///
    /// # Errors
    /// The session ended without a word.
    pub async fn hear(&mut self) -> Result<Heard, Gone> {
        let gone = |error: &dyn std::fmt::Display| Gone(error.to_string());
        loop {
            if let Some(frame) = codec::take(&mut self.input).map_err(|error| gone(&error))? {
                let text = || String::from_utf8_lossy(&frame.body).into_owned();
                return match frame.tag {
                    Tag::Out => Ok(Heard::Printed(Printed::Out, text())),
                    Tag::Err => Ok(Heard::Printed(Printed::Err, text())),
                    Tag::Ended => frame.json().map(Heard::Ended).map_err(|error| gone(&error)),
                    Tag::Refused => {
                        let refused: Refused = frame.json().map_err(|error| gone(&error))?;
                        let heard = if refused.begun { Heard::Lost } else { Heard::Refused };
                        Ok(heard(refused.into()))
                    }
                    Tag::Run => Err(Gone("the gateway asked for something".to_owned())),
                };
            }
            let read = self.stream.read_buf(&mut self.input).await.map_err(|error| gone(&error))?;
            if read == 0 {
                return Err(Gone("the session ended without a word".to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_not_asked_for() {
        let of = |bytes: usize| Asked::new("report", [("who".to_owned(), "x".repeat(bytes))].into());
        let beside = serde_json::to_vec(&Run {
            command: "report".to_owned(),
            parameters: [("who".to_owned(), String::new())].into(),
        });
        let most = REQUEST_BYTES_MAX - beside.unwrap().len();
        let mut longest = of(most).unwrap().0;
        assert!(codec::take(&mut longest).unwrap().is_some() && longest.is_empty());
        let refusal = of(most + 1).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::TooLarge);
        assert!(refusal.message.contains(&(REQUEST_BYTES_MAX + 1).to_string()), "{refusal}");
    }
}

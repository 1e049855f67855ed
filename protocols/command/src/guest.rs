//! A client inside the gateway: it asks for one command through the session path of every client, and hears what comes of it.

use std::collections::BTreeMap;

use bytes::BytesMut;
use chaperone_access::Refusal;
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
    /// It does not run, or not on; nothing follows.
    Refused(Refusal),
}

/// The session ended without a word, or nothing can be asked of it.
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
    ///
    /// # Errors
    /// What is asked is too long, or the session is gone.
    pub async fn run(
        mut stream: Box<dyn Stream>,
        command: &str,
        parameters: BTreeMap<String, String>,
    ) -> Result<Self, Gone> {
        let mut out = BytesMut::new();
        codec::put_json(Tag::Run, &Run { command: command.to_owned(), parameters }, &mut out);
        if out.len() > REQUEST_BYTES_MAX {
            return Err(Gone("what is asked for is too long".to_owned()));
        }
        // One that has been refused already does not read any more, and has said why.
        drop(stream.write_all(&out).await);
        Ok(Self { stream, input: BytesMut::new() })
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
                        Ok(Heard::Refused(refused.into()))
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

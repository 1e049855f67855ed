//! One session with a server elsewhere, from the first line that is said on its stream to the last of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use chaperone_mcp::relay::FRAME_BYTES_MAX;
use chaperone_mcp::remote::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use super::{Upstream, WAIT_BYTES};
use crate::wiring::servers::elsewhere::exchange::{Exchange, Headed};

/// Lines of the gateway's that wait for their turn.
const LINES_MAX: usize = 64;
/// Messages of the server's that wait to be passed on.
const MESSAGES_MAX: usize = 16;
/// How long the word why it is over may take to be passed on.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Carry what is said, until one of both ends, or the agent stops. The server is told that it is over.
pub(super) async fn carry(
    upstream: Arc<Upstream>,
    client: reqwest::Client,
    stream: DuplexStream,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let (reads, writes) = tokio::io::split(stream);
    let mut ends = Ends { reads, writes, input: BytesMut::new(), seen: 0, output: BytesMut::new() };
    let exchange = match Exchange::new(&upstream, client).await {
        Ok(exchange) => Arc::new(exchange),
        Err(fault) => return ends.last_word(&upstream, fault).await,
    };
    if let Some(fault) = ends.carried(&exchange, &mut stop).await {
        ends.last_word(&upstream, fault).await;
    }
    // The gateway knows now, and what was under way is given up.
    drop(ends);
    exchange.leave().await;
}

/// The gateway's end.
struct Ends {
    reads: ReadHalf<DuplexStream>,
    writes: WriteHalf<DuplexStream>,
    input: BytesMut,
    /// How far `input` was looked through for the end of a line.
    seen: usize,
    output: BytesMut,
}

/// What was under way, where it went wrong or could not even say so.
fn gone<T>(came: Result<Result<T, Fault>, JoinError>) -> Result<T, Fault> {
    came.unwrap_or(Err(Fault::Broke))
}

impl Ends {
    /// Why it is over, where that is the server's doing.
    async fn carried(&mut self, exchange: &Arc<Exchange>, stop: &mut watch::Receiver<bool>) -> Option<Fault> {
        let (say, mut said) = mpsc::channel(MESSAGES_MAX);
        let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
        // The beginning of an answer is waited for before the next message is sent: they arrive in their order.
        let (mut heads, mut bodies) = (JoinSet::<Result<Headed, Fault>>::new(), JoinSet::new());
        let fault = loop {
            if heads.is_empty()
                && let Some(line) = lines.pop_front()
            {
                heads.spawn(exchange.clone().post(line));
            }
            let came = tokio::select! {
                line = next_line(&mut self.reads, &mut self.input, &mut self.seen), if lines.len() < LINES_MAX => {
                    match line {
                        Some(line) => lines.push_back(line),
                        None => return None,
                    }
                    Ok(())
                }
                Some(headed) = heads.join_next() => gone(headed).map(|headed| {
                    bodies.spawn(exchange.clone().read(headed, say.clone()));
                }),
                Some(read) = bodies.join_next() => gone(read),
                Some(message) = said.recv(), if self.output.len() < WAIT_BYTES => {
                    self.output.extend_from_slice(&message);
                    Ok(())
                }
                wrote = self.writes.write(&self.output), if !self.output.is_empty() => match wrote {
                    Ok(length @ 1..) => {
                        self.output.advance(length);
                        Ok(())
                    }
                    Ok(0) | Err(_) => return None,
                },
                _ = stop.wait_for(|stop| *stop) => return None,
            };
            if let Err(fault) = came {
                break fault;
            }
        };
        // What came before it is passed on before it.
        while let Ok(message) = said.try_recv() {
            self.output.extend_from_slice(&message);
        }
        Some(fault)
    }

    async fn last_word(&mut self, upstream: &Upstream, fault: Fault) {
        tracing::warn!(server = %upstream.name, %fault, "a session with a server elsewhere is over");
        self.output.extend_from_slice(&fault.line());
        let telling = async {
            self.writes.write_all(&self.output).await?;
            self.writes.shutdown().await?;
            // What was said is taken until the gateway leaves: a stream that ends with something unread is broken off, and the
            // word with it.
            while self.reads.read_buf(&mut self.input).await? > 0 {
                self.input.clear();
            }
            Ok::<_, std::io::Error>(())
        };
        // Where nobody listens any more, nobody has to know.
        drop(tokio::time::timeout(LAST_WORD, telling).await);
    }
}

/// The next line of the gateway's; none once it has left, or where a line is none. Cancel safe.
async fn next_line(
    reads: &mut ReadHalf<DuplexStream>,
    input: &mut BytesMut,
    seen: &mut usize,
) -> Option<Vec<u8>> {
    loop {
        let fresh = input.get(*seen..).unwrap_or_default();
        if let Some(end) = fresh.iter().position(|byte| *byte == b'\n').map(|place| *seen + place) {
            *seen = 0;
            let line = input.split_to(end).to_vec();
            input.advance(1);
            return Some(line);
        }
        *seen = input.len();
        if *seen > FRAME_BYTES_MAX {
            tracing::error!("a line of the gateway's is longer than a message may be");
            return None;
        }
        match reads.read_buf(input).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return None,
        }
    }
}

//! One command between a client and its agent: asked for, decided elsewhere, run, and what it prints looked through before
//! anybody gets it. A session runs one command.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest;
use bytes::{Buf, BytesMut};
use chaperone_access::{
    Analysis, Confined, Earlier, Effect, FreeText, Member, Refusal, RefusalCode, SessionEffect, Subjects,
    TargetName, Verbs, Words, no_command,
};
use chaperone_wire::limits::BACKLOG_BYTES_MAX;
use chaperone_wire::{
    Detectors, Ending, Event, Fault, Interest, LookedThrough, Looking, Parameter, Part, Printed, Stream,
};

use crate::codec::{self, Ended, FRAME_BYTES_MAX, Frame, FrameError, Refused, Run, Tag};
use crate::declare::{Declaration, is_name};

/// How commands stand in entries.
const TAG: &str = "RUN";
/// What is read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// One end, with what was read and not taken, and what is to be written.
pub(crate) struct Pipe {
    stream: Box<dyn Stream>,
    input: BytesMut,
    output: BytesMut,
    ended: bool,
}

impl Pipe {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), ended: false }
    }

    /// Say that nothing runs, or not on; `begun` where it may have begun.
    pub(crate) fn refuse(&mut self, refusal: &Refusal, begun: bool) {
        codec::put_json(Tag::Refused, &Refused::new(refusal, begun), &mut self.output);
    }

    /// Write what waits; ready when all of it is out.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.output.is_empty() {
            let stream = std::pin::Pin::new(&mut *self.stream);
            let written = ready!(tokio::io::AsyncWrite::poll_write(stream, cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        tokio::io::AsyncWrite::poll_flush(std::pin::Pin::new(&mut *self.stream), cx)
    }

    /// Read once, as long as no more than a frame waits to be taken; `false` at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        if self.input.len() > FRAME_BYTES_MAX {
            return Poll::Pending;
        }
        let before = self.input.len();
        self.input.resize(before + READ_BYTES, 0);
        let Some(room) = self.input.get_mut(before..) else { return Poll::Pending };
        let mut room = tokio::io::ReadBuf::new(room);
        let stream = std::pin::Pin::new(&mut *self.stream);
        let polled = tokio::io::AsyncRead::poll_read(stream, cx, &mut room);
        let read = room.filled().len();
        self.input.truncate(before + read);
        ready!(polled)?;
        self.ended = read == 0;
        Poll::Ready(Ok(!self.ended))
    }
}

/// A command that is asked for.
#[derive(Debug)]
pub struct Request {
    analysis: Arc<Analysis>,
    run: Run,
}

impl Request {
    /// What is asked, judged by what the agent declares. Whether a command is declared shows to nobody who may not run it: the
    /// refusal is the same, and what is wrong with its parameters comes after policy.
    fn new(run: Run, declaration: &Declaration, target: &TargetName) -> Self {
        let declared = declaration.commands.get(&run.command);
        let (run, forbidden) = match declared.map(|command| command.values(&run.parameters)) {
            None => {
                // A text that could be no name may be anything, and is not told again.
                let name = if is_name(&run.command) { run.command.as_str() } else { "?" };
                let refusal = no_command(target, name);
                (run, Some(refusal))
            }
            Some(Err(why)) => {
                let what = format!("the parameters of `{}` cannot be used: {why}", run.command);
                let refusal = Refusal::new(RefusalCode::ProtocolViolation, what)
                    .hint("`chaperone run TARGET` lists what each command takes");
                (run, Some(refusal))
            }
            Some(Ok(parameters)) => (Run { parameters, ..run }, None),
        };
        let invokes: Option<Arc<str>> = declared.map(|_| Arc::from(run.command.as_str()));
        let text: Arc<str> = serde_json::to_string(&run).unwrap_or_default().into();
        let mut template = [0; 32];
        let name = invokes.as_deref().unwrap_or_default();
        let hash = digest::digest(&digest::SHA256, format!("command\0{target}\0{name}").as_bytes());
        template.copy_from_slice(hash.as_ref());
        let member = Member {
            tag: TAG,
            template,
            touches: Vec::new(),
            whole: Verbs::NONE,
            effect: Effect::MayWrite,
            session: SessionEffect::None,
            uses: Arc::from([]),
            subjects: Subjects::None,
            free_text: FreeText::None,
            results: None,
            names_unknown: false,
        };
        let unwritten = Refusal::new(RefusalCode::Internal, "a command is not written out again");
        let analysis = Arc::new(Analysis {
            text,
            members: Arc::from([member]),
            confined: Confined::made(Err(unwritten)),
            replaced: None,
            forbidden,
            catalog_version: 0,
            classified: false,
            describes: None,
            invokes,
        });
        Self { analysis, run }
    }
}

impl chaperone_wire::Request for Request {
    fn analysis(&self) -> &Arc<Analysis> {
        &self.analysis
    }

    fn parameters(&self) -> &[Parameter] {
        // They stand in the text, by name.
        &[]
    }

    fn earlier(&self) -> &[Earlier] {
        &[]
    }

    fn is_begun(&self) -> bool {
        false
    }

    fn size(&self) -> usize {
        self.analysis.text.len()
    }
}

/// A refusal in a request's place.
#[derive(Debug)]
pub struct Step(Refusal);

/// A piece of what comes of a command.
#[derive(Debug)]
pub struct Reply {
    part: Part,
    said: Said,
    looked_through: Option<LookedThrough>,
}

#[derive(Debug)]
enum Said {
    Printed(Printed, String),
    Ended(Ended),
    Refused(Refusal),
}

impl chaperone_wire::Reply for Reply {
    fn part(&self) -> &Part {
        &self.part
    }

    fn size(&self) -> usize {
        match &self.said {
            Said::Printed(_, text) => text.len(),
            Said::Ended(_) | Said::Refused(_) => 0,
        }
    }

    fn subjects(&self, _: &mut dyn FnMut(usize, &[u8])) -> bool {
        true
    }

    fn looked_through(&self) -> Option<&LookedThrough> {
        self.looked_through.as_ref()
    }

    fn about(&self) -> Option<&Arc<Analysis>> {
        None
    }

    fn printed(&self) -> Option<(Printed, &str)> {
        match &self.said {
            Said::Printed(printed, text) => Some((*printed, text)),
            Said::Ended(_) | Said::Refused(_) => None,
        }
    }
}

/// One output of a program on its way: made UTF-8 and looked through, across the pieces in which it comes.
struct Output {
    looking: Option<Box<dyn Looking>>,
    /// The beginning of a character.
    cut: Vec<u8>,
}

impl Output {
    /// Whole characters of what came. What is no UTF-8 becomes U+FFFD, so that nothing passes that detectors cannot read.
    fn characters(&mut self, piece: &[u8], last: bool) -> String {
        self.cut.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.cut);
        let mut text = String::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at_checked(error.valid_up_to()).unwrap_or((rest, &[]));
                    text.push_str(&String::from_utf8_lossy(valid));
                    match error.error_len() {
                        None if !last => {
                            self.cut = after.to_vec();
                            return text;
                        }
                        length => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            rest = after.get(length.unwrap_or(after.len())..).unwrap_or_default();
                        }
                    }
                }
            }
        }
    }

    fn push(&mut self, piece: &[u8], found: &mut LookedThrough) -> String {
        let text = self.characters(piece, false);
        let mut out = Vec::with_capacity(text.len());
        if let Some(looking) = &mut self.looking {
            looking.push(text.as_bytes(), &mut out, found);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn finish(&mut self, found: &mut LookedThrough) -> String {
        let text = self.characters(&[], true);
        let mut out = Vec::new();
        if let Some(mut looking) = self.looking.take() {
            looking.push(text.as_bytes(), &mut out, found);
            looking.finish(&mut out, found);
            found.values += 1;
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked for.
    Idle,
    /// It is being decided.
    Asked,
    /// It runs.
    Running,
    /// It has ended or was refused.
    Done,
}

/// Client and agent, joined.
pub struct Conversation {
    client: Pipe,
    target: Pipe,
    name: TargetName,
    declaration: Declaration,
    detectors: Arc<dyn Detectors>,
    stage: Stage,
    /// Whether the program may have begun: it was asked for, and its agent has not said that it did not start it.
    begun: bool,
    out: Output,
    err: Output,
    /// What was replaced so far.
    found: LookedThrough,
    replies: VecDeque<Reply>,
}

fn target_lost(what: &str) -> Fault {
    Fault::Target(
        Refusal::new(RefusalCode::TargetLost, what)
            .hint("whether the command did its work is not known: look before you run it again"),
    )
}

fn client_broke(what: &str) -> Fault {
    Fault::Client(Refusal::new(RefusalCode::ProtocolViolation, what))
}

impl Conversation {
    pub(crate) fn new(
        client: Pipe,
        target: Pipe,
        name: TargetName,
        declaration: Declaration,
        detectors: Arc<dyn Detectors>,
    ) -> Self {
        let none = || Output { looking: None, cut: Vec::new() };
        Self {
            client,
            target,
            name,
            declaration,
            detectors,
            stage: Stage::Idle,
            begun: false,
            out: none(),
            err: none(),
            found: LookedThrough::default(),
            replies: VecDeque::new(),
        }
    }

    /// What the client says, or its end.
    fn poll_client(&mut self, cx: &mut Context<'_>, wanted: bool) -> Poll<Result<Event<Self>, Fault>> {
        loop {
            match (self.stage, wanted) {
                (Stage::Idle, true) => {
                    let frame = codec::take(&mut self.client.input);
                    if let Some(frame) = frame.map_err(|error| client_broke(&error.to_string()))? {
                        return Poll::Ready(self.asked(&frame).map(Event::Run));
                    }
                }
                (Stage::Idle, false) => {}
                (Stage::Asked | Stage::Running | Stage::Done, _) if !self.client.input.is_empty() => {
                    return Poll::Ready(Err(client_broke("a session runs one command")));
                }
                (Stage::Asked | Stage::Running | Stage::Done, _) => {}
            }
            match ready!(self.client.poll_read(cx)) {
                Ok(true) => {}
                Ok(false) | Err(_) => {
                    return Poll::Ready(match self.stage {
                        Stage::Idle | Stage::Done => Ok(Event::Left),
                        Stage::Asked | Stage::Running => Err(Fault::ClientGone),
                    });
                }
            }
        }
    }

    fn asked(&mut self, frame: &Frame) -> Result<Request, Fault> {
        if frame.tag != Tag::Run {
            return Err(client_broke("a client asks for a command and says nothing else"));
        }
        let run: Run = frame.json().map_err(|error| client_broke(&error.to_string()))?;
        self.stage = Stage::Asked;
        Ok(Request::new(run, &self.declaration, &self.name))
    }

    /// What the agent says, as far as it makes replies.
    fn poll_target(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.replies.is_empty() {
            let frame = codec::take(&mut self.target.input);
            if let Some(frame) = frame.map_err(|error| target_lost(&format!("the agent said {error}")))? {
                self.said(&frame)?;
                continue;
            }
            match ready!(self.target.poll_read(cx)) {
                Ok(true) => {}
                Ok(false) | Err(_) => {
                    return Poll::Ready(Err(target_lost("the agent went away while the command ran")));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn said(&mut self, frame: &Frame) -> Result<(), Fault> {
        let unreadable = |error: FrameError| target_lost(&format!("the agent said {error}"));
        match frame.tag {
            Tag::Out => self.printed(Printed::Out, &frame.body),
            Tag::Err => self.printed(Printed::Err, &frame.body),
            Tag::Ended => {
                let ended: Ended = frame.json().map_err(unreadable)?;
                let exit = ended.exit().ok_or_else(|| unreadable(FrameError::Body))?;
                for printed in [Printed::Out, Printed::Err] {
                    let mut found = LookedThrough::default();
                    let text = self.output(printed).finish(&mut found);
                    self.body(printed, text, found);
                }
                let masked = self.found.found.iter().map(|(tag, count)| ((*tag).to_owned(), *count));
                let said = Said::Ended(Ended::new(exit, masked.collect()));
                self.end(Ending::Exited(exit), said);
            }
            Tag::Refused => {
                let refused: Refused = frame.json().map_err(unreadable)?;
                self.begun = false;
                let by = chaperone_wire::ExitBy::NotStarted;
                let exit = chaperone_wire::Exit { code: None, signal: None, by };
                self.end(Ending::Exited(exit), Said::Refused(refused.into()));
            }
            Tag::Run => return Err(unreadable(FrameError::Tag)),
        }
        Ok(())
    }

    fn output(&mut self, printed: Printed) -> &mut Output {
        match printed {
            Printed::Out => &mut self.out,
            Printed::Err => &mut self.err,
        }
    }

    fn printed(&mut self, printed: Printed, piece: &[u8]) {
        let mut found = LookedThrough::default();
        let text = self.output(printed).push(piece, &mut found);
        self.body(printed, text, found);
    }

    fn body(&mut self, printed: Printed, text: String, found: LookedThrough) {
        self.found.add(&found);
        if text.is_empty() && found == LookedThrough::default() {
            return;
        }
        let part = Part::Body { rows: 0, bytes: text.len() as u64 };
        self.replies.push_back(Reply {
            part,
            said: Said::Printed(printed, text),
            looked_through: Some(found),
        });
    }

    fn end(&mut self, ending: Ending, said: Said) {
        self.stage = Stage::Done;
        self.replies.push_back(Reply { part: Part::End(ending), said, looked_through: None });
    }
}

impl chaperone_wire::Conversation for Conversation {
    type Step = Step;
    type Request = Request;
    type Outgoing = Run;
    type Reply = Reply;

    fn poll_next(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<Result<Event<Self>, Fault>> {
        if let Poll::Ready(Err(_)) = self.target.poll_flush(cx) {
            return Poll::Ready(Err(target_lost("the agent went away before the command ran")));
        }
        if let Poll::Ready(Err(_)) = self.client.poll_flush(cx) {
            return Poll::Ready(Err(Fault::ClientGone));
        }
        if interest.reply && self.replies.is_empty() && self.stage == Stage::Running
            // A client that does not read is not read for.
            && self.client.output.len() < BACKLOG_BYTES_MAX
            && let Poll::Ready(Err(fault)) = self.poll_target(cx)
        {
            return Poll::Ready(Err(fault));
        }
        if interest.reply
            && let Some(reply) = self.replies.pop_front()
        {
            return Poll::Ready(Ok(Event::Reply(reply)));
        }
        self.poll_client(cx, interest.request)
    }

    fn poll_flush_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.client.poll_flush(cx).map_err(|_| Fault::ClientGone)
    }

    fn permitted(&mut self, request: Request, words: Words) -> Run {
        let nothing = std::collections::BTreeSet::new();
        let stays = words.scope.as_ref().map_or(&nothing, |scope| &scope.stays);
        let detectors = &self.detectors;
        let output = || Output { looking: Some(detectors.stream(stays)), cut: Vec::new() };
        (self.out, self.err) = (output(), output());
        request.run
    }

    fn refused(&mut self, _: Request, refusal: &Refusal) -> Step {
        Step(refusal.clone())
    }

    fn step_size(step: &Step) -> usize {
        step.0.message.len()
    }

    fn is_data(_step: &Step) -> bool {
        false
    }

    fn waits_for_client(&self) -> bool {
        false
    }

    fn forward_step(&mut self, step: Step) {
        // Nothing of it reaches the agent; the client hears of it in the place of an end.
        self.stage = Stage::Done;
        self.replies.push_back(Reply {
            part: Part::Aside,
            said: Said::Refused(step.0),
            looked_through: None,
        });
    }

    fn forward(&mut self, run: Run) {
        (self.stage, self.begun) = (Stage::Running, true);
        codec::put_json(Tag::Run, &run, &mut self.target.output);
    }

    fn release(&mut self, reply: Reply) {
        match reply.said {
            Said::Printed(printed, text) if text.is_empty() => drop((printed, text)),
            Said::Printed(printed, text) => {
                codec::put(printed.into(), text.as_bytes(), &mut self.client.output)
            }
            Said::Ended(ended) => codec::put_json(Tag::Ended, &ended, &mut self.client.output),
            Said::Refused(refusal) => self.client.refuse(&refusal, self.begun),
        }
    }

    fn failed_as(&mut self, reply: Reply, refusal: &Refusal) -> Option<Reply> {
        Some(Reply { said: Said::Refused(refusal.clone()), ..reply })
    }

    fn farewell(&mut self, refusal: &Refusal) {
        self.client.refuse(refusal, self.begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct As;

    impl Looking for As {
        fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, _: &mut LookedThrough) {
            out.extend_from_slice(piece);
        }
        fn finish(self: Box<Self>, _: &mut Vec<u8>, _: &mut LookedThrough) {}
    }

    #[test]
    fn output_is_made_text_across_its_pieces() {
        let text = "é€😀 plain \u{fffd}".as_bytes();
        for cut in 1..text.len() {
            let mut output = Output { looking: Some(Box::new(As)), cut: Vec::new() };
            let mut found = LookedThrough::default();
            let mut whole = String::new();
            for piece in text.chunks(cut) {
                whole += &output.push(piece, &mut found);
            }
            whole += &output.finish(&mut found);
            assert_eq!(whole.as_bytes(), text, "{cut}");
        }
        let mut output = Output { looking: Some(Box::new(As)), cut: Vec::new() };
        let mut found = LookedThrough::default();
        let mut whole = output.push(b"a\xffb\xe2\x82", &mut found);
        whole += &output.push(b"c\xf0\x9f", &mut found);
        whole += &output.finish(&mut found);
        assert_eq!(whole, "a\u{fffd}b\u{fffd}c\u{fffd}");
    }

    #[test]
    fn what_is_not_declared_and_what_may_not_be_run_are_told_alike() {
        let declaration = crate::declare::tests::declaration();
        let target: TargetName = "ops".parse().unwrap();
        let asked = |command: &str, since: &str| {
            let parameters = [("since".to_owned(), since.to_owned())].into();
            Request::new(Run { command: command.to_owned(), parameters }, &declaration, &target).analysis
        };
        let fine = asked("report", "2026-11-29");
        assert_eq!((fine.invokes.as_deref(), &fine.forbidden), (Some("report"), &None));
        assert!(fine.text.contains("\"all\":\"false\""), "{}", fine.text);
        let undeclared = asked("repost", "2026-11-29");
        assert_eq!(undeclared.invokes, None);
        assert_eq!(undeclared.forbidden, Some(no_command(&target, "repost")));
        assert_ne!(undeclared.members.first().unwrap().template, fine.members.first().unwrap().template);
        let wrong = asked("report", "$(id)");
        assert_eq!(
            wrong.invokes.as_deref(),
            Some("report"),
            "policy is asked before its parameters are judged"
        );
        assert!(!wrong.forbidden.as_ref().unwrap().to_string().contains("$(id)"));
        let strange = asked("../ssn 123-45-6789", "");
        assert!(!strange.forbidden.as_ref().unwrap().to_string().contains("6789"));
    }
}

//! Every message of either side, and every first packet, comes out the same wherever the stream is cut: at each byte
//! boundary, and at all of them at once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's own steps may fail loudly"
)]

use std::fmt::Debug;

use bytes::BytesMut;
use chaperone_postgres::codec::startup::{self, ProtocolVersion, SessionRequest, Startup};
use chaperone_postgres::codec::{
    BackendTag, CodecError, Decoder, Frame, FrontendTag, Limits, Message, Size, Tag, backend, frontend,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// Small, so that generated messages come in pieces, or are skipped, as well.
const WHOLE_BYTES_MAX: u32 = 12;
const TEXT_BYTES_MAX: usize = 40;

type Body = BoxedStrategy<Vec<u8>>;

fn bytes(most: usize) -> Body {
    prop::collection::vec(any::<u8>(), 0..most).boxed()
}

/// A text without a NUL, and its NUL.
fn text() -> Body {
    "[a-zé ]{0,10}".prop_map(|text| [text.as_bytes(), b"\0"].concat()).boxed()
}

fn number<const N: usize>() -> Body {
    any::<[u8; N]>().prop_map(|bytes| bytes.to_vec()).boxed()
}

fn fixed(bytes: &'static [u8]) -> Body {
    Just(bytes.to_vec()).boxed()
}

fn parts(parts: Vec<Body>) -> Body {
    parts.prop_map(|parts| parts.concat()).boxed()
}

/// A count of two bytes, and so many of these.
fn counted(item: Body) -> Body {
    let counted = |items: Vec<Vec<u8>>| {
        let count = u16::try_from(items.len()).unwrap();
        [&count.to_be_bytes()[..], &items.concat()].concat()
    };
    prop::collection::vec(item, 0..4).prop_map(counted).boxed()
}

/// A value behind its length, or NULL.
fn value() -> Body {
    let with_length = |bytes: Vec<u8>| {
        let length = i32::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes()[..], &bytes].concat()
    };
    prop_oneof![Just((-1_i32).to_be_bytes().to_vec()), bytes(20).prop_map(with_length)].boxed()
}

fn one_of(bodies: Vec<Body>) -> Body {
    prop::strategy::Union::new(bodies).boxed()
}

fn report() -> Body {
    let field = parts(vec![one_of(vec![fixed(b"S"), fixed(b"C"), fixed(b"M"), fixed(b"H")]), text()]);
    let fields = |fields: Vec<Vec<u8>>| [&fields.concat()[..], b"\0"].concat();
    prop::collection::vec(field, 0..4).prop_map(fields).boxed()
}

fn of_backend(tag: BackendTag) -> Body {
    match tag {
        BackendTag::Authentication => one_of(vec![
            fixed(b"\0\0\0\0"),
            parts(vec![fixed(b"\0\0\0\x05"), number::<4>()]),
            parts(vec![fixed(b"\0\0\0\x0a"), text(), fixed(b"\0")]),
            parts(vec![fixed(b"\0\0\0\x0b"), bytes(30)]),
            parts(vec![fixed(b"\0\0\0\x0c"), bytes(30)]),
        ]),
        BackendTag::BackendKeyData => parts(vec![number::<4>(), number::<4>(), bytes(30)]),
        BackendTag::CommandComplete => text(),
        BackendTag::CopyBothResponse | BackendTag::CopyInResponse | BackendTag::CopyOutResponse => {
            parts(vec![one_of(vec![fixed(b"\0"), fixed(b"\x01")]), counted(number::<2>())])
        }
        BackendTag::CopyData => bytes(60),
        BackendTag::DataRow => counted(value()),
        BackendTag::Error | BackendTag::Notice => report(),
        BackendTag::FunctionCallResponse => value(),
        BackendTag::NegotiateProtocolVersion => parts(vec![number::<4>(), number::<4>(), text()]),
        BackendTag::Notification => parts(vec![number::<4>(), text(), text()]),
        BackendTag::ParameterDescription => counted(number::<4>()),
        BackendTag::ParameterStatus => parts(vec![text(), text()]),
        BackendTag::ReadyForQuery => one_of(vec![fixed(b"I"), fixed(b"T"), fixed(b"E")]),
        BackendTag::RowDescription => counted(parts(vec![text(), number::<18>()])),
        BackendTag::BindComplete
        | BackendTag::CloseComplete
        | BackendTag::CopyDone
        | BackendTag::EmptyQuery
        | BackendTag::NoData
        | BackendTag::ParseComplete
        | BackendTag::PortalSuspended => fixed(b""),
    }
}

fn of_frontend(tag: FrontendTag) -> Body {
    let object = || parts(vec![one_of(vec![fixed(b"S"), fixed(b"P")]), text()]);
    match tag {
        // One format for all values.
        FrontendTag::Bind => {
            parts(vec![text(), text(), fixed(b"\0\x01\0\x01"), counted(value()), fixed(b"\0\x01\0\0")])
        }
        FrontendTag::Close | FrontendTag::Describe => object(),
        FrontendTag::CopyData => bytes(60),
        FrontendTag::CopyFail => text(),
        FrontendTag::Execute => parts(vec![text(), number::<4>()]),
        FrontendTag::FunctionCall => parts(vec![number::<4>(), bytes(20)]),
        FrontendTag::Parse => parts(vec![text(), text(), counted(number::<4>())]),
        FrontendTag::Password => bytes(40),
        // Now and then over the limit for a text: skipped.
        FrontendTag::Query => parts(vec![bytes_of_text(TEXT_BYTES_MAX + 10), fixed(b"\0")]),
        FrontendTag::CopyDone | FrontendTag::Flush | FrontendTag::Sync | FrontendTag::Terminate => fixed(b""),
    }
}

fn bytes_of_text(most: usize) -> Body {
    prop::collection::vec(b'a'..=b'z', 0..most).boxed()
}

/// A few messages: type and body of each.
fn several<T: Tag + Debug + 'static>(
    all: &'static [T],
    of: fn(T) -> Body,
) -> impl Strategy<Value = Vec<(T, Vec<u8>)>> {
    let one = prop::sample::select(all).prop_flat_map(move |tag| of(tag).prop_map(move |body| (tag, body)));
    prop::collection::vec(one, 1..5)
}

fn stream<T: Tag>(messages: &[(T, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, body) in messages {
        out.push(tag.byte());
        out.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend(body);
    }
    out
}

/// What comes out of a stream that arrives in these parts. How a large message is cut into pieces is not looked at, only
/// what they come to.
fn decoded<T: Tag + Debug>(
    parts: &[&[u8]],
    limits: Limits,
    view: fn(&Message<T>) -> Result<String, CodecError>,
) -> Vec<String> {
    let (mut decoder, mut buffer) = (Decoder::<T>::new(limits), BytesMut::new());
    let (mut seen, mut large) = (Vec::new(), Vec::new());
    for part in parts {
        buffer.extend_from_slice(part);
        while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
            match frame {
                Frame::Whole(message) if message.body().len() > WHOLE_BYTES_MAX as usize => {
                    let view = view(&message).unwrap();
                    seen.push(format!(
                        "{:?} {:?}",
                        message.raw(),
                        if bulk(message.tag()) { "" } else { &view }
                    ));
                }
                Frame::Whole(message) => seen.push(view(&message).unwrap()),
                Frame::Head { bytes, .. } => large.extend_from_slice(&bytes),
                Frame::Chunk { bytes, last } => {
                    large.extend_from_slice(&bytes);
                    if last {
                        let raw = bytes::Bytes::from(std::mem::take(&mut large));
                        seen.push(format!("{raw:?} {:?}", ""));
                    }
                }
                Frame::Oversized { tag, length } => seen.push(format!("over: {tag:?} {length}")),
            }
        }
    }
    assert!(buffer.is_empty() && decoder.at_boundary() && large.is_empty(), "something is left");
    seen
}

/// Whether messages of the type come in pieces.
fn bulk<T: Tag>(tag: T) -> bool {
    let limits = Limits::backend().whole_bytes_max(WHOLE_BYTES_MAX);
    matches!(tag.size(&limits), Size::Bulk(_))
}

fn holds<T: Tag + Debug>(
    messages: &[(T, Vec<u8>)],
    limits: Limits,
    view: fn(&Message<T>) -> Result<String, CodecError>,
) -> Result<(), TestCaseError> {
    let input = stream(messages);
    let whole = decoded(&[&input], limits, view);
    prop_assert_eq!(whole.len(), messages.len());
    for split in 0..=input.len() {
        let (before, after) = input.split_at(split);
        prop_assert_eq!(&decoded(&[before, after], limits, view), &whole, "split at {}", split);
    }
    let singly: Vec<&[u8]> = input.chunks(1).collect();
    prop_assert_eq!(&decoded(&singly, limits, view), &whole, "byte by byte");
    Ok(())
}

/// Decode a first packet and what follows it.
fn opened(parts: &[&[u8]]) -> (Vec<Startup>, Vec<u8>) {
    let (mut buffer, mut packets) = (BytesMut::new(), Vec::new());
    for part in parts {
        buffer.extend_from_slice(part);
        while let Some(packet) = startup::decode(&mut buffer).unwrap() {
            packets.push(packet);
        }
    }
    (packets, buffer.to_vec())
}

fn any_startup() -> impl Strategy<Value = Startup> {
    let parameters = prop::collection::vec(("[a-z_]{1,8}", "[a-zé =-]{0,12}"), 0..5);
    let session = (any::<bool>(), parameters).prop_map(|(newer, parameters)| {
        let version = if newer { ProtocolVersion::V3_2 } else { ProtocolVersion::V3_0 };
        Startup::Session(SessionRequest { version, parameters })
    });
    let key = prop::collection::vec(any::<u8>(), 4..40);
    let cancel = (any::<i32>(), key).prop_map(|(pid, key)| Startup::Cancel { pid, key: key.into() });
    prop_oneof![Just(Startup::Ssl), Just(Startup::GssEnc), session, cancel]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_servers_say_may_be_cut_anywhere(messages in several(BackendTag::ALL, of_backend)) {
        let view = |message: &Message<BackendTag>| backend::view(message).map(|view| format!("{view:?}"));
        holds(&messages, Limits::backend().whole_bytes_max(WHOLE_BYTES_MAX), view)?;
        holds(&messages, Limits::backend(), view)?;
    }

    #[test]
    fn what_clients_say_may_be_cut_anywhere(messages in several(FrontendTag::ALL, of_frontend)) {
        let view = |message: &Message<FrontendTag>| frontend::view(message).map(|view| format!("{view:?}"));
        let limits = Limits::frontend(TEXT_BYTES_MAX);
        holds(&messages, limits.whole_bytes_max(WHOLE_BYTES_MAX), view)?;
        holds(&messages, limits, view)?;
    }

    #[test]
    fn first_packets_may_be_cut_anywhere(packets in prop::collection::vec(any_startup(), 1..4)) {
        let mut input = BytesMut::new();
        packets.iter().for_each(|packet| startup::encode(packet, &mut input));
        let whole = opened(&[&input]);
        prop_assert_eq!(&whole, &(packets, Vec::new()), "what was written is what is read");
        for split in 0..=input.len() {
            let (before, after) = input.split_at(split);
            prop_assert_eq!(&opened(&[before, after]), &whole, "split at {}", split);
        }
        let singly: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&opened(&singly), &whole, "byte by byte");
    }
}

#[test]
fn every_type_of_message_is_among_them() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let read = |input: &[u8], is_backend: bool| {
        let seen = if is_backend {
            decoded::<BackendTag>(&[input], Limits::backend(), |message| {
                backend::view(message).map(|view| format!("{view:?}"))
            })
        } else {
            decoded::<FrontendTag>(&[input], Limits::frontend(TEXT_BYTES_MAX), |message| {
                frontend::view(message).map(|view| format!("{view:?}"))
            })
        };
        assert_eq!(seen.len(), 1);
    };
    for tag in BackendTag::ALL {
        let body = of_backend(*tag).new_tree(&mut runner).unwrap().current();
        read(&stream(&[(*tag, body)]), true);
    }
    for tag in FrontendTag::ALL {
        let body = of_frontend(*tag).new_tree(&mut runner).unwrap().current();
        read(&stream(&[(*tag, body)]), false);
    }
}

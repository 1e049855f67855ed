//! The decoder yields the same whatever way the bytes arrive, and nothing is collected over its limit.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's own steps may fail loudly"
)]

use bytes::{Bytes, BytesMut};
use chaperone_postgres::codec::frontend::{FrontendView, view};
use chaperone_postgres::codec::{BindPart, BindReader, CodecError, Frame, Frontend, Limits, encode};

fn decode(input: &[u8], split: usize, limits: Limits) -> (Vec<String>, Vec<u8>) {
    let (mut decoder, mut buffer) = (Frontend::new(limits), BytesMut::new());
    let (mut seen, mut bytes) = (Vec::new(), Vec::new());
    for part in [&input[..split], &input[split..]] {
        buffer.extend_from_slice(part);
        while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
            match frame {
                Frame::Whole(message) => {
                    seen.push(format!("{:?}", view(&message).unwrap()));
                    bytes.extend_from_slice(message.raw());
                }
                Frame::Head { bytes: piece, .. } | Frame::Chunk { bytes: piece, .. } => {
                    bytes.extend_from_slice(&piece)
                }
                Frame::Oversized { tag, length } => seen.push(format!("{tag:?} {length}")),
            }
        }
    }
    assert!(buffer.is_empty() && decoder.at_boundary());
    (seen, bytes)
}

#[test]
fn every_split_decodes_the_same() {
    let mut input = BytesMut::new();
    encode::query("select 1", &mut input);
    encode::parse("s", "select $1", &[0, 0, 0, 23], &mut input);
    encode::query("this one is too long for the limit", &mut input);
    encode::execute("p", 7, &mut input);
    encode::sync(&mut input);
    let whole = decode(&input, 0, Limits::frontend(12));
    assert_eq!(whole.0.len(), 5);
    assert_eq!(whole.0[2], "Query 35");
    for split in 0..=input.len() {
        assert_eq!(decode(&input, split, Limits::frontend(12)), whole, "{split}");
    }
}

#[test]
fn lengths_and_types_are_judged_before_the_body() {
    for (bytes, tag) in
        [(&b"Q\x00\x00\x00\x03"[..], b'Q'), (b"d\x40\x00\x00\x00", b'd'), (b"B\xff\xff\xff\xff", b'B')]
    {
        let error = Frontend::new(Limits::frontend(9)).decode(&mut BytesMut::from(bytes)).unwrap_err();
        assert!(matches!(error, CodecError::Length { tag: found, .. } if found == tag));
    }
    let error = Frontend::new(Limits::frontend(9)).decode(&mut BytesMut::from(&b"G"[..])).unwrap_err();
    assert!(matches!(error, CodecError::UnknownTag { tag: b'G', .. }));
}

#[test]
fn names_are_what_the_server_keeps_of_them() {
    let long = "n".repeat(63);
    let split = format!("{}é", "n".repeat(62));
    for (name, kept) in [
        (long.clone(), Some(long.as_str())),
        (format!("{long}and more"), Some(&long)),
        (format!("{long}é"), Some(&long)),
        ("n".repeat(1024), Some(&long)),
        ("n".repeat(1025), None),
        (split, None),
    ] {
        let mut input = BytesMut::new();
        encode::parse(&name, "", &[], &mut input);
        let Some(Frame::Whole(message)) = Frontend::new(Limits::frontend(9)).decode(&mut input).unwrap()
        else {
            panic!("not whole")
        };
        match view(&message) {
            Ok(FrontendView::Parse(parse)) => assert_eq!(Some(parse.name), kept, "{name}"),
            other => assert!(kept.is_none() && other.is_err(), "{name}: {other:?}"),
        }
        let body = [name.as_bytes(), b"\0s\0\0\0\0\0\0\0"].concat();
        let mut reader = BindReader::new(u32::try_from(body.len()).unwrap(), 4);
        reader.feed(&Bytes::from(body));
        match reader.poll() {
            Ok(Some(BindPart::Names { portal, .. })) => assert_eq!(Some(&*portal), kept, "{name}"),
            other => assert!(kept.is_none() && other.is_err(), "{name}: {other:?}"),
        }
    }
}

#[test]
fn a_large_bind_is_read_in_pieces() {
    let mut body = b"p\0s\0\0\x01\0\x01\0\x03\xff\xff\xff\xff\0\0\0\x02ab\0\0\0\x09123456789\0\0".to_vec();
    for size in 1..=body.len() {
        let mut reader = BindReader::new(u32::try_from(body.len()).unwrap(), 4);
        let (mut large, mut end, mut whole) = (Vec::new(), false, None);
        for chunk in body.chunks(size) {
            reader.feed(&Bytes::copy_from_slice(chunk));
            while let Some(part) = reader.poll().unwrap() {
                match part {
                    BindPart::Piece { bytes, .. } => large.extend_from_slice(&bytes),
                    BindPart::Whole { value, format } => whole = Some((value, format)),
                    BindPart::End => end = true,
                    BindPart::Names { values, .. } => assert_eq!(values, 3),
                    BindPart::Null { format } => assert_eq!(format, 1),
                    BindPart::Large { length, .. } => assert_eq!(length, 9),
                }
            }
        }
        assert!(end && large == b"123456789" && whole == Some((Bytes::from_static(b"ab"), 1)), "{size}");
    }
    body.push(0);
    let mut reader = BindReader::new(u32::try_from(body.len()).unwrap(), 4);
    reader.feed(&Bytes::from(body));
    let error = loop {
        match reader.poll() {
            Ok(part) => assert!(part.is_some_and(|part| part != BindPart::End)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CodecError::Trailing { excess: 1, .. }));
}

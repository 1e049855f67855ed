#![no_main]
//! Hostile frames, declarations and values: what is taken is within limits, and a text that is taken can be nothing but one
//! argument's words.

use bytes::BytesMut;
use chaperone_command::codec::{FRAME_BYTES_MAX, Run, Tag, take};
use chaperone_command::declare::{Declaration, Kind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = BytesMut::from(data);
    while let Ok(Some(frame)) = take(&mut input) {
        assert!(frame.body.len() <= FRAME_BYTES_MAX);
        if frame.tag == Tag::Run {
            drop(frame.json::<Run>());
        }
    }
    let Some(at) = data.iter().position(|byte| *byte == 0) else { return };
    let (declared, value) = (&data[..at], &data[at + 1..]);
    let (Ok(declaration), Ok(value)) = (Declaration::read(declared), std::str::from_utf8(value)) else {
        return;
    };
    assert_eq!(Declaration::read(&declaration.to_bytes().expect("it was taken")), Ok(declaration.clone()));
    for parameter in declaration.commands.values().flat_map(|command| command.parameters.values()) {
        if parameter.check(value).is_ok() {
            assert!(!value.contains(char::is_control));
            assert!(parameter.kind == Kind::Integer || !value.starts_with('-'));
        }
    }
});

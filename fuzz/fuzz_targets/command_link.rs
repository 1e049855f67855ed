#![no_main]
//! Hostile ends of a link of commands: a frame that is taken is what was written, and what an agent declares is held to its rules.

use std::collections::BTreeMap;

use bytes::BytesMut;
use chaperone_command::codec::{Run, put, take};
use chaperone_command::declare::Declaration;

/// Whatever is taken comes out again when it is written.
fn frames(data: &[u8]) {
    let mut input = BytesMut::from(data);
    let mut out = BytesMut::new();
    while let Ok(Some(frame)) = take(&mut input) {
        let _run = frame.json::<Run>();
        put(frame.tag, &frame.body, &mut out);
    }
    assert_eq!(out, data[..data.len() - input.len()]);
}

/// A declaration that is believed says the same a second time, and its commands take only values that fit.
fn declared(data: &[u8]) {
    let Ok(declaration) = Declaration::read(data) else { return };
    let bytes = declaration.to_bytes().expect("it was checked");
    assert_eq!(Declaration::read(&bytes).expect("it is as long"), declaration);
    for command in declaration.commands.values() {
        let given: BTreeMap<String, String> =
            command.parameters.keys().map(|name| (name.clone(), String::from_utf8_lossy(data).into_owned())).collect();
        if let Ok(values) = command.values(&given) {
            let strange = |value: &String| value.starts_with('-') && value.parse::<i64>().is_err();
            assert!(!values.values().any(strange), "{values:?}");
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    frames(data);
    declared(data);
});

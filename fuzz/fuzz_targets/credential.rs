#![no_main]

libfuzzer_sys::fuzz_target!(|data: &str| drop(chaperone_identity::parse_user(data)));

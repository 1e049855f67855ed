#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(chaperone_trail::parse_checkpoint(data)));

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaperone_postgres::codec::fuzz_backend(data));

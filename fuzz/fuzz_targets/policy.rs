#![no_main]

use chaperone_policy::{Known, PolicySet};

libfuzzer_sys::fuzz_target!(|data: &str| drop(PolicySet::load(&[("fuzz.cedar".to_owned(), data.to_owned())], &Known::default())));

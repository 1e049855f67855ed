#![no_main]
//! Hostile text: cut anywhere, it gives what the whole gives, and what is held back stays bounded.

use std::sync::{Arc, LazyLock};

use chaperone_masking::{Config, HELD_BACK_MAX, Pattern, Scanner, scan_bytes};

static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let mrn = Pattern::parse(r"MH-?\d{6,8}[A-Z]?").ok();
    Arc::new(Config { mrn: mrn.into_iter().collect(), ..Config::default() })
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, text)) = data.split_first() else { return };
    let whole = scan_bytes(&CONFIG, text);
    let mut scanner = Scanner::new(Arc::clone(&CONFIG));
    let mut findings = Vec::new();
    for chunk in text.chunks(usize::from(*cut).max(1)) {
        findings.extend(scanner.push(chunk).findings);
        assert!(scanner.held_back() <= HELD_BACK_MAX);
    }
    findings.extend(scanner.finish().findings);
    assert_eq!(findings, whole);
    if let Ok(pattern) = std::str::from_utf8(text) {
        drop(Pattern::parse(pattern));
    }
});

#![no_main]
//! A hostile event stream: however it is cut, it says the same, and never more than it is long.

use chaperone_mcp::remote::{Events, Fault};

fn all(pieces: impl Iterator<Item = Vec<u8>>) -> Result<Vec<Vec<u8>>, Fault> {
    let (mut events, mut found) = (Events::default(), Vec::new());
    for piece in pieces {
        events.push(&piece);
        while let Some(data) = events.next_data()? {
            found.push(data);
        }
    }
    Ok(found)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = all(std::iter::once(stream.to_vec()));
    let cut = all(stream.chunks(usize::from(*size).max(1)).map(<[u8]>::to_vec));
    assert_eq!(whole, cut);
    assert!(whole.is_ok_and(|found| found.iter().map(Vec::len).sum::<usize>() <= stream.len()));
});

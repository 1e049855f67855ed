//! Connections that have proved nothing yet, counted by where they come from: one source cannot take all places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many one source may have at a time.
#[derive(Debug)]
pub(crate) struct Strangers {
    per_source_max: u32,
    /// Sources that have any. Bounded by the places of the listener.
    counts: Mutex<HashMap<IpAddr, u32>>,
}

/// One of them: ends with the value, at the latest when it has proved who it is.
#[derive(Debug)]
pub(crate) struct Stranger {
    strangers: Arc<Strangers>,
    source: IpAddr,
}

/// IPv6 sources count by /64, since one host owns all of it.
fn owner(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        },
    }
}

impl Strangers {
    pub(crate) fn new(per_source_max: u32) -> Arc<Self> {
        Arc::new(Self { per_source_max, counts: Mutex::default() })
    }

    /// One more from a source, unless it has as many as it may.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Option<Stranger> {
        let source = owner(source);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= self.per_source_max {
            return None;
        }
        *count += 1;
        Some(Stranger { strangers: self.clone(), source })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.strangers.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(counts.remove(&self.source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_is_bounded_and_others_are_not() {
        let strangers = Strangers::new(2);
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let held =
            (strangers.admit(one).unwrap(), strangers.admit("::ffff:192.0.2.1".parse().unwrap()).unwrap());
        assert!(strangers.admit(one).is_none());
        assert!(strangers.admit(other).is_some());
        drop(held);
        assert!(strangers.admit(one).is_some());
        assert!(strangers.counts.lock().unwrap().is_empty());
        let own = strangers.admit("2001:db8::1".parse().unwrap()).unwrap();
        let _same = strangers.admit("2001:db8::2:3:4:5".parse().unwrap()).unwrap();
        assert!(strangers.admit("2001:db8::9".parse().unwrap()).is_none());
        drop(own);
    }
}

//! What comes again and again in a large catalog or classification is kept once.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// The one that is kept of those that are equal.
pub(crate) fn once<T: ?Sized + Eq + Hash, V: Borrow<T> + Into<Arc<T>>>(
    kept: &mut HashSet<Arc<T>>,
    value: V,
) -> Arc<T> {
    if let Some(known) = kept.get(value.borrow()) {
        return known.clone();
    }
    let new: Arc<T> = value.into();
    kept.insert(new.clone());
    new
}

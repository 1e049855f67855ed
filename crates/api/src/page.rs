//! Lists come in pages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most items of one page.
pub const PAGE_MAX: usize = 1000;
/// Items of a page where the question does not say.
pub const PAGE_DEFAULT: usize = 100;

/// A part of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// To be sent as `after` for the page that follows; absent on the last one. Its text means nothing to a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The page of at most `limit` items that follows the item whose place is `after`, of items in ascending order of
    /// their places. `limit` is brought within 1 and [`PAGE_MAX`].
    pub fn of(
        items: impl IntoIterator<Item = T>,
        place: impl Fn(&T) -> String,
        limit: Option<usize>,
        after: Option<&str>,
    ) -> Self {
        let limit = limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let mut rest =
            items.into_iter().skip_while(|item| after.is_some_and(|after| place(item).as_str() <= after));
        let items: Vec<T> = rest.by_ref().take(limit).collect();
        let next = rest.next().and_then(|_| items.last().map(place));
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: usize, after: Option<&str>) -> (Vec<u32>, Option<String>) {
        let page = Page::of(10..15, u32::to_string, Some(limit), after);
        (page.items, page.next)
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        assert_eq!(page(2, None), (vec![10, 11], Some("11".to_owned())));
        assert_eq!(page(2, Some("11")), (vec![12, 13], Some("13".to_owned())));
        assert_eq!(page(2, Some("13")), (vec![14], None));
        assert_eq!(page(5, None), (vec![10, 11, 12, 13, 14], None));
        assert_eq!(page(0, None).0, vec![10], "a page of nothing would have no next");
        assert_eq!(page(9, Some("14")), (vec![], None));
    }

    #[test]
    fn an_item_that_went_away_does_not_end_the_list() {
        let page = Page::of([10, 12, 13], u32::to_string, Some(1), Some("11"));
        assert_eq!(page.items, vec![12]);
    }
}

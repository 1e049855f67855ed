//! Numbers of accounts, policies, memberships, claims, encounters and licences: only by the words before them.

use crate::Certainty;
use crate::lexicon::Cue;
use crate::place::{Match, Place};

/// Digits that such a number has.
const DIGITS: std::ops::RangeInclusive<usize> = 5..=26;
/// Rows of digits with spaces between that belong to one number have at least so many digits.
const ROW_MIN: usize = 3;

/// `account no. 0012-3456-789`, `Member ID: XYZ123456789`.
pub(super) fn find(place: &Place<'_>) -> Option<Match> {
    let start = place.at;
    let (code_end, mut digits) = place.code(Cue::Account);
    let mut end = code_end;
    let rows = (1..).map(|index| place.number.group(index)).take_while(|row| row.len() > 0);
    let rows = rows.skip_while(|row| row.start < code_end).take_while(|row| row.len() >= ROW_MIN);
    for row in rows
        .take_while(|row| place.before(row.start) != b' ' || place.byte(row.start.saturating_sub(2)) != b'.')
    {
        end = row.end;
        digits += row.len();
    }
    if !DIGITS.contains(&digits) {
        return None;
    }
    // Plans other than Medicare have beneficiary numbers of their own form.
    let is_announced = place.has_close(Cue::Account) || place.has_close(Cue::Mbi);
    (is_announced && place.is_whole(start, end)).then_some(Match {
        start,
        end,
        certainty: Certainty::Context,
    })
}

#[cfg(test)]
mod tests {
    use crate::detectors::tests::{finds, nothing};

    #[test]
    fn numbers_are_found() {
        finds("phi.account", "account no. [0012-3456-789]");
        finds("phi.account", "Member ID: [XYZ123456789]");
        finds("phi.account", "acct# [88123456]");
        finds("phi.account", "policy number is [4412 8821 7733]");
        finds("phi.account", "account [5058305766]. 104 yo");
        finds("phi.account", "Acct[88123456]");
        finds("phi.account", "Account #: [ACC-9876543]");
        finds("phi.account", "License #: [MD-987654]");
        finds("phi.account", "Beneficiary no. [CH-5566-7788]");
    }

    #[test]
    fn what_is_none_is_left() {
        for text in ["88123456", "account of 2019", "policy reviewed 12345678", "accounts for 30 percent"] {
            nothing("phi.account", text);
        }
    }
}

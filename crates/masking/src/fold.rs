//! The view that detectors read: one byte for a character, look-alikes folded onto ASCII, with the way back to the
//! original bytes.
//!
//! Folding looks at one character at a time (and counts invisible ones), so it is the same however a stream was cut.

use std::collections::VecDeque;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// A letter that has no ASCII counterpart, small or without case.
pub(crate) const OTHER_LOWER: u8 = 0x80;
/// A capital letter that has no ASCII counterpart.
pub(crate) const OTHER_UPPER: u8 = 0x81;
/// Any other character that has no ASCII counterpart.
pub(crate) const OTHER_SYMBOL: u8 = 0x82;

/// Invisible characters and combining marks that are overlooked in a row; a longer row stands as one symbol for each
/// further character, so that what is held back stays bounded.
pub(crate) const INVISIBLE_MAX: usize = 64;

/// Forgotten text is moved out of memory once it is this long, in bytes.
const FORGOTTEN_MAX: usize = 4 * 1024;

/// The folded end of a stream. Positions count from the stream's beginning.
#[derive(Debug)]
pub(crate) struct Folded {
    text: Vec<u8>,
    /// Position of the first byte in `text`.
    base: usize,
    /// Folded position and original position; from one to the next both advance alike.
    marks: VecDeque<(usize, usize)>,
    /// Original position up to which was folded.
    original: usize,
    /// Invisible characters since the last visible one.
    invisible: usize,
}

impl Folded {
    pub(crate) fn new() -> Self {
        Self { text: Vec::new(), base: 0, marks: VecDeque::from([(0, 0)]), original: 0, invisible: 0 }
    }

    /// What is in memory, and the position of its first byte.
    pub(crate) fn text(&self) -> (&[u8], usize) {
        (&self.text, self.base)
    }

    /// One past the last folded position.
    pub(crate) fn end(&self) -> usize {
        self.base + self.text.len()
    }

    /// Fold more valid text.
    pub(crate) fn push(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let plain = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
            let (ascii, other) = rest.split_at_checked(plain).unwrap_or((rest, ""));
            self.push_ascii(ascii.as_bytes());
            let mut characters = other.chars();
            if let Some(character) = characters.next() {
                self.push_other(character, character.len_utf8());
            }
            rest = characters.as_str();
        }
    }

    /// Fold one byte that is no valid UTF-8: it is read as Windows-1252, the likeliest origin.
    pub(crate) fn push_invalid(&mut self, byte: u8) {
        let character = match byte {
            0x91 | 0x92 => '\'',
            0x96 | 0x97 => '-',
            other => char::from(other),
        };
        self.push_other(character, 1);
    }

    /// Original position where the character at a folded position begins.
    pub(crate) fn start_of(&self, position: usize) -> usize {
        if position >= self.end() {
            return self.original;
        }
        let after = self.marks.partition_point(|(folded, _)| *folded <= position);
        let mark = after.checked_sub(1).and_then(|index| self.marks.get(index));
        mark.map_or(position, |(folded, original)| original + (position - folded))
    }

    /// Original position where the character before a folded position ends, with what is invisible after it.
    pub(crate) fn end_of(&self, position: usize) -> usize {
        let last = self.start_of(position.saturating_sub(1));
        let next = (position..self.end()).map(|next| self.start_of(next)).find(|start| *start > last);
        next.unwrap_or(self.original)
    }

    /// Let go of what lies before a position.
    pub(crate) fn forget(&mut self, before: usize) {
        let count = before.saturating_sub(self.base).min(self.text.len());
        if count < FORGOTTEN_MAX {
            return;
        }
        self.text.drain(..count);
        self.base += count;
        while self.marks.get(1).is_some_and(|(folded, _)| *folded <= self.base) {
            self.marks.pop_front();
        }
    }

    fn push_ascii(&mut self, run: &[u8]) {
        if run.is_empty() {
            return;
        }
        self.mark();
        self.text.extend_from_slice(run);
        self.original += run.len();
        self.invisible = 0;
    }

    /// `length` is what the character takes in the original, in bytes.
    fn push_other(&mut self, character: char, length: usize) {
        let mut folded = [0_u8; DECOMPOSED_MAX];
        let mut count = 0;
        fold(character, |byte| {
            if let Some(slot) = folded.get_mut(count) {
                *slot = byte;
                count += 1;
            }
        });
        if count == 0 {
            self.invisible += 1;
            if self.invisible > INVISIBLE_MAX {
                self.mark();
                self.text.push(OTHER_SYMBOL);
            }
        } else {
            self.invisible = 0;
        }
        for byte in folded.iter().take(count) {
            self.mark();
            self.text.push(*byte);
        }
        self.original += length;
    }

    /// Remember that the next folded byte stands for `original`, where that does not follow from the last mark.
    fn mark(&mut self) {
        let position = self.end();
        let last = self.marks.back();
        let follows =
            last.is_some_and(|(folded, original)| *original + (position - *folded) == self.original);
        if !follows {
            self.marks.push_back((position, self.original));
        }
    }
}

/// Longest decomposition of one character (U+FDFA has 18).
const DECOMPOSED_MAX: usize = 18;

/// Give what a character that is not ASCII reads as; nothing where it is not seen.
fn fold(character: char, mut emit: impl FnMut(u8)) {
    if is_invisible(character) {
        return;
    }
    if let Some(byte) = look_alike(character) {
        return emit(byte);
    }
    decompose_compatible(character, |part| match part {
        _ if part.is_ascii() => emit(part as u8),
        _ if is_combining_mark(part) || is_invisible(part) => {}
        _ => emit(look_alike(part).unwrap_or_else(|| class(part))),
    });
}

fn class(character: char) -> u8 {
    if character.is_uppercase() {
        OTHER_UPPER
    } else if character.is_alphabetic() {
        OTHER_LOWER
    } else {
        OTHER_SYMBOL
    }
}

/// Default-ignorable characters: soft hyphen, zero-width, directions, fillers, variation selectors, tags.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// What compatibility decomposition leaves alone although it reads like ASCII.
fn look_alike(character: char) -> Option<u8> {
    let byte = match character {
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{2796}'
        | '\u{2e3a}'
        | '\u{2e3b}'
        | '\u{58a}'
        | '\u{5be}'
        | '\u{1806}'
        | '\u{301c}'
        | '\u{30fc}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}'
        | '\u{2500}' => b'-',
        '\u{a0}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200a}'
        | '\u{202f}'
        | '\u{205f}'
        | '\u{3000}'
        | '\u{2800}' => b' ',
        '\u{85}' | '\u{2028}' | '\u{2029}' => b'\n',
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2bc}' | '\u{b4}' | '\u{2032}' => b'\'',
        '\u{3002}' | '\u{ff61}' => b'.',
        '\u{2236}' | '\u{a789}' => b':',
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => b'/',
        'а' => b'a',
        'е' => b'e',
        'о' | 'ο' => b'o',
        'р' | 'ρ' => b'p',
        'с' => b'c',
        'х' | 'χ' => b'x',
        'у' => b'y',
        'і' | 'ı' => b'i',
        'ј' => b'j',
        'ѕ' => b's',
        'ԁ' => b'd',
        'ո' => b'n',
        'ν' => b'v',
        'А' | 'Α' => b'A',
        'В' | 'Β' => b'B',
        'Е' | 'Ε' => b'E',
        'Ѕ' => b'S',
        'І' | 'Ι' => b'I',
        'Ј' => b'J',
        'К' | 'Κ' => b'K',
        'М' | 'Μ' => b'M',
        'Н' | 'Η' => b'H',
        'О' | 'Ο' => b'O',
        'Р' | 'Ρ' => b'P',
        'С' => b'C',
        'Т' | 'Τ' => b'T',
        'Х' | 'Χ' => b'X',
        'У' | 'Υ' => b'Y',
        'Ν' => b'N',
        'Ζ' => b'Z',
        other => return digit(other),
    };
    Some(byte)
}

/// Decimal digits of every script (general category Nd, Unicode 15), apart from those that decompose.
fn digit(character: char) -> Option<u8> {
    let code = u32::from(character);
    let after = ZEROS.partition_point(|zero| *zero <= code);
    let zero = after.checked_sub(1).and_then(|index| ZEROS.get(index))?;
    let value = u8::try_from(code - zero).ok().filter(|value| *value < 10)?;
    Some(b'0' + value)
}

/// Where each script's digits begin, in order.
const ZEROS: [u32; 59] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50,
    0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0,
    0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50,
    0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1e140, 0x1e2f0, 0x1e950,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut folded = Folded::new();
        folded.push(text);
        folded.text().0.iter().map(|byte| char::from(*byte)).collect()
    }

    #[test]
    fn look_alikes_read_as_ascii() {
        assert_eq!(folded("１２３\u{2011}４５−\u{a0}６"), "123-45- 6");
        assert_eq!(folded("1\u{200b}2\u{ad}3\u{336}4\u{fe0f}\u{20e3}5"), "12345");
        assert_eq!(folded("José Nuñez ﬁ O\u{2019}Brien"), "Jose Nunez fi O'Brien");
        assert_eq!(folded("٤٥ ۴۵ ४५ 𝟜𝟝 ④⁵"), "45 45 45 45 45");
        assert_eq!(folded("SЅN"), "SSN");
        assert_eq!(folded("Ж ж 漢 €"), "\u{81} \u{80} \u{80} \u{82}");
    }

    #[test]
    fn zeros_are_in_order() {
        assert!(ZEROS.is_sorted());
        assert_eq!(digit('٩'), Some(b'9'));
        assert_eq!(digit('\u{66a}'), None);
    }

    #[test]
    fn positions_lead_back() {
        let text = "aé１\u{200b}ﬁz";
        let mut folded = Folded::new();
        folded.push(text);
        assert_eq!(folded.text().0, b"ae1fiz");
        let starts: Vec<_> = (0..6).map(|position| folded.start_of(position)).collect();
        let at = |what: char| text.find(what).unwrap();
        assert_eq!(starts, [0, at('é'), at('１'), at('ﬁ'), at('ﬁ'), at('z')]);
        assert_eq!(folded.end_of(3), at('ﬁ'), "what is invisible belongs to the character before");
        assert_eq!(folded.end_of(4), at('z'), "half a ligature is all of it");
        assert_eq!(folded.end_of(6), text.len());
    }

    #[test]
    fn a_long_row_of_invisible_characters_is_seen() {
        let text = format!("1{}2", "\u{200b}".repeat(INVISIBLE_MAX + 2));
        assert_eq!(folded(&text), "1\u{82}\u{82}2");
    }
}

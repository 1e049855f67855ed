//! Result rows, read for the values that tell which patients they are about.

use std::sync::Arc;

use chaperone_access::{RelationName, Subjects};

use crate::codec::backend::RowShape;
use crate::codec::frontend::Formats;
use crate::codec::reader::Reader;

/// Longest text form of a value that does not travel as text: a UUID's.
const TEXT_BYTES_MAX: usize = 36;

/// What a piece of a reply has to be looked at for.
#[derive(Debug, Clone)]
pub(super) enum Look {
    /// For nothing.
    Nothing,
    /// It holds such values, and nobody here can read them.
    Unreadable,
    /// Rows.
    At(Arc<Reading>),
}

/// Type and format of each column of a result, where it was described.
pub(super) type Shape = Arc<[(u32, i16)]>;

pub(super) fn shape_of(shape: &RowShape<'_>) -> Shape {
    shape.iter().map(|column| (column.type_oid, column.format)).collect()
}

/// Result columns that tell which patients rows are about.
pub(super) type Places = Arc<[(u16, RelationName, Arc<str>)]>;

/// The result columns where a statement tells its subjects.
pub(super) fn places(subjects: &Subjects) -> Option<&Places> {
    match subjects {
        Subjects::At(at) => Some(at),
        Subjects::None | Subjects::OutOfReach => None,
    }
}

/// How one value travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As its text.
    Text,
    /// Two, four or eight bytes, signed.
    Integer,
    /// Four bytes, unsigned.
    Unsigned,
    /// Sixteen bytes.
    Uuid,
    /// In a way that is not read here.
    Unknown,
}

impl Form {
    /// By type (`pg_type.oid`) and format code.
    fn of(kind: Option<u32>, format: i16) -> Self {
        match (format, kind) {
            // text, varchar, bpchar, name: sent as the text itself in both formats.
            (0, _) | (_, Some(25 | 1043 | 1042 | 19)) => Self::Text,
            // int2, int4, int8.
            (_, Some(21 | 23 | 20)) => Self::Integer,
            // oid.
            (_, Some(26)) => Self::Unsigned,
            (_, Some(2950)) => Self::Uuid,
            (_, Some(_) | None) => Self::Unknown,
        }
    }
}

/// Which fields of the rows to look at, in the rows' order.
#[derive(Debug)]
pub(super) struct Reading {
    fields: Vec<(usize, usize, Form)>,
}

impl Reading {
    /// Of rows in the formats that a Bind asked for, all of which are text.
    pub(super) fn of_text(at: &[(u16, RelationName, Arc<str>)]) -> Self {
        Self::new(at, |_| (None, 0))
    }

    /// Of rows that were described.
    pub(super) fn described(at: &[(u16, RelationName, Arc<str>)], shape: &Shape) -> Self {
        Self::new(at, |index| match shape.get(index) {
            Some((kind, format)) => (Some(*kind), *format),
            None => (None, 1),
        })
    }

    fn new(at: &[(u16, RelationName, Arc<str>)], travels: impl Fn(usize) -> (Option<u32>, i16)) -> Self {
        let field = |(place, (index, _, _)): (usize, &(u16, RelationName, Arc<str>))| {
            let index = usize::from(*index);
            let (kind, format) = travels(index);
            (index, place, Form::of(kind, format))
        };
        let mut fields: Vec<_> = at.iter().enumerate().map(field).collect();
        fields.sort_unstable_by_key(|(index, place, _)| (*index, *place));
        Self { fields }
    }

    /// Read a run of rows, or the first piece of a large one. Whether everything that was looked for was there.
    pub(super) fn read(&self, mut run: &[u8], see: &mut dyn FnMut(usize, &[u8])) -> bool {
        let mut all = true;
        while let [b'D', b0, b1, b2, b3, rest @ ..] = run {
            let length = (u32::from_be_bytes([*b0, *b1, *b2, *b3]) as usize).saturating_sub(4);
            let (row, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            all &= self.row(row, see).is_some();
            run = after;
        }
        all && run.is_empty()
    }

    fn row(&self, row: &[u8], see: &mut dyn FnMut(usize, &[u8])) -> Option<()> {
        let mut reader = Reader::new(b'D', row);
        let count = usize::from(reader.u16("values").ok()?);
        let (mut next, mut value) = (0, None);
        for (index, place, form) in &self.fields {
            if *index >= count {
                return None;
            }
            while next <= *index {
                value = reader.value("values").ok()?;
                next += 1;
            }
            // NULL is about nobody.
            if let Some(value) = value {
                show(*form, value, &mut |text| see(*place, text))?;
            }
        }
        Some(())
    }
}

/// Show a value's text form.
fn show(form: Form, value: &[u8], see: &mut dyn FnMut(&[u8])) -> Option<()> {
    let mut text = [0_u8; TEXT_BYTES_MAX];
    let written = match form {
        Form::Text => {
            see(value);
            return Some(());
        }
        Form::Integer => write(&mut text, |out| match *value {
            [a, b] => out(format_args!("{}", i16::from_be_bytes([a, b]))),
            [a, b, c, d] => out(format_args!("{}", i32::from_be_bytes([a, b, c, d]))),
            [a, b, c, d, e, f, g, h] => out(format_args!("{}", i64::from_be_bytes([a, b, c, d, e, f, g, h]))),
            _ => None,
        }),
        Form::Unsigned => {
            let value = u32::from_be_bytes(value.try_into().ok()?);
            write(&mut text, |out| out(format_args!("{value}")))
        }
        Form::Uuid => {
            let value = u128::from_be_bytes(value.try_into().ok()?);
            write(&mut text, |out| {
                out(format_args!(
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    value >> 96,
                    (value >> 80) & 0xffff,
                    (value >> 64) & 0xffff,
                    (value >> 48) & 0xffff,
                    value & 0xffff_ffff_ffff
                ))
            })
        }
        Form::Unknown => None,
    }?;
    see(text.get(..written)?);
    Some(())
}

/// Write a short text without allocating; how long it is.
fn write(
    to: &mut [u8],
    text: impl FnOnce(&mut dyn FnMut(std::fmt::Arguments<'_>) -> Option<()>) -> Option<()>,
) -> Option<usize> {
    let before = to.len();
    let mut left: &mut [u8] = to;
    text(&mut |arguments| std::io::Write::write_fmt(&mut left, arguments).ok())?;
    Some(before - left.len())
}

/// Whether every one of those columns travels as text, in the format codes of a Bind.
pub(super) fn all_text(at: &[(u16, RelationName, Arc<str>)], formats: &[u8]) -> bool {
    let formats = Formats::of_bytes(formats);
    at.iter().all(|(index, _, _)| formats.of(usize::from(*index)) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(indexes: &[u16]) -> Vec<(u16, RelationName, Arc<str>)> {
        indexes.iter().map(|i| (*i, RelationName::new("a", "b"), Arc::from("c"))).collect()
    }

    fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                None => body.extend((-1_i32).to_be_bytes()),
                Some(value) => {
                    body.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                    body.extend_from_slice(value);
                }
            }
        }
        let mut row = vec![b'D'];
        row.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        row.extend(body);
        row
    }

    fn read(reading: &Reading, run: &[u8]) -> (Vec<(usize, String)>, bool) {
        let mut seen = Vec::new();
        let all = reading.read(run, &mut |place, text| {
            seen.push((place, String::from_utf8(text.to_vec()).unwrap()));
        });
        (seen, all)
    }

    #[test]
    fn a_value_has_one_text_however_it_travels() {
        let uuid = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();
        for (kind, value, text) in [
            (21, &(-3_i16).to_be_bytes()[..], "-3"),
            (23, &70_000_i32.to_be_bytes()[..], "70000"),
            (20, &i64::MIN.to_be_bytes()[..], "-9223372036854775808"),
            (26, &4_000_000_000_u32.to_be_bytes()[..], "4000000000"),
            (2950, &uuid[..], "00112233-4455-6677-8899-aabbccddeeff"),
            (25, "Müller".as_bytes(), "Müller"),
        ] {
            let shape: Shape = Arc::from([(kind, 1)]);
            let binary = read(&Reading::described(&at(&[0]), &shape), &row(&[Some(value)]));
            let plain = read(&Reading::of_text(&at(&[0])), &row(&[Some(text.as_bytes())]));
            assert_eq!(binary, (vec![(0, text.to_owned())], true), "{kind}");
            assert_eq!(binary, plain, "{kind}");
        }
    }

    #[test]
    fn fields_keep_their_places_and_null_is_nobody() {
        let reading = Reading::of_text(&at(&[2, 0]));
        let mut run = row(&[Some(b"a"), Some(b"-"), Some(b"c")]);
        run.extend(row(&[None, None, Some(b"d")]));
        let (seen, all) = read(&reading, &run);
        assert_eq!(seen, [(1, "a".into()), (0, "c".into()), (0, "d".into())]);
        assert!(all);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let shape: Shape = Arc::from([(1700, 1), (23, 1)]);
        let reading = Reading::described(&at(&[0]), &shape);
        assert_eq!(read(&reading, &row(&[Some(b"\0\x01"), None])), (vec![], false), "numeric, binary");
        let reading = Reading::of_text(&at(&[1]));
        assert_eq!(read(&reading, &row(&[Some(b"a")])), (vec![], false), "no such column");
        let whole = row(&[Some(b"a"), Some(b"bcdef")]);
        assert_eq!(read(&reading, &whole[..whole.len() - 1]), (vec![], false), "its end is not here");
        let early = Reading::of_text(&at(&[0]));
        assert_eq!(read(&early, &whole[..whole.len() - 1]), (vec![(0, "a".into())], true));
        assert_eq!(read(&early, b"d\0\0\0\x05x"), (vec![], false), "copied data");
    }

    #[test]
    fn formats_of_a_bind_say_what_is_text() {
        assert!(all_text(&at(&[0, 7]), &[]));
        assert!(all_text(&at(&[0]), &[0, 0, 0, 1]));
        assert!(!all_text(&at(&[1]), &[0, 0, 0, 1]));
        assert!(!all_text(&at(&[5]), &[0, 1]));
    }
}

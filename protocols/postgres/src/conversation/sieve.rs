//! Free text in results, looked through before it leaves: what detectors find in it is replaced by its tag in brackets. A
//! row in which nothing is found leaves as it came.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use chaperone_access::{CopyForm, FreeText, Scope};
use chaperone_wire::{Detectors, LookedThrough};

use super::spelled::{self, Spelling};
use super::subjects::Places;
use crate::codec::BackendTag;
use crate::codec::backend::RowShape;

/// Longest row that is looked through, in bytes. It is collected whole, because its length stands before its values; how
/// long that holds up the thread follows from it.
pub(super) const ROW_BYTES_MAX: u32 = 256 * 1024;
/// Arrays and rows within each other that are followed.
const DEPTH_MAX: usize = 4;
/// The first object id that is not the server's own (`FirstNormalObjectId`).
const OBJECT_ID_FIRST: u32 = 16_384;

/// How one value travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As its text.
    Text,
    /// As text in which strings are quoted.
    Spelled(Spelling),
    /// `jsonb` in binary: a version, then its text.
    Versioned,
    /// An array in binary.
    Array,
    /// A row in binary.
    Row,
    /// Nothing but a number, a date or the like.
    NoText,
    /// In a way that is not read here.
    Unknown,
}

impl Form {
    /// By type (`pg_type.oid`) and format code.
    fn of(kind: u32, format: i16) -> Self {
        let binary = format != 0;
        match kind {
            // text, varchar, bpchar, name, xml, unknown, cstring: the text itself in both formats.
            25 | 1043 | 1042 | 19 | 142 | 705 | 2275 => Self::Text,
            // json, jsonb.
            3802 if binary => Self::Versioned,
            114 | 3802 => Self::Spelled(Spelling::Json),
            // bool, "char", int2, int4, int8, oid, float4, float8, numeric, money, date, time, timetz, timestamp,
            // timestamptz, interval, uuid, void.
            16 | 18 | 20 | 21 | 23 | 26 | 700 | 701 | 1700 | 790 | 1082 | 1083 | 1266 | 1114 | 1184
            | 1186 | 2950 | 2278 => Self::NoText,
            // Arrays of text, varchar, bpchar, name, xml, json, jsonb, record.
            1009 | 1015 | 1014 | 1003 | 143 | 199 | 3807 | 2287 if binary => Self::Array,
            2249 if binary => Self::Row,
            1009 | 1015 | 1014 | 1003 | 143 | 199 | 3807 | 2287 | 2249 => Self::Spelled(Spelling::Listed),
            // Of the target's own: in text it may be anything, rows and arrays too.
            OBJECT_ID_FIRST.. if !binary => Self::Spelled(Spelling::Listed),
            _ => Self::Unknown,
        }
    }
}

/// What is looked through of each row.
#[derive(Debug)]
enum Wanted {
    /// Fields of result rows, in the rows' order.
    Fields(Vec<(usize, Form)>),
    /// Fields of copied lines.
    Lines(Arc<[u16]>, Spelling),
    /// Nothing that could be read; so many values.
    Unread(u64),
}

/// Looks through the free text of one result.
pub(super) struct Sieve {
    wanted: Wanted,
    detectors: Arc<dyn Detectors>,
    /// Whose caller's scope it is: kinds that he may see stay.
    scope: Arc<Scope>,
}

impl std::fmt::Debug for Sieve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sieve").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Sieve {
    /// For a result that holds free text there, as it was described. Columns that tell patients apart are no free text.
    pub(super) fn of(
        free_text: &FreeText,
        shape: Option<&RowShape<'_>>,
        subjects: Option<&Places>,
        detectors: Arc<dyn Detectors>,
        scope: Arc<Scope>,
    ) -> Option<Self> {
        let is_subject = |index: usize| {
            subjects.is_some_and(|at| at.iter().any(|(place, _, _)| usize::from(*place) == index))
        };
        let in_rows = |unread: usize, is_wanted: &dyn Fn(usize, &[u8]) -> bool| match shape {
            None => Wanted::Unread(unread as u64),
            Some(shape) => {
                let columns = shape.iter().enumerate();
                let wanted =
                    columns.filter(|(index, column)| is_wanted(*index, column.name) && !is_subject(*index));
                let forms = wanted.map(|(index, column)| (index, Form::of(column.type_oid, column.format)));
                Wanted::Fields(forms.filter(|(_, form)| *form != Form::NoText).collect())
            }
        };
        let wanted = match free_text {
            FreeText::None => return None,
            FreeText::At { at, of } => {
                let is_as_known = shape.is_none_or(|shape| shape.len() == *of);
                let is_there = |index: usize| at.iter().any(|place| usize::from(*place) == index);
                in_rows(at.len(), &|index, _| !is_as_known || is_there(index))
            }
            FreeText::Except(names) => {
                in_rows(1, &|_, name| !names.iter().any(|known| known.as_bytes() == name))
            }
            FreeText::Copied { at, form } => match form {
                CopyForm::Text => Wanted::Lines(at.clone(), Spelling::Tabs),
                CopyForm::Csv => Wanted::Lines(at.clone(), Spelling::Commas),
                CopyForm::Other => Wanted::Unread(at.len().max(1) as u64),
            },
        };
        Some(Self { wanted, detectors, scope })
    }

    /// Pass a run of whole rows on.
    pub(super) fn pass(&self, run: Bytes, looked: &mut LookedThrough) -> Bytes {
        let mut out: Option<BytesMut> = None;
        let mut at = 0;
        while let Some((tag, body)) = message(run.get(at..).unwrap_or_default()) {
            let size = 5 + body.len();
            let raw = run.get(at..at + size).unwrap_or_default();
            match (self.body(tag, body, looked), &mut out) {
                (Some(changed), out) => {
                    let out = out.get_or_insert_with(|| {
                        let mut begun = BytesMut::with_capacity(run.len());
                        begun.extend_from_slice(run.get(..at).unwrap_or_default());
                        begun
                    });
                    out.put_u8(tag);
                    out.put_u32(u32::try_from(changed.len() + 4).unwrap_or(u32::MAX));
                    out.extend_from_slice(&changed);
                }
                (None, Some(out)) => out.extend_from_slice(raw),
                (None, None) => {}
            }
            at += size;
        }
        match out {
            None => run,
            Some(mut out) => {
                out.extend_from_slice(run.get(at..).unwrap_or_default());
                out.freeze()
            }
        }
    }

    /// A row passes that is too long to be collected.
    pub(super) fn miss(&self, looked: &mut LookedThrough) {
        looked.unread += match &self.wanted {
            Wanted::Fields(fields) => fields.len() as u64,
            Wanted::Lines(at, _) => at.len() as u64,
            Wanted::Unread(values) => *values,
        };
    }

    /// What stands in the place of a message's body; `None` where it stays.
    fn body(&self, tag: u8, body: &[u8], looked: &mut LookedThrough) -> Option<Vec<u8>> {
        let (is_row, is_short) = (tag == BackendTag::DataRow.byte(), body.len() <= ROW_BYTES_MAX as usize);
        match &self.wanted {
            Wanted::Fields(fields) if is_row && is_short => self.row(fields, body, looked),
            Wanted::Lines(at, spelling) if !is_row && is_short => self.line(at, *spelling, body, looked),
            Wanted::Fields(_) | Wanted::Lines(..) | Wanted::Unread(_) => {
                self.miss(looked);
                None
            }
        }
    }

    fn row(&self, fields: &[(usize, Form)], row: &[u8], looked: &mut LookedThrough) -> Option<Vec<u8>> {
        let Some((count, rest)) = row.split_first_chunk::<2>() else {
            looked.unread += 1;
            return None;
        };
        let count = usize::from(u16::from_be_bytes(*count));
        let mut wanted = fields.iter().peekable();
        let form = |index: usize| Some(wanted.next_if(|(place, _)| *place == index)?.1);
        self.values(row, rest, (0..count).map(form), 0, looked)
    }

    /// Values one after the other, each behind its length. `forms` says which are looked through; `whole` ends with `rest`.
    fn values(
        &self,
        whole: &[u8],
        mut rest: &[u8],
        forms: impl Iterator<Item = Option<Form>>,
        depth: usize,
        looked: &mut LookedThrough,
    ) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        for form in forms {
            let Some((value, after)) = value(rest) else {
                // It is not what it says it is: it goes on as it came.
                looked.unread += 1;
                break;
            };
            let changed = form.zip(value).and_then(|(form, value)| self.value(form, value, depth, looked));
            match changed {
                Some(changed) => {
                    let out = out.get_or_insert_with(|| {
                        whole.get(..whole.len() - rest.len()).unwrap_or_default().to_vec()
                    });
                    out.put_u32(u32::try_from(changed.len()).unwrap_or(u32::MAX));
                    out.extend_from_slice(&changed);
                }
                None => {
                    if let Some(out) = &mut out {
                        out.extend_from_slice(rest.get(..rest.len() - after.len()).unwrap_or_default());
                    }
                }
            }
            rest = after;
        }
        if let Some(out) = &mut out {
            out.extend_from_slice(rest);
        }
        out
    }

    /// What stands in the place of one value; `None` where it stays.
    fn value(&self, form: Form, value: &[u8], depth: usize, looked: &mut LookedThrough) -> Option<Vec<u8>> {
        match form {
            Form::NoText => return None,
            Form::Array | Form::Row if depth >= DEPTH_MAX => {}
            Form::Array => return self.array(value, depth + 1, looked),
            Form::Row => return self.composite(value, depth + 1, looked),
            Form::Text => {
                looked.values += 1;
                let found = self.find(value, looked);
                return (!found.is_empty()).then(|| spelled::replaced(value, &found));
            }
            Form::Spelled(spelling) => {
                looked.values += 1;
                let plain = match spelling {
                    Spelling::Listed => spelled::apart(value),
                    Spelling::Json | Spelling::Tabs | Spelling::Commas => spelled::plain(value),
                };
                let found = self.find(&plain, looked);
                return (!found.is_empty()).then(|| spelled::replaced_within(value, &found, spelling));
            }
            Form::Versioned => {
                if let Some((version, text)) = value.split_first() {
                    let changed = self.value(Form::Spelled(Spelling::Json), text, depth, looked)?;
                    return Some([&[*version], changed.as_slice()].concat());
                }
            }
            Form::Unknown => {}
        }
        looked.unread += 1;
        None
    }

    /// An array in binary: dimensions, whether there are NULLs, the type of its elements, each dimension's length and lower
    /// bound, and the elements. What does not read as that is counted and goes on as it came.
    fn array(&self, array: &[u8], depth: usize, looked: &mut LookedThrough) -> Option<Vec<u8>> {
        let Some((form, elements)) = elements(array) else {
            looked.unread += 1;
            return None;
        };
        // As many as there are.
        let mut left = elements;
        let count = std::iter::from_fn(|| {
            let (_, after) = value(left)?;
            left = after;
            Some(())
        });
        let count = count.count();
        looked.unread += u64::from(!left.is_empty());
        self.values(array, elements, (0..count).map(|_| Some(form)), depth, looked)
    }

    /// A row in binary: how many fields, then each one's type and value. From where it is not what it says it is, it goes
    /// on as it came; what was replaced before stays replaced.
    fn composite(&self, row: &[u8], depth: usize, looked: &mut LookedThrough) -> Option<Vec<u8>> {
        let (count, mut rest) = u32_of(row).unwrap_or((1, &[]));
        let mut out: Option<Vec<u8>> = None;
        for _ in 0..count {
            let field = u32_of(rest).and_then(|(kind, after)| Some((kind, value(after)?)));
            let Some((kind, (field, after))) = field else {
                looked.unread += 1;
                break;
            };
            let changed = field.and_then(|field| self.value(Form::of(kind, 1), field, depth, looked));
            let raw = rest.get(..rest.len() - after.len()).unwrap_or_default();
            match (changed, &mut out) {
                (Some(changed), out) => {
                    let out = out.get_or_insert_with(|| {
                        row.get(..row.len() - rest.len()).unwrap_or_default().to_vec()
                    });
                    out.put_u32(kind);
                    out.put_u32(u32::try_from(changed.len()).unwrap_or(u32::MAX));
                    out.extend_from_slice(&changed);
                }
                (None, Some(out)) => out.extend_from_slice(raw),
                (None, None) => {}
            }
            rest = after;
        }
        if let Some(out) = &mut out {
            out.extend_from_slice(rest);
        }
        out
    }

    fn line(
        &self,
        at: &[u16],
        spelling: Spelling,
        line: &[u8],
        looked: &mut LookedThrough,
    ) -> Option<Vec<u8>> {
        let mut all: Vec<(Range<usize>, &'static str)> = Vec::new();
        for (index, field) in spelled::fields(line, spelling).enumerate() {
            let text = line.get(field.clone()).unwrap_or_default();
            let is_wanted = at.iter().any(|place| usize::from(*place) == index);
            if !is_wanted || text.is_empty() || text == br"\N" {
                continue;
            }
            looked.values += 1;
            let is_listed = spelled::is_listed(text);
            let plain = if is_listed { spelled::apart(text) } else { spelled::plain(text) };
            let found = self.find(&plain, looked);
            let moved =
                |(range, tag): (Range<usize>, _)| (range.start + field.start..range.end + field.start, tag);
            all.extend(found.into_iter().map(moved));
        }
        (!all.is_empty()).then(|| spelled::replaced(line, &all))
    }

    fn find(&self, text: &[u8], looked: &mut LookedThrough) -> Vec<(Range<usize>, &'static str)> {
        let mut found = Vec::new();
        self.detectors.find(text, &mut |range, tag| {
            if !self.scope.stays.contains(tag) {
                found.push((range, tag));
            }
        });
        for (_, tag) in &found {
            *looked.found.entry(tag).or_default() += 1;
        }
        found
    }
}

/// The message at the beginning of some bytes: its type and body.
fn message(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = u32_of(rest)?;
    Some((*tag, rest.get(..(length as usize).checked_sub(4)?)?))
}

/// How the elements of an array in binary travel, and their bytes.
fn elements(array: &[u8]) -> Option<(Form, &[u8])> {
    let (dimensions, rest) = u32_of(array)?;
    let (_, rest) = u32_of(rest)?;
    let (kind, rest) = u32_of(rest)?;
    Some((Form::of(kind, 1), rest.get((dimensions as usize).checked_mul(8)?..)?))
}

fn u32_of(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// The value at the beginning of some bytes, behind its length; NULL is none.
fn value(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match usize::try_from(i32::from_be_bytes(*length)) {
        Err(_) => Some((None, rest)),
        Ok(length) => rest.split_at_checked(length).map(|(value, rest)| (Some(value), rest)),
    }
}

#[cfg(test)]
mod tests;

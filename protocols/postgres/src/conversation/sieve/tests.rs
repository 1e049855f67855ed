use std::collections::BTreeSet;

use chaperone_access::RelationName;
use chaperone_wire::Looking;

use super::*;

/// Finds one number.
struct One;

const NUMBER: &[u8] = b"123-45-6789";

impl Detectors for One {
    fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>, &'static str)) {
        let mut at = 0;
        while let Some(next) = text[at..].windows(NUMBER.len()).position(|part| part == NUMBER) {
            at += next;
            found(at..at + NUMBER.len(), "phi.ssn");
            at += NUMBER.len();
        }
    }

    fn stream(&self, _: &BTreeSet<&'static str>) -> Box<dyn Looking> {
        Box::new(Through)
    }
}

/// Rows are whole values: nothing here comes as a stream.
struct Through;

impl Looking for Through {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, _: &mut LookedThrough) {
        out.extend_from_slice(piece);
    }

    fn finish(self: Box<Self>, _: &mut Vec<u8>, _: &mut LookedThrough) {}
}

fn sieve(forms: &[(usize, Form)]) -> Sieve {
    Sieve { wanted: Wanted::Fields(forms.to_vec()), detectors: Arc::new(One), scope: Arc::default() }
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend_from_slice(body);
    message
}

fn values(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        match value {
            None => out.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                out.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
    out
}

fn row(of: &[Option<&[u8]>]) -> Vec<u8> {
    let count = u16::try_from(of.len()).unwrap().to_be_bytes();
    framed(b'D', &[&count, values(of).as_slice()].concat())
}

fn passed(sieve: &Sieve, run: &[u8]) -> (Vec<u8>, LookedThrough) {
    let mut looked = LookedThrough::default();
    let out = sieve.pass(Bytes::copy_from_slice(run), &mut looked);
    (out.to_vec(), looked)
}

fn counts(looked: &LookedThrough) -> (u64, u64, u64) {
    (looked.values, looked.unread, looked.found.get("phi.ssn").copied().unwrap_or_default())
}

#[test]
fn findings_are_replaced_and_everything_else_leaves_as_it_came() {
    let sieve = sieve(&[(1, Form::Text), (2, Form::Text)]);
    let clean = row(&[Some(NUMBER), Some(b"nothing"), None]);
    let (out, looked) = passed(&sieve, &clean);
    assert_eq!((out, counts(&looked)), (clean.clone(), (1, 0, 0)), "a column that is not looked through");
    let dirty = row(&[Some(NUMBER), Some(b"a 123-45-6789, 123-45-6789."), Some(NUMBER)]);
    let (out, looked) = passed(&sieve, &[clean.as_slice(), &dirty, &clean].concat());
    let changed = row(&[Some(NUMBER), Some(b"a [phi.ssn], [phi.ssn]."), Some(b"[phi.ssn]")]);
    assert_eq!(out, [clean.as_slice(), &changed, &clean].concat());
    assert_eq!(counts(&looked), (4, 0, 3));
}

#[test]
fn values_in_binary_are_read_too() {
    let text = 25_u32.to_be_bytes();
    let array = |elements: &[Option<&[u8]>]| {
        let length = u32::try_from(elements.len()).unwrap().to_be_bytes();
        let head = [1_u32.to_be_bytes(), 1_u32.to_be_bytes(), text, length, 1_u32.to_be_bytes()].concat();
        [head, values(elements)].concat()
    };
    let composite = |note: &[u8]| {
        let int = [23_u32.to_be_bytes().as_slice(), &values(&[Some(&7_i32.to_be_bytes())])].concat();
        [2_u32.to_be_bytes().as_slice(), &int, &text, &values(&[Some(note)])].concat()
    };
    for (form, before, after) in [
        (Form::Versioned, b"\x01{\"n\": \"123-45-6789\"}".to_vec(), b"\x01{\"n\": \"[phi.ssn]\"}".to_vec()),
        (
            Form::Array,
            array(&[Some(b"a"), None, Some(NUMBER)]),
            array(&[Some(b"a"), None, Some(b"[phi.ssn]")]),
        ),
        (Form::Row, composite(b"x 123-45-6789"), composite(b"x [phi.ssn]")),
        (Form::Spelled(Spelling::Listed), b"{a,123-45-6789}".to_vec(), b"{a,[phi.ssn]}".to_vec()),
    ] {
        let (out, looked) = passed(&sieve(&[(0, form)]), &row(&[Some(&before), Some(b"x")]));
        assert_eq!(out, row(&[Some(&after), Some(b"x")]), "{form:?}");
        assert_eq!(counts(&looked).2, 1, "{form:?}");
    }
}

#[test]
fn what_cannot_be_read_passes_and_is_counted() {
    let bytes = row(&[Some(NUMBER)]);
    let (out, looked) = passed(&sieve(&[(0, Form::Unknown)]), &bytes);
    assert_eq!((out, counts(&looked)), (bytes, (0, 1, 0)));
    let long = row(&[Some(&[NUMBER, &vec![b'x'; ROW_BYTES_MAX as usize]].concat())]);
    let (out, looked) = passed(&sieve(&[(0, Form::Text)]), &long);
    assert_eq!((out, counts(&looked)), (long, (0, 1, 0)), "longer than a row that is collected");
    let line = framed(b'd', NUMBER);
    assert_eq!(passed(&sieve(&[(0, Form::Text)]), &line).0, line, "no row");
    // Lengths that lie.
    for broken in [&b"\0\x01\0\0\0\x20x"[..], b"\0\x09\0\0\0\x01x", b"\0", b""] {
        let broken = framed(b'D', broken);
        let (out, looked) = passed(&sieve(&[(0, Form::Text), (1, Form::Text)]), &broken);
        assert_eq!((out, counts(&looked).1), (broken, 1));
    }
    for broken in
        [&b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x19"[..], b"\0\0\0\x01", b"\xff\xff\xff\xff\0\0\0\x19\0\0"]
    {
        for form in [Form::Array, Form::Row, Form::Versioned] {
            let (whole, bare) = (row(&[Some(broken)]), row(&[Some(b"")]));
            let (out, looked) = passed(&sieve(&[(0, form)]), &whole);
            assert_eq!(out, whole, "{form:?}");
            // Any text may stand behind the version of a `jsonb`.
            assert_eq!(counts(&looked).1, u64::from(form != Form::Versioned), "{form:?}");
            let (out, looked) = passed(&sieve(&[(0, form)]), &bare);
            assert_eq!((out, counts(&looked).1), (bare, 1), "{form:?} of nothing");
        }
    }
}

#[test]
fn what_was_replaced_before_a_length_that_lies_stays_replaced() {
    let text = 25_u32.to_be_bytes();
    let composite = |note: &[u8]| {
        let note = [text.as_slice(), &values(&[Some(note)])].concat();
        [3_u32.to_be_bytes().as_slice(), &note, &text, b"\0\0\x10\0x"].concat()
    };
    let array = |element: &[u8]| {
        let head = [1_u32, 0, 25, 2, 1].map(u32::to_be_bytes).concat();
        [head, values(&[Some(element)]), b"\0\0\x10\0x".to_vec()].concat()
    };
    for (form, before, after) in [
        (Form::Row, composite(NUMBER), composite(b"[phi.ssn]")),
        (Form::Array, array(NUMBER), array(b"[phi.ssn]")),
    ] {
        let (out, looked) = passed(&sieve(&[(0, form)]), &row(&[Some(&before)]));
        assert_eq!(out, row(&[Some(&after)]), "{form:?}");
        assert_eq!(counts(&looked), (1, 1, 1), "{form:?}");
    }
}

#[test]
fn copied_lines_are_read_by_their_fields() {
    let lines = |spelling| Sieve {
        wanted: Wanted::Lines(Arc::from([1_u16]), spelling),
        detectors: Arc::new(One),
        scope: Arc::default(),
    };
    for (spelling, before, after) in [
        (Spelling::Tabs, &b"123-45-6789\ta\\n123-45-6789\n"[..], &b"123-45-6789\ta\\n[phi.ssn]\n"[..]),
        (Spelling::Tabs, b"1\t\\N\n", b"1\t\\N\n"),
        (
            Spelling::Commas,
            b"1,\"a \"\"123-45-6789\"\", b\",123-45-6789\n",
            b"1,\"a \"\"[phi.ssn]\"\", b\",123-45-6789\n",
        ),
    ] {
        let (out, _) = passed(&lines(spelling), &framed(b'd', before));
        assert_eq!(out, framed(b'd', after));
    }
}

/// A RowDescription's body.
fn described(columns: &[(&str, u32, i16)]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for (name, kind, format) in columns {
        body.extend_from_slice(name.as_bytes());
        body.extend([0; 7]);
        body.extend(kind.to_be_bytes());
        body.extend([0; 6]);
        body.extend(format.to_be_bytes());
    }
    framed(b'T', &body)
}

#[test]
fn fields_are_chosen_by_place_or_by_name() {
    use crate::codec::backend::{BackendView, view};
    use crate::codec::{Backend, Frame, Limits};

    let mut bytes = BytesMut::from(
        described(&[("id", 23, 1), ("note", 25, 1), ("mrn", 25, 0), ("doc", 17, 1), ("j", 3802, 1)])
            .as_slice(),
    );
    let Ok(Some(Frame::Whole(message))) = Backend::new(Limits::backend()).decode(&mut bytes) else {
        panic!()
    };
    let Ok(BackendView::RowDescription(shape)) = view(&message) else { panic!() };
    let fields = |free_text: FreeText| {
        let subjects: Places = Arc::from([(2, RelationName::new("a", "b"), Arc::from("mrn"))]);
        match Sieve::of(&free_text, Some(&shape), Some(&subjects), Arc::new(One), Arc::default())
            .unwrap()
            .wanted
        {
            Wanted::Fields(fields) => fields,
            Wanted::Lines(..) | Wanted::Unread(_) => panic!(),
        }
    };
    let at: Arc<[u16]> = Arc::from([1, 2]);
    let all = [(1, Form::Text), (3, Form::Unknown), (4, Form::Versioned)];
    assert_eq!(
        fields(FreeText::At { at: at.clone(), of: 5 }),
        [(1, Form::Text)],
        "a subject's is no free text"
    );
    assert_eq!(fields(FreeText::At { at, of: 4 }), all, "it is not the result that was thought of");
    assert_eq!(fields(FreeText::Except(Arc::from([]))), all);
    assert_eq!(fields(FreeText::Except(Arc::from(["note".into(), "doc".into()]))), [(4, Form::Versioned)]);
    let undescribed =
        Sieve::of(&FreeText::Except(Arc::from([])), None, None, Arc::new(One), Arc::default()).unwrap();
    assert_eq!(counts(&passed(&undescribed, &row(&[Some(NUMBER)])).1), (0, 1, 0));
}

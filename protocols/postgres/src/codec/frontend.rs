//! What clients say.

use chaperone_wire::limits::PARAMETERS_MAX;

use super::reader::Reader;
use super::{CodecError, Message};

tags! {
    /// The message types of a client after the startup packet.
    FrontendTag {
        /// Bind values to a prepared statement.
        Bind = b'B',
        /// Forget a prepared statement or portal.
        Close = b'C',
        /// Data of a COPY.
        CopyData = b'd',
        /// End of the data of a COPY.
        CopyDone = b'c',
        /// The client gives up a COPY.
        CopyFail = b'f',
        /// Ask for the shape of a prepared statement or portal.
        Describe = b'D',
        /// Run a portal.
        Execute = b'E',
        /// Ask for what is there so far.
        Flush = b'H',
        /// Call a function by its identifier.
        FunctionCall = b'F',
        /// Prepare a statement.
        Parse = b'P',
        /// Any message of the authentication exchange.
        Password = b'p',
        /// Run a string of statements.
        Query = b'Q',
        /// End of a pipeline.
        Sync = b'S',
        /// Good-bye.
        Terminate = b'X',
    }
}

/// What Describe and Close speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// One message of a client, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrontendView<'a> {
    /// Bind values to a prepared statement.
    Bind(Bind<'a>),
    /// Forget a statement or portal.
    Close(Object, &'a str),
    /// Data of a COPY.
    CopyData(&'a [u8]),
    /// End of the data of a COPY.
    CopyDone,
    /// The client gives up a COPY, with its reason.
    CopyFail(&'a str),
    /// Ask for the shape of a statement or portal.
    Describe(Object, &'a str),
    /// Run a portal.
    Execute(Execute<'a>),
    /// Ask for what is there so far.
    Flush,
    /// Call a function by its identifier; the rest of the message is not read, since it is refused.
    FunctionCall {
        /// The function's object identifier.
        function: u32,
    },
    /// Prepare a statement.
    Parse(Parse<'a>),
    /// A message of the authentication exchange, which only its place tells apart:
    /// [`password`], [`sasl_initial`] or the bytes themselves.
    Password(&'a [u8]),
    /// Run a string of statements.
    Query(&'a str),
    /// End of a pipeline.
    Sync,
    /// Good-bye.
    Terminate,
}

/// Prepare a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement's name; empty for the unnamed one.
    pub name: &'a str,
    /// Its text.
    pub sql: &'a str,
    /// Types of its parameters, as far as the client names them.
    pub types: Oids<'a>,
}

/// Bind values to a prepared statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name; empty for the unnamed one.
    pub portal: &'a str,
    /// The statement's name.
    pub statement: &'a str,
    /// Formats of the values: none (all text), one for all, or one each.
    pub formats: Formats<'a>,
    /// The values.
    pub values: Values<'a>,
    /// Formats of the result's columns: none (all text), one for all, or one each.
    pub result_formats: Formats<'a>,
}

/// Run a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal's name; empty for the unnamed one.
    pub portal: &'a str,
    /// At most so many rows; zero or less is all of them.
    pub rows_max: i32,
}

/// Object identifiers of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oids<'a>(&'a [u8]);

impl<'a> Oids<'a> {
    /// Read `count` of them.
    pub(crate) fn read(reader: &mut Reader<'a>, count: u16) -> Result<Self, CodecError> {
        reader.bytes(4 * usize::from(count), "types").map(Self)
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        let (oids, _none_left) = self.0.as_chunks::<4>();
        oids.iter().map(|oid| u32::from_be_bytes(*oid))
    }

    /// As they stand in the message, four bytes each.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Format codes: 0 is text, 1 is binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats<'a>(&'a [u8]);

impl<'a> Formats<'a> {
    /// Read them with their count.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, CodecError> {
        let count = reader.u16("format count")?;
        reader.bytes(2 * usize::from(count), "formats").map(Self)
    }

    /// As they stand in a message, two bytes each ([`Formats::as_bytes`]).
    #[must_use]
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// As they stand in the message, two bytes each.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// How many codes the message has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// Whether there are none: everything is text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The code that applies to the value or column at `index`.
    #[must_use]
    pub fn of(&self, index: usize) -> i16 {
        let (codes, _none_left) = self.0.as_chunks::<2>();
        match codes {
            [] => 0,
            [one] => i16::from_be_bytes(*one),
            each => each.get(index).map_or(0, |code| i16::from_be_bytes(*code)),
        }
    }
}

/// Values of a Bind, each checked to be inside the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, CodecError> {
        let count = reader.u16("value count")?;
        let mut ahead = *reader;
        let before = ahead.len();
        for _ in 0..count {
            ahead.value("values")?;
        }
        let bytes = reader.bytes(before - ahead.len(), "values")?;
        Ok(Self { count, bytes })
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One after the other; `None` is NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        let mut reader = Reader::new(b'B', self.bytes);
        (0..self.count).map_while(move |_| reader.value("values").ok())
    }
}

/// The first message of a SASL exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    /// The mechanism that the client chose.
    pub mechanism: &'a str,
    /// Its first data, where it sends any.
    pub data: Option<&'a [u8]>,
}

const _: () = assert!(PARAMETERS_MAX == u16::MAX as usize, "a 16-bit count is the limit");

/// Read a whole message.
///
/// # Errors
/// Fields that do not fit the message, texts that are not UTF-8, names over [`super::NAME_GIVEN_BYTES_MAX`].
pub fn view(message: &Message<FrontendTag>) -> Result<FrontendView<'_>, CodecError> {
    let tag = message.tag();
    let mut reader = Reader::new(tag.byte(), message.body());
    let view = match tag {
        FrontendTag::Bind => FrontendView::Bind(bind(&mut reader)?),
        FrontendTag::Close => {
            let (object, name) = object(&mut reader, tag)?;
            FrontendView::Close(object, name)
        }
        FrontendTag::CopyData => FrontendView::CopyData(reader.remainder()),
        FrontendTag::CopyDone => FrontendView::CopyDone,
        FrontendTag::CopyFail => FrontendView::CopyFail(reader.text("reason")?),
        FrontendTag::Describe => {
            let (object, name) = object(&mut reader, tag)?;
            FrontendView::Describe(object, name)
        }
        FrontendTag::Execute => FrontendView::Execute(Execute {
            portal: reader.name("portal name")?,
            rows_max: reader.i32("row limit")?,
        }),
        FrontendTag::Flush => FrontendView::Flush,
        FrontendTag::FunctionCall => {
            let function = reader.u32("function")?;
            reader.remainder();
            FrontendView::FunctionCall { function }
        }
        FrontendTag::Parse => FrontendView::Parse(parse(&mut reader)?),
        FrontendTag::Password => FrontendView::Password(reader.remainder()),
        FrontendTag::Query => FrontendView::Query(reader.text("statement")?),
        FrontendTag::Sync => FrontendView::Sync,
        FrontendTag::Terminate => FrontendView::Terminate,
    };
    reader.finish()?;
    Ok(view)
}

fn parse<'a>(reader: &mut Reader<'a>) -> Result<Parse<'a>, CodecError> {
    let name = reader.name("statement name")?;
    let sql = reader.text("statement")?;
    let count = reader.u16("type count")?;
    Ok(Parse { name, sql, types: Oids::read(reader, count)? })
}

fn bind<'a>(reader: &mut Reader<'a>) -> Result<Bind<'a>, CodecError> {
    let portal = reader.name("portal name")?;
    let statement = reader.name("statement name")?;
    let formats = Formats::read(reader)?;
    let values = Values::read(reader)?;
    if !formats_fit(formats.len(), values.len()) {
        return Err(CodecError::Invalid { tag: b'B', field: "format count" });
    }
    let result_formats = Formats::read(reader)?;
    Ok(Bind { portal, statement, formats, values, result_formats })
}

/// Whether so many format codes may stand beside so many values.
pub(crate) fn formats_fit(formats: usize, values: usize) -> bool {
    formats <= 1 || formats == values
}

fn object<'a>(reader: &mut Reader<'a>, tag: FrontendTag) -> Result<(Object, &'a str), CodecError> {
    let object = match reader.byte("object kind")? {
        b'S' => Object::Statement,
        b'P' => Object::Portal,
        _ => return Err(CodecError::Invalid { tag: tag.byte(), field: "object kind" }),
    };
    Ok((object, reader.name("name")?))
}

/// The body of a Password message as a password.
///
/// # Errors
/// [`CodecError::Truncated`] or [`CodecError::Trailing`].
pub fn password(body: &[u8]) -> Result<&[u8], CodecError> {
    let mut reader = Reader::new(b'p', body);
    let password = reader.terminated("password")?;
    reader.finish()?;
    Ok(password)
}

/// The body of a Password message as the first message of a SASL exchange.
///
/// # Errors
/// Fields that do not fit the message.
pub fn sasl_initial(body: &[u8]) -> Result<SaslInitial<'_>, CodecError> {
    let mut reader = Reader::new(b'p', body);
    let mechanism = reader.text("mechanism")?;
    let data = reader.value("data")?;
    reader.finish()?;
    Ok(SaslInitial { mechanism, data })
}

//! What servers say.

use super::frontend::Oids;
use super::reader::Reader;
use super::{CodecError, Message};

tags! {
    /// The message types of a server.
    BackendTag {
        /// Part of the authentication exchange.
        Authentication = b'R',
        /// The key for cancel requests.
        BackendKeyData = b'K',
        /// A Bind was carried out.
        BindComplete = b'2',
        /// A Close was carried out.
        CloseComplete = b'3',
        /// A statement was carried out.
        CommandComplete = b'C',
        /// COPY in both directions (replication).
        CopyBothResponse = b'W',
        /// Data of a COPY.
        CopyData = b'd',
        /// End of the data of a COPY.
        CopyDone = b'c',
        /// COPY from the client begins.
        CopyInResponse = b'G',
        /// COPY to the client begins.
        CopyOutResponse = b'H',
        /// A row of a result.
        DataRow = b'D',
        /// An empty string was run.
        EmptyQuery = b'I',
        /// An error.
        Error = b'E',
        /// Result of a function call.
        FunctionCallResponse = b'V',
        /// The server speaks an older minor version, or does not know some options.
        NegotiateProtocolVersion = b'v',
        /// A statement or portal has no result.
        NoData = b'n',
        /// A warning or remark.
        Notice = b'N',
        /// NOTIFY of another session.
        Notification = b'A',
        /// Types of a prepared statement's parameters.
        ParameterDescription = b't',
        /// The value of a setting.
        ParameterStatus = b'S',
        /// A Parse was carried out.
        ParseComplete = b'1',
        /// An Execute stopped at its row limit.
        PortalSuspended = b's',
        /// The server waits for the next request.
        ReadyForQuery = b'Z',
        /// The shape of a result.
        RowDescription = b'T',
    }
}

/// One message of a server, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendView<'a> {
    /// Part of the authentication exchange.
    Authentication(Authentication<'a>),
    /// The key for cancel requests.
    BackendKeyData(BackendKey<'a>),
    /// A Bind was carried out.
    BindComplete,
    /// A Close was carried out.
    CloseComplete,
    /// A statement was carried out.
    CommandComplete(CommandTag<'a>),
    /// COPY in both directions.
    CopyBothResponse(CopyShape<'a>),
    /// Data of a COPY.
    CopyData(&'a [u8]),
    /// End of the data of a COPY.
    CopyDone,
    /// COPY from the client begins.
    CopyInResponse(CopyShape<'a>),
    /// COPY to the client begins.
    CopyOutResponse(CopyShape<'a>),
    /// A row of a result; its values are read with [`Row::iter`].
    DataRow(Row<'a>),
    /// An empty string was run.
    EmptyQuery,
    /// An error.
    Error(Report<'a>),
    /// Result of a function call; `None` is NULL.
    FunctionCallResponse(Option<&'a [u8]>),
    /// The newest minor version that the server speaks.
    NegotiateProtocolVersion {
        /// The version, major in the upper 16 bits.
        version: u32,
        /// How many options it does not know; their names follow in the message.
        unknown: u32,
    },
    /// A statement or portal has no result.
    NoData,
    /// A warning or remark.
    Notice(Report<'a>),
    /// NOTIFY of another session.
    Notification(Notification<'a>),
    /// Types of a prepared statement's parameters.
    ParameterDescription(Oids<'a>),
    /// The value of a setting.
    ParameterStatus {
        /// The setting.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// A Parse was carried out.
    ParseComplete,
    /// An Execute stopped at its row limit.
    PortalSuspended,
    /// The server waits for the next request.
    ReadyForQuery(TransactionStatus),
    /// The shape of a result.
    RowDescription(RowShape<'a>),
}

/// What the server asks of the client, or says about its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Done.
    Ok,
    /// Wants the password as it is.
    CleartextPassword,
    /// Wants the password hashed with MD5 and this salt.
    Md5Password {
        /// The salt.
        salt: [u8; 4],
    },
    /// Wants a SASL exchange; the mechanisms are read with [`mechanisms`].
    Sasl(&'a [u8]),
    /// Data of the SASL exchange.
    SaslContinue(&'a [u8]),
    /// Last data of the SASL exchange.
    SaslFinal(&'a [u8]),
    /// A method that nobody here speaks (GSSAPI, SSPI, Kerberos).
    Unsupported(u32),
}

/// The key for cancel requests: 4 bytes in protocol 3.0, up to 256 in 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendKey<'a> {
    /// The backend's process.
    pub pid: i32,
    /// The secret.
    pub key: &'a [u8],
}

/// What a statement's end says: a command's name and, for some, a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandTag<'a>(pub &'a str);

impl CommandTag<'_> {
    /// Whether a transaction was taken back, which COMMIT of one that had failed says, too.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        self.0 == "ROLLBACK"
    }

    /// Rows returned or affected, where the tag says.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        let (command, count) = self.0.rsplit_once(' ')?;
        // `INSERT 0 5` has the long dead row identifier before its count.
        let known = ["SELECT", "UPDATE", "DELETE", "MERGE", "FETCH", "MOVE", "COPY", "INSERT 0"];
        known.contains(&command).then(|| count.parse().ok()).flatten()
    }
}

/// Formats of a COPY's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyShape<'a> {
    /// Whether the whole is binary.
    pub binary: bool,
    formats: &'a [u8],
}

impl CopyShape<'_> {
    /// How many columns there are.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.formats.len() / 2
    }
}

/// The values of a result's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Row<'a> {
    /// How many values the row says it has.
    #[must_use]
    pub fn columns(&self) -> usize {
        usize::from(self.count)
    }

    /// One after the other; `None` is NULL. An error where the row ends before its values do.
    pub fn iter(&self) -> impl Iterator<Item = Result<Option<&'a [u8]>, CodecError>> + 'a {
        let mut reader = Reader::new(b'D', self.bytes);
        (0..self.count).map(move |_| reader.value("values"))
    }
}

/// The fields of an error or notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a>(&'a [u8]);

impl<'a> Report<'a> {
    /// Field type and text, in order. Texts may be in any encoding before the session has one.
    pub fn fields(&self) -> impl Iterator<Item = (u8, &'a [u8])> + 'a {
        let mut reader = Reader::new(b'E', self.0);
        std::iter::from_fn(move || {
            let kind = reader.byte("fields").ok().filter(|kind| *kind != 0)?;
            Some((kind, reader.terminated("fields").ok()?))
        })
    }

    /// The first field of a type.
    #[must_use]
    pub fn field(&self, kind: u8) -> Option<&'a [u8]> {
        self.fields().find(|(found, _)| *found == kind).map(|(_, text)| text)
    }

    /// SQLSTATE; `XX000` where the server names none.
    #[must_use]
    pub fn code(&self) -> [u8; 5] {
        self.field(b'C').and_then(|code| code.try_into().ok()).unwrap_or(*b"XX000")
    }

    /// Whether the session ends with it (severity FATAL or PANIC, from the field that is never translated).
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.field(b'V').or_else(|| self.field(b'S')).is_some_and(|text| text == b"FATAL" || text == b"PANIC")
    }

    /// The primary message.
    #[must_use]
    pub fn message(&self) -> &'a [u8] {
        self.field(b'M').unwrap_or_default()
    }
}

/// NOTIFY of another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The backend that notifies.
    pub pid: i32,
    /// The channel.
    pub channel: &'a str,
    /// What it says.
    pub payload: &'a str,
}

/// Where a session stands in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// In none.
    Idle,
    /// In one.
    Active,
    /// In one that has failed.
    Failed,
}

impl TransactionStatus {
    /// The byte in ReadyForQuery.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Active => b'T',
            Self::Failed => b'E',
        }
    }
}

/// The columns of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowShape<'a> {
    count: u16,
    bytes: &'a [u8],
}

/// One column of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name, in the session's encoding.
    pub name: &'a [u8],
    /// The relation that it is a column of; 0 for none.
    pub relation: u32,
    /// Its number there; 0 for none.
    pub attribute: i16,
    /// Its type.
    pub type_oid: u32,
    /// The type's size; negative where it varies.
    pub type_size: i16,
    /// The type's modifier.
    pub modifier: i32,
    /// 0 text, 1 binary.
    pub format: i16,
}

impl<'a> RowShape<'a> {
    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Column<'a>> + 'a {
        let mut reader = Reader::new(b'T', self.bytes);
        (0..self.count).map_while(move |_| column(&mut reader).ok())
    }
}

fn column<'a>(reader: &mut Reader<'a>) -> Result<Column<'a>, CodecError> {
    Ok(Column {
        name: reader.terminated("columns")?,
        relation: reader.u32("columns")?,
        attribute: reader.i16("columns")?,
        type_oid: reader.u32("columns")?,
        type_size: reader.i16("columns")?,
        modifier: reader.i32("columns")?,
        format: reader.i16("columns")?,
    })
}

/// Read a whole message.
///
/// # Errors
/// Fields that do not fit the message.
pub fn view(message: &Message<BackendTag>) -> Result<BackendView<'_>, CodecError> {
    let tag = message.tag();
    let mut reader = Reader::new(tag.byte(), message.body());
    let view = match tag {
        BackendTag::Authentication => BackendView::Authentication(authentication(&mut reader)?),
        BackendTag::BackendKeyData => BackendView::BackendKeyData(key(&mut reader)?),
        BackendTag::BindComplete => BackendView::BindComplete,
        BackendTag::CloseComplete => BackendView::CloseComplete,
        BackendTag::CommandComplete => BackendView::CommandComplete(CommandTag(reader.text("tag")?)),
        BackendTag::CopyBothResponse => BackendView::CopyBothResponse(copy_shape(&mut reader, tag)?),
        BackendTag::CopyData => BackendView::CopyData(reader.remainder()),
        BackendTag::CopyDone => BackendView::CopyDone,
        BackendTag::CopyInResponse => BackendView::CopyInResponse(copy_shape(&mut reader, tag)?),
        BackendTag::CopyOutResponse => BackendView::CopyOutResponse(copy_shape(&mut reader, tag)?),
        BackendTag::DataRow => {
            BackendView::DataRow(Row { count: reader.u16("value count")?, bytes: reader.remainder() })
        }
        BackendTag::EmptyQuery => BackendView::EmptyQuery,
        BackendTag::Error => BackendView::Error(report(&mut reader)?),
        BackendTag::FunctionCallResponse => BackendView::FunctionCallResponse(reader.value("result")?),
        BackendTag::NegotiateProtocolVersion => {
            let view = BackendView::NegotiateProtocolVersion {
                version: reader.u32("version")?,
                unknown: reader.u32("option count")?,
            };
            reader.remainder();
            view
        }
        BackendTag::NoData => BackendView::NoData,
        BackendTag::Notice => BackendView::Notice(report(&mut reader)?),
        BackendTag::Notification => BackendView::Notification(Notification {
            pid: reader.i32("process")?,
            channel: reader.text("channel")?,
            payload: reader.text("payload")?,
        }),
        BackendTag::ParameterDescription => {
            let count = reader.u16("type count")?;
            BackendView::ParameterDescription(Oids::read(&mut reader, count)?)
        }
        BackendTag::ParameterStatus => {
            BackendView::ParameterStatus { name: reader.text("name")?, value: reader.text("value")? }
        }
        BackendTag::ParseComplete => BackendView::ParseComplete,
        BackendTag::PortalSuspended => BackendView::PortalSuspended,
        BackendTag::ReadyForQuery => BackendView::ReadyForQuery(status(&mut reader)?),
        BackendTag::RowDescription => BackendView::RowDescription(row_shape(&mut reader)?),
    };
    reader.finish()?;
    Ok(view)
}

fn authentication<'a>(reader: &mut Reader<'a>) -> Result<Authentication<'a>, CodecError> {
    Ok(match reader.u32("method")? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => {
            let salt = reader.u32("salt")?;
            Authentication::Md5Password { salt: salt.to_be_bytes() }
        }
        10 => Authentication::Sasl(reader.remainder()),
        11 => Authentication::SaslContinue(reader.remainder()),
        12 => Authentication::SaslFinal(reader.remainder()),
        other => {
            reader.remainder();
            Authentication::Unsupported(other)
        }
    })
}

/// The mechanisms of [`Authentication::Sasl`], in the server's order.
pub fn mechanisms(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == 0).take_while(|name| !name.is_empty())
}

fn key<'a>(reader: &mut Reader<'a>) -> Result<BackendKey<'a>, CodecError> {
    let pid = reader.i32("process")?;
    let key = reader.remainder();
    if !super::startup::CANCEL_KEY_BYTES.contains(&key.len()) {
        return Err(CodecError::Invalid { tag: b'K', field: "key length" });
    }
    Ok(BackendKey { pid, key })
}

fn copy_shape<'a>(reader: &mut Reader<'a>, tag: BackendTag) -> Result<CopyShape<'a>, CodecError> {
    let binary = match reader.byte("format")? {
        0 => false,
        1 => true,
        _ => return Err(CodecError::Invalid { tag: tag.byte(), field: "format" }),
    };
    let count = reader.u16("column count")?;
    Ok(CopyShape { binary, formats: reader.bytes(2 * usize::from(count), "formats")? })
}

fn report<'a>(reader: &mut Reader<'a>) -> Result<Report<'a>, CodecError> {
    let mut ahead = *reader;
    let report = Report(reader.remainder());
    while ahead.byte("fields")? != 0 {
        ahead.terminated("fields")?;
    }
    ahead.finish()?;
    Ok(report)
}

fn status(reader: &mut Reader<'_>) -> Result<TransactionStatus, CodecError> {
    match reader.byte("status")? {
        b'I' => Ok(TransactionStatus::Idle),
        b'T' => Ok(TransactionStatus::Active),
        b'E' => Ok(TransactionStatus::Failed),
        _ => Err(CodecError::Invalid { tag: b'Z', field: "status" }),
    }
}

fn row_shape<'a>(reader: &mut Reader<'a>) -> Result<RowShape<'a>, CodecError> {
    let count = reader.u16("column count")?;
    let mut ahead = *reader;
    let shape = RowShape { count, bytes: reader.remainder() };
    for _ in 0..count {
        column(&mut ahead)?;
    }
    ahead.finish()?;
    Ok(shape)
}

//! How the kinds are declared: each with its fields, in their order, from which come the types, the words and the way to and
//! from an entry.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        )*

        /// What happened: one variant a kind.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Body { $($(#[$doc])* $name($name),)* }

        /// The kind alone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in the entry.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl Body {
            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => Kind::$name,)* }
            }

            pub(super) fn write(&self, fields: &mut Fields<'_>) -> Result<(), serde_json::Error> {
                match self {
                    $(Self::$name(body) => { $(fields.field(stringify!($field), &body.$field)?;)* let _ = body; })*
                }
                Ok(())
            }

            pub(super) fn read(kind: &str, members: BTreeMap<String, &RawValue>) -> Result<Self, EntryError> {
                let fields = MapDeserializer::new(members.into_iter());
                match kind {
                    $($text => Ok(Self::$name($name::deserialize(fields)?)),)*
                    _ => Err(EntryError::UnknownKind(kind.to_owned())),
                }
            }
        }
    };
}

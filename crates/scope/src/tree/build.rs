//! From the parser's protobuf to a [`Value`], through serde: the one way to all of its node types that a newer parser
//! cannot add to unseen. Fields that are as if they had not been written are left out; nothing else is.

use std::fmt;

use serde::ser::{
    self, Impossible, Serialize, SerializeSeq, SerializeStruct, SerializeStructVariant, Serializer,
};

use super::{Fields, Value, unset};

/// What the generated types never are.
#[derive(Debug)]
pub(super) struct Strange(String);

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the parser's tree has {}", self.0)
    }
}

impl std::error::Error for Strange {}

impl ser::Error for Strange {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn strange<T>(what: &str) -> Result<T, Strange> {
    Err(Strange(what.to_owned()))
}

/// Makes values.
pub(super) struct Build;

type Made = Result<Value, Strange>;

impl Serializer for Build {
    type Ok = Value;
    type Error = Strange;
    type SerializeSeq = Items;
    type SerializeTuple = Impossible<Value, Strange>;
    type SerializeTupleStruct = Impossible<Value, Strange>;
    type SerializeTupleVariant = Impossible<Value, Strange>;
    type SerializeMap = Impossible<Value, Strange>;
    type SerializeStruct = Struct;
    type SerializeStructVariant = Struct;

    fn serialize_bool(self, flag: bool) -> Made {
        Ok(Value::Bool(flag))
    }
    fn serialize_i8(self, number: i8) -> Made {
        Ok(Value::Number(number.into()))
    }
    fn serialize_i16(self, number: i16) -> Made {
        Ok(Value::Number(number.into()))
    }
    fn serialize_i32(self, number: i32) -> Made {
        Ok(Value::Number(number.into()))
    }
    fn serialize_i64(self, number: i64) -> Made {
        Ok(Value::Number(number))
    }
    fn serialize_u8(self, number: u8) -> Made {
        Ok(Value::Number(number.into()))
    }
    fn serialize_u16(self, number: u16) -> Made {
        Ok(Value::Number(number.into()))
    }
    fn serialize_u32(self, number: u32) -> Made {
        Ok(Value::Number(number.into()))
    }
    fn serialize_u64(self, number: u64) -> Made {
        i64::try_from(number).map(Value::Number).map_err(|error| Strange(error.to_string()))
    }
    fn serialize_f32(self, _number: f32) -> Made {
        strange("a floating-point number")
    }
    fn serialize_f64(self, _number: f64) -> Made {
        strange("a floating-point number")
    }
    fn serialize_char(self, _character: char) -> Made {
        strange("a character")
    }
    fn serialize_str(self, text: &str) -> Made {
        Ok(Value::Text(text.to_owned()))
    }
    fn serialize_bytes(self, _bytes: &[u8]) -> Made {
        strange("bytes")
    }
    fn serialize_none(self) -> Made {
        Ok(Value::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Made {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Made {
        Ok(Value::Null)
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Made {
        strange("a unit")
    }
    fn serialize_unit_variant(self, _name: &'static str, _index: u32, _variant: &'static str) -> Made {
        strange("a unit")
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, _value: &T) -> Made {
        strange("a wrapped value")
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Made {
        Ok(Value::Object(Fields(vec![(variant, value.serialize(Build)?)])))
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Items, Strange> {
        Ok(Items(Vec::with_capacity(length.unwrap_or_default())))
    }
    fn serialize_tuple(self, _length: usize) -> Result<Self::SerializeTuple, Strange> {
        strange("a tuple")
    }
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTuple, Strange> {
        strange("a tuple")
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTuple, Strange> {
        strange("a tuple")
    }
    fn serialize_map(self, _length: Option<usize>) -> Result<Self::SerializeMap, Strange> {
        strange("a map")
    }
    fn serialize_struct(self, name: &'static str, _length: usize) -> Result<Struct, Strange> {
        Ok(Struct { is_node: name == "Node", fields: Vec::new() })
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Struct, Strange> {
        strange("a structure in a variant")
    }
}

/// A list under way.
pub(super) struct Items(Vec<Value>);

impl SerializeSeq for Items {
    type Ok = Value;
    type Error = Strange;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Strange> {
        self.0.push(value.serialize(Build)?);
        Ok(())
    }

    fn end(self) -> Made {
        Ok(Value::Array(self.0))
    }
}

/// A structure under way.
pub(super) struct Struct {
    is_node: bool,
    fields: Vec<(&'static str, Value)>,
}

impl SerializeStruct for Struct {
    type Ok = Value;
    type Error = Strange;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Strange> {
        let value = value.serialize(Build)?;
        if !unset(&value) {
            self.fields.push((name, value));
        }
        Ok(())
    }

    fn end(mut self) -> Made {
        if !self.is_node {
            return Ok(Value::Object(Fields(self.fields)));
        }
        // The one field of a wrapped node is its kind with that kind's own fields; without one there is no node.
        match self.fields.pop() {
            None => Ok(Value::Null),
            Some(("node", Value::Object(Fields(mut inner))))
                if self.fields.is_empty() && inner.len() == 1 =>
            {
                match inner.pop() {
                    Some((kind, Value::Object(fields))) => Ok(Value::Node(kind, fields)),
                    _ => strange("a node of no kind"),
                }
            }
            Some(_) => strange("a node of no kind"),
        }
    }
}

impl SerializeStructVariant for Struct {
    type Ok = Value;
    type Error = Strange;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Strange> {
        SerializeStruct::serialize_field(self, name, value)
    }

    fn end(self) -> Made {
        SerializeStruct::end(self)
    }
}

//! Reads Go's gob, the format of Pushgateway's persistence file.
//!
//! <https://pkg.go.dev/encoding/gob> is the specification. A stream is a sequence of messages, each with its length; a
//! message defines a type or has a value. Values are read by the types that the stream itself defines.

use std::collections::HashMap;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A float.
    Float(f64),
    /// A byte slice, or the bytes of a value that encodes itself.
    Bytes(Vec<u8>),
    /// A string, whose bytes need not be UTF-8.
    String(Vec<u8>),
    /// A slice or an array.
    List(Vec<Value>),
    /// A map.
    Map(Vec<(Value, Value)>),
    /// A struct without its zero fields.
    Struct(Vec<(String, Value)>),
}

impl Value {
    /// The field of a struct.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The entries of a map; none of any other value.
    pub fn entries(&self) -> &[(Value, Value)] {
        match self {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a string that is UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// Why a stream cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub struct GobError {
    /// The position.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

type TypeId = i64;

#[derive(Clone, Debug)]
enum Type {
    Array(TypeId),
    Slice(TypeId),
    Struct(Vec<(String, TypeId)>),
    Map(TypeId, TypeId),
    /// Encodes itself: bytes.
    Opaque,
}

/// The first value of a stream.
///
/// # Errors
/// The stream is cut off or malformed, or has no value.
pub fn first_value(stream: &[u8]) -> Result<Value, GobError> {
    let mut reader = Reader { bytes: stream, at: 0, types: HashMap::new() };
    loop {
        let length = reader.length()?;
        let end = reader.at + length;
        let id = reader.int()?;
        if id < 0 {
            let defined = id.checked_neg().ok_or_else(|| reader.error("a type of a number that none can have"))?;
            let definition = reader.definition()?;
            reader.types.insert(defined, definition);
            if reader.at != end {
                return Err(reader.error("a type definition of another length"));
            }
            continue;
        }
        // A value that is no struct has a delta of 0 in front.
        if !matches!(reader.types.get(&id), Some(Type::Struct(_))) && reader.uint()? != 0 {
            return Err(reader.error("expected a value"));
        }
        return reader.value(id, 0);
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    types: HashMap<TypeId, Type>,
}

impl Reader<'_> {
    fn error(&self, what: &'static str) -> GobError {
        GobError { at: self.at, what }
    }

    fn byte(&mut self) -> Result<u8, GobError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.error("it is cut off"))?;
        self.at += 1;
        Ok(byte)
    }

    /// Below 128 one byte; above, the negated number of bytes and these, the highest first.
    fn uint(&mut self) -> Result<u64, GobError> {
        let first = self.byte()?;
        if first < 128 {
            return Ok(first.into());
        }
        let length = 256 - usize::from(first);
        if length > 8 {
            return Err(self.error("an integer of more than eight bytes"));
        }
        (0..length).try_fold(0, |number, _| Ok(number << 8 | u64::from(self.byte()?)))
    }

    /// The lowest bit is the sign.
    fn int(&mut self) -> Result<i64, GobError> {
        let bits = self.uint()?;
        let number = (bits >> 1) as i64;
        Ok(if bits & 1 == 1 { !number } else { number })
    }

    /// A number of bytes that are there.
    fn length(&mut self) -> Result<usize, GobError> {
        let length = self.uint()?;
        let is_there = length <= (self.bytes.len() - self.at) as u64;
        if is_there { Ok(length as usize) } else { Err(self.error("it is cut off")) }
    }

    fn take(&mut self) -> Result<Vec<u8>, GobError> {
        let length = self.length()?;
        let bytes = self.bytes[self.at..self.at + length].to_vec();
        self.at += length;
        Ok(bytes)
    }

    /// Calls `read` for the number of each field of a struct.
    fn fields(&mut self, mut read: impl FnMut(&mut Self, u64) -> Result<(), GobError>) -> Result<(), GobError> {
        let mut number = 0_u64;
        loop {
            match self.uint()? {
                0 => return Ok(()),
                delta => number = number.saturating_add(delta),
            }
            read(self, number)?;
        }
    }

    /// A `wireType`.
    fn definition(&mut self) -> Result<Type, GobError> {
        let mut defined = None;
        self.fields(|reader, kind| {
            let (mut ids, mut names) = (Vec::new(), Vec::new());
            reader.fields(|reader, number| match (kind, number) {
                (_, 1) => reader.common(),
                (3, 2) => reader.struct_fields(&mut names),
                (1 | 2 | 4, 2 | 3) => reader.int().map(|id| ids.push(id)),
                _ => Err(reader.error("an unknown part of a type")),
            })?;
            defined = Some(match (kind, &ids[..]) {
                (1, [element, ..]) => Type::Array(*element),
                (2, [element]) => Type::Slice(*element),
                (3, []) => Type::Struct(names),
                (4, [key, element]) => Type::Map(*key, *element),
                (5..=7, []) => Type::Opaque,
                _ => return Err(reader.error("an unknown type")),
            });
            Ok(())
        })?;
        defined.ok_or_else(|| self.error("an empty type"))
    }

    /// The name and the number of a type, which are not needed.
    fn common(&mut self) -> Result<(), GobError> {
        self.fields(|reader, number| match number {
            1 => reader.take().map(drop),
            2 => reader.int().map(drop),
            _ => Err(reader.error("an unknown part of a type")),
        })
    }

    fn struct_fields(&mut self, names: &mut Vec<(String, TypeId)>) -> Result<(), GobError> {
        for _ in 0..self.length()? {
            let (mut name, mut id) = (String::new(), 0);
            self.fields(|reader, number| {
                match number {
                    1 => name = String::from_utf8_lossy(&reader.take()?).into_owned(),
                    2 => id = reader.int()?,
                    _ => return Err(reader.error("an unknown part of a field")),
                }
                Ok(())
            })?;
            names.push((name, id));
        }
        Ok(())
    }

    fn value(&mut self, id: TypeId, depth: usize) -> Result<Value, GobError> {
        const MAX_DEPTH: usize = 32;
        if depth > MAX_DEPTH {
            return Err(self.error("values are nested too deeply"));
        }
        Ok(match id {
            1 => Value::Bool(self.uint()? != 0),
            2 => Value::Int(self.int()?),
            3 => Value::Uint(self.uint()?),
            4 => Value::Float(f64::from_bits(self.uint()?.swap_bytes())),
            5 => Value::Bytes(self.take()?),
            6 => Value::String(self.take()?),
            _ => match self.types.get(&id).cloned().ok_or_else(|| self.error("a type that is not defined"))? {
                Type::Opaque => Value::Bytes(self.take()?),
                Type::Array(element) | Type::Slice(element) => {
                    let count = self.length()?;
                    Value::List((0..count).map(|_| self.value(element, depth + 1)).collect::<Result<_, _>>()?)
                }
                Type::Map(key, element) => {
                    let count = self.length()?;
                    let mut entry = || Ok((self.value(key, depth + 1)?, self.value(element, depth + 1)?));
                    Value::Map((0..count).map(|_| entry()).collect::<Result<_, _>>()?)
                }
                Type::Struct(names) => {
                    let mut fields = Vec::new();
                    self.fields(|reader, number| {
                        let field = names.get((number - 1) as usize).ok_or_else(|| reader.error("an unknown field"))?;
                        fields.push((field.0.clone(), reader.value(field.1, depth + 1)?));
                        Ok(())
                    })?;
                    Value::Struct(fields)
                }
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_as_in_the_specification() {
        let uint = |bytes: &[u8]| Reader { bytes, at: 0, types: HashMap::new() }.uint();
        assert_eq!(uint(&[7]), Ok(7));
        assert_eq!(uint(&[0xFE, 0x01, 0x00]), Ok(256));
        let int = |bytes: &[u8]| Reader { bytes, at: 0, types: HashMap::new() }.int();
        assert_eq!(int(&[0xFE, 0x01, 0x01]), Ok(-129));
        assert!(uint(&[0xFE, 1]).is_err() && uint(&[0x80]).is_err());
    }

    /// The example of the specification: `struct { X, Y int }{22, 33}`.
    #[test]
    fn the_example_of_the_specification_is_read() {
        let stream = [
            0x1f, 0xff, 0x81, 0x03, 0x01, 0x01, 0x05, 0x50, 0x6f, 0x69, 0x6e, 0x74, 0x01, 0xff, 0x82, 0x00, 0x01, 0x02,
            0x01, 0x01, 0x58, 0x01, 0x04, 0x00, 0x01, 0x01, 0x59, 0x01, 0x04, 0x00, 0x00, 0x00, 0x07, 0xff, 0x82, 0x01,
            0x2c, 0x01, 0x42, 0x00,
        ];
        let fields = vec![("X".to_owned(), Value::Int(22)), ("Y".to_owned(), Value::Int(33))];
        assert_eq!(first_value(&stream), Ok(Value::Struct(fields)));
        for end in 0..stream.len() {
            assert!(first_value(&stream[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn the_smallest_number_is_that_of_no_type() {
        // It has no positive counterpart, which a definition is stored under.
        let stream = [9, 0xF8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(first_value(&stream).unwrap_err().what, "a type of a number that none can have");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = first_value(&bytes);
        }
    }
}

//! The values of a message, in either byte order.

/// A cursor over the values of a message. A missing value, or one of another type, is `None`.
#[derive(Clone, Debug)]
pub struct Values<'m> {
    bytes: &'m [u8],
    at: usize,
    is_big: bool,
}

/// A value with its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variant<'m> {
    /// A string, object path or signature.
    Text(&'m str),
    /// An unsigned number, or a boolean as 0 or 1.
    Unsigned(u64),
    /// A signed number.
    Signed(i64),
    /// A double.
    Float(f64),
}

impl<'m> Values<'m> {
    pub(super) fn new(bytes: &'m [u8], at: usize, is_big: bool) -> Self {
        Values { bytes, at, is_big }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Reads a string or an object path.
    pub fn text(&mut self) -> Option<&'m str> {
        let length = self.u32()? as usize;
        self.characters(length)
    }

    /// Reads a 32-bit number.
    pub fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let number = self.take::<4>()?;
        Some(if self.is_big { u32::from_be_bytes(number) } else { u32::from_le_bytes(number) })
    }

    /// Reads an array whose items are aligned to `alignment` bytes.
    pub fn array(&mut self, alignment: usize) -> Option<Values<'m>> {
        let length = self.u32()? as usize;
        self.align(alignment);
        let end = self.at.checked_add(length)?;
        let items = Values { bytes: self.bytes.get(..end)?, at: self.at, is_big: self.is_big };
        self.at = end;
        Some(items)
    }

    /// Advances to the next structure of an array; `None` at the end.
    pub fn structure(&mut self) -> Option<()> {
        self.align(8);
        (self.at < self.bytes.len()).then_some(())
    }

    /// Reads a variant; `None` for containers.
    pub fn variant(&mut self) -> Option<Variant<'m>> {
        let length = self.byte()?.into();
        Some(match self.characters(length)? {
            "s" | "o" => Variant::Text(self.text()?),
            "g" => {
                let length = self.byte()?.into();
                Variant::Text(self.characters(length)?)
            }
            "b" | "u" => Variant::Unsigned(self.u32()?.into()),
            "y" => Variant::Unsigned(self.byte()?.into()),
            "q" => Variant::Unsigned(self.u16()?.into()),
            "n" => Variant::Signed((self.u16()? as i16).into()),
            "i" => Variant::Signed((self.u32()? as i32).into()),
            "t" => Variant::Unsigned(self.u64()?),
            "x" => Variant::Signed(self.u64()? as i64),
            "d" => Variant::Float(f64::from_bits(self.u64()?)),
            _ => return None,
        })
    }

    fn u64(&mut self) -> Option<u64> {
        self.align(8);
        let number = self.take::<8>()?;
        Some(if self.is_big { u64::from_be_bytes(number) } else { u64::from_le_bytes(number) })
    }

    fn u16(&mut self) -> Option<u16> {
        self.align(2);
        let number = self.take::<2>()?;
        Some(if self.is_big { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) })
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// Reads `length` bytes of text and the NUL after them.
    fn characters(&mut self, length: usize) -> Option<&'m str> {
        let end = self.at.checked_add(length)?;
        let text = self.bytes.get(self.at..end)?;
        self.at = end.checked_add(1)?;
        std::str::from_utf8(text).ok()
    }

    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let taken = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += LENGTH;
        Some(*taken)
    }

    pub(super) fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_either_byte_order() {
        let little = [1, b't', 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        let big = [1, b't', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        for (bytes, is_big) in [(little, false), (big, true)] {
            assert_eq!(Values { bytes: &bytes, at: 0, is_big }.variant(), Some(Variant::Unsigned(5)));
        }
        let negative = [1, b'i', 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Values { bytes: &negative, at: 0, is_big: false }.variant(), Some(Variant::Signed(-1)));
        let structures = [1, b'a', 0, 0, 0, 0, 0, 0];
        assert_eq!(Values { bytes: &structures, at: 0, is_big: false }.variant(), None);
    }
}

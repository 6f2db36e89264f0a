//! Streaming of expositions, so that none is in memory as a whole.

/// Consumes the output of an encoder while it is written.
pub trait Drain {
    /// Removes all bytes.
    fn drain(&mut self, bytes: &mut Vec<u8>);
}

/// Removes nothing: the exposition stays in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whole;

impl Drain for Whole {
    fn drain(&mut self, _: &mut Vec<u8>) {}
}

impl<F: FnMut(&mut Vec<u8>)> Drain for F {
    fn drain(&mut self, bytes: &mut Vec<u8>) {
        self(bytes);
    }
}

/// Approximate number of bytes drained at a time. A family is never split.
pub const CHUNK: usize = 64 << 10;

//! Expositions that go out while they are written, so that none is in memory whole.

/// Whoever takes what an encoder has written so far.
pub trait Drain {
    /// Takes the bytes, and leaves none.
    fn take(&mut self, bytes: &mut Vec<u8>);
}

/// Takes nothing: the exposition stays whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whole;

impl Drain for Whole {
    fn take(&mut self, _: &mut Vec<u8>) {}
}

impl<F: FnMut(&mut Vec<u8>)> Drain for F {
    fn take(&mut self, bytes: &mut Vec<u8>) {
        self(bytes);
    }
}

/// About how many bytes are drained at a time; a family is never divided.
pub const CHUNK: usize = 64 << 10;

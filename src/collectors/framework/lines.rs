//! The lines of a stream.

/// Splits what arrives into whole lines of a bounded length.
#[derive(Debug)]
pub(in crate::collectors) struct Lines {
    max: usize,
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Whether the line is too long, and its rest is skipped.
    is_skipped: bool,
}

impl Lines {
    pub(in crate::collectors) fn new(max: usize) -> Lines {
        Lines { max, begun: Vec::new(), is_skipped: false }
    }

    /// Calls `take` with the lines that are complete. Returns the number of lines that are too long.
    pub(in crate::collectors) fn push(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> usize {
        let mut too_long = 0;
        let (mut whole, mut rest) = match memchr::memrchr(b'\n', bytes) {
            Some(end) => bytes.split_at(end + 1),
            None => (&bytes[..0], bytes),
        };
        if self.is_skipped || !self.begun.is_empty() {
            // The first line has begun before.
            let end = memchr::memchr(b'\n', whole).map_or(whole.len(), |end| end + 1);
            let first = if whole.is_empty() { std::mem::take(&mut rest) } else { &whole[..end] };
            whole = &whole[end..];
            too_long += self.extend(first, take);
        }
        if !whole.is_empty() {
            take(whole);
        }
        too_long + self.extend(rest, take)
    }

    /// Adds bytes of one line.
    fn extend(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> usize {
        let is_complete = bytes.ends_with(b"\n");
        let is_too_long = !self.is_skipped && self.begun.len() + bytes.len() > self.max + 1;
        if is_too_long {
            (self.is_skipped, self.begun) = (true, Vec::new());
        }
        if !self.is_skipped {
            self.begun.extend_from_slice(bytes);
        }
        if is_complete {
            if !self.is_skipped {
                take(&self.begun);
            }
            self.begun.clear();
            self.is_skipped = false;
        }
        usize::from(is_too_long)
    }

    /// Takes the last line, without an end.
    pub(in crate::collectors) fn end(self, take: &mut dyn FnMut(&[u8])) {
        if !self.begun.is_empty() {
            take(&self.begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], max: usize) -> (Vec<String>, usize) {
        let (mut lines, mut found, mut too_long) = (Lines::new(max), Vec::new(), 0);
        let mut take = |text: &[u8]| {
            let text = String::from_utf8_lossy(text).into_owned();
            found.extend(text.lines().filter(|line| !line.is_empty() && line.len() <= max).map(str::to_owned));
        };
        for chunk in chunks {
            too_long += lines.push(chunk, &mut take);
        }
        lines.end(&mut take);
        (found, too_long)
    }

    #[test]
    fn lines_are_joined_and_long_ones_are_skipped() {
        assert_eq!(split(&[b"ab", b"c\nd\ne", b"f\n", b"g"], 10).0, ["abc", "d", "ef", "g"]);
        let (found, too_long) = split(&[b"0123", b"456789", b"x\nok\n", b"0123456789", b"\n"], 5);
        assert_eq!((found, too_long), (vec!["ok".to_owned()], 2));
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(text in "[ab\n]{0,60}", cuts in prop::collection::vec(0_usize..60, 0..6), max in 1_usize..8) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut start = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                chunks.push(&text.as_bytes()[start..cut]);
                start = cut;
            }
            let expected: Vec<&str> = text.lines().filter(|line| !line.is_empty() && line.len() <= max).collect();
            prop_assert_eq!(split(&chunks, max).0, expected);
        }
    }
}

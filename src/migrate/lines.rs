//! The lines of a text, found by the position of a byte.

/// A text, and where its lines start.
#[derive(Clone, Debug)]
pub(super) struct Lines<'t> {
    /// The whole text.
    pub(super) text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// The lines of a text.
    pub(super) fn new(text: &'t str) -> Lines<'t> {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Lines { text, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The number of the line that has this byte, from 1.
    pub(super) fn number_at(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte)
    }

    /// The line of this number, from 1, without its end; empty if there is none.
    pub(super) fn line(&self, number: usize) -> &'t str {
        let Some(start) = number.checked_sub(1).and_then(|index| self.starts.get(index)) else { return "" };
        self.text[*start..].lines().next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_a_byte_and_by_their_number() {
        let lines = Lines::new("a\nüb\r\n\nc");
        assert_eq!([0, 1, 2, 4, 7, 8, 99].map(|byte| lines.number_at(byte)), [1, 1, 2, 2, 3, 4, 4]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|number| lines.line(number)), ["", "a", "üb", "", "c", ""]);
        assert_eq!(Lines::new("").line(1), "");
    }
}

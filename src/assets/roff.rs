//! The language of man pages: man(7).

use std::fmt::Write;

/// A man page.
pub(super) struct Roff(String);

/// The longest line of the source.
const WIDTH: usize = 78;

impl Roff {
    /// A page of a section, with its date.
    pub(super) fn new(title: &str, section: u8, date: &str) -> Roff {
        let (title, version) = (title.to_uppercase(), env!("CARGO_PKG_VERSION"));
        let mut page = Roff(String::new());
        let _ = writeln!(page.0, ".TH \"{}\" {section} \"{date}\" \"taffrail {version}\"", escaped(&title));
        // Neither hyphenated nor justified: names and values are to be searched for and copied.
        page.0.push_str(".nh\n.ad l\n");
        page
    }

    pub(super) fn heading(&mut self, heading: &str) {
        let _ = writeln!(self.0, ".SH \"{}\"", escaped(heading).replace('"', "\\(dq"));
    }

    /// Plain text, whose paragraphs are separated by empty lines. Markdown's backticks are left out.
    pub(super) fn text(&mut self, text: &str) {
        self.paragraphs(text, ".PP");
    }

    fn paragraphs(&mut self, text: &str, separator: &str) {
        let text = text.replace('`', "");
        for (index, paragraph) in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).enumerate() {
            if index > 0 {
                let _ = writeln!(self.0, "{separator}");
            }
            self.fill(&escaped(paragraph));
        }
    }

    /// Writes words, styled already, in lines of limited length.
    pub(super) fn fill(&mut self, escaped: &str) {
        let mut line = String::new();
        for word in escaped.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                self.line(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&line);
    }

    /// Writes a line of text that is not taken for a request.
    fn line(&mut self, line: &str) {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        let _ = writeln!(self.0, "{guard}{line}");
    }

    /// A term, such as an option, and what it means. The term is styled already.
    pub(super) fn item(&mut self, term: &str, text: &str) {
        self.0.push_str(".TP\n");
        self.line(term);
        self.paragraphs(text, ".IP");
    }

    /// Items below the last one.
    pub(super) fn nested(&mut self, items: impl FnOnce(&mut Roff)) {
        self.0.push_str(".RS\n");
        items(self);
        self.0.push_str(".RE\n");
    }

    /// Lines as they are.
    pub(super) fn example(&mut self, text: &str, code: &str) {
        if !self.0.lines().next_back().is_some_and(|line| line.starts_with(".SH")) {
            self.0.push_str(".PP\n");
        }
        self.fill(&escaped(text));
        self.0.push_str(".PP\n.RS 4\n.nf\n");
        code.lines().for_each(|line| self.line(&escaped(line)));
        self.0.push_str(".fi\n.RE\n");
    }

    /// Lines that are styled already, each on its own.
    pub(super) fn lines(&mut self, lines: impl IntoIterator<Item = String>) {
        for (index, line) in lines.into_iter().enumerate() {
            if index > 0 {
                self.0.push_str(".br\n");
            }
            self.line(&line);
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Bold text.
pub(super) fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

/// Text that stands for a value.
pub(super) fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escaped(text))
}

/// Text without a meaning of its own. A hyphen is one that can be copied.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '~' => escaped.push_str("\\(ti"),
            '^' => escaped.push_str("\\(ha"),
            // Long patterns may break here.
            '|' => escaped.push_str("|\\:"),
            '…' => escaped.push_str("..."),
            '–' => escaped.push_str("\\(en"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_request_and_fits_a_line() {
        let mut page = Roff::new("x", 1, "2026-01-01");
        page.text(&format!(".PP isn't a\\b\n\n{}", "word ".repeat(40)));
        let page = page.finish();
        assert!(page.contains("\n\\&.PP isn\\(aqt a\\eb\n.PP\nword word"), "{page}");
        assert!(page.lines().all(|line| line.len() <= WIDTH), "{page}");
    }
}

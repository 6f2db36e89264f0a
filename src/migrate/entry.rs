//! A line of an input, and what becomes of it.

/// What becomes of a line, a flag or a setting of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taffrail has the same setting.
    Same,
    /// Taffrail has it in another form; the text is the difference.
    Changed(String),
    /// Taffrail works without it; the text is the reason.
    NotNeeded(String),
    /// Taffrail has nothing for it; the text is what to do instead.
    Missing(String),
}

impl Outcome {
    /// The name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Same => "same",
            Outcome::Changed(_) => "changed",
            Outcome::NotNeeded(_) => "not_needed",
            Outcome::Missing(_) => "missing",
        }
    }

    /// The difference, the reason, or what to do instead; empty for [`Outcome::Same`].
    pub fn remark(&self) -> &str {
        match self {
            Outcome::Same => "",
            Outcome::Changed(remark) | Outcome::NotNeeded(remark) | Outcome::Missing(remark) => remark,
        }
    }
}

/// Where a line comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The file as the user named it; empty for the command line.
    pub file: String,
    /// Its first and last line there, from 1.
    pub lines: Option<(usize, usize)>,
    /// The name of the flag, with its hyphens; empty for a line of a file.
    pub flag: String,
}

impl Source {
    /// The comment beside a translated setting: `telegraf.conf:41`, `--collector.systemd`.
    pub fn comment(&self) -> String {
        let place = self.place();
        match (place.is_empty(), self.flag.is_empty()) {
            (true, _) => self.flag.clone(),
            (false, true) => place,
            (false, false) => format!("{place} {}", self.flag),
        }
    }

    /// The file and its line; empty for the command line.
    pub fn place(&self) -> String {
        match self.lines {
            Some((first, _)) => format!("{}:{first}", self.file),
            None => self.file.clone(),
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it comes from.
    pub source: Source,
    /// The line or flag as it was, without secrets.
    pub text: String,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// The index of an [`Entry`].
pub type EntryId = usize;

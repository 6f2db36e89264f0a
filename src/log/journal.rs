//! Priorities of lines for systemd's journal: sd-daemon(3).

use tracing::Level;

/// Whether standard error is the journal: `JOURNAL_STREAM` is its device and inode, see systemd.exec(5).
pub(super) fn is_connected() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    standard_error().is_some_and(|(device, inode)| stream == format!("{device}:{inode}"))
}

/// Device and inode of standard error.
#[cfg(unix)]
fn standard_error() -> Option<(u64, u64)> {
    let found = rustix::fs::fstat(std::io::stderr()).ok()?;
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    Some((found.st_dev as u64, u64::from(found.st_ino)))
}

#[cfg(windows)]
fn standard_error() -> Option<(u64, u64)> {
    None
}

/// The text with a priority before each line: the journal takes each line as a message.
pub(super) fn with_priority(level: Level, text: &str) -> String {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    text.split('\n').map(|line| format!("<{priority}>{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_priority() {
        assert_eq!(with_priority(Level::ERROR, "one\ntwo"), "<3>one\n<3>two");
        assert_eq!(with_priority(Level::DEBUG, "one"), "<7>one");
    }
}

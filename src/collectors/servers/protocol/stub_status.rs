//! The page of nginx's module `stub_status`, which has no names for some of its numbers.

use super::pairs::{refuse_markup, shown};

/// The names of the values, in the order of the page.
pub const NAMES: [&str; 7] = ["active", "accepts", "handled", "requests", "reading", "writing", "waiting"];

/// The values of the page, in the order of [`NAMES`].
///
/// # Errors
/// What was expected, and what was found.
pub fn read(text: &str) -> Result<[u64; 7], String> {
    refuse_markup(text)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut line = |expected: &str| {
        lines.next().ok_or_else(|| format!("expected the page of stub_status with a line {expected:?}, found none"))
    };
    let first = line("Active connections: …")?;
    let active = first.strip_prefix("Active connections:");
    let active = active.ok_or_else(|| {
        format!("expected the page of stub_status, \"Active connections: …\", found {}", shown(first))
    })?;
    line("server accepts handled requests")?;
    let counts = line("… … …")?;
    let states = line("Reading: … Writing: … Waiting: …")?;
    let [accepts, handled, requests] = words(counts, ["accepts", "handled", "requests"], [0, 1, 2])?;
    let [reading, writing, waiting] = words(states, ["Reading", "Writing", "Waiting"], [1, 3, 5])?;
    Ok([number("Active connections", active)?, accepts, handled, requests, reading, writing, waiting])
}

/// The numbers at these places of a line. Tengine has further ones behind them.
fn words(line: &str, names: [&str; 3], at: [usize; 3]) -> Result<[u64; 3], String> {
    let words: Vec<&str> = line.split_whitespace().take(8).collect();
    let mut numbers = [0; 3];
    for ((slot, name), index) in numbers.iter_mut().zip(names).zip(at) {
        *slot = number(name, words.get(index).copied().unwrap_or_default())?;
    }
    Ok(numbers)
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("{name}: expected a number, found {}", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_seven_numbers() {
        let page =
            "Active connections: 2 \nserver accepts handled requests\n 16 15 31 \nReading: 3 Writing: 4 Waiting: 5 \n";
        assert_eq!(read(page).unwrap(), [2, 16, 15, 31, 3, 4, 5]);
        let of_tengine =
            page.replace("requests", "requests request_time").replace("31 \n", "31 4500\n").replace('\n', "\r\n");
        assert_eq!(read(&of_tengine).unwrap(), [2, 16, 15, 31, 3, 4, 5]);
    }

    #[test]
    fn another_page_is_refused_with_what_was_found() {
        for (page, reason) in [
            ("", "expected the page of stub_status with a line \"Active connections: …\", found none"),
            ("hello", "expected the page of stub_status, \"Active connections: …\", found \"hello\""),
            ("<html>", "expected plain text, found an HTML page: the URL is that of another page"),
            (
                "Active connections: x\na\n1 2 3\nReading: 1 Writing: 1 Waiting: 1",
                "Active connections: expected a number, found \"x\"",
            ),
            (
                "Active connections: 1\na\n1 2",
                "expected the page of stub_status with a line \"Reading: … Writing: … Waiting: …\", found none",
            ),
            ("Active connections: 1\na\n1 2\nReading: 1", "requests: expected a number, found nothing"),
        ] {
            assert_eq!(read(page).unwrap_err(), reason, "{page:?}");
        }
    }
}

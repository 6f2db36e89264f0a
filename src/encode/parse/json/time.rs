//! The times of `json_time_key`: a Unix time, or a layout as Go's package `time` has it.

use tz::timezone::TimeZone;
use tz::{DateTime, UtcDateTime};

/// The format of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// A Unix time in units of this many nanoseconds.
    Unix(i64),
    /// A layout, and the time zone of times without one.
    Layout(String, TimeZone),
}

/// The layouts that Go names.
const NAMED: [(&str, &str); 8] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
];

/// The elements of a layout, longest first.
const ELEMENTS: [(&str, Element); 31] = [
    ("January", Element::MonthName),
    ("Monday", Element::Weekday),
    ("Z07:00", Element::Offset),
    ("-07:00", Element::Offset),
    ("Z0700", Element::Offset),
    ("-0700", Element::Offset),
    ("2006", Element::Year),
    ("Jan", Element::MonthName),
    ("Mon", Element::Weekday),
    ("MST", Element::Zone),
    ("Z07", Element::Offset),
    ("-07", Element::Offset),
    ("002", Element::YearDay),
    ("__2", Element::YearDay),
    ("01", Element::Month),
    ("02", Element::Day),
    ("_2", Element::Day),
    ("03", Element::Hour12),
    ("04", Element::Minute),
    ("05", Element::Second),
    ("06", Element::ShortYear),
    ("15", Element::Hour),
    ("PM", Element::HalfDay),
    ("pm", Element::HalfDay),
    (".0", Element::Fraction),
    (".9", Element::Fraction),
    ("1", Element::Month),
    ("2", Element::Day),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Year,
    ShortYear,
    Month,
    MonthName,
    Weekday,
    Day,
    YearDay,
    Hour,
    Hour12,
    HalfDay,
    Minute,
    Second,
    Fraction,
    Offset,
    Zone,
}

/// A time as read so far.
#[derive(Debug, Default)]
struct Read {
    year: Option<i32>,
    month: Option<u8>,
    day: Option<u8>,
    hour: u8,
    is_afternoon: Option<bool>,
    minute: u8,
    second: u8,
    nanoseconds: u32,
    /// Seconds east of UTC.
    offset: Option<i32>,
}

impl TimeFormat {
    /// The format of Telegraf's `json_time_format`, and the time zone of `json_timezone`, which is UTC if it is empty.
    ///
    /// # Errors
    /// The layout has no element, or the time zone is unknown.
    pub fn new(format: &str, time_zone: &str) -> Result<TimeFormat, String> {
        match format {
            "unix" => return Ok(TimeFormat::Unix(1_000_000_000)),
            "unix_ms" => return Ok(TimeFormat::Unix(1_000_000)),
            "unix_us" => return Ok(TimeFormat::Unix(1_000)),
            "unix_ns" => return Ok(TimeFormat::Unix(1)),
            _ => {}
        }
        let layout = NAMED.iter().find(|(name, _)| *name == format).map_or(format, |(_, layout)| layout);
        let has = |wanted: Element| elements(layout).any(|part| part.is_ok_and(|(element, _)| element == wanted));
        if !has(Element::Year) && !has(Element::ShortYear) {
            return Err(format!(
                "expected unix, unix_ms, unix_us, unix_ns or a layout such as \"2006-01-02T15:04:05Z07:00\", found {format:?}"
            ));
        }
        if has(Element::YearDay) {
            return Err("the day of the year is not supported".to_owned());
        }
        let zone = match time_zone {
            "" | "UTC" => Ok(TimeZone::utc()),
            "Local" => TimeZone::local(),
            name => TimeZone::from_posix_tz(name),
        };
        let zone = zone.map_err(|_| format!("expected a time zone such as \"Europe/Berlin\", found {time_zone:?}"))?;
        Ok(TimeFormat::Layout(layout.to_owned(), zone))
    }

    /// The time in nanoseconds since 1970.
    ///
    /// # Errors
    /// The text has another form, or the time is out of range.
    pub(super) fn nanoseconds(&self, text: &str) -> Result<i64, String> {
        let shown = || text.chars().take(64).collect::<String>();
        match self {
            TimeFormat::Unix(unit) => {
                unix(text, *unit).ok_or_else(|| format!("expected a Unix time, found {:?}", shown()))
            }
            TimeFormat::Layout(layout, zone) => read(layout, text)
                .and_then(|read| read.nanoseconds(zone))
                .ok_or_else(|| format!("expected a time such as {layout:?}, found {:?}", shown())),
        }
    }
}

/// A number in units of `unit` nanoseconds, possibly with a fraction.
fn unix(text: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if let (Ok(whole), true) = (whole.parse::<i64>(), fraction.bytes().all(|byte| byte.is_ascii_digit())) {
        let part = format!("0.{fraction}0").parse::<f64>().ok()? * unit as f64;
        let part = if text.starts_with('-') { -part } else { part };
        return whole.checked_mul(unit)?.checked_add(part as i64);
    }
    let nanoseconds = text.parse::<f64>().ok()? * unit as f64;
    (nanoseconds.abs() < i64::MAX as f64).then_some(nanoseconds as i64)
}

/// The elements of a layout, with the text of each; the characters in between as errors.
fn elements(mut layout: &str) -> impl Iterator<Item = Result<(Element, &str), char>> {
    std::iter::from_fn(move || {
        let first = layout.chars().next()?;
        let fraction = fraction_length(layout);
        let is_element = |(text, element): &&(&str, Element)| match element {
            Element::Fraction => fraction > 0,
            _ => layout.starts_with(text),
        };
        let Some((text, element)) = ELEMENTS.iter().find(is_element) else {
            layout = &layout[first.len_utf8()..];
            return Some(Err(first));
        };
        let length = if *element == Element::Fraction { fraction } else { text.len() };
        let (text, rest) = layout.split_at(length);
        layout = rest;
        Some(Ok((*element, text)))
    })
}

/// The length of a fraction at the start of a layout: a dot, and only zeros or only nines that no other digit follows.
fn fraction_length(layout: &str) -> usize {
    let Some(digits) = layout.strip_prefix('.') else { return 0 };
    let rest = digits.trim_start_matches(if digits.starts_with('0') { '0' } else { '9' });
    let is_fraction = rest.len() < digits.len() && !rest.starts_with(|c: char| c.is_ascii_digit());
    if is_fraction { 1 + digits.len() - rest.len() } else { 0 }
}

fn read(layout: &str, mut text: &str) -> Option<Read> {
    let mut read = Read::default();
    for part in elements(layout) {
        let (element, form) = match part {
            Ok(element) => element,
            Err(expected) => {
                text = text.strip_prefix(expected)?;
                continue;
            }
        };
        // Go accepts a fraction after the seconds even if the layout has none.
        let rest = read.element(element, form, text)?;
        let is_fraction =
            element == Element::Second && rest.starts_with('.') && !layout.contains(".0") && !layout.contains(".9");
        text = if is_fraction { read.element(Element::Fraction, ".9", rest)? } else { rest };
    }
    text.is_empty().then_some(read)
}

impl Read {
    /// Reads an element, and returns the text after it.
    fn element<'t>(&mut self, element: Element, form: &str, text: &'t str) -> Option<&'t str> {
        let mut rest = text;
        match element {
            Element::Year => self.year = Some(digits(&mut rest, 4, 4)? as i32),
            Element::ShortYear => {
                let year = digits(&mut rest, 2, 2)? as i32;
                self.year = Some(if year >= 69 { 1900 + year } else { 2000 + year });
            }
            Element::Month => self.month = Some(digits(&mut rest, form.len(), 2)? as u8),
            Element::Day => {
                rest = rest.trim_start_matches(if form.starts_with('_') { ' ' } else { '\0' });
                self.day = Some(digits(&mut rest, if form.starts_with('0') { 2 } else { 1 }, 2)? as u8);
            }
            Element::Hour | Element::Hour12 => self.hour = digits(&mut rest, form.len().min(2), 2)? as u8,
            Element::Minute => self.minute = digits(&mut rest, form.len(), 2)? as u8,
            Element::Second => self.second = digits(&mut rest, form.len(), 2)? as u8,
            Element::MonthName => {
                const MONTHS: [&str; 12] = [
                    "January",
                    "February",
                    "March",
                    "April",
                    "May",
                    "June",
                    "July",
                    "August",
                    "September",
                    "October",
                    "November",
                    "December",
                ];
                self.month = Some(1 + name(&mut rest, &MONTHS, form.len() > 3)? as u8);
            }
            Element::Weekday => {
                const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
                name(&mut rest, &DAYS, form.len() > 3)?;
            }
            Element::HalfDay => {
                let (half, after) = rest.split_at_checked(2)?;
                self.is_afternoon = Some(match half.to_ascii_lowercase().as_str() {
                    "am" => false,
                    "pm" => true,
                    _ => return None,
                });
                rest = after;
            }
            Element::Fraction => {
                let Some(after) = rest.strip_prefix(['.', ',']) else { return form.contains('9').then_some(rest) };
                let count = after.bytes().take_while(u8::is_ascii_digit).count();
                let (fraction, after) = after.split_at(count);
                self.nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
                rest = after;
            }
            Element::Offset => self.offset = Some(offset(&mut rest, form)?),
            // Only UTC has the same meaning everywhere.
            Element::Zone => {
                let count = rest.bytes().take_while(u8::is_ascii_uppercase).count();
                let (zone, after) = rest.split_at(count);
                match zone {
                    "UTC" | "GMT" => self.offset = Some(0),
                    _ if (3..=5).contains(&count) => {}
                    _ => return None,
                }
                rest = after;
            }
            Element::YearDay => return None,
        }
        Some(rest)
    }

    fn nanoseconds(&self, zone: &TimeZone) -> Option<i64> {
        let hour = match (self.is_afternoon, self.hour) {
            (None, hour) => hour,
            (Some(_), 13..) => return None,
            (Some(false), hour) => hour % 12,
            (Some(true), hour) => hour % 12 + 12,
        };
        let (year, month, day) = (self.year?, self.month.unwrap_or(1), self.day.unwrap_or(1));
        let utc = UtcDateTime::new(year, month, day, hour, self.minute, self.second, self.nanoseconds).ok()?;
        let seconds = match self.offset {
            Some(offset) => utc.unix_time() - i64::from(offset),
            None => {
                let found =
                    DateTime::find(year, month, day, hour, self.minute, self.second, self.nanoseconds, zone.as_ref());
                found.ok()?.earliest().map_or(utc.unix_time(), |time| time.unix_time())
            }
        };
        seconds.checked_mul(1_000_000_000)?.checked_add(self.nanoseconds.into())
    }
}

/// A number of at least `min` and at most `max` digits.
fn digits(text: &mut &str, min: usize, max: usize) -> Option<u32> {
    let count = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(count);
    *text = rest;
    if count < min { None } else { number.parse().ok() }
}

/// The index of a name, whole or of three letters.
fn name(text: &mut &str, names: &[&str], is_whole: bool) -> Option<usize> {
    let found = names.iter().position(|name| {
        let name = if is_whole { name } else { &name[..3] };
        text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    })?;
    let length = if is_whole { names[found].len() } else { 3 };
    *text = &text[length..];
    Some(found)
}

/// An offset in the form of a layout, in seconds east of UTC.
fn offset(text: &mut &str, form: &str) -> Option<i32> {
    if form.starts_with('Z')
        && let Some(rest) = text.strip_prefix('Z')
    {
        *text = rest;
        return Some(0);
    }
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let mut rest = &text[1..];
    let hours = digits(&mut rest, 2, 2)?;
    if form.contains(':') {
        rest = rest.strip_prefix(':')?;
    }
    let minutes = if form.len() > 3 { digits(&mut rest, 2, 2)? } else { 0 };
    *text = rest;
    Some(sign * (hours * 3600 + minutes * 60) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(format: &str, zone: &str, text: &str) -> Result<i64, String> {
        TimeFormat::new(format, zone)?.nanoseconds(text)
    }

    #[test]
    fn unix_times_keep_their_precision() {
        for (format, text, expected) in [
            ("unix", "1700000000", 1_700_000_000_000_000_000),
            ("unix", "1700000000.25", 1_700_000_000_250_000_000),
            ("unix", "-1.5", -1_500_000_000),
            ("unix", "1.7e9", 1_700_000_000_000_000_000),
            ("unix_ms", "1700000000123", 1_700_000_000_123_000_000),
            ("unix_us", "1700000000123456", 1_700_000_000_123_456_000),
            ("unix_ns", "1700000000123456789", 1_700_000_000_123_456_789),
        ] {
            assert_eq!(at(format, "", text), Ok(expected), "{format} {text}");
        }
        assert!(at("unix", "", "today").unwrap_err().contains("expected a Unix time, found \"today\""));
        assert!(at("unix", "", "9e30").is_err());
    }

    #[test]
    fn layouts_are_gos() {
        const TIME: i64 = 1_700_000_005;
        for (format, zone, text) in [
            ("2006-01-02T15:04:05Z07:00", "", "2023-11-14T22:13:25Z"),
            ("RFC3339", "", "2023-11-15T00:13:25+02:00"),
            ("RFC1123", "", "Tue, 14 Nov 2023 22:13:25 GMT"),
            ("ANSIC", "", "Tue Nov 14 22:13:25 2023"),
            ("Jan _2 2006 3:04:05 PM -0700", "", "Nov 14 2023 10:13:25 PM +0000"),
            ("2006/1/2 15:04:05", "", "2023/11/14 22:13:25"),
            ("02.01.06 15:04:05", "<+02>-2", "15.11.23 00:13:25"),
        ] {
            assert_eq!(at(format, zone, text), Ok(TIME * 1_000_000_000), "{format} {text}");
        }
        let fraction = Ok(TIME * 1_000_000_000 + 123_400_000);
        assert_eq!(at("2006-01-02 15:04:05", "", "2023-11-14 22:13:25.1234"), fraction);
        assert_eq!(at("2006-01-02 15:04:05.000", "", "2023-11-14 22:13:25.1234"), fraction);
        for (format, text) in [("RFC3339", "yesterday"), ("2006-01-02", "2023-02-31"), ("2006", "2023x"), ("2006", "")]
        {
            assert!(at(format, "", text).unwrap_err().starts_with("expected a time such as"), "{format} {text}");
        }
        assert!(at("seconds", "", "1").unwrap_err().starts_with("expected unix, unix_ms"));
        assert!(at("2006", "Nowhere/Here", "2023").unwrap_err().starts_with("expected a time zone"));
    }
}

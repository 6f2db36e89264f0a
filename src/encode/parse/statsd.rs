//! Lines of statsd, with the tags of dogstatsd, InfluxDB, Librato and SignalFX.
//!
//! `NAME:VALUE|TYPE[|@RATE][|#TAG:VALUE,TAG]`. A line may have several samples, `NAME:1|c:5|ms`, and a sample of a timer,
//! histogram or distribution several values, `NAME:1:2:3|h`. The sections of dogstatsd 1.2 and later are known: `c:` (the
//! container), `T` (the time), `e:` and `card:`. The reasons for refusals are those of statsd_exporter.

/// The type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `c`.
    Counter,
    /// `g`.
    Gauge,
    /// `s`.
    Set,
    /// `ms`: a duration in milliseconds.
    Timer,
    /// `h`.
    Histogram,
    /// `d`.
    Distribution,
}

impl Kind {
    fn of(text: &str) -> Option<Kind> {
        Some(match text {
            "c" => Kind::Counter,
            "g" => Kind::Gauge,
            "s" => Kind::Set,
            "ms" => Kind::Timer,
            "h" => Kind::Histogram,
            "d" => Kind::Distribution,
            _ => return None,
        })
    }

    /// Whether a sample is one of many observations.
    pub fn is_observer(self) -> bool {
        matches!(self, Kind::Timer | Kind::Histogram | Kind::Distribution)
    }
}

/// Why a line or a sample is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No name, no colon, or no UTF-8.
    Line,
    /// Tags in the name and of dogstatsd.
    MixedTags,
    /// No `|`.
    NoType,
    /// Several values of a type that has one.
    PackedValues,
    /// An empty section, or too many of them.
    Section,
    /// No finite number.
    Value,
    /// An unknown section, or an invalid rate.
    Rate,
    /// A section `c` without a container.
    Container,
    /// An unknown type.
    Type,
    /// An event of dogstatsd.
    Event,
    /// A service check of dogstatsd.
    ServiceCheck,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 11] = [
        Refusal::Line,
        Refusal::MixedTags,
        Refusal::NoType,
        Refusal::PackedValues,
        Refusal::Section,
        Refusal::Value,
        Refusal::Rate,
        Refusal::Container,
        Refusal::Type,
        Refusal::Event,
        Refusal::ServiceCheck,
    ];

    /// Whether one sample is refused, and not the whole line.
    pub fn is_of_sample(self) -> bool {
        matches!(self, Refusal::Section | Refusal::Value | Refusal::Rate | Refusal::Container | Refusal::Type)
    }

    /// The value of the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Line => "malformed_line",
            Refusal::MixedTags => "mixed_tagging_styles",
            Refusal::NoType => "not_enough_parts_after_colon",
            Refusal::PackedValues => "invalid_extended_aggregate_type",
            Refusal::Section => "malformed_component",
            Refusal::Value => "malformed_value",
            Refusal::Rate => "invalid_sample_factor",
            Refusal::Container => "malformed_container_id",
            Refusal::Type => "illegal_event",
            Refusal::Event => "event",
            Refusal::ServiceCheck => "service_check",
        }
    }
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'l> {
    /// A finite number, and whether it has a sign, which makes that of a gauge relative.
    Number(f64, bool),
    /// A member of a set.
    Member(&'l str),
}

/// A sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'l> {
    /// The name, with tags of InfluxDB, Librato or SignalFX in it. Not empty.
    pub name: &'l str,
    /// The tags of dogstatsd, without `#`.
    pub tags: &'l str,
    /// The container, or empty.
    pub container: &'l str,
    /// The type.
    pub kind: Kind,
    /// The value.
    pub value: Value<'l>,
    /// The sampling rate; above zero, and finite.
    pub rate: f64,
}

/// Sections of a sample: dogstatsd has up to eight.
const MAX_SECTIONS: usize = 10;

/// Parses a line without its end, and calls `each` with each sample.
pub fn parse<'l>(line: &'l [u8], each: &mut dyn FnMut(Result<Sample<'l>, Refusal>)) {
    let split = std::str::from_utf8(line).ok().and_then(|line| {
        let colon = memchr::memchr(b':', line.as_bytes())?;
        Some((&line[..colon], &line[colon + 1..]))
    });
    let (name, rest) = match split {
        _ if line.starts_with(b"_sc|") => return each(Err(Refusal::ServiceCheck)),
        _ if line.starts_with(b"_e{") => return each(Err(Refusal::Event)),
        Some((name, rest)) if !name.is_empty() => (name, rest),
        _ => return each(Err(Refusal::Line)),
    };
    let Some(bar) = memchr::memchr(b'|', rest.as_bytes()) else { return each(Err(Refusal::NoType)) };
    let (values, sections) = (&rest[..bar], &rest[bar + 1..]);
    let kind = Kind::of(sections.split('|').next().unwrap_or_default());
    match kind {
        _ if !values.contains(':') => split_samples(rest, &mut |text| each(sample(name, text))),
        Some(Kind::Set) => each(sample_of(name, values, sections)),
        Some(kind) if kind.is_observer() => values.split(':').for_each(|value| each(sample_of(name, value, sections))),
        _ => each(Err(Refusal::PackedValues)),
    }
}

/// Splits at the colons between samples, which are not those of sections.
fn split_samples<'l>(text: &'l str, each: &mut dyn FnMut(&'l str)) {
    let mut start = 0;
    for colon in memchr::memchr_iter(b':', text.as_bytes()) {
        let piece = &text[start..colon];
        let section = piece.rfind('|').map(|bar| (&piece[bar + 1..], piece[..bar].contains('|')));
        match section {
            // A tag: the rest of the line belongs to this sample.
            Some((section, true)) if section.starts_with('#') => break,
            Some(("c" | "e" | "card", true)) => {}
            _ => {
                each(piece);
                start = colon + 1;
            }
        }
    }
    each(&text[start..]);
}

fn sample<'l>(name: &'l str, text: &'l str) -> Result<Sample<'l>, Refusal> {
    let (value, sections) = text.split_once('|').ok_or(Refusal::Section)?;
    sample_of(name, value, sections)
}

fn sample_of<'l>(name: &'l str, value: &'l str, sections: &'l str) -> Result<Sample<'l>, Refusal> {
    let mut sections = sections.split('|');
    let kind = sections.next().unwrap_or_default();
    let value = match kind {
        "s" if value.is_empty() => return Err(Refusal::Value),
        "s" => Value::Member(value),
        _ => {
            let number = value.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(Refusal::Value)?;
            Value::Number(number, value.starts_with(['+', '-']))
        }
    };
    let (mut tags, mut container, mut rate) = ("", "", 1.0);
    for (index, section) in sections.enumerate() {
        if index + 2 >= MAX_SECTIONS {
            return Err(Refusal::Section);
        }
        match section.as_bytes() {
            [] => return Err(Refusal::Section),
            [b'@', ..] => rate = sampling_rate(&section[1..])?,
            [b'#', ..] if tags.is_empty() => tags = &section[1..],
            [b'#', ..] => return Err(Refusal::Section),
            [b'c', b':', _, ..] => container = &section[2..],
            [b'T', ..] | [b'e', b':', ..] | [b'c', b'a', b'r', b'd', b':', ..] => {}
            [b'c', ..] => return Err(Refusal::Container),
            _ => return Err(Refusal::Rate),
        }
    }
    let kind = Kind::of(kind).ok_or(Refusal::Type)?;
    Ok(Sample { name, tags, container, kind, value, rate })
}

/// A rate of 0 is 1, as in statsd_exporter.
fn sampling_rate(text: &str) -> Result<f64, Refusal> {
    match text.parse::<f64>() {
        Ok(0.0) => Ok(1.0),
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err(Refusal::Rate),
    }
}

/// The forms of tags that are read. Those that are not are part of the name, or ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialects {
    /// `|#tag:value,tag`.
    pub dogstatsd: bool,
    /// `name,tag=value`.
    pub influxdb: bool,
    /// `name#tag=value,tag=value`.
    pub librato: bool,
    /// `name[tag=value,tag=value]rest`.
    pub signalfx: bool,
}

/// A name without tags, and its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tagged {
    /// The name. It may be empty.
    pub name: String,
    /// Tags in order, with their values; `None` for a tag without a value. No key is empty.
    pub tags: Vec<(String, Option<String>)>,
    /// Empty tags, keys and values; and tags without a value.
    pub errors: u32,
}

impl Tagged {
    /// Splits tags from the name of a sample, and adds those of dogstatsd.
    ///
    /// # Errors
    /// It has both.
    pub fn new(sample: &Sample<'_>, dialects: Dialects) -> Result<Tagged, Refusal> {
        let mut tagged = Tagged::default();
        tagged.split_name(sample.name, dialects);
        if sample.tags.is_empty() {
            return Ok(tagged);
        }
        if !tagged.tags.is_empty() {
            return Err(Refusal::MixedTags);
        }
        if dialects.dogstatsd {
            // Old clients write `#` at each tag.
            sample.tags.split(',').for_each(|tag| tagged.push(tag.strip_prefix('#').unwrap_or(tag), ':'));
        }
        Ok(tagged)
    }

    fn split_name(&mut self, name: &str, dialects: Dialects) {
        if dialects.signalfx {
            match (name.find('['), name.find(']')) {
                (Some(start), Some(end)) if start < end => {
                    name[start + 1..end].split(',').for_each(|tag| self.push(tag, '='));
                    self.name = [&name[..start], &name[end + 1..]].concat();
                    return;
                }
                (None, None) => {}
                _ => {
                    self.errors += 1;
                    self.name = name.to_owned();
                    return;
                }
            }
        }
        let is_start = |c: char| c == '#' && dialects.librato || c == ',' && dialects.influxdb;
        match name.split_once(is_start) {
            Some((name, tags)) => {
                tags.split(',').for_each(|tag| self.push(tag, '='));
                self.name = name.to_owned();
            }
            None => self.name = name.to_owned(),
        }
    }

    fn push(&mut self, tag: &str, separator: char) {
        let (key, value) = match tag.split_once(separator) {
            Some((key, value)) => (key, Some(value)),
            None => (tag, None),
        };
        if key.is_empty() || value.is_none_or(str::is_empty) {
            self.errors += 1;
        }
        if !key.is_empty() && value != Some("") {
            self.tags.push((key.to_owned(), value.map(str::to_owned)));
        }
    }
}

#[cfg(test)]
mod tests;

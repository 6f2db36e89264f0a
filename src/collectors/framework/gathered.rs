//! A reading that is encoded as families while it is read: for collectors whose families map directly to small files.

use crate::collectors::framework::{ReadContext, Reading};
use crate::encode::family::{FamilyInfo, Kind, Value};
use crate::encode::{Family, FamilyWriter};
use crate::host::Device;

/// Samples, family by family, each family in reading order.
#[derive(Debug, Default)]
pub(in crate::collectors) struct Gathered {
    heads: Vec<Head>,
    /// The family of the previous sample: the next sample often belongs to the family after it.
    last_head: usize,
    samples: Vec<Sample>,
    /// The values of all labels, concatenated.
    text: String,
    /// The end of each value in `values`.
    ends: Vec<u32>,
}

/// A family.
#[derive(Debug)]
struct Head {
    name: Name,
    kind: Kind,
    help: &'static str,
    labels: &'static [&'static str],
    /// Indexes of its first and last sample.
    ends: Option<(u32, u32)>,
}

#[derive(Clone, Debug)]
enum Name {
    Known(&'static str),
    Made(String),
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Name::Known(name) => name,
            Name::Made(name) => name,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Index of the next sample of its family.
    next: Option<u32>,
    /// Index of the first of its label ends.
    labels: u32,
    value: Value,
    /// Whether to omit labels without a value.
    is_sparse: bool,
}

impl Gathered {
    /// Clears everything, and keeps the allocations.
    pub(in crate::collectors) fn clear(&mut self) {
        self.heads.clear();
        self.last_head = 0;
        self.samples.clear();
        self.text.clear();
        self.ends.clear();
    }

    /// Whether there are no samples.
    pub(in crate::collectors) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Adds a sample with these label values, in the order of the family's label names.
    pub(in crate::collectors) fn put<const LABELS: usize>(
        &mut self,
        family: &'static Family<LABELS>,
        values: [&str; LABELS],
        value: impl Into<Value>,
    ) {
        self.push(&family.info(), &values, value.into(), false);
    }

    /// Adds a sample if there is a value.
    pub(in crate::collectors) fn put_some<const LABELS: usize>(
        &mut self,
        family: &'static Family<LABELS>,
        values: [&str; LABELS],
        value: Option<impl Into<Value>>,
    ) {
        if let Some(value) = value {
            self.put(family, values, value);
        }
    }

    /// Adds a sample for each of the `known` states, 1 for the one that is `current`; and one for a current state that is not
    /// known. The states replace the label value at `position`.
    pub(in crate::collectors) fn put_states<'s, const LABELS: usize>(
        &mut self,
        family: &'static Family<LABELS>,
        mut values: [&'s str; LABELS],
        position: usize,
        known: &'static [&'static str],
        current: &'s str,
    ) {
        let unknown = Some(current).filter(|current| !current.is_empty() && !known.contains(current));
        for state in known.iter().copied().chain(unknown) {
            values[position] = state;
            self.put(family, values, state == current);
        }
    }

    /// Adds a sample of value 1 whose labels are the information; omits labels without a value.
    pub(in crate::collectors) fn put_info<const LABELS: usize>(
        &mut self,
        family: &'static Family<LABELS>,
        values: [&str; LABELS],
    ) {
        self.push(&family.info(), &values, 1u64.into(), true);
    }

    /// Adds a sample of a family that the kernel names: `key` replaces `KEY` in the name of `pattern`, without the
    /// characters that are invalid in a name.
    pub(in crate::collectors) fn put_keyed<const LABELS: usize>(
        &mut self,
        pattern: &'static Family<LABELS>,
        key: &str,
        values: [&str; LABELS],
        value: impl Into<Value>,
    ) {
        let info = pattern.info();
        let valid = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let name = info.name.replacen("KEY", &key.chars().map(valid).collect::<String>(), 1);
        let head = self.find(|head| head.name.as_str() == name);
        let head = head.unwrap_or_else(|| self.add(Name::Made(name), info));
        self.push_sample(head, &values, value.into(), false);
    }

    fn push(&mut self, of: &FamilyInfo, values: &[&str], value: Value, is_sparse: bool) {
        let is_it = |head: &Head| std::ptr::eq(head.name.as_str(), of.name) || head.name.as_str() == of.name;
        let head = self.find(is_it).unwrap_or_else(|| self.add(Name::Known(of.name), *of));
        self.push_sample(head, values, value, is_sparse);
    }

    /// The family for which `is_it` holds. The search starts after the last one found.
    fn find(&self, is_it: impl Fn(&Head) -> bool) -> Option<usize> {
        let (before, behind) = self.heads.split_at(self.heads.len().min(self.last_head));
        let in_behind = behind.iter().take(2).position(&is_it).map(|position| before.len() + position);
        in_behind.or_else(|| self.heads.iter().position(is_it))
    }

    fn add(&mut self, name: Name, info: FamilyInfo) -> usize {
        let FamilyInfo { kind, help, labels, .. } = info;
        self.heads.push(Head { name, kind, help, labels, ends: None });
        self.heads.len() - 1
    }

    fn push_sample(&mut self, head: usize, values: &[&str], value: Value, is_sparse: bool) {
        let labels = self.ends.len() as u32;
        for value in values {
            self.text.push_str(value);
            self.ends.push(self.text.len() as u32);
        }
        let number = self.samples.len() as u32;
        self.samples.push(Sample { next: None, labels, value, is_sparse });
        self.last_head = head;
        let ends = &mut self.heads[head].ends;
        *ends = match *ends {
            None => Some((number, number)),
            Some((first, last)) => {
                self.samples[last as usize].next = Some(number);
                Some((first, number))
            }
        };
    }

    /// Adds all samples of another reading.
    pub(in crate::collectors) fn put_all(&mut self, other: &Gathered) {
        for head in &other.heads {
            let info = FamilyInfo { name: "", kind: head.kind, help: head.help, labels: head.labels };
            for sample in other.samples_of(head) {
                let found = self.find(|known| known.name.as_str() == head.name.as_str());
                let own = found.unwrap_or_else(|| self.add(head.name.clone(), info));
                let label = |number: usize| other.label(sample.labels as usize + number);
                let values: Vec<&str> = (0..head.labels.len()).map(label).collect();
                self.push_sample(own, &values, sample.value, sample.is_sparse);
            }
        }
    }

    fn samples_of(&self, head: &Head) -> impl Iterator<Item = &Sample> {
        let first = head.ends.and_then(|(first, _)| self.samples.get(first as usize));
        std::iter::successors(first, |sample| self.samples.get(sample.next? as usize))
    }

    /// Adds the attributes that a device has. An attribute that is not a number is reported as a problem.
    pub(in crate::collectors) fn put_attributes<const LABELS: usize>(
        &mut self,
        cx: &mut ReadContext<'_>,
        device: &mut Device,
        attributes: &'static [Attribute<LABELS>],
        values: [&str; LABELS],
    ) {
        for Attribute { file, family, unit } in attributes {
            let number = unit.read(cx, device, file);
            self.put_some(family, values, number);
        }
    }

    fn label(&self, index: usize) -> &str {
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.text.get(start..end(index)).unwrap_or_default()
    }
}

impl Reading for Gathered {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut values: Vec<&str> = Vec::new();
        for head in &self.heads {
            let mut samples = out.plain_family(head.name.as_str(), head.kind, head.help);
            for sample in self.samples_of(head) {
                let first = sample.labels as usize;
                values.clear();
                values.extend((first..first + head.labels.len()).map(|number| self.label(number)));
                samples.sample_of(head.labels, &values, sample.is_sparse, sample.value);
            }
        }
    }
}

/// A file that holds one number, and its family.
pub(in crate::collectors) struct Attribute<const LABELS: usize> {
    pub(in crate::collectors) file: &'static str,
    pub(in crate::collectors) family: Family<LABELS>,
    pub(in crate::collectors) unit: Unit,
}

impl<const LABELS: usize> Attribute<LABELS> {
    pub(in crate::collectors) const fn gauge(
        file: &'static str,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; LABELS],
        unit: Unit,
    ) -> Self {
        Attribute { file, family: Family::gauge(name, help, labels), unit }
    }

    pub(in crate::collectors) const fn counter(
        file: &'static str,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; LABELS],
        unit: Unit,
    ) -> Self {
        Attribute { file, family: Family::counter(name, help, labels), unit }
    }
}

/// How to convert the number in a file to the value of the sample.
#[derive(Clone, Copy, Debug)]
pub(in crate::collectors) enum Unit {
    /// Unchanged.
    Plain,
    /// Unchanged; may be negative.
    Signed,
    /// Hexadecimal, with or without `0x`.
    Hex,
    /// Multiplied by this.
    Times(u64),
    /// Divided by this.
    Per(f64),
    /// A size with a suffix: `512`, `1.5k`, `3.2M`, `1G`, in powers of 1,024.
    Size,
}

impl Unit {
    /// The content of the device's file `name`, if it exists and is not empty.
    pub(in crate::collectors) fn read(
        self,
        cx: &mut ReadContext<'_>,
        device: &mut Device,
        name: &'static str,
    ) -> Option<Value> {
        let text = device.text(name, cx.buffer)?;
        let line = text.first_line();
        let trimmed = line.bytes().trim_ascii();
        // Some attributes exist and are empty.
        if trimmed.is_empty() {
            return None;
        }
        match self.parse(trimmed) {
            Some(value) => Some(value),
            None => {
                let problem = line.malformed("a number", trimmed);
                cx.problem(problem);
                None
            }
        }
    }

    pub(in crate::collectors) fn parse(self, digits: &[u8]) -> Option<Value> {
        let text = std::str::from_utf8(digits).ok()?;
        Some(match self {
            Unit::Plain => Value::Unsigned(text.parse().ok()?),
            Unit::Signed => Value::Signed(text.parse().ok()?),
            Unit::Hex => Value::Unsigned(u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?),
            Unit::Times(factor) => match text.parse::<u64>().ok()?.checked_mul(factor) {
                Some(product) => Value::Unsigned(product),
                None => Value::Float(text.parse::<f64>().ok()? * factor as f64),
            },
            Unit::Per(divisor) => Value::Float(text.parse::<i64>().ok()? as f64 / divisor),
            Unit::Size => size(text)?,
        })
    }
}

fn size(text: &str) -> Option<Value> {
    let exponent = match text.chars().last()? {
        'k' | 'K' => 1,
        'M' => 2,
        'G' => 3,
        'T' => 4,
        'P' => 5,
        'E' => 6,
        _ => return Some(text.parse::<u64>().map(Value::Unsigned).unwrap_or(Value::Float(text.parse().ok()?))),
    };
    let number: f64 = text[..text.len() - 1].parse().ok()?;
    Some(Value::Float(number * 1024f64.powi(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::text::{Dialect, TextEncoder};

    const SPEED: Family<1> = Family::gauge("speed", "Speed.", ["device"]);
    const INFO: Family<2> = Family::gauge("info", "Info.", ["a", "b"]);
    const KEYED: Family<1> = Family::gauge("kernel_KEY_total", "What the kernel counts.", ["device"]);

    #[test]
    fn samples_are_told_family_by_family() {
        let mut gathered = Gathered::default();
        gathered.put(&SPEED, ["x"], 1u64);
        gathered.put_info(&INFO, ["", "1"]);
        gathered.put_keyed(&KEYED, "r-x", ["x"], 5u64);
        gathered.put(&SPEED, ["y"], 2.5);
        gathered.put_keyed(&KEYED, "r-x", ["y"], 6u64);
        let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
        gathered.families(&mut FamilyWriter::new(&mut encoder));
        let text = String::from_utf8(encoder.finish()).unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "speed{device=\"x\"} 1",
                "speed{device=\"y\"} 2.5",
                "info{b=\"1\"} 1",
                "kernel_r_x_total{device=\"x\"} 5",
                "kernel_r_x_total{device=\"y\"} 6",
            ]
        );
    }

    #[test]
    fn numbers_are_read_in_their_units() {
        let cases: [(Unit, &str, Option<Value>); 10] = [
            (Unit::Plain, "18446744073709551615", Some(Value::Unsigned(u64::MAX))),
            (Unit::Plain, "-1", None),
            (Unit::Signed, "-1", Some(Value::Signed(-1))),
            (Unit::Hex, "0xff", Some(Value::Unsigned(255))),
            (Unit::Times(1000), "5", Some(Value::Unsigned(5000))),
            (Unit::Times(1000), "18446744073709551615", Some(Value::Float(18_446_744_073_709_551_615f64 * 1000.0))),
            (Unit::Per(1000.0), "-45500", Some(Value::Float(-45.5))),
            (Unit::Size, "1.5k", Some(Value::Float(1536.0))),
            (Unit::Size, "512", Some(Value::Unsigned(512))),
            (Unit::Size, "x", None),
        ];
        for (unit, text, expected) in cases {
            assert_eq!(unit.parse(text.as_bytes()), expected, "{text}");
        }
    }
}

//! CPU lists: cpuset(7), "List format", and kernel documentation, "The kernel's command-line parameters", "cpu lists".

use crate::host::{ReadError, Text};

/// Parses a CPU list such as `0-7,16-31:2`. The stride `:2` selects every second CPU, as in perf and node_exporter.
/// `None` if the list is malformed.
pub(super) fn cpu_list(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (range, stride) = part.split_once(':').unwrap_or((part, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let [first, last, stride] = [first, last, stride].map(|number| number.trim().parse::<u32>().ok());
        let stride = stride.filter(|stride| *stride > 0)?;
        cpus.extend((first?..=last.filter(|last| *last < MAX)?).step_by(stride as usize));
    }
    Some(cpus)
}

/// The CPU list in a file of sysfs.
pub(super) fn read_cpu_list(text: Text<'_>) -> Result<Vec<u32>, ReadError> {
    let line = text.first_line();
    cpu_list(&text.trimmed()).ok_or_else(|| line.malformed("a list of CPUs", line.bytes()))
}

/// Above the NR_CPUS of any kernel.
const MAX: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_ranges_and_strides() {
        assert_eq!(cpu_list("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(cpu_list("0-2,8-12:2"), Some(vec![0, 1, 2, 8, 10, 12]));
        assert_eq!(cpu_list(""), Some(vec![]));
    }

    #[test]
    fn what_is_no_list_is_nothing() {
        for malformed in ["x", "1-", "0-4:0", "0-4294967295", "-1", "0-3,x"] {
            assert_eq!(cpu_list(malformed), None, "{malformed}");
        }
    }
}

//! Reads files and does nothing else: the floor below a collector's cost, for benches/cgroups.
//!
//! `read_files LIST ROUNDS` reads each file that LIST names, a path on each line, ROUNDS times, and tells what CPU time that took.

use std::fs::File;
use std::io::Read;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(list), Some(rounds)) = (arguments.next(), arguments.next().and_then(|text| text.parse().ok())) else {
        eprintln!("usage: read_files LIST ROUNDS");
        std::process::exit(2);
    };
    let list = std::fs::read_to_string(list)?;
    let (mut room, mut bytes) = (vec![0; 1 << 16], 0);
    for _ in 0..rounds {
        for path in list.lines() {
            let mut file = File::open(path)?;
            // As little as can be: one read, for these files are made at one go.
            bytes += file.read(&mut room)?;
        }
    }
    let ticks = cpu_ticks(&std::fs::read_to_string("/proc/self/stat")?);
    println!("{bytes} bytes, {} ns", ticks.unwrap_or(0) * 10_000_000);
    Ok(())
}

/// What this process has used of CPU time, in ticks of a hundredth of a second.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

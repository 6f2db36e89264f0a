//! Gets bytes of the kernel and does nothing with them: the floor below a collector's cost, for benches/cgroups,
//! benches/scrape, benches/growth and benches/processes.
//!
//! `read_files [--kept] LIST ROUNDS` reads each file that LIST names, a path on each line, ROUNDS times, and prints what CPU
//! time that took. A line `stat PATH` asks for the attributes of a file. With --kept files stay open between rounds, and a
//! line may also be `statfs PATH`, which asks a file system for its size, or `links`, which asks rtnetlink(7) for all network
//! interfaces.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use taffrail::host::netlink::{self, Peer, Question, Socket};

fn main() -> std::io::Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_kept = arguments.first().is_some_and(|first| first == "--kept");
    arguments.drain(..usize::from(is_kept));
    let [list, rounds] = &arguments[..] else {
        eprintln!("usage: read_files [--kept] LIST ROUNDS");
        std::process::exit(2);
    };
    let rounds: u32 = rounds.parse().map_err(std::io::Error::other)?;
    let list = std::fs::read_to_string(list)?;
    let (mut room, mut bytes) = (vec![0; 1 << 16], 0);
    let mut sources = Vec::new();
    for line in list.lines().filter(|_| is_kept) {
        sources.push(Source::open(line)?);
    }
    let before = cpu_ticks()?;
    for _ in 0..rounds {
        for source in &mut sources {
            bytes += source.read(&mut room)?;
        }
        for line in list.lines().filter(|_| !is_kept) {
            if let Some(path) = line.strip_prefix("stat ") {
                std::fs::metadata(path)?;
                continue;
            }
            let mut file = File::open(line)?;
            // As little as can be: one read, for these files are made at one go.
            bytes += file.read(&mut room)?;
        }
    }
    println!("{bytes} bytes, {} ns", (cpu_ticks()? - before) * 10_000_000);
    Ok(())
}

/// What is read again and again.
enum Source {
    File(File),
    FileSystem(String),
    Links(Socket),
}

impl Source {
    fn open(line: &str) -> std::io::Result<Source> {
        Ok(match line.strip_prefix("statfs ") {
            Some(path) => Source::FileSystem(path.to_owned()),
            None if line == "links" => Source::Links(Socket::open(Peer::Route)?),
            None => Source::File(File::open(line)?),
        })
    }

    fn read(&mut self, room: &mut Vec<u8>) -> std::io::Result<usize> {
        match self {
            // Files of several records take several reads; the last is short, or finds nothing.
            Source::File(file) => {
                let mut length = 0;
                loop {
                    match file.read_at(room, length as u64) {
                        Ok(0) => break,
                        Ok(more) => length += more,
                        // A device that has nothing to say now.
                        Err(_) => break,
                    }
                    if length < 4000 {
                        break;
                    }
                }
                Ok(length)
            }
            Source::FileSystem(path) => rustix::fs::statvfs(path.as_str()).map(|_| 0).map_err(Into::into),
            Source::Links(socket) => {
                const RTM_GETLINK: u16 = 18;
                let mut length = 0;
                let question = Question { peer: Peer::Route, kind: RTM_GETLINK, body: &[0; 16] };
                netlink::dump(socket, question, room, &mut |body| length += body.len())?;
                Ok(length)
            }
        }
    }
}

/// What this process has used of CPU time, in ticks of a hundredth of a second.
fn cpu_ticks() -> std::io::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11)).into_iter().flatten();
    Ok(fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum())
}

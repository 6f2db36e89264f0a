//! A sink's folder in the spool, as an outage leaves it, for benches/spool.
//!
//! `fill_spool FOLDER NAME TICKS SECONDS <LINES` takes a tick's lines of line protocol from standard input, and puts TICKS
//! of them, SECONDS apart, the last of them now, into the folder of the sink that is called NAME.

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taffrail::encode::lines::{Lines, RecordWriter};
use taffrail::spool::{Limits, Queue, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, name, ticks, seconds] = arguments.as_slice() else {
        return Err("usage: fill_spool FOLDER NAME TICKS SECONDS <LINES".into());
    };
    let (ticks, seconds): (u64, u64) = (ticks.parse()?, seconds.parse()?);
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let points: Vec<&str> = text.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    let settings = Settings { folder: Some(folder.into()), ..Settings::default() };
    let folder = settings.folder_of(name).ok_or("no folder")?;
    let bounds = Limits { memory: 64 << 20, bytes: 4 << 30, age: Duration::from_secs(30 * 86_400) };
    let queue = Queue::on_disk(&folder, bounds);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for tick in 0..ticks {
        let time = (now - (ticks - tick) * seconds) * 1_000_000_000;
        let mut lines = Lines::default();
        points.iter().for_each(|point| lines.push(format!("{point} {time}\n").as_bytes()));
        queue.push(lines);
        queue.persist();
    }
    let waiting = queue.counts();
    println!("{} points, {} bytes", waiting.points, waiting.bytes);
    Ok(())
}

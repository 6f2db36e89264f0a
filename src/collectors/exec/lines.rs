//! Lines that a program writes while it runs.

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;

use super::process::StderrLog;

/// Bytes of a line. A longer one is left out.
pub(super) const MAX_LINE: usize = 64 << 10;

/// Reads standard error, logs it, and returns the last line.
pub(super) async fn follow_messages(stderr: Option<ChildStderr>, mut log: Option<StderrLog>) -> Option<String> {
    let mut stderr = stderr?;
    let (mut buffer, mut text, mut last) = (vec![0; 4 << 10], Vec::new(), None);
    loop {
        let count = stderr.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..count]);
        let end = if count == 0 || text.len() > MAX_LINE {
            text.len()
        } else {
            memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1)
        };
        let lines = String::from_utf8_lossy(&text.drain(..end).collect::<Vec<u8>>()).into_owned();
        if let Some(log) = &mut log {
            log.log(&lines);
        }
        let line = lines.lines().rev().map(str::trim).find(|line| !line.is_empty());
        last = line.map(|line| line.chars().filter(|c| !c.is_control()).take(512).collect()).or(last);
        if count == 0 {
            return last;
        }
    }
}

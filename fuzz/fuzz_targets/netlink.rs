//! Whatever the kernel answers by netlink, and a service by D-Bus, nothing panics.
#![no_main]

#[path = "../collect.rs"]
#[allow(dead_code)]
mod collect;

use std::io;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use collect::Collectors;
use libfuzzer_sys::fuzz_target;
use rustix::io::Errno;
use taffrail::host::netlink::Question;
use taffrail::encode::Timestamp;
use taffrail::host::{FsStat, Host, Kernel, Roots};

/// What is answered.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Odd;

impl Kernel for Odd {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000_000_000)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(7)
    }
    fn statfs(&self, _: &Path) -> Result<FsStat, Errno> {
        Err(Errno::ACCESS)
    }
    fn machine(&self) -> String {
        "x86_64".to_owned()
    }
    fn hostname(&self) -> String {
        "odd".to_owned()
    }
    fn page_size(&self) -> u64 {
        4096
    }
    /// Each answer is as long as its first byte says.
    fn dump(&self, _: Question<'_>, _: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        let answer = ANSWER.lock().unwrap().clone();
        let mut rest = &answer[..];
        while let Some((length, more)) = rest.split_first() {
            let (answer, others) = more.split_at(more.len().min(usize::from(*length) * 4));
            each(answer);
            rest = others;
        }
        Ok(())
    }
    fn connect(&self, _: &Path, _: Duration) -> io::Result<UnixStream> {
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(b"OK 0\r\n")?;
        // What does not fit would wait for ever.
        theirs.set_nonblocking(true)?;
        let _ = theirs.write(&ANSWER.lock().unwrap());
        Ok(ours)
    }
}

const NAMES: [&str; 8] = ["netdev", "netclass", "network_route", "qdisc", "tcpstat", "wifi", "systemd", "logind"];

static COLLECTORS: LazyLock<Mutex<Collectors>> = LazyLock::new(|| {
    let none = Path::new("/none");
    let roots = Roots { proc: none.into(), sys: none.into(), root: none.into(), udev: none.into() };
    Mutex::new(Collectors::new(Host::new(roots, Arc::new(Odd)), &NAMES))
});

fuzz_target!(|input: &[u8]| {
    input.clone_into(&mut ANSWER.lock().unwrap());
    let mut collectors = COLLECTORS.lock().unwrap();
    NAMES.iter().for_each(|name| collectors.collect(name));
});

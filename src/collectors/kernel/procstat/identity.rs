//! Who a process is: its command line, its user, its cgroup. Each is read when a selector needs it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;

use crate::host::text::Number;
use crate::host::{Host, HostFile, file};

/// Maximum length of a command line that patterns see, in bytes.
const MAX_COMMAND_LINE: usize = 64 << 10;

/// A process that is to be put into a group.
#[derive(Default)]
pub(super) struct Identity<'p, 'u> {
    pub(super) pid: u32,
    /// Its name, `comm`.
    pub(super) name: &'p str,
    /// Where to read more; without it, there is nothing more.
    pub(super) source: Option<Source<'p, 'u>>,
    arguments: OnceCell<Arguments>,
    cgroup: OnceCell<String>,
    user: OnceCell<(String, String)>,
}

/// The files of a process, and the names of users.
pub(super) struct Source<'p, 'u> {
    /// `/proc/PID`.
    pub(super) folder: &'p Path,
    pub(super) buffer: &'p mut Vec<u8>,
    pub(super) users: &'u mut Users,
}

#[derive(Default)]
struct Arguments {
    first: String,
    joined: String,
}

impl<'p, 'u> Identity<'p, 'u> {
    pub(super) fn new(pid: u32, name: &'p str, source: Source<'p, 'u>) -> Self {
        Identity { pid, name, source: Some(source), ..Identity::default() }
    }

    /// The arguments, joined by spaces; empty for a kernel thread and a zombie.
    pub(super) fn command_line(&mut self) -> &str {
        &self.arguments().joined
    }

    /// The first argument, or the name of a process without arguments.
    pub(super) fn executable(&mut self) -> &str {
        let name = self.name;
        let first = &self.arguments().first;
        if first.is_empty() { name } else { first }
    }

    fn arguments(&mut self) -> &Arguments {
        let Identity { source, arguments, .. } = self;
        arguments.get_or_init(|| {
            let Some(Source { folder, buffer, .. }) = source else { return Arguments::default() };
            let path = folder.join("cmdline");
            let text = file::read_start(&path, MAX_COMMAND_LINE, buffer);
            text.map_or_else(|_| Arguments::default(), |text| Arguments::new(text.bytes()))
        })
    }

    #[cfg(test)]
    pub(super) fn set_command_line(&mut self, text: &str) {
        self.arguments = Arguments::new(text.as_bytes()).into();
    }

    /// The path of the cgroup: that of systemd, or else that of the first hierarchy.
    pub(super) fn cgroup(&mut self) -> &str {
        let Identity { source, cgroup, .. } = self;
        cgroup.get_or_init(|| {
            let Some(Source { folder, buffer, .. }) = source else { return String::new() };
            let path = folder.join("cgroup");
            let Ok(text) = file::read_record(&path, buffer) else { return String::new() };
            cgroup_path(&text.lines().map(|line| String::from_utf8_lossy(line.bytes())).collect::<Vec<_>>())
        })
    }

    /// The name and the number of the effective user; a user without a name has the number twice.
    pub(super) fn user(&mut self) -> (Cow<'_, str>, Cow<'_, str>) {
        let Identity { source, user, .. } = self;
        let (name, uid) = user.get_or_init(|| {
            let Some(Source { folder, buffer, users }) = source else { return Default::default() };
            let path = folder.join("status");
            let uid = file::read_record(&path, buffer).ok().and_then(|text| {
                let line = text.lines().find_map(|line| line.bytes().strip_prefix(b"Uid:"))?;
                u64::parse(line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(1)?)
            });
            let Some(uid) = uid else { return Default::default() };
            (users.name(uid, buffer), uid.to_string())
        });
        (name.into(), uid.into())
    }
}

impl Arguments {
    /// The content of `cmdline`.
    fn new(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let first = text.split('\0').next().unwrap_or_default().to_owned();
        Arguments { first, joined: text.trim_end_matches('\0').replace('\0', " ") }
    }
}

/// The path of the process in the lines of its `cgroup` file: cgroups(7).
fn cgroup_path(lines: &[Cow<'_, str>]) -> String {
    let path = |line: &str| line.splitn(3, ':').nth(2).unwrap_or_default().to_owned();
    let of_systemd = lines.iter().find(|line| line.contains(":name=systemd:"));
    let unified = lines.iter().find(|line| line.starts_with("0::"));
    of_systemd.or(unified).or(lines.first()).map(|line| path(line)).unwrap_or_default()
}

/// Names of users: passwd(5) of the host.
pub(super) struct Users {
    passwd: HostFile,
    names: HashMap<u64, String>,
    /// Whether the file was read in this round.
    is_current: bool,
}

impl Users {
    pub(super) fn new(host: &Host) -> Self {
        Users { passwd: host.root("etc/passwd"), names: HashMap::new(), is_current: false }
    }

    /// An unknown user may have been added since the last round.
    pub(super) fn begin_round(&mut self) {
        self.is_current = false;
    }

    /// The name of a user, or else the number.
    pub(super) fn name(&mut self, uid: u64, buffer: &mut Vec<u8>) -> String {
        if !self.names.contains_key(&uid) && !self.is_current {
            self.is_current = true;
            if let Ok(text) = self.passwd.read(buffer) {
                self.names = text.lines().filter_map(|line| user(line.bytes())).collect();
            }
        }
        self.names.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

/// The number and the name in a line of passwd(5).
fn user(line: &[u8]) -> Option<(u64, String)> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    Some((u64::parse(fields.nth(1)?)?, String::from_utf8_lossy(name).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_is_that_of_systemd() {
        let path = |text: &str| cgroup_path(&text.lines().map(Cow::Borrowed).collect::<Vec<_>>());
        assert_eq!(path("0::/system.slice/a.service"), "/system.slice/a.service");
        assert_eq!(path("5:cpu,cpuacct:/b\n1:name=systemd:/a:b\n0::/c"), "/a:b");
        assert_eq!(path("5:cpu,cpuacct:/b\n4:memory:/c"), "/b");
        assert_eq!(path(""), "");
    }

    #[test]
    fn arguments_are_joined_by_spaces() {
        let Arguments { first, joined } = Arguments::new(b"/bin/sh\0-c\0a  b\0");
        assert_eq!((first.as_str(), joined.as_str()), ("/bin/sh", "/bin/sh -c a  b"));
        let Arguments { first, joined } = Arguments::new(b"nginx: master process\0\0\0");
        assert_eq!((first.as_str(), joined.as_str()), ("nginx: master process", "nginx: master process"));
        assert_eq!(Arguments::new(b"").joined, "");
    }

    #[test]
    fn users_have_names() {
        assert_eq!(user(b"root:x:0:0:root:/root:/bin/sh"), Some((0, "root".to_owned())));
        assert_eq!(user(b"+nis"), None);
        assert_eq!(user(b":x:7"), None);
    }
}

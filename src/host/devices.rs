//! Directories of devices, with a file per attribute, as in sysfs: Documentation/filesystems/sysfs.rst.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changes::Changes;
use super::file::{self, HostFile};
use super::text::{Number, ReadError, Text};

/// The devices in a directory.
#[derive(Debug)]
pub struct Devices {
    path: PathBuf,
    known: BTreeMap<String, Device>,
    changes: Option<Arc<Changes>>,
    are_announced: bool,
    /// The generation at which they were listed, and the error if there was one.
    looked: Option<(u64, Option<ReadError>)>,
}

impl Devices {
    /// The devices in the directory at `path`, listed by [`Devices::look`].
    pub fn new(path: PathBuf) -> Self {
        Devices { path, known: BTreeMap::new(), changes: None, are_announced: false, looked: None }
    }

    /// Lists again only after `changes`: an absent directory, and, if `are_announced`, the devices.
    #[must_use]
    pub(super) fn watching(self, changes: &Arc<Changes>, are_announced: bool) -> Self {
        Devices { changes: Some(changes.clone()), are_announced, ..self }
    }

    /// Lists the devices that are `wanted`, in name order.
    ///
    /// # Errors
    /// As [`HostFile::read`]: usually the directory is absent without such devices.
    pub fn look(
        &mut self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<impl Iterator<Item = (&str, &mut Device)>, ReadError> {
        let generation = self.changes.as_ref().map(|changes| changes.generation());
        match &self.looked {
            Some((since, Some(absent))) if generation == Some(*since) => return Err(absent.clone()),
            Some((since, None)) if generation == Some(*since) && self.are_announced => {}
            _ => self.look_again(generation, wanted)?,
        }
        Ok(self.known.iter_mut().map(|(name, device)| (name.as_str(), device)))
    }

    fn look_again(&mut self, generation: Option<u64>, wanted: impl Fn(&str) -> bool) -> Result<(), ReadError> {
        let mut before = std::mem::take(&mut self.known);
        let listed = file::list(&self.path);
        let absent = listed.as_ref().err().filter(|error| error.is_absent()).cloned();
        self.looked = generation.map(|generation| (generation, absent));
        for name in listed? {
            if wanted(&name) {
                let device = before.remove(&name).unwrap_or_else(|| self.device(&name));
                self.known.insert(name, device);
            }
        }
        Ok(())
    }

    fn device(&self, name: &str) -> Device {
        Device { changes: self.changes.clone(), ..Device::new(self.path.join(name)) }
    }
}

/// A device: a directory whose files are read at each reading.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    files: Vec<(Cow<'static, str>, HostFile)>,
    below: BTreeMap<String, Device>,
    changes: Option<Arc<Changes>>,
}

impl Device {
    /// The device at `path`.
    pub fn new(path: PathBuf) -> Self {
        Device { path, files: Vec::new(), below: BTreeMap::new(), changes: None }
    }

    /// Opens absent files again only after `changes`.
    #[must_use]
    pub(super) fn watching(self, changes: &Arc<Changes>) -> Self {
        Device { changes: Some(changes.clone()), ..self }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The attribute `name`. `None` if the device lacks it or cannot provide it now: an unplugged sensor, an interface that is
    /// down, a file for root.
    pub fn text<'a>(&'a mut self, name: impl Into<Cow<'static, str>>, buffer: &'a mut Vec<u8>) -> Option<Text<'a>> {
        let name = name.into();
        let index = match self.files.iter().position(|(known, _)| *known == name) {
            Some(index) => index,
            None => {
                let file = HostFile::new(self.path.join(&*name)).one_record();
                let file = match &self.changes {
                    Some(changes) => file.watching(changes),
                    None => file,
                };
                self.files.push((name, file));
                self.files.len() - 1
            }
        };
        self.files[index].1.read(buffer).ok()
    }

    /// The attribute as a trimmed string; `None` if empty.
    pub fn string(&mut self, name: impl Into<Cow<'static, str>>, buffer: &mut Vec<u8>) -> Option<String> {
        let text = self.text(name, buffer)?.trimmed().into_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The attribute as a number.
    ///
    /// # Errors
    /// If the content is malformed.
    pub fn number<T: Number>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<T>, ReadError> {
        self.text(name, buffer).map(|text| text.number("a number")).transpose()
    }

    /// Sorted names of the files and directories in it; none if it was removed.
    pub fn names(&mut self) -> Vec<String> {
        let mut names = file::list(&self.path).unwrap_or_default();
        names.sort_unstable();
        self.below.retain(|path, _| {
            let first = path.split('/').next().unwrap_or_default();
            names.binary_search_by(|name| name.as_str().cmp(first)).is_ok()
        });
        names
    }

    /// The device or part in the directory `path` below this one.
    pub fn below(&mut self, path: &str) -> &mut Device {
        if !self.below.contains_key(path) {
            let device = Device { changes: self.changes.clone(), ..Device::new(self.path.join(path)) };
            self.below.insert(path.to_owned(), device);
        }
        self.below.entry(path.to_owned()).or_insert_with(|| Device::new(PathBuf::new()))
    }
}

/// The number in a name such as `cpu12`; `None` for other names.
pub fn number_in<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    name.strip_prefix(prefix).filter(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_come_and_go_and_attributes_may_be_silent() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/size", "5\n");
        write("b/size", "many\n");
        write("other/size", "1\n");
        let mut devices = Devices::new(folder.path().to_owned());
        let mut buffer = Vec::new();
        let mut sizes: Vec<(String, Result<Option<u64>, String>)> = Vec::new();
        for (name, device) in devices.look(|name| name.len() == 1).unwrap() {
            let size = device.number("size", &mut buffer).map_err(|error| error.to_string());
            sizes.push((name.to_owned(), size));
            assert_eq!(device.string("model", &mut buffer), None);
        }
        assert_eq!(sizes[0], ("a".to_owned(), Ok(Some(5))));
        assert!(sizes[1].1.as_ref().unwrap_err().ends_with("b/size:1: expected a number, found \"many\""));
        std::fs::remove_dir_all(folder.path().join("a")).unwrap();
        let names: Vec<String> = devices.look(|_| true).unwrap().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["b", "other"]);
        assert!(Devices::new(folder.path().join("none")).look(|_| true).is_err_and(|error| error.is_absent()));
    }
}

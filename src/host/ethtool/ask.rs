//! Calls of `SIOCETHTOOL`.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{Driver, Ethtool, Link};
use crate::host::errno::Errno;
use crate::host::netlink::{text, u32_at, u64_at};

/// Reads the data of the driver of `device`.
///
/// # Errors
/// The error of the socket or the driver. Data that the driver lacks is omitted.
pub fn ask(device: &str) -> Result<Ethtool, Errno> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let asked = Asked { socket, device };
    let driver = asked.driver()?;
    let counters = asked.counters(driver.as_ref().map_or(0, |(_, counters)| *counters))?;
    Ok(Ethtool { driver: driver.map(|(driver, _)| driver), counters, link: asked.link()? })
}

struct Asked<'d> {
    socket: OwnedFd,
    device: &'d str,
}

impl Asked<'_> {
    /// The driver, and how many counters it has.
    fn driver(&self) -> Result<Option<(Driver, u32)>, Errno> {
        const GDRVINFO: u32 = 0x3;
        const LENGTH: usize = 196;
        const COUNTERS: usize = 180;
        let Some(reply) = self.known(GDRVINFO, vec![0; LENGTH])? else { return Ok(None) };
        let at = |start: usize| text(&reply[start..start + 32]);
        let driver = Driver { name: at(4), version: at(36), firmware: at(68), bus: at(100), expansion_rom: at(132) };
        Ok(Some((driver, u32_at(&reply, COUNTERS))))
    }

    fn counters(&self, count: u32) -> Result<Vec<(String, u64)>, Errno> {
        const GSTRINGS: u32 = 0x1b;
        const GSTATS: u32 = 0x1d;
        const SET_OF_COUNTERS: u32 = 1;
        const NAME: usize = 32;
        /// Above any real number of counters.
        const MOST: u32 = 1 << 16;
        if count == 0 || count > MOST {
            return Ok(Vec::new());
        }
        const NAMES_HEAD: usize = 12;
        const VALUES_HEAD: usize = 8;
        let mut names = vec![0; NAMES_HEAD + count as usize * NAME];
        names[4..8].copy_from_slice(&SET_OF_COUNTERS.to_ne_bytes());
        names[8..12].copy_from_slice(&count.to_ne_bytes());
        let mut values = vec![0; VALUES_HEAD + count as usize * 8];
        values[4..8].copy_from_slice(&count.to_ne_bytes());
        let (Some(names), Some(values)) = (self.known(GSTRINGS, names)?, self.known(GSTATS, values)?) else {
            return Ok(Vec::new());
        };
        let numbers = values[VALUES_HEAD..].chunks_exact(8).map(|value| u64_at(value, 0));
        Ok(names[NAMES_HEAD..].chunks_exact(NAME).map(text).zip(numbers).collect())
    }

    /// The link settings. The kernel first returns the length of its bitmaps in words, as a negative number.
    fn link(&self) -> Result<Option<Link>, Errno> {
        const GLINKSETTINGS: u32 = 0x4c;
        const HEAD: usize = 48;
        const AUTONEGOTIATES: usize = 11;
        const WORDS: usize = 15;
        let Some(reply) = self.known(GLINKSETTINGS, vec![0; HEAD])? else { return Ok(None) };
        let words = i8::from_ne_bytes([reply[WORDS]]).unsigned_abs();
        // Supported, advertised, and advertised by the link partner.
        let mut request = vec![0; HEAD + usize::from(words) * 3 * 4];
        request[WORDS] = words;
        let Some(reply) = self.known(GLINKSETTINGS, request)? else { return Ok(None) };
        let mut maps = reply[HEAD..].chunks_exact(4 * usize::from(words.max(1)));
        let mut map =
            || maps.next().into_iter().flat_map(|map| map.chunks_exact(4)).map(|word| u32_at(word, 0)).collect();
        Ok(Some(Link { autonegotiates: reply[AUTONEGOTIATES] == 1, supported: map(), advertised: map() }))
    }

    /// The result of `command`; `None` if the driver does not support it.
    fn known(&self, command: u32, structure: Vec<u8>) -> Result<Option<Vec<u8>>, Errno> {
        match self.ioctl(command, structure) {
            Ok(answer) => Ok(Some(answer)),
            // As are commands for root.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Passes `structure`, which begins with the command, to the driver, which fills it.
    // No safe crate wraps this call.
    #[allow(unsafe_code)]
    fn ioctl(&self, command: u32, mut structure: Vec<u8>) -> Result<Vec<u8>, Errno> {
        structure[0..4].copy_from_slice(&command.to_ne_bytes());
        // SAFETY: a C structure of integers and unions of integers and pointers, for which all bits zero are a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if self.device.len() >= request.ifr_name.len() {
            return Err(Errno::NODEV);
        }
        for (to, from) in request.ifr_name.iter_mut().zip(self.device.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = structure.as_mut_ptr().cast();
        const SIOCETHTOOL: u64 = 0x8946;
        // SAFETY: `request` points to `structure`, and both live as long as the call. The kernel writes no more than the
        // command's structure, and behind it as many items as `structure` says that there is room for.
        let answer = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
        if answer < 0 {
            return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
        }
        Ok(structure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs on machines with such an interface; virtual ones have no link settings.
    #[test]
    fn a_link_tells_its_modes_in_as_many_words_as_the_kernel_has() {
        for name in crate::host::file::list("/sys/class/net".as_ref()).unwrap() {
            if let Some(link) = ask(&name).ok().and_then(|reply| reply.link) {
                assert!(link.supported.len() >= 2 && link.supported.len() == link.advertised.len(), "{name}: {link:?}");
            }
        }
    }

    #[test]
    fn the_loopback_interface_has_a_driver_without_counters_and_others_are_none() {
        let reply = ask("lo").unwrap();
        assert!(reply.counters.is_empty(), "{reply:?}");
        assert_eq!(ask("none-such").unwrap_err(), Errno::NODEV);
        assert_eq!(ask("a-name-that-is-too-long-for-any").unwrap_err(), Errno::NODEV);
    }
}

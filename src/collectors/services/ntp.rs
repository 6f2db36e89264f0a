//! State of an NTP server.

use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, SystemTime};

use super::service_call::{MAX_THREADS, ServiceCall};
use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::host::{Host, ReadError};

/// A server, queried as by an SNTP client: RFC 5905.
pub(super) struct Ntp {
    server: ServiceCall<Response>,
    max_distance: Duration,
    offset_tolerance: Duration,
    /// Unix time of the midnight with a leap second, in seconds. Servers drop the announcement right after it.
    leap_midnight: Option<i64>,
}

const SERVER: Key<String> =
    Key::new("server", "\"127.0.0.1\"", "The server; a loopback address unless `server_is_local`.");
const SERVER_PORT: Key<usize> = Key::new("server_port", "123", "The server's UDP port.");
const PROTOCOL_VERSION: Key<usize> = Key::new("protocol_version", "4", "Version of NTP: 2, 3 or 4.");
const SERVER_IS_LOCAL: Key<bool> = Key::new(
    "server_is_local",
    "false",
    "Allows a server that is not a loopback address. Set it only for a server that is yours: public servers should not be monitored.",
);
const IP_TTL: Key<usize> = Key::new("ip_ttl", "1", "TTL of IPv4 packets: 1 does not leave the network.");
const MAX_DISTANCE: Key<Duration> =
    Key::new("max_distance", "\"3s 466ms 80us\"", "Root distance up to which node_ntp_sanity is 1.");
const LOCAL_OFFSET_TOLERANCE: Key<Duration> =
    Key::new("local_offset_tolerance", "\"1ms\"", "Error of the local clock up to which node_ntp_sanity is 1.");

impl Collector for Ntp {
    const ABOUT: About = About {
        name: "ntp",
        summary: "state of the local NTP server",
        reads: &["127.0.0.1:123"],
        needs: "an NTP server that responds",
        on_by_default: Vocabularies::NONE,
        keys: &[
            SERVER.info(),
            SERVER_PORT.info(),
            PROTOCOL_VERSION.info(),
            SERVER_IS_LOCAL.info(),
            IP_TTL.info(),
            MAX_DISTANCE.info(),
            LOCAL_OFFSET_TOLERANCE.info(),
        ],
        families: &[
            STRATUM.info(),
            LEAP.info(),
            RTT.info(),
            OFFSET.info(),
            REFERENCE_TIME.info(),
            ROOT_DELAY.info(),
            ROOT_DISPERSION.info(),
            SANITY.info(),
        ],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let server = section.get(&SERVER);
        let is_loopback =
            |server: &str| server.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback());
        if !section.get(&SERVER_IS_LOCAL) && !is_loopback(&server) {
            let expected = "expected a loopback address, or server_is_local = true";
            section.wrong(SERVER.info().name, format!("{expected}, found {server:?}"));
        }
        let mut number = |key: &Key<usize>, min: usize, max: usize| {
            let number = section.get(key);
            if !(min..=max).contains(&number) {
                section.wrong(key.info().name, format!("expected a number from {min} to {max}, found {number}"));
            }
            number
        };
        let port = number(&SERVER_PORT, 1, u16::MAX.into()) as u16;
        let version = number(&PROTOCOL_VERSION, 2, 4) as u8;
        let ttl = number(&IP_TTL, 1, u8::MAX.into()) as u32;
        let query = move |server: &str| query(server, port, version, ttl);
        Ntp {
            server: ServiceCall::new(host.questions(MAX_THREADS), server, query),
            max_distance: section.get(&MAX_DISTANCE),
            offset_tolerance: section.get(&LOCAL_OFFSET_TOLERANCE),
            leap_midnight: None,
        }
    }

    fn read(&mut self, _: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let response = self.server.read()?;
        let seconds = |nanoseconds: i64| nanoseconds as f64 / 1e9;
        reading.put(&STRATUM, [], u64::from(response.stratum));
        reading.put(&LEAP, [], u64::from(response.leap));
        reading.put(&RTT, [], seconds(response.rtt));
        reading.put(&OFFSET, [], seconds(response.offset));
        reading.put(&REFERENCE_TIME, [], seconds(response.reference_time));
        reading.put(&ROOT_DELAY, [], seconds(response.root_delay));
        reading.put(&ROOT_DISPERSION, [], seconds(response.root_dispersion));
        reading.put(&SANITY, [], self.is_sane(&response));
        Ok(())
    }
}

impl Ntp {
    /// Whether the server may be trusted, and agrees with the local clock.
    fn is_sane(&mut self, response: &Response) -> bool {
        const DAY: i64 = 86_400;
        /// Servers may smear a leap second over a day.
        const SMEAR: Duration = Duration::from_secs(1);
        let time = response.time.div_euclid(NANOSECONDS);
        if matches!(response.leap, 1 | 2) {
            self.leap_midnight = Some(time - time.rem_euclid(DAY) + DAY);
        }
        let is_smeared = self.leap_midnight.is_some_and(|midnight| (time - midnight).abs() < DAY);
        let tolerance = self.offset_tolerance + if is_smeared { SMEAR } else { Duration::ZERO };
        let is_within = |nanoseconds: i64, max: Duration| i128::from(nanoseconds) <= max.as_nanos() as i128;
        let distance = (response.rtt + response.root_delay) / 2 + response.root_dispersion;
        response.is_valid() && is_within(distance, self.max_distance) && is_within(response.min_error, tolerance)
    }
}

const NANOSECONDS: i64 = 1_000_000_000;

/// A response. Times are in nanoseconds, points in time in Unix time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Response {
    stratum: u8,
    /// Leap indicator: 1 and 2 announce a leap second, 3 is a server that is not synchronized.
    leap: u8,
    rtt: i64,
    offset: i64,
    /// When the server's clock was last set; 0 if never.
    reference_time: i64,
    root_delay: i64,
    root_dispersion: i64,
    /// When the server sent the response.
    time: i64,
    /// The least error that the times of both clocks prove: a response that was sent before its request, or received
    /// before it was sent.
    min_error: i64,
}

impl Response {
    /// The checks of RFC 5905, appendix A.5.1.1.
    fn is_valid(&self) -> bool {
        const MAX_STRATUM: u8 = 15;
        const UNSYNCHRONIZED: u8 = 3;
        const MAX_DISPERSION: i64 = 16 * NANOSECONDS;
        const MAX_POLL_INTERVAL: i64 = (1 << 17) * NANOSECONDS;
        (1..=MAX_STRATUM).contains(&self.stratum)
            && self.leap != UNSYNCHRONIZED
            && self.root_delay / 2 + self.root_dispersion <= MAX_DISPERSION
            && (0..=MAX_POLL_INTERVAL).contains(&(self.time - self.reference_time))
    }
}

/// Length of a packet without extensions.
const PACKET: usize = 48;
const TRANSMIT_TIME: usize = 40;

/// Queries the server.
fn query(server: &str, port: u16, version: u8, ttl: u32) -> Result<Response, ReadError> {
    const TIMEOUT: Duration = Duration::from_secs(1);
    const CLIENT: u8 = 3;
    let refused = |reason: String| ReadError::Refused { what: format!("NTP server {server}"), reason };
    let exchange = || {
        let address = (server, port).to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
        let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        if address.is_ipv4() {
            socket.set_ttl(ttl)?;
        }
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.connect(address)?;
        let mut request = [0; PACKET];
        request[0] = version << 3 | CLIENT;
        // A random number instead of the time, so that no one can forge a response.
        let cookie = fastrand::u64(1..);
        request[TRANSMIT_TIME..].copy_from_slice(&cookie.to_be_bytes());
        let sent = SystemTime::now();
        socket.send(&request)?;
        let mut response = [0; 512];
        let length = socket.recv(&mut response)?;
        let received = SystemTime::now().max(sent);
        Ok((response, length, cookie, sent, received))
    };
    let exchanged = exchange().map_err(|error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => refused("no answer in time".to_owned()),
        _ => refused(error.to_string()),
    });
    let (response, length, cookie, sent, received) = exchanged?;
    let response = response.get(..length).unwrap_or_default();
    parse(response, cookie, fixed(sent), fixed(received)).map_err(|reason| refused(reason.to_owned()))
}

/// Parses the response to a request with this cookie. `sent` and `received` are the local times.
fn parse(packet: &[u8], cookie: u64, sent: u64, received: u64) -> Result<Response, &'static str> {
    const SERVER: u8 = 4;
    if packet.len() < PACKET {
        return Err("the answer is too short");
    }
    let long = |at: usize| packet[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let short = |at: usize| packet[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let (origin, arrived, left) = (long(24), long(32), long(TRANSMIT_TIME));
    match () {
        () if packet[0] & 7 != SERVER => return Err("the answer is not that of a server"),
        () if origin != cookie => return Err("the answer belongs to another request"),
        () if left == 0 || arrived > left => return Err("the answer has no valid time"),
        () => {}
    }
    let difference = |one: u64, other: u64| one.wrapping_sub(other) as i64;
    let rtt = difference(received, sent).wrapping_sub(difference(left, arrived)).max(0);
    let (there, back) = (difference(arrived, sent), difference(left, received));
    Ok(Response {
        stratum: packet[1],
        leap: packet[0] >> 6,
        rtt: nanoseconds(rtt),
        offset: nanoseconds(there.wrapping_add(back.wrapping_sub(there) / 2)),
        reference_time: unix(long(16)),
        root_delay: nanoseconds(i64::from(short(4)) << 16),
        root_dispersion: nanoseconds(i64::from(short(8)) << 16),
        time: unix(left),
        min_error: nanoseconds(there.saturating_neg().max(back).max(0)),
    })
}

/// Seconds from 1900, the start of NTP's first era, to 1970.
const ERA: u64 = 2_208_988_800;

/// A point in time as NTP counts: seconds since 1900, in units of 2^-32.
fn fixed(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / NANOSECONDS as u64;
    (since.as_secs().wrapping_add(ERA) << 32) + fraction
}

/// The same in nanoseconds of Unix time; 0 if it is not set. Times before 1970 belong to the next era, from 2036 on.
fn unix(fixed: u64) -> i64 {
    let (seconds, fraction) = (fixed >> 32, (fixed & 0xffff_ffff) as i64);
    let seconds = if seconds < ERA { seconds + (1 << 32) } else { seconds };
    if fixed == 0 { 0 } else { (seconds - ERA) as i64 * NANOSECONDS + nanoseconds(fraction) }
}

/// A difference in units of 2^-32 s in nanoseconds.
fn nanoseconds(fixed: i64) -> i64 {
    (((i128::from(fixed) * i128::from(NANOSECONDS)) + (1 << 31)) >> 32) as i64
}

const STRATUM: Family<0> = Family::gauge("node_ntp_stratum", "Stratum of the NTP server", []);
const LEAP: Family<0> =
    Family::gauge("node_ntp_leap", "Leap indicator: 1 or 2 announces a leap second, 3 is not synchronized", []);
const RTT: Family<0> = Family::gauge("node_ntp_rtt_seconds", "Round-trip time to the NTP server", []);
const OFFSET: Family<0> = Family::gauge("node_ntp_offset_seconds", "Offset of the NTP server from the local clock", []);
const REFERENCE_TIME: Family<0> = Family::gauge(
    "node_ntp_reference_timestamp_seconds",
    "Unix time at which the NTP server's clock was last set; 0 if never",
    [],
);
const ROOT_DELAY: Family<0> =
    Family::gauge("node_ntp_root_delay_seconds", "Round-trip time from the NTP server to its reference clock", []);
const ROOT_DISPERSION: Family<0> =
    Family::gauge("node_ntp_root_dispersion_seconds", "Maximum error relative to the reference clock", []);
const SANITY: Family<0> =
    Family::gauge("node_ntp_sanity", "1 if the NTP server is valid by RFC 5905 and within the configured limits", []);

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: u64 = 0x1234_5678_9abc_def0;
    /// 2026-01-01 00:00:00 UTC.
    const NOW: u64 = (1_767_225_600 + ERA) << 32;
    const MILLISECOND: u64 = (1 << 32) / 1000;

    /// A response that arrives 10 ms, and leaves 11 ms, after `NOW` by the server's clock.
    fn packet() -> [u8; PACKET] {
        let mut packet = [0; PACKET];
        packet[..4].copy_from_slice(&[4 << 3 | 4, 2, 6, 0xe9]);
        packet[4..8].copy_from_slice(&(1u32 << 14).to_be_bytes());
        packet[8..12].copy_from_slice(&(1u32 << 15).to_be_bytes());
        let times = [NOW - (60 << 32), COOKIE, NOW + 10 * MILLISECOND, NOW + 11 * MILLISECOND];
        for (time, at) in times.iter().zip([16, 24, 32, TRANSMIT_TIME]) {
            packet[at..at + 8].copy_from_slice(&time.to_be_bytes());
        }
        packet
    }

    fn ntp() -> Ntp {
        let document = crate::config::Document::parse("test", "", &|_| None).unwrap();
        Section::check(&document, |section| Ntp::new(&Host::live(Default::default()), section)).unwrap()
    }

    #[test]
    fn a_response_is_read() {
        let response = parse(&packet(), COOKIE, NOW, NOW + 5 * MILLISECOND).unwrap();
        let about = |nanoseconds: i64, expected: i64| (nanoseconds - expected).abs() < 10;
        assert_eq!((response.stratum, response.leap), (2, 0));
        assert!(about(response.rtt, 4_000_000) && about(response.offset, 8_000_000), "{response:?}");
        assert_eq!((response.root_delay, response.root_dispersion), (250_000_000, 500_000_000));
        assert_eq!(response.reference_time, 1_767_225_540 * NANOSECONDS);
        assert!(about(response.min_error, 6_000_000), "{response:?}");
        for length in 0..PACKET {
            assert!(parse(&packet()[..length], COOKIE, NOW, NOW).is_err());
        }
        assert!(parse(&packet(), COOKIE + 1, NOW, NOW).is_err());
    }

    #[test]
    fn whatever_a_server_answers_nothing_panics() {
        let mut random = fastrand::Rng::with_seed(7);
        let extremes = [0, 1, NOW, 1 << 63, u64::MAX];
        for _ in 0..20_000 {
            let mut packet = packet();
            for at in [16, 32, TRANSMIT_TIME] {
                let time = random.choice(extremes).unwrap_or_default().wrapping_add(random.u64(..3));
                packet[at..at + 8].copy_from_slice(&time.to_be_bytes());
            }
            packet[random.usize(..PACKET)] = random.u8(..);
            let [sent, received] = [(); 2].map(|()| random.choice(extremes).unwrap_or_default());
            if let Ok(response) = parse(&packet, COOKIE, sent, received) {
                ntp().is_sane(&response);
            }
        }
    }

    #[test]
    fn a_server_is_sane_by_its_state_and_the_difference_of_the_clocks() {
        let sane = Response {
            stratum: 2,
            time: 1_767_229_200 * NANOSECONDS,
            reference_time: 1_767_229_140 * NANOSECONDS,
            ..Response::default()
        };
        assert!(ntp().is_sane(&sane));
        let insane = [
            Response { stratum: 0, ..sane.clone() },
            Response { stratum: 16, ..sane.clone() },
            Response { leap: 3, ..sane.clone() },
            Response { reference_time: 0, ..sane.clone() },
            Response { reference_time: sane.time + 1, ..sane.clone() },
            Response { root_dispersion: 4 * NANOSECONDS, ..sane.clone() },
            Response { min_error: 2_000_000, ..sane.clone() },
        ];
        assert!(insane.iter().all(|response| !ntp().is_sane(response)));
        // On the day of a leap second, also after the server has dropped its announcement.
        let mut ntp = ntp();
        assert!(ntp.is_sane(&Response { leap: 1, min_error: 900_000_000, ..sane.clone() }));
        let next = Response { min_error: 900_000_000, time: sane.time + 100_000 * NANOSECONDS, ..sane.clone() };
        assert!(ntp.is_sane(&Response { reference_time: next.time, ..next }));
    }

    #[test]
    fn points_in_time_are_those_of_either_era() {
        assert_eq!(unix(NOW), 1_767_225_600 * NANOSECONDS);
        assert_eq!(unix(0), 0);
        // 2036-02-07 06:28:16 UTC starts the second era.
        assert_eq!(unix(1 << 32), 2_085_978_497 * NANOSECONDS);
        assert_eq!(unix(fixed(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500))) / 1000, 1_500_000);
    }
}

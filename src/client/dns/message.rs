//! Messages of DNS: queries are written, responses are read.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::name;

/// A type of record, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// An IPv4 address.
    pub const A: RecordType = RecordType(1);
    /// A name server of a zone.
    pub const NS: RecordType = RecordType(2);
    /// The name that an alias stands for.
    pub const CNAME: RecordType = RecordType(5);
    /// The start of a zone.
    pub const SOA: RecordType = RecordType(6);
    /// The name of an address.
    pub const PTR: RecordType = RecordType(12);
    /// A mail exchanger.
    pub const MX: RecordType = RecordType(15);
    /// Texts.
    pub const TXT: RecordType = RecordType(16);
    /// An IPv6 address.
    pub const AAAA: RecordType = RecordType(28);
    /// The host and port of a service (RFC 2782).
    pub const SRV: RecordType = RecordType(33);
    /// Texts of SPF (RFC 4408), an obsolete type.
    pub const SPF: RecordType = RecordType(99);
    /// All types, in queries only.
    pub const ANY: RecordType = RecordType(255);

    const NAMES: [(&'static str, RecordType); 11] = [
        ("A", Self::A),
        ("NS", Self::NS),
        ("CNAME", Self::CNAME),
        ("SOA", Self::SOA),
        ("PTR", Self::PTR),
        ("MX", Self::MX),
        ("TXT", Self::TXT),
        ("AAAA", Self::AAAA),
        ("SRV", Self::SRV),
        ("SPF", Self::SPF),
        ("ANY", Self::ANY),
    ];

    /// The type with this name, in any case; `None` if it is unknown.
    pub fn from_name(name: &str) -> Option<RecordType> {
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
}

impl fmt::Display for RecordType {
    /// The name, or `TYPE257` (RFC 3597).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, kind)| kind == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// A question to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The name, without a final dot.
    pub name: String,
    /// The type of the wanted records.
    pub kind: RecordType,
    /// Whether the server asks others, if it does not know the answer.
    pub is_recursive: bool,
}

/// The class of the internet.
const INTERNET: u16 = 1;
const IS_RESPONSE: u16 = 1 << 15;
const IS_AUTHORITATIVE: u16 = 1 << 10;
const IS_TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const CODE: u16 = 15;
const HEADER_BYTES: usize = 12;

impl Query {
    /// The message, with this identifier.
    ///
    /// # Errors
    /// If the name is none.
    pub fn encode(&self, id: u16) -> Result<Vec<u8>, String> {
        let flags = if self.is_recursive { RECURSION_DESIRED } else { 0 };
        let mut message: Vec<u8> = [id, flags, 1, 0, 0, 0].into_iter().flat_map(u16::to_be_bytes).collect();
        name::push(&mut message, &self.name)?;
        message.extend(self.kind.0.to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        Ok(message)
    }

    /// Whether a response belongs to this query, which had this identifier.
    pub fn is_answered_by(&self, id: u16, response: &Response) -> bool {
        let name = self.name.strip_suffix('.').unwrap_or(&self.name);
        let is_same = |(of, kind): &(String, RecordType)| of.eq_ignore_ascii_case(name) && *kind == self.kind;
        // A server that cannot read a query may omit the question.
        response.id == id && response.question.as_ref().map_or(response.code != 0, is_same)
    }
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The identifier of the query.
    pub id: u16,
    /// The outcome: 0 is success, 3 a name that does not exist.
    pub code: u8,
    /// Whether the server is authoritative for the name.
    pub is_authoritative: bool,
    /// Whether records are missing, as they exceed the size of a datagram.
    pub is_truncated: bool,
    /// Name and type of the query.
    pub question: Option<(String, RecordType)>,
    /// Records that answer the query.
    pub answers: Vec<Record>,
    /// Records of name servers.
    pub authority: Vec<Record>,
    /// Further records.
    pub additional: Vec<Record>,
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name, without a final dot.
    pub name: String,
    /// Its type.
    pub kind: RecordType,
    /// Its class; 1 is the internet.
    pub class: u16,
    /// Seconds for which it may be cached.
    pub ttl: u32,
    /// Its content.
    pub data: Data,
}

/// The content of a record. Names have no final dot.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of RFC 1035 and RFC 2782")]
pub enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// Of NS, CNAME and PTR.
    Name(String),
    Mx {
        preference: u16,
        exchange: String,
    },
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: String,
    },
    Soa {
        server: String,
        mailbox: String,
        serial: u32,
        refresh: u32,
        retry: u32,
        expire: u32,
        minimum: u32,
    },
    Txt(Vec<Vec<u8>>),
    Other(Vec<u8>),
}

impl Response {
    /// Reads a message.
    ///
    /// # Errors
    /// If it is malformed, or no response.
    pub fn parse(message: &[u8]) -> Result<Response, String> {
        let mut reader = Reader { message, at: 0 };
        let malformed = |reader: &Reader<'_>| format!("malformed response at byte {} of {}", reader.at, message.len());
        let response = reader.response().ok_or_else(|| malformed(&reader))?;
        response.ok_or_else(|| "expected a response, found a query".to_owned())
    }

    /// The name of the outcome (RFC 1035, section 4.1.1), such as `NXDOMAIN`.
    pub fn code_name(&self) -> &'static str {
        code_name(self.code)
    }
}

/// The name of a response's code; `OTHER` if it has none here.
pub fn code_name(code: u8) -> &'static str {
    const NAMES: [&str; 11] = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
        "NOTZONE",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("OTHER")
}

/// A message, and the position in it.
struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl Reader<'_> {
    fn response(&mut self) -> Option<Option<Response>> {
        let [id, flags, questions, answers, authority, additional] =
            [self.u16()?, self.u16()?, self.u16()?, self.u16()?, self.u16()?, self.u16()?];
        debug_assert_eq!(self.at, HEADER_BYTES);
        if flags & IS_RESPONSE == 0 {
            return Some(None);
        }
        let mut question = None;
        for _ in 0..questions {
            let asked = (self.name()?, RecordType(self.u16()?));
            self.u16()?;
            question = question.or(Some(asked));
        }
        Some(Some(Response {
            id,
            code: (flags & CODE) as u8,
            is_authoritative: flags & IS_AUTHORITATIVE != 0,
            is_truncated: flags & IS_TRUNCATED != 0,
            question,
            answers: self.records(answers)?,
            authority: self.records(authority)?,
            additional: self.records(additional)?,
        }))
    }

    fn records(&mut self, count: u16) -> Option<Vec<Record>> {
        // No capacity is reserved: the count is the sender's.
        (0..count).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Option<Record> {
        let (name, kind, class, ttl) = (self.name()?, RecordType(self.u16()?), self.u16()?, self.u32()?);
        let end = usize::from(self.u16()?) + self.at;
        let data = self.data(kind, end)?;
        (self.at == end).then_some(Record { name, kind, class, ttl, data })
    }

    fn data(&mut self, kind: RecordType, end: usize) -> Option<Data> {
        Some(match kind {
            RecordType::A => Data::A(Ipv4Addr::from(self.array::<4>()?)),
            RecordType::AAAA => Data::Aaaa(Ipv6Addr::from(self.array::<16>()?)),
            RecordType::NS | RecordType::CNAME | RecordType::PTR => Data::Name(self.name()?),
            RecordType::MX => Data::Mx { preference: self.u16()?, exchange: self.name()? },
            RecordType::SRV => {
                Data::Srv { priority: self.u16()?, weight: self.u16()?, port: self.u16()?, target: self.name()? }
            }
            RecordType::SOA => Data::Soa {
                server: self.name()?,
                mailbox: self.name()?,
                serial: self.u32()?,
                refresh: self.u32()?,
                retry: self.u32()?,
                expire: self.u32()?,
                minimum: self.u32()?,
            },
            RecordType::TXT | RecordType::SPF => {
                let mut texts = Vec::new();
                while self.at < end {
                    let [length] = self.array()?;
                    texts.push(self.bytes(usize::from(length))?.to_vec());
                }
                Data::Txt(texts)
            }
            _ => Data::Other(self.bytes(end.checked_sub(self.at)?)?.to_vec()),
        })
    }

    fn name(&mut self) -> Option<String> {
        let (name, behind) = name::read(self.message, self.at)?;
        self.at = behind;
        Some(name)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn bytes(&mut self, count: usize) -> Option<&[u8]> {
        let bytes = self.message.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }
}

impl fmt::Display for Record {
    /// As in a zone file: name, TTL, class, type and content, separated by tabs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.\t{}\t", self.name, self.ttl)?;
        match self.class {
            INTERNET => f.write_str("IN")?,
            class => write!(f, "CLASS{class}")?,
        }
        write!(f, "\t{}\t{}", self.kind, self.data)
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::A(address) => write!(f, "{address}"),
            Data::Aaaa(address) => write!(f, "{address}"),
            Data::Name(name) => write!(f, "{name}."),
            Data::Mx { preference, exchange } => write!(f, "{preference} {exchange}."),
            Data::Srv { priority, weight, port, target } => write!(f, "{priority} {weight} {port} {target}."),
            Data::Soa { server, mailbox, serial, refresh, retry, expire, minimum } => {
                write!(f, "{server}. {mailbox}. {serial} {refresh} {retry} {expire} {minimum}")
            }
            Data::Txt(texts) => {
                for (index, text) in texts.iter().enumerate() {
                    let separator = if index == 0 { "" } else { " " };
                    write!(f, "{separator}\"{}\"", text.escape_ascii())?;
                }
                Ok(())
            }
            Data::Other(bytes) => {
                write!(f, "\\# {}", bytes.len())?;
                let separator = if bytes.is_empty() { "" } else { " " };
                f.write_str(separator)?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response to the query for `kind` of `example.org`, with one record of `rdata`.
    fn response(kind: RecordType, rdata: &[u8]) -> Vec<u8> {
        let query = Query { name: "example.org".to_owned(), kind, is_recursive: true };
        let mut message = query.encode(0x1234).unwrap();
        message[2] |= 0x86;
        message[7] = 1;
        message.extend(b"\xc0\x0c");
        message.extend(kind.0.to_be_bytes());
        message.extend(b"\x00\x01\x00\x00\x01\x2c");
        message.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
        message.extend(rdata);
        message
    }

    #[test]
    fn records_of_each_type_are_read() {
        for (name, rdata, shown) in [
            ("A", &b"\x7f\x00\x00\x01"[..], "127.0.0.1"),
            ("AAAA", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", "::1"),
            ("NS", b"\x02ns\xc0\x0c", "ns.example.org."),
            ("CNAME", b"\x01a\x00", "a."),
            ("PTR", b"\x01a\xc0\x14", "a.org."),
            ("MX", b"\x00\x0a\x04mail\xc0\x0c", "10 mail.example.org."),
            ("SRV", b"\x00\x01\x00\x02\x23\x8c\x01a\xc0\x0c", "1 2 9100 a.example.org."),
            (
                "SOA",
                b"\xc0\x0c\x01m\xc0\x0c\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
                "example.org. m.example.org. 1 2 3 4 5",
            ),
            ("TXT", b"\x02a\"\x01b", "\"a\\\"\" \"b\""),
            ("ANY", b"\xab\x01", "\\# 2 ab01"),
        ] {
            let kind = RecordType::from_name(name).unwrap();
            let message = response(kind, rdata);
            let read = Response::parse(&message).unwrap();
            assert_eq!(read.answers[0].to_string(), format!("example.org.\t300\tIN\t{name}\t{shown}"));
            assert_eq!((read.is_authoritative, read.is_truncated, read.code_name()), (true, true, "NOERROR"));
            let query = Query { name: "Example.ORG.".to_owned(), kind, is_recursive: true };
            assert!(query.is_answered_by(0x1234, &read) && !query.is_answered_by(0x1235, &read));
            assert!(!Query { name: "example.com".to_owned(), ..query }.is_answered_by(0x1234, &read));
            // Whatever is cut off, and a length that is not that of the content, is an error.
            for length in 0..message.len() {
                assert!(Response::parse(&message[..length]).is_err(), "{name} {length}");
            }
            if name != "ANY" && name != "TXT" {
                assert!(Response::parse(&response(kind, &[rdata, b"x"].concat())).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn a_query_is_no_response_and_errors_have_names() {
        let query = Query { name: "a".to_owned(), kind: RecordType::SRV, is_recursive: false };
        let mut message = query.encode(7).unwrap();
        assert!(Response::parse(&message).unwrap_err().contains("query"));
        message[2] |= 0x80;
        message[3] |= 3;
        let read = Response::parse(&message).unwrap();
        assert_eq!((read.code_name(), read.answers.len()), ("NXDOMAIN", 0));
        assert_eq!(code_name(15), "OTHER");
        assert_eq!(RecordType(257).to_string(), "TYPE257");
        assert_eq!(RecordType::from_name("odd"), None);
    }
}

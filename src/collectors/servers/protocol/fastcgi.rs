//! Requests and responses of FastCGI (its specification 1.0): one request on a connection.

use super::pairs::shown;

const VERSION: u8 = 1;
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
/// The role of a responder.
const RESPONDER: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];
/// The bytes before the content of a record.
const HEADER: usize = 8;

/// A GET request with these parameters and without a body.
pub fn request(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in parameters {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(length @ ..128) => encoded.push(length),
                _ => encoded.extend_from_slice(&(text.len() as u32 | 1 << 31).to_be_bytes()),
            }
        }
        encoded.extend_from_slice(name.as_bytes());
        encoded.extend_from_slice(value.as_bytes());
    }
    let mut bytes = record(BEGIN_REQUEST, &RESPONDER);
    for part in encoded.chunks(usize::from(u16::MAX)) {
        bytes.extend(record(PARAMS, part));
    }
    bytes.extend(record(PARAMS, &[]));
    bytes.extend(record(STDIN, &[]));
    bytes
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    let mut bytes = vec![VERSION, kind, 0, 1, high, low, 0, 0];
    bytes.extend_from_slice(content);
    bytes
}

/// The body of the response in `bytes`; `None` if it is incomplete.
///
/// # Errors
/// The status or the message of the server, or what is no FastCGI.
pub fn read(bytes: &[u8]) -> Result<Option<String>, String> {
    let (mut out, mut message, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(header) = bytes.get(at..at + HEADER) {
        if header[0] != VERSION {
            let start = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 60)]).into_owned();
            return Err(format!("expected a response of FastCGI, found {}", shown(&start)));
        }
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let Some(content) = bytes.get(at + HEADER..at + HEADER + length) else { return Ok(None) };
        match header[1] {
            STDOUT => out.extend_from_slice(content),
            STDERR => message.extend_from_slice(content),
            END_REQUEST => return body(&String::from_utf8_lossy(&out), &String::from_utf8_lossy(&message)).map(Some),
            _ => {}
        }
        at += HEADER + length + usize::from(header[6]);
    }
    Ok(None)
}

/// The body of a response in the form of CGI.
fn body(out: &str, message: &str) -> Result<String, String> {
    let out = out.replace("\r\n", "\n");
    let (headers, body) = out.split_once("\n\n").unwrap_or((&out, ""));
    let status = headers.lines().find_map(|line| line.strip_prefix("Status:")).map(str::trim);
    let message = match message.trim() {
        "" => String::new(),
        message => format!(": {}", shown(message)),
    };
    match status {
        Some(status) if !status.starts_with('2') => {
            Err(format!("the server responded with status {}{message}", shown(status).trim_matches('"')))
        }
        _ if body.trim().is_empty() => Err(format!("the server responded with an empty page{message}")),
        _ => Ok(body.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(out: &str, message: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, content) in [(STDERR, message), (STDOUT, out), (END_REQUEST, "\0\0\0\0\0\0\0\0")] {
            let mut one = record(kind, content.as_bytes());
            one[6] = 3;
            one.extend([0; 3]);
            bytes.extend(one);
        }
        bytes
    }

    #[test]
    fn a_response_is_read_when_it_is_complete() {
        let bytes = response("Content-type: text/plain\r\n\r\npool: www\r\n", "");
        for end in 0..bytes.len() - 3 {
            assert_eq!(read(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(read(&bytes).unwrap().unwrap(), "pool: www\n");
        let wrong = response("Status: 404 Not Found\r\n\r\nFile not found.\n", "Primary script unknown");
        let reason = "the server responded with status 404 Not Found: \"Primary script unknown\"";
        assert_eq!(read(&wrong).unwrap_err(), reason);
        assert_eq!(read(&response("", "")).unwrap_err(), "the server responded with an empty page");
        assert!(read(b"HTTP/1.1 400").unwrap_err().starts_with("expected a response of FastCGI"));
    }

    #[test]
    fn parameters_have_lengths_of_one_or_four_bytes() {
        let long = "x".repeat(200);
        let bytes = request(&[("A", "bc"), ("L", &long)]);
        assert_eq!(&bytes[..16], [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[24..29], [1, 2, b'A', b'b', b'c']);
        assert_eq!(&bytes[29..35], [1, 0x80, 0, 0, 200, b'L']);
        assert_eq!(&bytes[bytes.len() - 16..], [1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0]);
    }
}

//! Echo requests and replies: RFC 792 and RFC 4443, section 4.

/// The first bytes of the payload, which are random: a reply to an earlier request has others.
pub(super) const TOKEN: usize = 16;
const HEADER: usize = 8;
/// The types of the request and of the reply, for IPv4 and IPv6.
const V4: (u8, u8) = (8, 0);
const V6: (u8, u8) = (128, 129);

/// The token of one request.
pub(super) type Token = [u8; TOKEN];

/// An echo request. The kernel sets the identifier and the checksum.
pub(super) fn request(is_v4: bool, sequence: u16, token: &Token, payload_size: usize) -> Vec<u8> {
    let (kind, _) = if is_v4 { V4 } else { V6 };
    let mut packet = vec![0; HEADER + payload_size.max(TOKEN)];
    packet[0] = kind;
    packet[6..HEADER].copy_from_slice(&sequence.to_be_bytes());
    packet[HEADER..HEADER + TOKEN].copy_from_slice(token);
    packet
}

/// The sequence number and the token of an echo reply, which begins with the ICMP header; none of another packet.
pub(super) fn reply(is_v4: bool, packet: &[u8]) -> Option<(u16, Token)> {
    let (_, kind) = if is_v4 { V4 } else { V6 };
    let token = packet.get(HEADER..HEADER + TOKEN)?.try_into().ok()?;
    let sequence = u16::from_be_bytes([packet[6], packet[7]]);
    (packet[0] == kind && packet[1] == 0).then_some((sequence, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_the_sequence_and_the_token_of_its_request() {
        for (is_v4, kind) in [(true, 0), (false, 129)] {
            let mut packet = request(is_v4, 0x0102, &[7; TOKEN], 56);
            assert_eq!(packet.len(), 64);
            assert_eq!(reply(is_v4, &packet), None, "a request is no reply");
            packet[0] = kind;
            assert_eq!(reply(is_v4, &packet), Some((0x0102, [7; TOKEN])));
            assert_eq!(reply(!is_v4, &packet), None);
            packet[1] = 1;
            assert_eq!(reply(is_v4, &packet), None);
        }
        for length in 0..HEADER + TOKEN {
            assert_eq!(reply(true, &vec![0; length]), None);
        }
    }
}

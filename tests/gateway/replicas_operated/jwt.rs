//! What `nsc` makes for a server that knows an operator: JWTs signed with ed25519, and a user's credentials file
//! (github.com/nats-io/jwt and nkeys, as of version 2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

const OPERATOR: u8 = 14 << 3;
const ACCOUNT: u8 = 0;
const USER: u8 = 20 << 3;
const SEED: u8 = 18 << 3;

struct Key {
    kind: u8,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(kind: u8) -> Key {
        let seed = [(); 32].map(|()| fastrand::u8(..));
        Key { kind, seed, pair: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap() }
    }

    fn public(&self) -> String {
        encoded(&[&[self.kind], self.pair.public_key().as_ref()].concat())
    }

    fn seed(&self) -> String {
        encoded(&[&[SEED | (self.kind >> 5), (self.kind & 31) << 3], &self.seed[..]].concat())
    }

    fn sign(&self, subject: &Key, claims: Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims =
            json!({"jti": "1", "iat": 1, "iss": self.public(), "name": "n", "sub": subject.public(), "nats": claims});
        let signed = format!("{}.{}", part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// With a checksum (CRC-16/XMODEM), in base32.
fn encoded(bytes: &[u8]) -> String {
    let crc = bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    let bytes = [bytes, &crc.to_le_bytes()].concat();
    let bits = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    let digit = |start: usize| (start..start + 5).fold(0, |digit, at| digit * 2 + usize::from(bits(at)));
    let digits = (0..bytes.len() * 8).step_by(5).map(digit);
    digits.map(|digit| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[digit])).collect()
}

/// The configuration of a server, and the text and the seed of a credentials file for it.
pub(super) fn operator() -> (String, String, String) {
    let (operator, system, account, user) = (Key::new(OPERATOR), Key::new(ACCOUNT), Key::new(ACCOUNT), Key::new(USER));
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let no_storage = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let of_account = |limits: &Value| json!({"limits": limits, "default_permissions": {"pub": {}, "sub": {}}, "type": "account", "version": 2});
    let of_user = json!({"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2});
    let server = format!(
        "operator: \"{}\"\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n  {}: \"{}\"\n  {}: \"{}\"\n}}\n",
        operator.sign(&operator, json!({"type": "operator", "version": 2})),
        system.public(),
        system.public(),
        operator.sign(&system, of_account(&no_storage)),
        account.public(),
        operator.sign(&account, of_account(&limits)),
    );
    let credentials = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        account.sign(&user, of_user),
        user.seed(),
    );
    (server, credentials, user.seed())
}

//! Who may ask for what: users by password, bearers by token.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::passwords::{Busy, Hash, Passwords};
use crate::config::{Key, KeyInfo, Pattern, Secret, Section};

/// What one may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To see what is measured and what was pushed.
    Read,
    /// To push, and to delete groups by their keys.
    Push,
    /// To delete at large, and to end the process.
    Admin,
}

const RIGHTS: [(&str, Right); 3] = [("read", Right::Read), ("push", Right::Push), ("admin", Right::Admin)];

impl Right {
    fn name(self) -> &'static str {
        RIGHTS.iter().find(|(_, right)| *right == self).map_or("", |(name, _)| name)
    }
}

/// One who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, for basic authentication and for messages.
    pub name: String,
    /// The bcrypt hash of the password.
    pub password_hash: Option<Hash>,
    /// The SHA-256 of the token.
    pub token: Option<[u8; 32]>,
    /// What is allowed.
    pub rights: Vec<Right>,
    /// To which jobs pushing and deleting is limited; to none, if there are no patterns.
    pub jobs: Vec<Pattern>,
}

const NAME: Key<String> = Key::optional("name", "The name: that of basic authentication, and in messages.");
const PASSWORD_HASH: Key<Secret> = Key::optional(
    "password_hash",
    "The bcrypt hash of the password, as htpasswd -nBC 10 NAME makes it, of cost 4 to 14; without one, there is no password.",
);
const TOKEN: Key<Secret> = Key::optional("token", "The bearer token.");
const TOKEN_SHA256: Key<Secret> =
    Key::optional("token_sha256", "Instead of the token, its SHA-256 in hexadecimal digits.");
const ALLOWED: Key<Vec<String>> = Key::new(
    "rights",
    "[\"read\", \"push\", \"admin\"]",
    "What is allowed: \"read\", \"push\" (and to delete single groups), \"admin\" (to delete at large, and to end Taffrail).",
);
const JOBS: Key<Vec<Pattern>> = Key::new(
    "jobs",
    "[\".*\"]",
    "The jobs that may be pushed to, and groups of which may be deleted: regular expressions, each of which matches the whole.",
);

/// The settings of `[[http.users]]`.
pub const KEYS: &[KeyInfo] =
    &[NAME.info(), PASSWORD_HASH.info(), TOKEN.info(), TOKEN_SHA256.info(), ALLOWED.info(), JOBS.info()];

impl User {
    /// One who may do everything, by password.
    pub fn with_password(name: String, password_hash: Hash) -> User {
        let rights = RIGHTS.iter().map(|(_, right)| *right).collect();
        let jobs = Pattern::new(".*").into_iter().collect();
        User { name, password_hash: Some(password_hash), token: None, rights, jobs }
    }

    /// The users in `section`.
    pub fn all(section: &mut Section<'_>) -> Vec<User> {
        section.tables("users").iter_mut().map(User::new).collect()
    }

    fn new(section: &mut Section<'_>) -> User {
        let name = section.optional(&NAME).unwrap_or_default();
        if name.is_empty() || name.contains(':') {
            section.wrong("name", "required: a name without a colon");
        }
        let password_hash = section.optional(&PASSWORD_HASH).map(|hash| Hash::new(hash.reveal()));
        let has_password = password_hash.is_some();
        let password_hash = match password_hash.transpose() {
            Ok(hash) => hash,
            Err(reason) => {
                section.wrong("password_hash", reason);
                None
            }
        };
        let hashed = section.optional(&TOKEN_SHA256).and_then(|hex| {
            let digest = unhex(hex.reveal());
            if digest.is_none() {
                section.wrong("token_sha256", "expected 64 hexadecimal digits");
            }
            digest
        });
        let token = section.optional(&TOKEN).map(|token| sha256(token.reveal().as_bytes())).or(hashed);
        if !has_password && token.is_none() {
            section.wrong("name", "expected password_hash, token or token_sha256 beside the name, found none");
        }
        let mut rights = Vec::new();
        for name in section.get(&ALLOWED) {
            match RIGHTS.iter().find(|(known, _)| *known == name) {
                Some((_, right)) => rights.push(*right),
                None => section.wrong("rights", format!("expected read, push or admin, found {name:?}")),
            }
        }
        User { name, password_hash, token, rights, jobs: section.get(&JOBS) }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Viewer {
    /// Nobody is asked who he is.
    Anybody,
    /// One who is known.
    Known(Arc<User>),
}

/// That one may not do what he asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{user} may not {what}")]
pub struct Forbidden {
    user: String,
    what: String,
}

impl Viewer {
    /// Whether one has this right.
    ///
    /// # Errors
    /// In a line, who lacks what.
    pub fn may(&self, right: Right) -> Result<(), Forbidden> {
        match self {
            Viewer::Known(user) if !user.rights.contains(&right) => Err(Forbidden {
                user: user.name.clone(),
                what: format!("do this: it takes the right {}", right.name()),
            }),
            _ => Ok(()),
        }
    }

    /// Whether one may push to this job, and delete its groups.
    ///
    /// # Errors
    /// In a line, who lacks what.
    pub fn may_push(&self, job: &str) -> Result<(), Forbidden> {
        self.may(Right::Push)?;
        match self {
            Viewer::Known(user) if !user.jobs.iter().any(|pattern| pattern.matches(job)) => Err(Forbidden {
                user: user.name.clone(),
                what: format!("push to the job {job:?}, nor delete its groups"),
            }),
            _ => Ok(()),
        }
    }
}

/// Those who are known, and their passwords.
pub struct Access {
    users: Vec<Arc<User>>,
    passwords: Passwords,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// He is not known.
    Unknown,
    /// Whether he is could not be found out now.
    Busy(Busy),
}

impl From<Busy> for Denied {
    fn from(busy: Busy) -> Self {
        Denied::Busy(busy)
    }
}

impl Access {
    /// Access for `users`; for anybody, if there are none. What was found out of passwords `before` is still known.
    pub fn new(users: Vec<User>, before: Option<&Access>) -> Access {
        let hashes = users.iter().filter_map(|user| user.password_hash.as_ref());
        let passwords = Passwords::new(hashes, before.map(|before| &before.passwords));
        Access { users: users.into_iter().map(Arc::new).collect(), passwords }
    }

    /// Who asks, by the header `Authorization`.
    ///
    /// # Errors
    /// That he is not known, or that too many ask.
    pub async fn viewer(&self, headers: &HeaderMap) -> Result<Viewer, Denied> {
        if self.users.is_empty() {
            return Ok(Viewer::Anybody);
        }
        let Some((scheme, credentials)) = credentials(headers) else { return Err(Denied::Unknown) };
        let user = match () {
            // InfluxDB's clients say Token.
            () if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") => {
                self.bearer(credentials)
            }
            () if scheme.eq_ignore_ascii_case("basic") => self.basic(credentials).await?,
            () => None,
        };
        user.map(Viewer::Known).ok_or(Denied::Unknown)
    }

    fn bearer(&self, token: &str) -> Option<Arc<User>> {
        // Digests are compared, so that the time it takes tells nothing of the token.
        let digest = sha256(token.as_bytes());
        self.users.iter().find(|user| user.token == Some(digest)).cloned()
    }

    async fn basic(&self, credentials: &str) -> Result<Option<Arc<User>>, Busy> {
        let decoded = STANDARD.decode(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((name, password)) = decoded.as_deref().and_then(|decoded| decoded.split_once(':')) else {
            return Ok(None);
        };
        let user = self.users.iter().find(|user| user.name == name && user.password_hash.is_some());
        let hash = user.and_then(|user| user.password_hash.as_ref());
        let is_right = self.passwords.is_right(hash, password).await?;
        Ok(user.filter(|_| is_right).cloned())
    }
}

/// The scheme and what follows it in `Authorization`.
fn credentials(headers: &HeaderMap) -> Option<(&str, &str)> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some((scheme, credentials.trim()))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    digest
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let hex = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(unhex(hex), Some(sha256(b"secret")));
        assert_eq!(unhex(&hex[1..]), None);
        assert_eq!(unhex(&hex.replace('b', "g")), None);
    }
}

//! Authentication by password or bearer token, and authorization by rights.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::passwords::{Busy, Hash, Passwords};
use super::{Digest, parse_hex, sha256};
use crate::config::{Key, KeyInfo, Pattern, Secret, Section};

/// A right of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Read metrics and pushed groups.
    Read,
    /// Push, and delete groups by key.
    Push,
    /// Delete many groups at once, and stop the process.
    Admin,
}

const RIGHTS: [(&str, Right); 3] = [("read", Right::Read), ("push", Right::Push), ("admin", Right::Admin)];

impl Right {
    fn name(self) -> &'static str {
        RIGHTS.iter().find(|(_, right)| *right == self).map_or("", |(name, _)| name)
    }
}

/// A configured user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name, for basic authentication and messages.
    pub name: String,
    /// The bcrypt hash of the password.
    pub password_hash: Option<Hash>,
    /// The SHA-256 of the token.
    pub token: Option<Digest>,
    /// The user's rights.
    pub rights: Vec<Right>,
    /// Jobs that the user may push to and delete; none without a pattern.
    pub jobs: Vec<Pattern>,
}

const NAME: Key<String> = Key::optional("name", "User name for basic authentication and in log messages.");
const PASSWORD_HASH: Key<Secret> = Key::optional(
    "password_hash",
    "bcrypt hash of the password, as htpasswd -nBC 10 NAME prints it, with a cost of 4 to 14. Without it, the user has no password.",
);
const TOKEN: Key<Secret> = Key::optional("token", "Bearer token.");
const TOKEN_SHA256: Key<Secret> =
    Key::optional("token_sha256", "SHA-256 of the bearer token in hexadecimal, instead of `token`.");
const ALLOWED: Key<Vec<String>> = Key::new(
    "rights",
    "[\"read\", \"push\", \"admin\"]",
    "Permissions: \"read\", \"push\" (which includes deleting single groups), \"admin\" (deleting groups by matcher, wiping, stopping Taffrail).",
);
const JOBS: Key<Vec<Pattern>> = Key::new(
    "jobs",
    "[\".*\"]",
    "Jobs that the user may push to and whose groups the user may delete, as anchored regular expressions.",
);

/// The settings of `[[http.users]]`.
pub const KEYS: &[KeyInfo] =
    &[NAME.info(), PASSWORD_HASH.info(), TOKEN.info(), TOKEN_SHA256.info(), ALLOWED.info(), JOBS.info()];

impl User {
    /// A user with all rights, by password.
    pub fn with_password(name: String, password_hash: Hash) -> User {
        let rights = RIGHTS.iter().map(|(_, right)| *right).collect();
        let jobs = Pattern::new(".*").into_iter().collect();
        User { name, password_hash: Some(password_hash), token: None, rights, jobs }
    }

    /// The users configured in `section`.
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
            let digest = parse_hex(hex.reveal());
            if digest.is_none() {
                section.wrong("token_sha256", "expected 64 hexadecimal digits");
            }
            digest
        });
        let token = section.optional(&TOKEN);
        if token.as_ref().is_some_and(|token| token.reveal().trim().is_empty()) {
            section.wrong("token", "expected a token, found an empty one, which is never accepted");
        }
        let token = token.map(|token| sha256(token.reveal().as_bytes())).or(hashed);
        if !has_password && token.is_none() {
            section.wrong("name", "expected password_hash, token or token_sha256 beside the name, found none");
        }
        let allowed = section.some_of(&ALLOWED, &RIGHTS.map(|(name, _)| name));
        let rights = RIGHTS.iter().filter(|(name, _)| allowed.iter().any(|allowed| allowed == name));
        let rights = rights.map(|(_, right)| *right).collect();
        User { name, password_hash, token, rights, jobs: section.get(&JOBS) }
    }
}

/// The user of a request.
#[derive(Clone, Debug)]
pub enum Viewer {
    /// No users are configured.
    Anonymous,
    /// A configured user.
    Known(Arc<User>),
}

/// A user lacks a right.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{user} may not {what}")]
pub struct Forbidden {
    user: String,
    what: String,
}

impl Viewer {
    /// Requires a right.
    ///
    /// # Errors
    /// If the user lacks it.
    pub fn may(&self, right: Right) -> Result<(), Forbidden> {
        match self {
            Viewer::Known(user) if !user.rights.contains(&right) => Err(Forbidden {
                user: user.name.clone(),
                what: format!("do this: it takes the right {}", right.name()),
            }),
            _ => Ok(()),
        }
    }

    /// Requires the right to push to a job and to delete its groups.
    ///
    /// # Errors
    /// If the user lacks it.
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

/// The configured users and their passwords.
pub struct Access {
    users: Vec<Arc<User>>,
    passwords: Passwords,
}

/// Why a request is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No user has these credentials.
    Unknown,
    /// The password cannot be verified now.
    Busy(Busy),
}

impl From<Busy> for Denied {
    fn from(busy: Busy) -> Self {
        Denied::Busy(busy)
    }
}

impl Access {
    /// Access for `users`, or for every client if there are none. Passwords verified by `before` stay cached.
    pub fn new(users: Vec<User>, before: Option<&Access>) -> Access {
        let hashes = users.iter().filter_map(|user| user.password_hash.as_ref());
        let passwords = Passwords::new(hashes, before.map(|before| &before.passwords));
        Access { users: users.into_iter().map(Arc::new).collect(), passwords }
    }

    /// Authenticates by the `Authorization` header.
    ///
    /// # Errors
    /// If the user is unknown, or too many passwords are being verified.
    pub async fn viewer(&self, headers: &HeaderMap) -> Result<Viewer, Denied> {
        if self.users.is_empty() {
            return Ok(Viewer::Anonymous);
        }
        let Some((scheme, credentials)) = credentials(headers) else { return Err(Denied::Unknown) };
        let user = match () {
            // The scheme of InfluxDB's clients.
            () if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") => {
                self.bearer(credentials)
            }
            () if scheme.eq_ignore_ascii_case("basic") => self.basic(credentials).await?,
            () => None,
        };
        user.map(Viewer::Known).ok_or(Denied::Unknown)
    }

    fn bearer(&self, token: &str) -> Option<Arc<User>> {
        // Comparing digests leaks nothing about the token by timing.
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

/// Scheme and credentials of `Authorization`.
fn credentials(headers: &HeaderMap) -> Option<(&str, &str)> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some((scheme, credentials.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let hex = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(parse_hex(hex), Some(sha256(b"secret")));
        assert_eq!(parse_hex(&hex[1..]), None);
        assert_eq!(parse_hex(&hex.replace('b', "g")), None);
    }
}

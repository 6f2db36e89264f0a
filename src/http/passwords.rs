//! Password hashes, and verification that takes the same time for every wrong password.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::{Digest, sha256};

/// The bcrypt hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    text: String,
    cost: u32,
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[hash of cost {}]", self.cost)
    }
}

impl Hash {
    /// Valid costs. Each doubles the work of the one before: cost 14 takes about a second per wrong password.
    pub const COSTS: RangeInclusive<u32> = 4..=14;

    /// Parses a hash.
    ///
    /// # Errors
    /// If it is invalid. The message omits the text, which may be a password.
    pub fn new(text: &str) -> Result<Hash, String> {
        let Ok(parts) = text.parse::<bcrypt::HashParts>() else {
            return Err("expected a bcrypt hash, such as htpasswd -nBC 10 NAME makes".to_owned());
        };
        let (cost, costs) = (parts.get_cost(), Hash::COSTS);
        if !costs.contains(&cost) {
            return Err(format!(
                "expected a bcrypt hash of cost {} to {}, found cost {cost}: each wrong password takes as long as the \
                 highest cost of all users; make another with htpasswd -nBC 10 NAME",
                costs.start(),
                costs.end()
            ));
        }
        Ok(Hash { text: text.to_owned(), cost })
    }

    /// A hash without a user, of this cost.
    fn dummy(cost: u32) -> String {
        format!("$2b${cost:02}$FbHBSKWlMwO1k3ESGYk7Oe2qpWT2wT3nHmy5tQX0K0w8m4fYQ1k3O")
    }
}

/// Verifies a password against a hash.
type Verify = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

fn verify(password: &str, hash: &str) -> bool {
    bcrypt::verify(password, hash).unwrap_or(false)
}

/// Digests of a hash and its password.
type Verified = Arc<Mutex<HashSet<Digest>>>;

/// Verified passwords, and the queue of those to verify.
pub struct Passwords {
    /// The distinct costs of all hashes.
    costs: Vec<u32>,
    /// Correct passwords. Caching wrong ones would reveal by timing which users exist.
    verified: Verified,
    /// Limits the passwords that are queued or being verified.
    queue: Semaphore,
    /// One password is verified at a time, so that guessing occupies one CPU at most.
    worker: Arc<Semaphore>,
    verify: Verify,
}

/// Too many passwords are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being verified; try again later")]
pub struct Busy;

impl Passwords {
    /// Passwords in the queue.
    const MAX_QUEUED: usize = 32;
    /// Cached passwords.
    const MAX_VERIFIED: usize = 1024;

    /// For users with these hashes. Passwords verified by `before` stay cached.
    pub fn new<'h>(hashes: impl Iterator<Item = &'h Hash>, before: Option<&Passwords>) -> Passwords {
        let mut costs: Vec<u32> = hashes.map(|hash| hash.cost).collect();
        costs.sort_unstable();
        costs.dedup();
        Passwords {
            costs,
            verified: before.map(|before| before.verified.clone()).unwrap_or_default(),
            queue: Semaphore::new(Self::MAX_QUEUED),
            worker: before.map_or_else(|| Arc::new(Semaphore::new(1)), |before| before.worker.clone()),
            verify: Arc::new(verify),
        }
    }

    /// Whether a password matches `hash`, which is `None` for an unknown user. A wrong one is verified once for each cost of
    /// any user's hash, whichever user it names.
    ///
    /// # Errors
    /// If the queue is full.
    pub async fn is_right(&self, hash: Option<&Hash>, password: &str) -> Result<bool, Busy> {
        let digest = sha256(format!("{}\0{password}", hash.map_or("", |hash| &hash.text)).as_bytes());
        if self.is_known(&digest) {
            return Ok(true);
        }
        let _queued = self.queue.try_acquire().map_err(|_| Busy)?;
        let Ok(permit) = self.worker.clone().acquire_owned().await else { return Err(Busy) };
        if self.is_known(&digest) {
            return Ok(true);
        }
        let (costs, verify, hash, password) =
            (self.costs.clone(), self.verify.clone(), hash.cloned(), password.to_owned());
        let verified = self.verified.clone();
        let work = move || {
            // The client may have disconnected; the permit is held until the work is done.
            let _permit = permit;
            let is_right = costs.into_iter().any(|cost| match &hash {
                Some(hash) if hash.cost == cost => verify(&password, &hash.text),
                _ => {
                    verify(&password, &Hash::dummy(cost));
                    false
                }
            });
            if is_right {
                remember(&verified, digest);
            }
            is_right
        };
        Ok(tokio::task::spawn_blocking(work).await.unwrap_or(false))
    }

    fn is_known(&self, digest: &Digest) -> bool {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}

fn remember(verified: &Verified, digest: Digest) {
    let mut verified = verified.lock().unwrap_or_else(PoisonError::into_inner);
    if verified.len() >= Passwords::MAX_VERIFIED {
        verified.clear();
    }
    verified.insert(digest);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn hash(password: &str, cost: u32) -> Hash {
        Hash::new(&bcrypt::hash(password, cost).unwrap()).unwrap()
    }

    /// Passwords for these hashes, and the costs of each verification.
    fn counted(hashes: &[&Hash]) -> (Passwords, impl Fn() -> Vec<u32> + use<>) {
        let work = Arc::new(Mutex::new(Vec::new()));
        let noted = work.clone();
        let counting = move |password: &str, hash: &str| {
            noted.lock().unwrap().push(Hash::new(hash).unwrap().cost);
            verify(password, hash)
        };
        let passwords = Passwords::new(hashes.iter().copied(), None);
        let passwords = Passwords { verify: Arc::new(counting), ..passwords };
        (passwords, move || std::mem::take(&mut *work.lock().unwrap()))
    }

    #[tokio::test]
    async fn who_is_not_let_in_costs_the_same_whoever_he_says_he_is() {
        let (low, high) = (hash("wonder", 4), hash("land", 6));
        let (passwords, work) = counted(&[&high, &low, &high]);
        let mut all = Vec::new();
        // Unknown users, known users, and both again.
        for hash in [None, None, Some(&low), Some(&high), Some(&low), Some(&high), None] {
            assert_eq!(passwords.is_right(hash, "guess").await, Ok(false));
            all.push(work());
        }
        // Another user's password, and one with a suffix.
        for (hash, password) in [(&low, "land"), (&high, "wonder"), (&low, "wonder\0"), (&low, "")] {
            assert_eq!(passwords.is_right(Some(hash), password).await, Ok(false));
            all.push(work());
        }
        assert_eq!(all, vec![vec![4, 6]; all.len()]);
    }

    #[tokio::test]
    async fn a_password_that_is_right_is_verified_once() {
        let (low, high) = (hash("wonder", 4), hash("land", 5));
        let (passwords, work) = counted(&[&low, &high]);
        for (hash, password, expected) in [(&low, "wonder", vec![4]), (&high, "land", vec![4, 5])] {
            assert_eq!(passwords.is_right(Some(hash), password).await, Ok(true));
            assert_eq!(work(), expected);
            assert_eq!(passwords.is_right(Some(hash), password).await, Ok(true));
            assert_eq!(work(), [0; 0]);
        }
        // It stays cached after a reload, for its own hash only.
        let after = Passwords::new([&low].into_iter(), Some(&passwords));
        assert!(
            after.is_right(Some(&low), "wonder").await == Ok(true) && after.is_right(None, "wonder").await == Ok(false)
        );
        let (none, work) = counted(&[]);
        assert_eq!((none.is_right(None, "guess").await, work()), (Ok(false), Vec::new()));
    }

    #[tokio::test]
    async fn a_flood_of_wrong_passwords_is_in_nobodys_way_who_is_known() {
        let user = hash("wonder", 4);
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        let held_up = move |password: &str, hash: &str| {
            if password != "wonder" {
                begun.send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
            verify(password, hash)
        };
        let passwords = Passwords::new([&user].into_iter(), None);
        let passwords = Arc::new(Passwords { verify: Arc::new(held_up), ..passwords });
        assert_eq!(passwords.is_right(Some(&user), "wonder").await, Ok(true));
        let guess = || {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.is_right(None, "guess").await })
        };
        let flood: Vec<_> = (0..Passwords::MAX_QUEUED).map(|_| guess()).collect();
        begins.recv().await.unwrap();
        // Waits until all are queued.
        while passwords.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(passwords.is_right(None, "guess").await, Err(Busy));
        assert_eq!(passwords.is_right(Some(&user), "wonder").await, Ok(true));
        // Disconnected clients leave the queue; the running verification finishes first.
        flood.iter().for_each(|guess| guess.abort());
        for guess in flood {
            assert!(guess.await.unwrap_err().is_cancelled());
        }
        let next = guess();
        tokio::task::yield_now().await;
        assert!(begins.try_recv().is_err() && passwords.worker.available_permits() == 0);
        go_on.send(()).unwrap();
        begins.recv().await.unwrap();
        go_on.send(()).unwrap();
        assert_eq!(next.await.unwrap(), Ok(false));
    }

    #[test]
    fn hashes_are_told_from_what_is_none() {
        let of_cost = |cost: u32| Hash::new(&Hash::dummy(cost)).map(|hash| hash.cost);
        assert_eq!((of_cost(4), of_cost(14)), (Ok(4), Ok(14)));
        for cost in [0, 3, 15, 31, 99] {
            let error = of_cost(cost).unwrap_err();
            assert!(error.contains(&format!("of cost 4 to 14, found cost {cost}: ")), "{error}");
        }
        let hash = Hash::dummy(10);
        for text in
            ["", "secret", &hash[1..], &hash.replace("$2b", "$1b"), &hash.replace('F', "!"), &format!("{hash}x")]
        {
            let error = Hash::new(text).unwrap_err();
            assert!(error.starts_with("expected a bcrypt hash, such as"), "{error}");
        }
    }
}

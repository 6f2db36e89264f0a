//! Passwords: their hashes, and their verification, which takes the same for everybody who is not let in.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

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
    /// The costs that a hash may have. Each is twice the work of the one before: of 14 it is about a second, for every
    /// wrong password that anybody sends.
    pub const COSTS: RangeInclusive<u32> = 4..=14;

    /// The hash that `text` is.
    ///
    /// # Errors
    /// Why it is none, without the text, which may be a password.
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

    /// What nobody's password is verified against, of this cost.
    fn of_nobody(cost: u32) -> String {
        format!("$2b${cost:02}$FbHBSKWlMwO1k3ESGYk7Oe2qpWT2wT3nHmy5tQX0K0w8m4fYQ1k3O")
    }
}

/// Verifies a password against a hash.
type Verify = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

fn verify(password: &str, hash: &str) -> bool {
    bcrypt::verify(password, hash).unwrap_or(false)
}

/// Digests of hashes with their passwords.
type Right = Arc<Mutex<HashSet<[u8; 32]>>>;

/// What was found out about passwords, and the queue of those that are to be verified.
pub struct Passwords {
    /// The costs of all hashes, each once.
    costs: Vec<u32>,
    /// Passwords that are right. Those that are wrong are not remembered: whether one is would tell who exists.
    right: Right,
    /// Those who wait for their turn, or have it.
    places: Semaphore,
    /// One password is verified at a time, so that guessing takes one processor at most.
    turn: Arc<Semaphore>,
    verify: Verify,
}

/// That too many passwords are to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being verified; try again later")]
pub struct Busy;

impl Passwords {
    /// Passwords that can be waiting to be verified.
    const MOST_WAITING: usize = 32;
    /// Right ones that are remembered.
    const MOST_KNOWN: usize = 1024;

    /// For users with these hashes. What was found out `before` is still known.
    pub fn new<'h>(hashes: impl Iterator<Item = &'h Hash>, before: Option<&Passwords>) -> Passwords {
        let mut costs: Vec<u32> = hashes.map(|hash| hash.cost).collect();
        costs.sort_unstable();
        costs.dedup();
        Passwords {
            costs,
            right: before.map(|before| before.right.clone()).unwrap_or_default(),
            places: Semaphore::new(Self::MOST_WAITING),
            turn: before.map_or_else(|| Arc::new(Semaphore::new(1)), |before| before.turn.clone()),
            verify: Arc::new(verify),
        }
    }

    /// Whether a password is that of `hash`, which is nothing for who has none. One that is not is verified once for each
    /// cost that any user's hash has, whoever it was said to be of.
    ///
    /// # Errors
    /// That too many wait already.
    pub async fn is_right(&self, hash: Option<&Hash>, password: &str) -> Result<bool, Busy> {
        let digest = super::access::sha256(format!("{}\0{password}", hash.map_or("", |hash| &hash.text)).as_bytes());
        if self.is_known(&digest) {
            return Ok(true);
        }
        let _place = self.places.try_acquire().map_err(|_| Busy)?;
        let Ok(turn) = self.turn.clone().acquire_owned().await else { return Err(Busy) };
        if self.is_known(&digest) {
            return Ok(true);
        }
        let (costs, verify, hash, password) =
            (self.costs.clone(), self.verify.clone(), hash.cloned(), password.to_owned());
        let right = self.right.clone();
        let work = move || {
            // Whoever asked may have gone: the turn ends with the work, and not before.
            let _turn = turn;
            let is_right = costs.into_iter().any(|cost| match &hash {
                Some(hash) if hash.cost == cost => verify(&password, &hash.text),
                _ => {
                    verify(&password, &Hash::of_nobody(cost));
                    false
                }
            });
            if is_right {
                remember(&right, digest);
            }
            is_right
        };
        Ok(tokio::task::spawn_blocking(work).await.unwrap_or(false))
    }

    fn is_known(&self, digest: &[u8; 32]) -> bool {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}

fn remember(right: &Right, digest: [u8; 32]) {
    let mut right = right.lock().unwrap_or_else(PoisonError::into_inner);
    if right.len() >= Passwords::MOST_KNOWN {
        right.clear();
    }
    right.insert(digest);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn hash(password: &str, cost: u32) -> Hash {
        Hash::new(&bcrypt::hash(password, cost).unwrap()).unwrap()
    }

    /// The passwords of these, and the costs of what is verified.
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
        // Nobody; one without a password; those who are known; and the same again.
        for hash in [None, None, Some(&low), Some(&high), Some(&low), Some(&high), None] {
            assert_eq!(passwords.is_right(hash, "guess").await, Ok(false));
            all.push(work());
        }
        // Another's password, and one that is right but for its end.
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
        // It stays known when the users are read again; another's hash does not profit.
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
        let flood: Vec<_> = (0..Passwords::MOST_WAITING).map(|_| guess()).collect();
        begins.recv().await.unwrap();
        // All have their places once each was asked for.
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(passwords.is_right(None, "guess").await, Err(Busy));
        assert_eq!(passwords.is_right(Some(&user), "wonder").await, Ok(true));
        // Those who go away leave their places, but the one whose turn it is keeps it until his work is done.
        flood.iter().for_each(|guess| guess.abort());
        for guess in flood {
            assert!(guess.await.unwrap_err().is_cancelled());
        }
        let next = guess();
        tokio::task::yield_now().await;
        assert!(begins.try_recv().is_err() && passwords.turn.available_permits() == 0);
        go_on.send(()).unwrap();
        begins.recv().await.unwrap();
        go_on.send(()).unwrap();
        assert_eq!(next.await.unwrap(), Ok(false));
    }

    #[test]
    fn hashes_are_told_from_what_is_none() {
        let of_cost = |cost: u32| Hash::new(&Hash::of_nobody(cost)).map(|hash| hash.cost);
        assert_eq!((of_cost(4), of_cost(14)), (Ok(4), Ok(14)));
        for cost in [0, 3, 15, 31, 99] {
            let error = of_cost(cost).unwrap_err();
            assert!(error.contains(&format!("of cost 4 to 14, found cost {cost}: ")), "{error}");
        }
        let hash = Hash::of_nobody(10);
        for text in
            ["", "secret", &hash[1..], &hash.replace("$2b", "$1b"), &hash.replace('F', "!"), &format!("{hash}x")]
        {
            let error = Hash::new(text).unwrap_err();
            assert!(error.starts_with("expected a bcrypt hash, such as"), "{error}");
        }
    }
}

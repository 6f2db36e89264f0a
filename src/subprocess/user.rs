//! Users that programs run as.

use std::fs;

/// A user of this system, with its primary group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// The user's number.
    pub(super) uid: u32,
    /// The number of its primary group.
    #[cfg_attr(windows, allow(dead_code))]
    pub(super) gid: u32,
}

impl User {
    /// The user with this name or number, from `/etc/passwd`.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn named(name: &str) -> Result<User, String> {
        let users = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
        find(&users, name).ok_or_else(|| format!("there is no user {name:?} in /etc/passwd"))
    }
}

fn find(users: &str, wanted: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, uid, gid) = (parts.next()?, parts.nth(1)?, parts.next()?);
        let user = User { uid: uid.parse().ok()?, gid: gid.parse().ok()? };
        (name == wanted || uid == wanted).then_some(user)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n#broken\nnobody:x:65534:65533::/:/bin/false\n";
        assert_eq!(find(users, "root"), Some(User { uid: 0, gid: 0 }));
        assert_eq!(find(users, "65534"), Some(User { uid: 65534, gid: 65533 }));
        assert_eq!(find(users, "x"), None);
    }
}

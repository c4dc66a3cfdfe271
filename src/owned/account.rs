//! Names and groups of users, from `/etc/passwd` and `/etc/group`. Users of other sources have numbers only.

use std::fs;

/// A user's name and the groups that a login would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups, the primary one among them.
    pub groups: Vec<u32>,
}

impl Account {
    /// The account of this user; `None` if the files do not have it.
    pub fn of(uid: u32) -> Option<Self> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        Self::read(uid, &users, &groups)
    }

    fn read(uid: u32, users: &str, groups: &str) -> Option<Self> {
        let (name, gid) = users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, number, gid, ..] = fields.as_slice() else {
                return None;
            };
            (number.parse() == Ok(uid)).then_some(((*name).to_owned(), gid.parse().ok()?))
        })?;
        let mut all = vec![gid];
        for line in groups.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, number, members, ..] = fields.as_slice() else {
                continue;
            };
            if let Ok(number) = number.parse()
                && members.split(',').any(|member| member == name)
                && !all.contains(&number)
            {
                all.push(number);
            }
        }
        Some(Self {
            name,
            gid,
            groups: all,
        })
    }
}

/// Whether a group is the private group of a user: it has the name of the user and no other member.
pub fn is_private_group(uid: u32, gid: u32) -> bool {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    uid != 0 && user_name(uid).is_some_and(|name| is_private(&name, gid, &groups))
}

fn is_private(user: &str, gid: u32, groups: &str) -> bool {
    groups.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, number, members, ..] = fields.as_slice() else {
            return false;
        };
        *name == user && number.parse() == Ok(gid) && (members.is_empty() || *members == user)
    })
}

/// The login name of a user id.
pub fn user_name(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    Account::read(uid, &users, "").map(|account| account.name)
}

/// A user for messages: the login name, otherwise the number.
pub fn user_words(uid: u32) -> String {
    user_name(uid).map_or_else(|| uid.to_string(), |name| format!("`{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_private_with_the_name_of_the_user_and_nobody_else() {
        let groups = "ada:x:1000:\nbob:x:1001:bob\neve:x:1002:ada,eve\nusers:x:100:ada\n";
        assert!(is_private("ada", 1000, groups) && is_private("bob", 1001, groups));
        assert!(!is_private("eve", 1002, groups));
        assert!(!is_private("ada", 100, groups) && !is_private("ada", 1001, groups));
    }

    #[test]
    fn an_account_has_the_groups_that_a_login_would_give() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken:x\nada:x:1000:100::/home/ada:/bin/sh\n";
        let groups = "root:x:0:\nusers:x:100:ada\nwww:x:33:bob,ada\nodd:x:\nadam:x:7:adam\n";
        let ada = Account::read(1000, users, groups).unwrap();
        assert_eq!(
            (ada.name.as_str(), ada.gid, ada.groups),
            ("ada", 100, vec![100, 33])
        );
        assert_eq!(Account::read(1, users, groups), None);
    }
}

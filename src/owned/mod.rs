//! Files of one owner: the store directory and everything in it belong only to the user who runs jobctl.
//!
//! Rule: inside the store directory nothing is opened, written or removed by a path that could pass a link. A directory is opened and
//! held ([`Dir`]), its entries are reached from there, and each is checked ([`Flaw`]) before it is used. Exception: `jobctl.db` and its
//! log belong to SQLite. They are checked by name and never opened here, since closing a second descriptor would cancel SQLite's locks.

mod account;
mod dir;
mod flaw;
mod rights;
mod tree;
mod way;

pub use account::{Account, is_private_group, user_name, user_words};
pub use dir::{Dir, FILE_MODE, make_dir, make_dirs, open_read, open_write};
pub use flaw::{Facts, Flaw, Wanted, judge};
pub use rights::take_rights;
pub(crate) use tree::{each_entry, make_private, open_dir, remove, remove_content};
pub use way::{Way, resolve};

//! The facts of SQLite and of file systems that cost data when ignored, each shown on the real thing.

mod damage;
mod disk;
mod identity;
mod permissions;
mod rows;
mod turns;

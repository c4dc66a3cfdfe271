//! The facts of SQLite and of file systems that cost data when ignored, each shown on the real thing.

mod attacks;
mod damage;
mod disk;
mod identity;
mod log;
mod owner;
mod permissions;
mod rows;
mod turns;

//! Commands, by exact output of the real binary.

mod skeleton;

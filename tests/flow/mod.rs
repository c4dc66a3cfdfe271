//! Limits, shares and reserves, as the side effects of real processes tell them.

mod hand_over;
mod in_force;
mod limits;
mod shares;
mod waits;

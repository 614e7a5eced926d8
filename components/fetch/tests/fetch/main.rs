//! Requests of a box, and the hosts that they reach: both, and what is between them, are played by the test.

mod blame;
mod connections;
mod failures;
mod gateway;
mod limits;
mod requests;
mod sides;
mod time;
mod upgrade;

//! A node that is managed from here.

mod at;
mod connection;
mod deploy;
mod description;

pub use at::At;
pub use connection::{Accept, Remote, is_refusal};
pub use deploy::{Outcome, Sent, send_image, watch};
pub use description::{Arrow, BoxStatus, Deployed, Description, Memory};

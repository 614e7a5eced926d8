//! A node that is managed from here.

mod at;
mod bring;
mod connection;
mod deploy;
mod description;
mod rates;

pub use at::{At, MaybeAt};
pub use bring::{Brought, bring};
pub use connection::{Accept, Remote, is_refusal, is_silence};
pub use deploy::{Outcome, Sent, send_image, watch};
pub use description::{
    Arrow, BoxStatus, Deployed, Description, Directed, DiskStatus, Figure, FigureValue, Latency, Memory, VolumeStatus,
};
pub use rates::Rates;

//! Drawings of a system: boxes, arrows and what they grant, devices, and the world outside.

mod layers;
mod measure;
mod order;
mod picture;
mod place;
mod shapes;
mod svg;
mod text;

pub use svg::svg;
pub use text::text;

#[cfg(test)]
mod tests;

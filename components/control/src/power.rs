//! What the box does to the world, by its arrows.

pub trait Outside {
    /// To a peer at the port of `pearwood:net/tcp`. False: it has no room and has taken nothing.
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool;
    /// To the node, at the port of `pearwood:control/node`. False: it has no room and has taken nothing.
    fn ask(&mut self, batch: &[u8]) -> bool;
    /// To a peer at the port of `pearwood:http/handler`. False: it has no room and has taken nothing.
    fn answer(&mut self, peer: u32, batch: &[u8]) -> bool;
    /// 32 bytes that nobody can guess.
    fn random(&mut self) -> [u8; 32];
    fn log(&mut self, level: Level, line: &str);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
}

//! The box with the keys, for the client.

use pearwood_acme::Keys;

/// Where they keep them.
pub struct Memory(Vec<u8>);

impl keys::Disk for Memory {
    fn sector_size(&self) -> usize {
        512
    }
    fn sectors(&self) -> u64 {
        (self.0.len() / 512) as u64
    }
    fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        Ok(self.0[first as usize * 512..][..count as usize * 512].to_vec())
    }
    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), String> {
        self.0[first as usize * 512..][..data.len()].copy_from_slice(data);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), String> {
        Ok(())
    }
}

fn random(buffer: &mut [u8]) -> Result<(), String> {
    getrandom::fill(buffer).map_err(|error| error.to_string())
}

/// The box with the keys, and how often it does not store what it is given.
pub struct Box(pub keys::Keys<Memory>, pub u32);

impl Box {
    pub fn new() -> Self {
        Box::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Self {
        let config = keys::Config::read(settings.iter().copied()).unwrap();
        Box(keys::Keys::open(config, Memory(vec![0; 2 << 20]), &[1; 32], &mut random).unwrap(), 0)
    }
}

impl Keys for Box {
    fn account(&mut self) -> Result<[u8; 64], String> {
        self.0.account(&mut random)
    }
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.0.sign_request(message)
    }
    fn make(&mut self, key: &str) -> Result<(), String> {
        self.0.make(key, &mut random)
    }
    fn request(&mut self, key: &str, names: &[String]) -> Result<Vec<u8>, String> {
        self.0.request(key, names)
    }
    fn store(&mut self, key: &str, chain: Vec<Vec<u8>>) -> Result<(), String> {
        if let Some(left) = self.1.checked_sub(1) {
            self.1 = left;
            return Err("the disk has failed to do it".into());
        }
        self.0.store(key, chain, &mut random)
    }
    fn stored(&mut self, key: &str) -> Result<Vec<Vec<u8>>, String> {
        self.0.stored(key)
    }
    fn remember(&mut self, state: Vec<u8>) -> Result<(), String> {
        self.0.remember(state, &mut random)
    }
    fn remembered(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.0.remembered().to_vec())
    }
    fn challenge(&mut self, key: &str, name: &str, digest: Option<&[u8]>) -> Result<(), String> {
        self.0.challenge(key, name, digest)
    }
}

//! Numbers that look random, the same for the same seed.

/// xorshift64* (Vigna, 2016).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 20) % limit
    }
}

/// Another one each time, unless `PEARWOOD_SEED` says which.
pub fn seed() -> u64 {
    let asked = std::env::var("PEARWOOD_SEED").ok().map(|seed| seed.parse().expect("PEARWOOD_SEED is a number"));
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time after 1970");
    let seed = asked.unwrap_or_else(|| now().as_nanos() as u64);
    println!("PEARWOOD_SEED={seed}");
    seed
}

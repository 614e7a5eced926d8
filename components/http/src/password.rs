//! Passwords as bcrypt hashes them.

use base64::Engine;

/// A password hashed with bcrypt, as `htpasswd -B` writes it: `$2y$05$`, 22 digits of salt, 31 of the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    pub cost: u32,
    salt: [u8; 16],
    hash: [u8; 23],
}

impl PasswordHash {
    /// Of 2^10 rounds. To compare a password takes some 0.1 s then, in which the box does nothing else.
    const MOST: u32 = 10;

    pub fn read(text: &str) -> Result<Self, String> {
        let read = || {
            let rest = ["$2y$", "$2b$", "$2a$"].iter().find_map(|version| text.strip_prefix(version))?;
            let (cost, digits) = rest.split_once('$')?;
            let (salt, hash) = digits.split_at_checked(22)?;
            let mut read = PasswordHash { cost: cost.parse().ok()?, salt: [0; 16], hash: [0; 23] };
            let whole = bcrypt::BASE_64.decode_slice(salt, &mut read.salt).ok()? == 16
                && bcrypt::BASE_64.decode_slice(hash, &mut read.hash).ok()? == 23;
            whole.then_some(read)
        };
        let read = read().ok_or("no password hashed with bcrypt: `pearwood hash-password` makes one")?;
        if (4..=Self::MOST).contains(&read.cost) {
            Ok(read)
        } else {
            Err("a cost of 4 to 10 is meant: a password of higher cost would hold up other requests".into())
        }
    }

    /// What is set for a password, hashed at the highest cost. The salt is random.
    ///
    /// # Errors
    /// It is one that bcrypt could not tell from others: empty, longer than the 72 bytes that it looks at, or with a NUL, where
    /// it ends for some programs.
    pub fn of(password: &[u8], salt: [u8; 16]) -> Result<String, &'static str> {
        if password.is_empty() || password.contains(&0) {
            return Err("a password has one character at least, and no NUL");
        }
        if password.len() > LENGTH {
            return Err("the password is longer than 72 bytes, and bcrypt looks at no more");
        }
        let hash = bcrypt::bcrypt(Self::MOST, salt, &ended(password));
        let digits = |bytes: &[u8]| bcrypt::BASE_64.encode(bytes);
        Ok(format!("$2b${}${}{}", Self::MOST, digits(&salt), digits(&hash[..23])))
    }

    /// Takes as long as a password of a cost.
    pub fn spend(&self, cost: u32) {
        core::hint::black_box(bcrypt::bcrypt(cost, self.salt, b"\0"));
    }

    /// Whether it is that of a password. As everywhere, bcrypt looks at no more than 72 bytes.
    pub fn is_of(&self, password: &[u8]) -> bool {
        same_secret(&bcrypt::bcrypt(self.cost, self.salt, &ended(password))[..23], &self.hash)
    }
}

/// Bytes of a password that bcrypt looks at.
const LENGTH: usize = 72;

/// A password as it is hashed: with a zero byte at its end, as far as that has room.
fn ended(password: &[u8]) -> Vec<u8> {
    let mut bytes = [password, b"\0"].concat();
    bytes.truncate(LENGTH);
    bytes
}

/// Whether two secrets of the same length are equal, in a time that does not tell where they differ.
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && core::hint::black_box(a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Python's and node's.
    #[test]
    fn passwords() {
        for hash in [
            "$2a$04$n4Uy0eSnMfvnESYL.bLwuuj0U/ETSsoTpRT9GVk5bektyVVa5xnIi",
            "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie",
        ] {
            let hash = PasswordHash::read(hash).unwrap();
            assert!(hash.is_of(b"correctbatteryhorsestapler"));
            assert!(!hash.is_of(b"correctbatteryhorsestaple") && !hash.is_of(b""));
        }
        for bad in ["", "$2y$05$", "$2y$05$short", "$1$05$abcdefghijklmnopqrstuuRKl3ZfzJ8hL3p8pqRFSOlSdrOrmZjHy"] {
            assert!(PasswordHash::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_that_is_made_here() {
        for password in ["correctbatteryhorsestapler", "gr\u{f6}\u{df}e", &"x".repeat(72)] {
            let made = PasswordHash::of(password.as_bytes(), [7; 16]).unwrap();
            assert!(made.starts_with("$2b$10$") && made.len() == 60, "{made}");
            let hash = PasswordHash::read(&made).unwrap();
            assert!(hash.is_of(password.as_bytes()) && !hash.is_of(b"another"), "{made}");
        }
        for bad in ["", "a\0b", &"x".repeat(73)] {
            assert!(PasswordHash::of(bad.as_bytes(), [7; 16]).is_err(), "{bad:?}");
        }
    }
}

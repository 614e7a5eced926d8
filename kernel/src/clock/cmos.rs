//! The CMOS registers, through their index and data ports.

use x86_64::instructions::port::Port;

use super::wall;

/// The registers behind ports 0x70 and 0x71.
pub struct Cmos {
    index: Port<u8>,
    data: Port<u8>,
}

impl Cmos {
    /// There is one of them, so it is made once, where the wall clock is set.
    pub const fn new() -> Cmos {
        Cmos { index: Port::new(0x70), data: Port::new(0x71) }
    }
}

impl wall::Cmos for Cmos {
    fn read(&mut self, register: u8) -> u8 {
        // SAFETY: the ports of the CMOS clock, or nobody's; the top bit, which masks NMIs, stays clear.
        #[allow(unsafe_code)]
        unsafe {
            self.index.write(register & 0x7f);
            self.data.read()
        }
    }
}

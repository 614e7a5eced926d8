//! The two 8259 interrupt controllers, which machines still have and nobody should hear from.

use x86_64::instructions::port::Port;

/// Moves them away from the exceptions' vectors, lest a spurious interrupt look like one, and masks all lines.
pub fn mask() {
    let write = |port: u16, value: u8| {
        // SAFETY: the ports of the interrupt controllers, or of nothing.
        #[allow(unsafe_code)]
        unsafe {
            Port::new(port).write(value);
        }
    };
    for (command, vector, cascade) in [(0x20, 0x70, 1 << 2), (0xa0, 0x78, 2)] {
        let data = command + 1;
        write(command, 0x11); // initialise, four words follow
        write(data, vector);
        write(data, cascade);
        write(data, 0x01); // 8086 mode
        write(data, 0xff); // all masked
    }
}

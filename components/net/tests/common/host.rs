//! The machine at the other end of the wire: smoltcp, as another would use it.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

pub const CARD: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub struct Host {
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    device: Device,
    port: u16,
}

struct Device {
    arrived: VecDeque<Vec<u8>>,
    departing: Vec<Vec<u8>>,
}

struct Received(Vec<u8>);
struct Transmit<'a>(&'a mut Vec<Vec<u8>>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.push(frame);
        result
    }
}

impl phy::Device for Device {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Transmit<'_>)> {
        let frame = self.arrived.pop_front()?;
        Some((Received(frame), Transmit(&mut self.departing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(Transmit(&mut self.departing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

pub fn instant(now: u64) -> Instant {
    Instant::from_micros((now / 1000) as i64)
}

impl Host {
    pub fn new(addresses: &[&str]) -> Self {
        let mut device = Device { arrived: VecDeque::new(), departing: Vec::new() };
        let mut config = Config::new(EthernetAddress(CARD).into());
        config.random_seed = 7;
        let mut interface = Interface::new(config, &mut device, instant(0));
        interface.update_ip_addrs(|list| {
            for address in addresses {
                list.push(address.parse::<IpCidr>().unwrap()).unwrap();
            }
        });
        Host { interface, sockets: SocketSet::new(Vec::new()), device, port: 40_000 }
    }

    pub fn connect(&mut self, to: &str, port: u16) -> SocketHandle {
        self.connect_with(to, port, 64 << 10)
    }

    pub fn connect_with(&mut self, to: &str, port: u16, buffer: usize) -> SocketHandle {
        self.port = self.port.checked_add(1).unwrap_or(40_001);
        let mut socket = Self::socket(buffer);
        let to: IpAddress = to.parse().unwrap();
        socket.connect(self.interface.context(), (to, port), self.port).unwrap();
        self.sockets.add(socket)
    }

    pub fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = Self::socket(64 << 10);
        socket.listen(port).unwrap();
        self.sockets.add(socket)
    }

    fn socket(buffer: usize) -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; buffer]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn receive(&mut self, frame: Vec<u8>) {
        self.device.arrived.push_back(frame);
    }

    pub fn poll(&mut self, now: u64) -> Vec<Vec<u8>> {
        self.interface.poll(instant(now), &mut self.device, &mut self.sockets);
        std::mem::take(&mut self.device.departing)
    }

    pub fn poll_at(&mut self, now: u64) -> u64 {
        let at = self.interface.poll_at(instant(now), &self.sockets);
        at.map_or(u64::MAX, |at| at.total_micros() as u64 * 1000)
    }
}

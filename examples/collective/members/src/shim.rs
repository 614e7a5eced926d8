//! The box: its disk, its clock, its randomness.

use crate::{Accounts, Site, Store, Today};
use pearwood::{
    bindings::pearwood::box0_2_0::entropy,
    disk::Disk,
    figures::{self, Figure},
    http::Server,
    log,
};

pearwood::service!(run);

struct Sectors(Disk);

impl Store for Sectors {
    fn sector_size(&self) -> usize {
        self.0.sector_size
    }

    fn sectors(&self) -> u64 {
        self.0.sectors
    }

    fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        self.0.read(first, count).map_err(|error| error.to_string())
    }

    fn write(&mut self, at: u64, sector: &[u8]) -> Result<(), String> {
        self.0.write(at, sector).and_then(|()| self.0.flush()).map_err(|error| error.to_string())
    }
}

/// A form has a name and a password.
const FORM: usize = 4 << 10;

fn run() -> Result<(), String> {
    let disk = Disk::open().map_err(|error| error.to_string())?;
    let mut site = Site::new(Accounts::load(Sectors(disk))?);
    log::info(format_args!("{} accounts", site.accounts().len()));
    let mut server = Server::new(FORM);
    let mut pace = figures::Pace::default();
    pace.start();
    while let Some((now, requests)) = server.turn_until(pace.due()) {
        for request in requests {
            pace.changed(now);
            let now = entropy::wall_clock().map(|time| time / 1_000_000_000);
            let mut random = || entropy::get(32).try_into().expect("the node gives 32 random bytes");
            let response = site.answer(&request, &mut Today { now, random: &mut random });
            server.answer(request, response);
        }
        if pace.take(now) {
            figures::report(vec![
                Figure::gauge("accounts", site.accounts().len()),
                Figure::counter("logins", site.logins[0]).of("outcome", "right"),
                Figure::counter("logins", site.logins[1]).of("outcome", "wrong"),
            ]);
        }
    }
    Ok(())
}

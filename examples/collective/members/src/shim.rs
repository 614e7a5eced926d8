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
    let mut reported = None;
    while let Some(requests) = server.turn() {
        for request in requests {
            // a node that does not know the time counts from 1970, and sessions from before end when it does
            let now = entropy::wall_clock().unwrap_or(0) / 1_000_000_000;
            let mut random = || entropy::get(32).try_into().expect("the node gives 32 random bytes");
            let response = site.answer(&request, &mut Today { now, random: &mut random });
            server.answer(request, response);
        }
        // each of these has taken its time: there are no more than some in a second
        let figures = (site.accounts().len(), site.logins);
        if reported != Some(figures) {
            reported = Some(figures);
            figures::report(vec![
                Figure::gauge("accounts", figures.0),
                Figure::counter("logins", figures.1[0]).of("outcome", "right"),
                Figure::counter("logins", figures.1[1]).of("outcome", "wrong"),
            ]);
        }
    }
    Ok(())
}

//! A box that counts: `GET /` is answered with how often that was asked for, ever. Other paths do not count.
//!
//! The count is in sector 0: `visits`, two zero bytes, and the number (little endian). A disk writes a sector as a whole
//! or not at all, so whenever power fails, one count or the next is there. All requests of a turn are counted together,
//! written once, and answered when that is durable.

use pearwood::{
    disk::{Disk, Error},
    http::{Request, Response, Server},
    log,
};

pearwood::service!(run);

const MAGIC: &[u8; 8] = b"visits\0\0";

fn run() -> Result<(), String> {
    let mut disk = Disk::open().map_err(|error| error.to_string())?;
    let mut count = load(&mut disk)?;
    log::info(format_args!("counts on from {count}"));
    let mut server = Server::default();
    while let Some(requests) = server.turn() {
        let visits = requests.iter().filter(|request| counts(request)).count() as u64;
        let stored = if visits > 0 { store(&mut disk, count + visits) } else { Ok(()) };
        if let Err(error) = stored {
            log::error(format_args!("the count cannot be stored: {error}"));
        }
        let mut visit = count;
        for request in requests {
            let response = match (counts(&request), stored) {
                (false, _) => Response::status(404, "Only / is counted.\n"),
                (true, Err(error)) => Response::status(500, format!("The count cannot be stored: {error}\n")),
                (true, Ok(())) => {
                    visit += 1;
                    Response::text(format!("{visit}\n"))
                }
            };
            server.answer(request, response);
        }
        // what could not be stored was not promised to anybody
        count = visit;
    }
    Ok(())
}

fn counts(request: &Request) -> bool {
    request.method == "GET" && request.path() == "/"
}

fn load(disk: &mut Disk) -> Result<u64, String> {
    let sector = disk.read(0, 1).map_err(|error| format!("cannot read the count: {error}"))?;
    match (sector.strip_prefix(MAGIC), sector.iter().all(|byte| *byte == 0)) {
        (Some([a, b, c, d, e, f, g, h, ..]), _) => Ok(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (_, true) => Ok(0),
        _ => Err("there is something else on the disk".into()),
    }
}

fn store(disk: &mut Disk, count: u64) -> Result<(), Error> {
    let mut sector = [&MAGIC[..], &count.to_le_bytes()].concat();
    sector.resize(disk.sector_size, 0);
    disk.write(0, &sector)?;
    disk.flush()
}

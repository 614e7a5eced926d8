//! A shop: `GET /` lists what there is, and `GET /buy?pear=2&quince=1` says what that costs.
//!
//! What things cost another box knows. A call waits for its answer as one of a function does; one that cannot be answered, because
//! the other box ends meanwhile, ends this one, too, unless the interface says otherwise, and both start again.

use bindings::example::shop::prices::{self, Basket};
use pearwood::http::{self, Request, Response};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/box", "../wit"],
        inline: "package example:shop-box; package pearwood:box@0.0.0 {}",
        world: "example:shop/buys",
        generate_all,
    });
}

pearwood::service!(run);

fn run() {
    http::serve(answer);
}

fn answer(request: &Request) -> Response {
    match (request.path(), request.query()) {
        ("/", _) => {
            let line = |item: prices::Item| format!("{}: {}\n", item.name, euros(item.price));
            Response::text(prices::items().into_iter().map(line).collect::<String>())
        }
        ("/buy", Some(query)) => match buy(query) {
            Ok(total) => Response::text(format!("{}\n", euros(total))),
            Err(why) => Response::status(400, format!("{why}\n")),
        },
        _ => Response::status(404, "There is / and /buy?pear=2.\n"),
    }
}

fn buy(query: &str) -> Result<u32, String> {
    let basket = Basket::new();
    for wanted in query.split('&') {
        let (name, count) = wanted.split_once('=').ok_or("say how many: /buy?pear=2")?;
        basket.add(name, count.parse().map_err(|_| format!("`{count}` is no number"))?)?;
    }
    Ok(basket.total())
}

fn euros(cents: u32) -> String {
    format!("{}.{:02} €", cents / 100, cents % 100)
}

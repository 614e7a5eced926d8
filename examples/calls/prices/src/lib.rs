//! Knows what things cost. It has no loop: its functions run when another box calls them, one at a time.

use bindings::{
    exports::example::shop::prices::{Guest, GuestBasket, Item},
    pearwood::box0_2_0::config,
};
use std::cell::Cell;

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/box", "../wit"],
        // The empty package makes the generator name a module `box0_2_0`: `box` is a word that Rust reserves.
        inline: "package example:prices-box; package pearwood:box@0.0.0 {}",
        world: "example:shop/sells",
        generate_all,
    });
    use super::Prices;
    export!(Prices);
}

struct Prices;

#[derive(Default)]
struct Basket {
    total: Cell<u32>,
}

impl Guest for Prices {
    type Basket = Basket;

    fn items() -> Vec<Item> {
        let item = |(name, price): (String, String)| Some(Item { price: price.parse().ok()?, name });
        config::get().into_iter().filter_map(item).collect()
    }
}

impl GuestBasket for Basket {
    fn new() -> Self {
        Basket::default()
    }

    fn add(&self, name: String, count: u32) -> Result<(), String> {
        let item = Prices::items().into_iter().find(|item| item.name == name);
        let item = item.ok_or_else(|| format!("there is no {name}"))?;
        let price = item.price.checked_mul(count).and_then(|price| self.total.get().checked_add(price));
        self.total.set(price.ok_or("that is more than anybody can pay")?);
        Ok(())
    }

    fn total(&self) -> u32 {
        self.total.get()
    }
}

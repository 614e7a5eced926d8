//! The website in a browser: pages, their style, and scripts that fetch more.

use tests::{On, TestNode, browser::Browser, on_each};

on_each!(the_documentation_can_be_searched);

/// rustdoc's search loads its index in many small files and shows what it finds as links.
fn the_documentation_can_be_searched(on: On) {
    let browser = match Browser::find() {
        Ok(browser) => browser,
        Err(why) => {
            return eprintln!("\n*** SKIPPED: no browser, so nobody has searched the documentation: {why} ***\n");
        }
    };
    let node = TestNode::start("website", on);
    let page = browser.document(&node.url("/doc/pearwood_wit/index.html?search=Outbox"));
    let (_, found) = page.split_once(r#"<div id="results">"#).unwrap_or_else(|| panic!("no results in {page}"));
    assert!(found.contains(r#"href="../pearwood_wit/struct.Outbox.html""#), "{found}");
    let home = browser.document(&node.url("/"));
    assert!(home.contains("Pearwood") && home.contains("</html>"), "{home}");
    node.power_off();
}

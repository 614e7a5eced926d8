//! The web console in a browser that is really clicked on.

use std::{fs, time::Duration};
use tests::{
    On,
    browser::{Browser, Page, Size},
    client::curl,
    load,
    managed::{Console, Managed, People},
    node::workspace,
    on_each,
};

on_each!(a_node_is_seen_and_changed_on_one_page, who_may_only_look_sees_why, the_page_fits_a_phone);

fn browser() -> Option<Browser> {
    match Browser::find() {
        Ok(browser) => Some(browser),
        Err(why) => {
            eprintln!("\n*** SKIPPED: no browser, so nobody has clicked on the console: {why} ***\n");
            None
        }
    }
}

const BOXES: [&str; 4] = ["net", "http", "site", "control"];

fn drawn(page: &mut Page) {
    page.wait_for("document.querySelectorAll('#graph .box').length >= 4");
    for name in BOXES {
        page.wait_for(&format!(
            "document.querySelector('#graph [data-box={name}]')?.ariaLabel?.startsWith('box {name}: ')"
        ));
        page.wait_for(&format!("document.querySelector('[data-card={name}]')"));
    }
    page.wait_for("document.querySelector('#log').textContent.includes('listening on port 80')");
}

/// The button, and then what is asked about it; `says` is in the question.
fn order(page: &mut Page, does: &str, name: &str, says: &str) {
    page.click(&format!("[data-does={does}][data-box={name}]"));
    page.wait_for("document.querySelector('#sure').open");
    assert_eq!(page.text("#sure-title"), says);
    page.click("#sure-yes");
    page.wait_for("!document.querySelector('#sure').open");
}

fn noted(page: &mut Page, text: &str) {
    page.wait_for(&format!(
        "[...document.querySelectorAll('#notes .note')].some(it => it.textContent.includes({text:?}))"
    ));
}

fn a_node_is_seen_and_changed_on_one_page(on: On) {
    let Some(browser) = browser() else { return };
    let people = People::new();
    let managed = people.start(on);
    managed.accept("anna");
    let console = Console::start(&managed, "anna");
    let mut page = browser.open(&console.url, Size::DESK);
    drawn(&mut page);
    figures_are_shown(&mut page, &managed, on);
    a_box_is_restarted_and_stopped(&mut page, &managed);
    the_log_is_filtered(&mut page);
    a_box_is_swapped_and_rolled_back(&mut page, &managed, on);

    page.offline(true);
    page.wait_for("document.body.classList.contains('lost') && document.querySelector('#lost').offsetHeight > 0");
    page.picture(&format!("lost-{on:?}"));
    page.offline(false);
    page.wait_for("!document.body.classList.contains('lost')");
    managed.node.power_off();
    page.wait_for("document.querySelector('#lost').textContent.includes('No connection to the node')");
}

fn figures_are_shown(page: &mut Page, managed: &Managed<'_>, on: On) {
    let load = load::start(&managed.node.url("/"), 4, Duration::from_secs(25));
    let figures = "document.querySelector('#graph .figures[data-from=http][data-to=site]').textContent";
    page.wait_for(&format!("/^[\\d.]+[kM]?\\/s · [\\d.]+ [µm]?s · .*B\\/s$/.test({figures})"));
    page.wait_for("/[1-9]/.test(document.querySelector('[data-arrow=\"http/site\"] [data-label=p99]').textContent)");
    page.wait_for("[...document.querySelectorAll('.flow')].some(it => it.getAttribute('visibility') == 'visible')");
    page.wait_for("/[1-9].* requests/.test(document.querySelector('#rates').textContent)");
    page.wait_for(
        "document.querySelector('[data-card=http] .spark path:last-child').getAttribute('d')?.split('L').length > 6",
    );
    for scheme in ["light", "dark"] {
        page.prefer(scheme);
        page.picture(&format!("desk-{scheme}-{on:?}"));
    }
    page.prefer("light");
    let load = load.end();
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
    let console_metrics = managed.obeyed("anna", &["top", "--count", "1"]).out;
    assert!(console_metrics.lines().any(|line| line.starts_with("http -> site")), "{console_metrics}");
    let drawing = managed.obeyed("anna", &["graph"]).out;
    assert!(drawing.contains("> site") && drawing.contains("http"), "{drawing}");
}

fn a_box_is_restarted_and_stopped(page: &mut Page, managed: &Managed<'_>) {
    let position = managed.node.node.console().position();
    page.click("[data-does=restart][data-box=site]");
    page.wait_for("document.querySelector('#sure').open");
    assert_eq!(page.value("document.activeElement.value"), "no", "what changes nothing comes first");
    page.press("Escape");
    page.wait_for("!document.querySelector('#sure').open");
    assert_eq!(page.value("document.activeElement.dataset.box"), "site", "back to where it was");
    assert_eq!(page.value("document.querySelectorAll('#notes .note').length"), 0, "nothing was done");

    order(page, "restart", "site", "Restart site?");
    noted(page, "site is started again");
    managed.node.wait_for(position, "site: restarted: by anna");
    page.wait_for("document.querySelector('#log').textContent.includes('restarted: by anna')");

    order(page, "stop", "site", "Stop site?");
    page.wait_for("document.querySelector('[data-card=site] .pill').textContent == 'stopped'");
    page.wait_for("document.querySelector('#graph [data-box=site]').classList.contains('down')");
    page.wait_for("document.querySelector('#state').textContent.includes('site: stopped')");
    // by keyboard
    page.value("document.querySelector('[data-does=start][data-box=site]').focus()");
    page.press("Enter");
    page.wait_for("document.querySelector('#sure').open");
    page.press("Tab");
    page.press("Enter");
    noted(page, "site is started");
    page.wait_for("document.querySelector('[data-card=site] .pill').textContent.startsWith('running')");
    // what may not be done is said
    order(page, "stop", "control", "Stop control?");
    noted(page, "is what the node is managed by");
    // from box to box in the graph
    page.value("document.querySelector('#graph .box').focus()");
    let first = page.value("document.activeElement.dataset.box");
    page.press("ArrowRight");
    assert_ne!(page.value("document.activeElement.dataset.box"), first);
    page.press("Enter");
    page.wait_for("document.querySelector('.boxed.chosen').dataset.card == document.activeElement.dataset.box");
    page.press("Enter");
    page.wait_for("!document.querySelector('.boxed.chosen')");
}

fn the_log_is_filtered(page: &mut Page) {
    let choose = |id: &str, value: &str| {
        format!("(() => {{ const it = document.getElementById({id:?}); it.value = {value:?}; it.onchange() }})()")
    };
    let whose = "[...new Set([...document.querySelectorAll('#log .who')].map(it => it.textContent))].join()";
    page.value(&choose("which", "http"));
    assert_eq!(page.value(whose), "http");
    page.value(&choose("which", ""));
    page.value(&choose("level", "1"));
    page.wait_for("[...document.querySelectorAll('#log div')].every(it => it.matches('.warn, .error'))");
    let text = page.text("#log");
    assert!(text.contains("anna was refused to stop boxes") && !text.contains("restarted: by anna"), "{text}");
    page.value(&choose("level", "3"));
    page.click("#pause");
    page.wait_for("document.querySelector('#pause').getAttribute('aria-pressed') == 'true'");
    let before = page.text("#log");
    order(page, "restart", "site", "Restart site?");
    page.wait_for("document.querySelector('#pause').textContent.includes('new')");
    assert_eq!(page.text("#log"), before);
    page.click("#pause");
    page.wait_for("document.querySelector('#log').textContent.match(/restarted: by anna/g).length == 2");
}

fn a_box_is_swapped_and_rolled_back(page: &mut Page, managed: &Managed<'_>, on: On) {
    page.wait_for(
        "(await (await fetch('describe')).json()).boxes.every(it => ['running', 'stand-in'].includes(it.phase))",
    );
    assert_eq!(managed.title(), "<title>one</title>");
    let hello = pearwood::build::components(&workspace().join("examples/hello")).expect("the example");
    let greeter = hello.components.iter().find(|(name, _)| name.contains("greeter")).expect("its box").1;
    let file = managed.people.home.path().join("greeter.wasm");
    fs::write(&file, &greeter.binary).expect("a file");

    page.click("[data-does=swap][data-box=site]");
    page.wait_for("document.querySelector('#swap').open && document.querySelector('#swap-yes').disabled");
    page.choose_file("#file", &file);
    page.wait_for("!document.querySelector('#swap-yes').disabled");
    let says = page.text("#swap-text");
    assert!(says.starts_with("greeter.wasm, ") && says.ends_with(", takes the place of site."), "{says}");
    page.picture(&format!("swap-{on:?}"));
    page.click("#swap-yes");
    noted(page, "Swap site: deployment 1 done");
    page.wait_for("document.querySelector('[data-deployment=\"1\"]').dataset.step == 'done'");
    assert!(curl(&[], &managed.node.url("/Ada")).text().contains("Ada"), "the other component answers");

    // what is no component is refused, and changes nothing
    fs::write(&file, "not at all").expect("a file");
    page.click("[data-does=swap][data-box=site]");
    page.choose_file("#file", &file);
    page.wait_for("!document.querySelector('#swap-yes').disabled");
    page.click("#swap-yes");
    noted(page, "is no WebAssembly");

    page.click("#back");
    page.wait_for("document.querySelector('#sure').open");
    assert!(page.text("#sure-text").contains("It undoes deployment 1 by anna"), "{}", page.text("#sure-text"));
    page.picture(&format!("rollback-{on:?}"));
    page.click("#sure-yes");
    noted(page, "Roll back: deployment 2 done");
    page.wait_for("document.querySelector('[data-deployment=\"2\"]').dataset.step == 'done'");
    assert_eq!(managed.title(), "<title>one</title>");
    page.value("document.querySelector('#history').scrollIntoView({ block: 'center' })");
    page.picture(&format!("history-{on:?}"));
}

fn who_may_only_look_sees_why(on: On) {
    let Some(browser) = browser() else { return };
    let people = People::new();
    let managed = people.start(on);
    managed.accept("vera");
    let console = Console::start(&managed, "vera");
    let mut page = browser.open(&console.url, Size::DESK);
    drawn(&mut page);
    page.wait_for("document.querySelector('#who').textContent == 'vera · view'");
    page.wait_for("document.querySelectorAll('[data-does]').length >= 12");
    page.wait_for("[...document.querySelectorAll('[data-does]')].every(it => it.disabled)");
    let why = page.value("document.querySelector('[data-does=restart][data-box=site]').title");
    assert!(why.as_str().is_some_and(|why| why.contains("vera may not") && why.contains("“operate”")), "{why}");
    // and the node does not leave it to the page
    let url = console.at("swap?name=site");
    let told = curl(&["--request", "POST", "--header", "x-pearwood: 1", "--data-binary", "x"], &url).text();
    assert!(told.contains("error") && told.contains("deploy"), "{told}");
    // other sites get nothing, whatever they send
    let evil = ["--request", "POST", "--header", "x-pearwood: 1", "--header", "Origin: http://evil.example"];
    assert_eq!(curl(&evil, &console.at("restart?name=site")).status, 403);
    assert_eq!(curl(&["--header", "Host: evil.example"], &console.at("follow")).status, 421);
    managed.node.power_off();
}

fn the_page_fits_a_phone(on: On) {
    let Some(browser) = browser() else { return };
    let people = People::new();
    let managed = people.start(on);
    managed.accept("anna");
    let console = Console::start(&managed, "anna");
    let mut page = browser.open(&console.url, Size::PHONE);
    drawn(&mut page);
    for _ in 0..20 {
        managed.title();
    }
    page.wait_for("/[1-9]/.test(document.querySelector('[data-arrow=\"http/site\"] [data-label=Calls]').textContent)");
    let widest = page.value("document.documentElement.scrollWidth");
    assert!(widest.as_u64().is_some_and(|widest| widest <= 360), "it is {widest} pixels wide");
    let small = "[...document.querySelectorAll('button, select')].filter(it => it.offsetParent && it.offsetHeight < 44).map(it => it.id || it.textContent).join()";
    assert_eq!(page.value(small), "", "too small for a finger");
    // D14: the system's name is on one line, and what was deployed is one touch away
    let lines = "(() => { const h1 = document.querySelector('#system'); return h1.offsetHeight / parseFloat(getComputedStyle(h1).lineHeight) })()";
    assert!(page.value(lines).as_f64().is_some_and(|lines| lines < 1.5), "the title breaks");
    page.picture(&format!("phone-top-{on:?}"));
    page.click("nav.jump a[href='#history-title']");
    page.wait_for("(() => { const at = document.querySelector('#history-title').getBoundingClientRect(); return at.top >= 44 && at.bottom <= 740 })()");
    page.value("document.documentElement.scrollTo(0, 0)");
    page.prefer("dark");
    page.value("document.querySelector('#boxes').scrollIntoView()");
    page.picture(&format!("phone-boxes-{on:?}"));
    page.value("document.querySelector('#arrows').scrollIntoView()");
    page.picture(&format!("phone-arrows-{on:?}"));
    page.click("[data-does=restart][data-box=site]");
    page.wait_for("document.querySelector('#sure').open");
    page.picture(&format!("phone-sure-{on:?}"));
    let dialog = page.value("(() => { const at = document.querySelector('#sure').getBoundingClientRect(); return at.left >= 0 && at.right <= 360 })()");
    assert_eq!(dialog, true);
    page.click("#sure-yes");
    noted(&mut page, "site is started again");
    managed.node.power_off();
}

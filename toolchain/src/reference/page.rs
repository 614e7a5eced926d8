//! The reference as a page of HTML that stands alone.

use super::{UNITS, notes, sections};
use core::fmt::Write;

const HEAD: &str = r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Reference of system.toml</title>
<style>
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h2 { margin-top: 3rem; font-size: 1.2rem; }
dt { margin-top: 1.2rem; }
dd { margin-left: 1.5rem; }
pre { overflow-x: auto; }
.value { opacity: .75; }
</style>
</head>
<body>
<h1>Reference of system.toml</h1>
<p>What is printed after <code>=</code> is what holds unless told. "##;

/// The page.
pub fn page() -> String {
    let mut page = format!("{HEAD}{}</p>\n<ul>\n", prose(UNITS));
    for section in sections() {
        _ = writeln!(
            page,
            "<li><a href=\"#{}\"><code>{}</code></a></li>",
            section.names[0],
            escape(&section.heading())
        );
    }
    page += "</ul>\n";
    for section in sections() {
        let name = section.names[0];
        _ = writeln!(page, "<h2 id=\"{name}\"><code>{}</code></h2>", escape(&section.heading()));
        _ = writeln!(page, "<p>{}</p>\n<dl>", prose(&section.says()));
        for setting in section.settings {
            let key = setting.key;
            let default = setting.default.map(|default| format!(" = {}", escape(default))).unwrap_or_default();
            _ = writeln!(page, "<dt id=\"{name}.{key}\"><code><b>{key}</b>{default}</code></dt>");
            _ = writeln!(
                page,
                "<dd><span class=\"value\">{}</span><br>{}",
                prose(&notes(setting)),
                prose(setting.says)
            );
            if let Some(example) = setting.example {
                _ = writeln!(page, "<pre><code>{key} = {}</code></pre>", escape(example));
            }
            page += "</dd>\n";
        }
        page += "</dl>\n";
    }
    page + "</body>\n</html>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What is between backticks is code.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { escape(part) } else { format!("<code>{}</code>", escape(part)) }).collect()
}

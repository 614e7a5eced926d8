//! Pages that show what is in a folder. They are made once, since files do not change while the box lives: what clients ask
//! costs no more than a file does.

use crate::{assets::Entry, encoding::Encoding, preconditions::format_date, settings::Settings, target::nameable};
use message::target::encode_path;
use std::collections::BTreeMap;

/// A file, or none: a folder.
type Members<'a> = BTreeMap<&'a str, Option<&'a Entry>>;

/// The folders that have a listing, each empty or with a slash at its end, and their pages. A compressed variant of what
/// `is_file` is not shown.
pub fn pages(entries: &[Entry], is_file: impl Fn(&str) -> bool, settings: &Settings) -> Vec<(String, String)> {
    let is_variant = |path: &str| {
        let stem = |encoding: &Encoding| path.strip_suffix(encoding.suffix());
        Encoding::COMPRESSED.iter().filter_map(stem).any(&is_file)
    };
    let mut folders: BTreeMap<&str, Members<'_>> = BTreeMap::new();
    if !settings.rules.is_empty() {
        for entry in entries.iter().filter(|entry| nameable(&entry.path)) {
            add(&mut folders, entry, settings, is_variant(&entry.path));
        }
    }
    folders.into_iter().map(|(folder, members)| (folder.to_owned(), page(folder, &members))).collect()
}

/// Adds a file to its folder, and its folder to the one that it is in, and so on.
fn add<'a>(folders: &mut BTreeMap<&'a str, Members<'a>>, entry: &'a Entry, settings: &Settings, is_hidden: bool) {
    let mut path = entry.path.as_str();
    let mut file = Some(entry);
    loop {
        let split = path.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1);
        let (folder, name) = path.split_at(split);
        if settings.has_listing(folder) && !(is_hidden && file.is_some()) {
            folders.entry(folder).or_default().insert(name, file);
        }
        if folder.is_empty() {
            return;
        }
        (path, file) = (folder, None);
    }
}

fn page(folder: &str, members: &Members<'_>) -> String {
    let title = escape(&format!("/{folder}"));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<h1>{title}</h1>\n<table>\n"
    );
    if !folder.is_empty() {
        page += "<tr><td><a href=\"../\">../</a>\n";
    }
    for (name, file) in members {
        let mut link = Vec::new();
        encode_path(name, &mut link);
        let link = escape(&String::from_utf8_lossy(&link));
        page += &format!("<tr><td><a href=\"./{link}\">{}</a>", escape(name));
        if let Some(Entry { size, modified, .. }) = file {
            let date = Some(*modified).filter(|date| *date != 0).and_then(format_date).unwrap_or_default();
            page += &format!("<td align=\"right\">{size}<td>{date}");
        }
        page += "\n";
    }
    page + "</table>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

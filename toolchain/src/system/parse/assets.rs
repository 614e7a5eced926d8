//! A box's `assets`.

use super::Reader;
use super::table::Value;
use crate::system::keys::{self, BOX};
use crate::system::model::{AssetSource, Assets};
use alloc::{format, string::String, vec::Vec};
use toml::de::DeValue;

impl Reader {
    /// `"./public"`, or `["./public", { rustdoc = "some-crate", at = "doc" }, { graph = true, at = "graph.svg" }]`.
    pub fn assets(&mut self, name: &str, value: &Value<'_>) -> Vec<Assets> {
        let what = format!("box `{name}`: assets");
        let mut assets: Vec<Assets> = Vec::new();
        for value in self.one_or_more(value, &what) {
            let Some(part) = self.asset_part(&what, value) else { continue };
            if assets.contains(&part) {
                self.fault(value.span(), format!("{what}: this part is there twice"));
            }
            assets.push(part);
        }
        assets
    }

    fn asset_part(&mut self, what: &str, value: &Value<'_>) -> Option<Assets> {
        let at = self.place(value.span());
        let mut table = match value.get_ref() {
            DeValue::String(folder) => {
                let folder = self.path(what, value, folder)?;
                return Some(Assets { source: AssetSource::Folder(folder), to: String::new(), at });
            }
            DeValue::Table(_) => self.table(value, what)?,
            _ => return self.wrong_type(value, what, "a folder's path, or a table"),
        };
        let keys = keys::below(BOX, "assets");
        self.unknown_keys(&mut table, what, &keys);
        let kinds: Vec<&str> = keys.into_iter().filter(|key| *key != "at").collect();
        let mut sources = Vec::new();
        for key in &kinds {
            let Some((_, value)) = table.take(key) else { continue };
            sources.push(match *key {
                "graph" | "reference" => match value.get_ref() {
                    DeValue::Boolean(true) if *key == "graph" => AssetSource::Graph,
                    DeValue::Boolean(true) => AssetSource::Reference,
                    _ => return self.wrong_type(value, &format!("{what}: {key}"), "true"),
                },
                key => {
                    let text = self.string(value, &format!("{what}: {key}"))?;
                    let text = self.path(what, value, text)?;
                    match key {
                        "folder" => AssetSource::Folder(text),
                        "file" => AssetSource::File(text),
                        _ => AssetSource::Rustdoc(text),
                    }
                }
            });
        }
        let to = match table.take("at") {
            Some((_, value)) => {
                let text = self.string(value, &format!("{what}: at"))?;
                self.asset_name(what, value, text)?
            }
            None => String::new(),
        };
        let Ok([source]) = <[AssetSource; 1]>::try_from(sources) else {
            let message = format!("{what}: a part is one of {}", kinds.join(", "));
            self.fault(value.span(), message).help =
                Some("write for example { folder = \"./public\", at = \"www\" }".into());
            return None;
        };
        let to = match &source {
            AssetSource::Graph if to.is_empty() => "graph.svg".into(),
            AssetSource::Reference if to.is_empty() => "reference.html".into(),
            AssetSource::File(path) if to.is_empty() => path.rsplit('/').next().unwrap_or(path).into(),
            _ => to,
        };
        Some(Assets { source, to, at })
    }

    fn path(&mut self, what: &str, value: &Value<'_>, text: &str) -> Option<String> {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            self.fault(value.span(), format!("{what}: {text:?} is neither a name nor a path"));
            return None;
        }
        Some(text.into())
    }

    /// A relative, `/`-separated name that stays below the top.
    fn asset_name(&mut self, what: &str, value: &Value<'_>, text: &str) -> Option<String> {
        let text = text.trim_matches('/');
        let normal = text.split('/').all(|part| !matches!(part, "" | "." | "..")) || text.is_empty();
        if normal && !text.chars().any(|c| c.is_control() || c == '\\') {
            return Some(text.into());
        }
        self.fault(value.span(), format!("{what}: at = {text:?} is no name for an asset"));
        None
    }
}

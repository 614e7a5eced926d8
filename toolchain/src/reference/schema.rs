//! The reference as a JSON schema (draft 7), by which editors of TOML complete and check.
//!
//! It is no stricter than the parser: what it lets pass, `pearwood check` may still refuse.

use super::{COMPONENTS, literal};
use crate::system::keys::{BOX, GRANTS, SYSTEM, TARGETS, VOLUME};
use serde_json::{Map, Value as Json, json};
use wit::setting::{Setting, Value};

/// The schema of a declaration.
pub fn schema() -> Json {
    let configs = COMPONENTS.iter().map(|(names, settings)| {
        json!({
            "if": { "properties": { "component": { "const": names[0] } }, "required": ["component"] },
            "then": { "properties": { "config": object(settings.iter(), "") } },
        })
    });
    let mut one_box = object(BOX.iter(), "");
    one_box["properties"]["arrows"] = arrows();
    one_box["properties"]["config"] = json!({ "type": "object" });
    one_box["allOf"] = configs.collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Pearwood: a system's declaration",
        "type": "object",
        "properties": {
            "system": object(SYSTEM.iter(), ""),
            "volume": { "type": "object", "additionalProperties": object(VOLUME.iter(), "") },
            "box": { "type": "object", "additionalProperties": one_box },
        },
        "required": ["system", "box"],
        "additionalProperties": false,
    })
}

fn arrows() -> Json {
    let granted = GRANTS.iter().chain(super::WORDS).map(|(names, grants)| {
        (format!("^({})(@.*)?$", names.join("|")), some(object(TARGETS.iter().chain(*grants), "")))
    });
    json!({
        "type": "object",
        "patternProperties": granted.collect::<Map<_, _>>(),
        "additionalProperties": some(json!({ "type": "object" })),
    })
}

/// One, or an array of them.
fn some(one: Json) -> Json {
    json!({ "anyOf": [one, { "type": "array", "items": one }] })
}

/// The table of the settings below a key; `prefix` ends with a dot, or is empty.
fn object<'s>(settings: impl Iterator<Item = &'s Setting> + Clone, prefix: &str) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for setting in settings.clone() {
        let Some(rest) = setting.key.strip_prefix(prefix) else { continue };
        let name = rest.split('.').next().unwrap_or(rest);
        if properties.contains_key(name) {
            continue;
        }
        let path = format!("{prefix}{name}");
        let below = format!("{path}.");
        let has_table = settings.clone().any(|other| other.key.starts_with(&below));
        let table = has_table.then(|| object(settings.clone(), &below));
        let schema = match (settings.clone().find(|other| other.key == path), table) {
            (Some(own), table) => property(own, table),
            (None, table) => table.unwrap_or_default(),
        };
        if setting.key == path && setting.is_required {
            required.push(name);
        }
        properties.insert(name.into(), schema);
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// A setting, with the table that may be in the place of its value.
fn property(setting: &Setting, table: Option<Json>) -> Json {
    let either = |scalar: Json| match &table {
        Some(table) => json!({ "anyOf": [scalar, table] }),
        None => scalar,
    };
    let mut schema = match setting.value {
        Value::Text(_) => either(json!({ "type": "string" })),
        Value::OneOf(words) => json!({ "enum": words.iter().map(|word| parsed(&literal(word))).collect::<Vec<_>>() }),
        Value::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Value::Size(..) | Value::Time => json!({ "type": ["string", "integer"] }),
        Value::Truth => json!({ "type": "boolean" }),
        Value::Some(_) => some(either(json!({ "type": ["string", "integer"] }))),
        Value::Array(_) => json!({ "type": "array", "items": either(json!({ "type": "string" })) }),
        Value::Table => table.unwrap_or_default(),
        Value::Tables => json!({ "type": "array", "items": table }),
        Value::Names(_) => json!({ "type": "object" }),
    };
    schema["description"] = setting.says.into();
    if let Some(default) = setting.default {
        schema["default"] = parsed(default);
    }
    schema
}

/// A value in TOML.
fn parsed(text: &str) -> Json {
    let table: toml::Table = format!("value = {text}").parse().unwrap_or_default();
    table.get("value").and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

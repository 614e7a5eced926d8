//! That the tables say what the readers do: each key, default, example and bound is read.

use super::*;
use crate::system::grant::Grant;
use crate::system::known::{CLIENT_FACES, Kind};
use crate::system::{InterfaceName, Report, System, keys};
use toml::{Table, Value as Toml};

/// What was read, to be compared.
#[derive(Debug, PartialEq)]
enum Read {
    System(System),
    Config(String),
}

/// Reads a declaration that has these lines where a section's settings are.
fn read(section: &Section, name: &str, lines: &[(&str, &str)]) -> Result<Read, String> {
    let has = |key: &str| lines.iter().any(|(line, _)| *line == key);
    let lines_of =
        |prefix: &str| lines.iter().map(|(key, value)| format!("{prefix}{key} = {value}\n")).collect::<String>();
    let [mut in_system, mut in_volume, mut in_box] = [const { String::new() }; 3];
    match section.place {
        Place::System => in_system = lines_of(""),
        Place::Volume => in_volume = format!("[volume.v]\n{}", lines_of("")),
        Place::Box => in_box = lines_of(""),
        Place::Config => in_box = format!("component = \"{name}\"\n{}", lines_of("config.")),
        Place::Target | Place::Arrow => {
            let target = match name {
                "pearwood:hardware/block" if !has("device") => "device = \"disk0\"",
                "pearwood:control/node" if !has("node") => "node = true",
                _ if section.place == Place::Arrow => "box = \"other\"",
                _ => "",
            };
            let interface = match lines.first() {
                Some(("volume", _)) => "pearwood:hardware/block",
                Some(("device", _)) => "pearwood:hardware/nic",
                Some(("node", _)) => "pearwood:control/node",
                _ if section.place == Place::Target => "pearwood:net/names",
                _ => name,
            };
            let version = CLIENT_FACES.iter().find(|(face, _)| *face == interface).map(|(_, version)| version);
            let version = version.map(|version| format!("@{version}.0")).unwrap_or_default();
            let grants = lines.iter().map(|(key, value)| format!("{key} = {value}"));
            let all: Vec<String> = grants.chain((!target.is_empty()).then(|| target.into())).collect();
            in_box = format!("arrows.\"{interface}{version}\" = {{ {} }}\n", all.join(", "));
        }
    }
    if !has("name") || section.place != Place::System {
        in_system += "name = \"s\"\n";
    }
    if section.place != Place::Config && (!has("component") || section.place != Place::Box) {
        in_box += "component = \"c\"\n";
    }
    let text = format!("[system]\n{in_system}{in_volume}[box.b]\n{in_box}");
    let system = System::parse("system.toml", &text).map_err(|faults| Report(&faults).to_string())?;
    if keys::KEYS.contains(&name)
        && let Some(Grant::Attach(words)) = system.boxes[0].arrows.first().map(|arrow| &arrow.grant)
    {
        let words: Vec<_> = words.iter().flat_map(|(key, value)| value.words(key)).collect();
        let words = words.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        ::keys::Grant::read(words).map_err(|fault| fault.to_string())?;
    }
    if section.place != Place::Config {
        return Ok(Read::System(system));
    }
    let pairs = || system.boxes[0].config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let config = match name {
        "net" => net::Settings::read(pairs()).map(|read| format!("{read:?}")),
        "http" => http::Config::read(pairs()).map(|read| format!("{read:?}")),
        "site" => site::Settings::read(pairs()).map(|read| format!("{read:?}")),
        "control" => control::Config::read(pairs()).map(|read| format!("{read:?}")),
        "tls" => tls::Config::read(pairs()).map(|read| format!("{read:?}")),
        "fetch" => fetch::Config::read(pairs()).map(|read| format!("{read:?}")),
        "acme" => acme::Config::read(pairs()).map(|read| format!("{read:?}")),
        "keys" => ::keys::Config::read(pairs()).map(|read| format!("{read:?}")),
        _ => return Err(format!("the test does not know how `{name}` reads its settings")),
    };
    config.map(Read::Config).map_err(|faults| wit::setting::in_words(&faults))
}

/// The setting that one is below, if that has a value of its own.
fn parent(section: &Section, setting: &Setting) -> Option<&'static Setting> {
    let (parent, _) = setting.key.rsplit_once('.')?;
    section.settings.iter().find(|other| other.key == parent)
}

/// The first table of a value that has a key.
fn table_with<'t>(value: &'t mut Toml, key: &str) -> Option<&'t mut Table> {
    match value {
        Toml::Table(table) if table.contains_key(key) => Some(table),
        Toml::Array(items) => items.iter_mut().find_map(|item| table_with(item, key)),
        _ => None,
    }
}

/// Reads a setting with some value, or without any; one that is below another is in the example of that.
fn read_one(section: &Section, name: &str, setting: &Setting, key: &str, value: Option<&str>) -> Result<Read, String> {
    // what the box cannot do without, beside the setting
    let required = |beside: &[&str]| {
        let others = section.settings.iter().filter(|other| other.is_required && !other.key.contains('.'));
        let others = others.filter(|other| !beside.contains(&other.key));
        others.map(|other| (other.key, other.example.expect("an example"))).collect::<Vec<_>>()
    };
    let Some(parent) = parent(section, setting) else {
        let find =
            |key: &str| section.settings.iter().find(|other| other.key == key).expect("what is needed is a setting");
        // what is needed may need something as well
        let needed = std::iter::successors(setting.needs.map(find), |needed| needed.needs.map(find));
        let mut lines: Vec<(&str, &str)> = value.map(|value| (key, value)).into_iter().collect();
        lines.extend(needed.map(|needed| (needed.key, needed.example.expect("an example"))));
        let beside: Vec<&str> = lines.iter().map(|(key, _)| *key).chain([setting.key]).collect();
        lines.extend(required(&beside));
        return read(section, name, &lines);
    };
    let [own, key] = [setting.key, key].map(|key| key.rsplit_once('.').expect("below another").1);
    let example = parent.example.unwrap_or_else(|| panic!("{} has no example", parent.key));
    let mut example: Table = format!("it = {example}").parse().expect("TOML");
    let table = table_with(&mut example["it"], own)
        .unwrap_or_else(|| panic!("{name}: the example of {} has no {own}", parent.key));
    let before = table.remove(own).expect("it has it");
    match value {
        Some("") => drop(table.insert(key.into(), before)),
        Some(value) => {
            let value: Table = format!("it = {value}").parse().expect("TOML");
            table.insert(key.into(), value["it"].clone());
        }
        None => {}
    }
    let example = example["it"].to_string();
    let mut lines = required(&[parent.key]);
    lines.push((parent.key, &example));
    read(section, name, &lines)
}

#[test]
fn each_setting_is_read_as_the_reference_says() {
    for section in sections() {
        for (name, setting) in section.names.iter().flat_map(|name| section.settings.iter().map(move |it| (name, it))) {
            let at = format!("{name}: {}", setting.key);
            let read = |key: &str, value: Option<&str>| read_one(&section, name, setting, key, value);
            // as the example of what it is below has it
            let kept = parent(&section, setting).map(|_| "");
            let value = setting.example.or(setting.default).or(kept).unwrap_or_else(|| panic!("{at}: no example"));
            read(setting.key, Some(value)).unwrap_or_else(|why| panic!("{at}: {why}"));
            let misspelt = read(&format!("{}x", setting.key), Some(value));
            assert!(misspelt.is_err(), "{at}: {misspelt:?}");
            let without = read(setting.key, None);
            if let Some(default) = setting.default {
                assert_eq!(read(setting.key, Some(default)), without, "{at}: the default");
            }
            let refused = |value: String| {
                let read = read(setting.key, Some(&value));
                assert!(read.is_err(), "{at} = {value}: {read:?}");
            };
            let taken =
                |value: String| drop(read(setting.key, Some(&value)).unwrap_or_else(|why| panic!("{at}: {why}")));
            match setting.value {
                Value::Number(least, most) | Value::Size(least, most) => {
                    taken(least.to_string());
                    (least > 0).then(|| refused((least - 1).to_string()));
                    if most < u64::MAX {
                        taken(most.to_string());
                        refused((most + 1).to_string());
                    }
                }
                Value::OneOf(words) => {
                    words.iter().for_each(|word| taken(literal(word)));
                    refused("\"nonsense\"".into());
                }
                Value::Truth => {
                    taken("true".into());
                    // one that is required is a consent
                    if !setting.is_required {
                        taken("false".into());
                    }
                    refused("\"nonsense\"".into());
                }
                Value::Time => {
                    ["30", "\"500 ms\"", "\"5 min\""].into_iter().for_each(|time| taken(time.into()));
                    refused("\"soon\"".into());
                }
                _ => {}
            }
            assert!(setting.says.ends_with('.'), "{at}: {}", setting.says);
        }
    }
}

/// What is below another setting and required, is.
#[test]
fn what_is_required_is_missed() {
    for section in sections() {
        for setting in section.settings.iter().filter(|setting| parent(&section, setting).is_some()) {
            let without = read_one(&section, section.names[0], setting, setting.key, None);
            if setting.is_required {
                assert!(without.is_err(), "{}: {without:?}", setting.key);
            }
        }
    }
}

/// The grants that the parser reads for an interface are those of its section.
#[test]
fn grants_are_those_of_the_interface() {
    for (names, grants) in keys::GRANTS {
        for name in *names {
            let version = CLIENT_FACES.iter().find(|(face, _)| face == name).map(|(_, version)| version);
            let full = version.map_or_else(|| name.to_string(), |version| format!("{name}@{version}.0"));
            let kind = Kind::of(&InterfaceName::parse(&full).expect("a name"));
            assert_eq!(keys::grants(kind), *grants, "{name}");
        }
    }
}

#[test]
fn the_page_the_text_and_the_schema_have_each_key() {
    let (page, all, schema) = (page(), text(None).unwrap(), schema());
    let box_schema = &schema["properties"]["box"]["additionalProperties"];
    for section in sections() {
        let name = section.names[0];
        let part = text(Some(name)).unwrap();
        assert!(all.contains(part.lines().next().unwrap()), "{name}");
        let tables: Vec<&serde_json::Value> = match section.place {
            Place::System => vec![&schema["properties"]["system"]],
            Place::Volume => vec![&schema["properties"]["volume"]["additionalProperties"]],
            Place::Box => vec![box_schema],
            Place::Target | Place::Arrow => {
                let all = box_schema["properties"]["arrows"]["patternProperties"].as_object().unwrap();
                let own = all.iter().filter(|(pattern, _)| section.place == Place::Target || pattern.contains(name));
                own.map(|(_, schema)| &schema["anyOf"][0]).collect()
            }
            Place::Config => {
                let all = box_schema["allOf"].as_array().unwrap();
                let own = all.iter().find(|it| it["if"]["properties"]["component"]["const"] == name).unwrap();
                vec![&own["then"]["properties"]["config"]]
            }
        };
        assert!(!tables.is_empty(), "{name}");
        for setting in section.settings {
            let key = setting.key;
            assert!(page.contains(&format!("id=\"{name}.{key}\"")), "{name}: {key} in {page}");
            assert!(part.contains(&format!("\n  {key}")), "{name}: {key} in {part}");
            for table in &tables {
                let found = key.split('.').try_fold(*table, |table, part| {
                    // a table may be in an array, or one of the things that are meant
                    let inner = ["", "/anyOf/1", "/items", "/items/anyOf/1", "/anyOf/0/anyOf/1"];
                    inner.iter().find_map(|way| table.pointer(&format!("{way}/properties/{part}")))
                });
                assert!(found.is_some_and(|found| !found.is_null()), "{name}: {key} in {table:#}");
            }
        }
    }
    let error = text(Some("nonsense")).unwrap_err();
    assert!(error.contains("no section `nonsense`") && error.contains("pearwood:net/tcp"), "{error}");
}

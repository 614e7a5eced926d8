//! A box's table.

use super::table::{Key, Value};
use super::{Reader, label};
use crate::system::keys::{self, BOX};
use crate::system::model::{BoxSpec, Restart};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use toml::de::DeValue;
use wasm_host::plan::{BoxPlan, MAX_BACKOFF, MAX_CONFIG, MAX_MEMORY, MAX_QUEUE, MIN_MEMORY, MIN_QUEUE};

impl Reader {
    pub fn one_box(&mut self, key: Key<'_>, value: &Value<'_>) -> Option<BoxSpec> {
        self.box_name = Some(key.text.into());
        let spec = self.box_table(&key, value);
        self.box_name = None;
        spec
    }

    fn box_table(&mut self, key: &Key<'_>, value: &Value<'_>) -> Option<BoxSpec> {
        let name = key.text;
        if let Err(why) = label(name) {
            self.fault(key.span.clone(), format!("the box's name `{name}` {why}"));
        }
        let mut table = self.table(value, &format!("box `{name}`"))?;
        self.unknown_keys(&mut table, &format!("box `{name}`"), &keys::below(BOX, ""));
        let at = self.place(key.span.clone());
        let mut spec = BoxSpec {
            name: name.into(),
            at,
            component: Vec::new(),
            component_at: at,
            memory: BoxPlan::DEFAULT_MEMORY,
            memory_at: at,
            cpu: BoxPlan::DEFAULT_CPU,
            queue: BoxPlan::DEFAULT_QUEUE,
            concurrency: BoxPlan::DEFAULT_CONCURRENCY,
            reuse: false,
            restart: Restart::default(),
            config: Vec::new(),
            config_at: Vec::new(),
            assets: Vec::new(),
            arrows: Vec::new(),
            nobody: Vec::new(),
        };
        let what = |key: &str| format!("box `{name}`: {key}");
        match table.take("component") {
            Some((_, value)) => {
                spec.component_at = self.place(value.span());
                spec.component = self.component(name, value);
            }
            None => {
                self.fault(key.span.clone(), format!("box `{name}` has no component")).help =
                    Some("add component = \"…\": a system component's name, a .wasm file or a folder".into());
            }
        }
        if let Some((_, value)) = table.take("memory") {
            spec.memory_at = self.place(value.span());
            spec.memory = self.size(value, &what("memory"), MIN_MEMORY..=MAX_MEMORY).unwrap_or(spec.memory);
        }
        if let Some((_, value)) = table.take("cpu") {
            spec.cpu = self.number(value, &what("cpu"), 1..=10_000).unwrap_or(spec.cpu);
        }
        if let Some((_, value)) = table.take("queue") {
            spec.queue = self
                .size(value, &what("queue"), MIN_QUEUE.into()..=MAX_QUEUE.into())
                .map_or(spec.queue, |bytes| bytes as u32);
        }
        if let Some((_, value)) = table.take("concurrency") {
            spec.concurrency = self.number(value, &what("concurrency"), 1..=65_536).unwrap_or(spec.concurrency);
        }
        if let Some((_, value)) = table.take("reuse") {
            spec.reuse = self.boolean(value, &what("reuse")).unwrap_or(spec.reuse);
        }
        if let Some((_, value)) = table.take("restart") {
            spec.restart = self.restart(name, value);
        }
        if let Some((_, value)) = table.take("config") {
            self.config(name, value, &mut spec);
        }
        if let Some((_, value)) = table.take("assets") {
            spec.assets = self.assets(name, value);
        }
        if let Some((_, value)) = table.take("arrows") {
            self.arrows(name, value, &mut spec);
        }
        Some(spec)
    }

    fn component(&mut self, name: &str, value: &Value<'_>) -> Vec<String> {
        let what = format!("box `{name}`: component");
        let mut components: Vec<String> = Vec::new();
        for value in self.one_or_more(value, &what) {
            let Some(text) = self.string(value, &what) else { continue };
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                self.fault(value.span(), format!("{what} = {text:?} is neither a name nor a path"));
            } else if components.iter().any(|other| other == text) {
                self.fault(value.span(), format!("{what} `{text}` is there twice"));
            } else {
                components.push(text.into());
            }
        }
        components
    }

    fn restart(&mut self, name: &str, value: &Value<'_>) -> Restart {
        let mut restart = Restart::default();
        let what = format!("box `{name}`: restart");
        let Some(mut table) = self.table(value, &what) else { return restart };
        self.unknown_keys(&mut table, &what, &keys::below(BOX, "restart"));
        if let Some((_, value)) = table.take("min") {
            restart.min = self.duration(value, &format!("{what}.min"), MAX_BACKOFF).unwrap_or(restart.min);
            // a longer first pause than the usual longest one says all that there is to say
            restart.max = restart.max.max(restart.min);
        }
        if let Some((_, value)) = table.take("max") {
            restart.max = self.duration(value, &format!("{what}.max"), MAX_BACKOFF).unwrap_or(restart.max);
        }
        if restart.min.is_zero() {
            self.fault(value.span(), format!("{what}: a pause of nothing would restart a broken box without end"));
        } else if restart.min > restart.max {
            self.fault(value.span(), format!("{what}: min is longer than max"));
        }
        restart
    }

    fn config(&mut self, name: &str, value: &Value<'_>, spec: &mut BoxSpec) {
        let what = format!("box `{name}`: config");
        let Some(table) = self.table(value, &what) else { return };
        for (key, value) in table.into_entries() {
            self.setting(name, key.text.into(), value, spec);
        }
    }

    /// Flattens one setting. TOML's nesting is limited by its parser.
    fn setting(&mut self, name: &str, key: String, value: &Value<'_>, spec: &mut BoxSpec) {
        let text = match value.get_ref() {
            DeValue::Table(table) => {
                for (inner, value) in super::Table::new(table).into_entries() {
                    self.setting(name, format!("{key}.{}", inner.text), value, spec);
                }
                return;
            }
            DeValue::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    if matches!(value.get_ref(), DeValue::Table(table) if table.is_empty()) {
                        // there is no key by which the box could say so
                        self.fault(
                            value.span(),
                            format!("box `{name}`: config.{key}.{index} is a table that says nothing"),
                        );
                    }
                    self.setting(name, format!("{key}.{index}"), value, spec);
                }
                return;
            }
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(integer) => match super::table::integer(value.get_ref()) {
                Some(integer) => integer.to_string(),
                None => {
                    self.fault(value.span(), format!("box `{name}`: config.{key} = {integer} has more than 64 bits"));
                    return;
                }
            },
            DeValue::Float(float) => float.as_str().to_string(),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::Datetime(datetime) => datetime.to_string(),
        };
        let settings = &mut spec.config;
        if settings.len() == MAX_CONFIG {
            self.fault(value.span(), format!("box `{name}`: more than {MAX_CONFIG} settings"));
        }
        if settings.len() >= MAX_CONFIG {
            return;
        }
        if settings.iter().any(|(other, _)| *other == key) {
            self.fault(value.span(), format!("box `{name}`: config.{key} is there twice, once it is flattened"));
            return;
        }
        settings.push((key, text));
        spec.config_at.push(self.place(value.span()));
    }
}

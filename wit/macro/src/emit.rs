//! Writes a protocol's Rust.
//!
//! All names of the core library and of the runtime are written in full: types of the WIT file may be called like them.

use crate::model::{Case, Field, Kind, Model, Named, Shape, camel};
use std::fmt::Write;

/// What `macro_rules!` is to source text: `line!(out, "…")` appends a formatted line.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {{
        let _ = writeln!($out, $($text)*);
    }};
}

const RESULT: &str = "::core::result::Result";

pub fn source(model: &Model, runtime: &str, files: &[String]) -> String {
    let mut emit = Emit { model, runtime, out: String::new() };
    for file in files {
        // The code is generated anew when the file changes.
        line!(emit.out, "const _: &[u8] = ::core::include_bytes!({file:?});");
    }
    for named in &model.named {
        emit.named(named);
    }
    if let Some(cases) = &model.command {
        emit.records("Command", "What the client sends", cases);
    }
    if let Some(cases) = &model.event {
        emit.records("Event", "What the service sends", cases);
    }
    if let Some((docs, fields)) = &model.attach {
        emit.attach(docs, fields);
    }
    emit.out
}

struct Emit<'a> {
    model: &'a Model,
    /// The path of the crate `pearwood-wit`.
    runtime: &'a str,
    out: String,
}

impl Emit<'_> {
    fn docs(&mut self, docs: &str) {
        if !docs.is_empty() {
            line!(self.out, "#[doc = {docs:?}]");
        }
    }

    fn packed(&self) -> String {
        format!("{}::packed::Packed", self.runtime)
    }

    fn malformed(&self) -> String {
        format!("{}::Malformed", self.runtime)
    }

    /// The type of a field.
    fn ty(&self, shape: &Shape) -> String {
        match shape {
            Shape::Scalar(name) => (*name).into(),
            Shape::Text => "&'a str".into(),
            Shape::Bytes => "&'a [u8]".into(),
            Shape::List(inner) => format!("{}::List<'a, {}>", self.runtime, self.ty(inner)),
            Shape::Option(inner) => format!("::core::option::Option<{}>", self.ty(inner)),
            Shape::Tuple(shapes) => {
                let types: String = shapes.iter().map(|shape| self.ty(shape) + ",").collect();
                format!("({types})")
            }
            Shape::Named(place) => {
                let Named { name, kind, .. } = &self.model.named[*place];
                match kind {
                    Kind::Mapped(rust, _) => rust.clone(),
                    _ if self.model.kind_borrows(kind) => format!("{name}<'a>"),
                    _ => name.clone(),
                }
            }
        }
    }

    /// `derive` for a type; `all` says whether something holds for all of its parts.
    fn derive(&mut self, all: impl Fn(&dyn Fn(&Shape) -> bool) -> bool, default: bool) {
        let mut traits = String::from("Debug, Clone, Copy, PartialEq");
        let exact = |shape: &Shape| !matches!(shape, Shape::Scalar("f32" | "f64"));
        if all(&exact) {
            traits += ", Eq";
            if all(&|shape| exact(shape) && !matches!(shape, Shape::Text | Shape::Bytes | Shape::List(_))) {
                traits += ", Hash, PartialOrd, Ord";
            }
        }
        let model = self.model;
        let has_default = |shape: &Shape| match shape {
            Shape::Named(place) => matches!(model.named[*place].kind, Kind::Record(_) | Kind::Flags(_)),
            _ => true,
        };
        if default && all(&has_default) {
            traits += ", Default";
        }
        line!(self.out, "#[derive({traits})]");
    }

    fn named(&mut self, Named { name, docs, kind, .. }: &Named) {
        if let Kind::Mapped(rust, form) = kind {
            let runtime = self.runtime;
            let rust = rust.replace("'a", "'static");
            let name = format!("{rust} does not have the form of the WIT type {name}: {form}");
            line!(
                self.out,
                "const _: () = ::core::assert!({runtime}::packed::same(<{rust} as {runtime}::packed::StandsFor>::FORM, {form:?}), {name:?});"
            );
            return;
        }
        let model = self.model;
        let lifetime = if model.kind_borrows(kind) { "<'a>" } else { "" };
        let (packed, malformed) = (self.packed(), self.malformed());
        self.docs(docs);
        if !matches!(kind, Kind::Flags(_)) {
            self.derive(|holds| model.all_of(kind, &holds), matches!(kind, Kind::Record(_)));
        }
        let (size, write, read, last);
        match kind {
            Kind::Record(fields) => {
                self.structure(name, lifetime, fields);
                let binding = binding(fields);
                size = format!("let {name} {{ {binding} }} = self; {}", self.size(fields));
                write = format!("let {name} {{ {binding} }} = self; {}", self.write(fields));
                read = format!("{RESULT}::Ok({name} {{ {} }})", self.read(fields, false));
                last = Some(format!("{RESULT}::Ok({name} {{ {} }})", self.read(fields, true)));
            }
            Kind::Variant(cases) => {
                line!(self.out, "pub enum {name}{lifetime} {{");
                let (mut sizes, mut writes, mut reads) = (String::new(), String::new(), String::new());
                for (place, (case, docs, shape)) in cases.iter().enumerate() {
                    let case = upper(case);
                    self.docs(docs);
                    match shape {
                        Some(shape) => {
                            let ty = self.ty(shape);
                            line!(self.out, "{case}({ty}),");
                            line!(sizes, "{name}::{case}(it) => 1 + {packed}::size(it),");
                            line!(writes, "{name}::{case}(it) => {{ out.push({place}); {packed}::write(it, out) }}");
                            line!(reads, "[{place}] => {name}::{case}({packed}::read(fields)?),");
                        }
                        None => {
                            line!(self.out, "{case},");
                            line!(sizes, "{name}::{case} => 1,");
                            line!(writes, "{name}::{case} => out.push({place}),");
                            line!(reads, "[{place}] => {name}::{case},");
                        }
                    }
                }
                line!(self.out, "}}");
                size = format!("match self {{ {sizes} }}");
                write = format!("match self {{ {writes} }}");
                read = one_of(&reads, cases.len(), &malformed);
                last = None;
            }
            Kind::Enum(cases) => {
                line!(self.out, "pub enum {name} {{");
                let mut reads = String::new();
                for (place, (case, docs)) in cases.iter().enumerate() {
                    let case = upper(case);
                    self.docs(docs);
                    line!(self.out, "{case},");
                    line!(reads, "[{place}] => {name}::{case},");
                }
                line!(self.out, "}}");
                size = "1".into();
                write = "out.push(*self as u8)".into();
                read = one_of(&reads, cases.len(), &malformed);
                last = None;
            }
            Kind::Flags(flags) => {
                let bits = match flags.len() {
                    ..=8 => "u8",
                    9..=16 => "u16",
                    _ => "u32",
                };
                self.flags(name, bits, flags);
                size = format!("{packed}::size(&self.0)");
                write = format!("{packed}::write(&self.0, out)");
                // Bits that stand for nothing are dropped, as the component model does.
                read = format!("let bits: {bits} = {packed}::read(fields)?; {RESULT}::Ok(Self(bits & Self::ALL))");
                last = None;
            }
            Kind::Mapped(..) => unreachable!("handled above"),
        }
        self.implement(name, lifetime, [&size, &write, &read], last.as_deref());
        let form = model.form_of(kind);
        if lifetime.is_empty() && model.all_of(kind, &|shape| !matches!(shape, Shape::Scalar("f32" | "f64"))) {
            let runtime = self.runtime;
            line!(self.out, "impl {runtime}::packed::StandsFor for {name} {{ const FORM: &'static str = {form:?}; }}");
        }
    }

    fn implement(&mut self, name: &str, lifetime: &str, [size, write, read]: [&str; 3], last: Option<&str>) {
        let (packed, malformed, runtime) = (self.packed(), self.malformed(), self.runtime);
        let result = format!("{RESULT}<Self, {malformed}>");
        line!(self.out, "impl<'a> {packed}<'a> for {name}{lifetime} {{");
        line!(self.out, "#[inline] fn size(&self) -> usize {{ {size} }}");
        line!(self.out, "#[inline] fn write(&self, out: &mut {runtime}::packed::Vec<u8>) {{ {write} }}");
        let fields = format!("fields: &mut {runtime}::packed::Fields<'a>");
        line!(self.out, "#[inline] fn read({fields}) -> {result} {{ {read} }}");
        if let Some(last) = last {
            line!(self.out, "#[inline] fn read_last({fields}) -> {result} {{ {last} }}");
        }
        line!(self.out, "}}");
    }

    fn structure(&mut self, name: &str, lifetime: &str, fields: &[Field]) {
        line!(self.out, "pub struct {name}{lifetime} {{");
        for field in fields {
            self.docs(&field.docs);
            line!(self.out, "pub {}: {},", lower(&field.name), self.ty(&field.shape));
        }
        line!(self.out, "}}");
    }

    fn flags(&mut self, name: &str, bits: &str, flags: &[(String, String)]) {
        line!(self.out, "#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]");
        line!(self.out, "pub struct {name}({bits});");
        line!(self.out, "impl {name} {{");
        for (place, (flag, docs)) in flags.iter().enumerate() {
            self.docs(docs);
            line!(self.out, "pub const {}: Self = Self(1 << {place});", constant(flag, &["ALL"]));
        }
        line!(self.out, "const ALL: {bits} = {bits}::MAX >> ({bits}::BITS - {});", flags.len());
        line!(self.out, "/// Whether all of those are set.");
        line!(self.out, "pub const fn contains(self, all: Self) -> bool {{ self.0 & all.0 == all.0 }}");
        line!(self.out, "}}");
        line!(self.out, "impl ::core::ops::BitOr for {name} {{");
        line!(self.out, "type Output = Self;");
        line!(self.out, "fn bitor(self, other: Self) -> Self {{ Self(self.0 | other.0) }}");
        line!(self.out, "}}");
    }

    /// The sum of the sizes of fields that are bound to `f0`, `f1`, ….
    fn size(&self, fields: &[Field]) -> String {
        let packed = self.packed();
        let sizes: Vec<_> = (0..fields.len()).map(|place| format!("{packed}::size(f{place})")).collect();
        if sizes.is_empty() { "0".into() } else { sizes.join(" + ") }
    }

    fn write(&self, fields: &[Field]) -> String {
        let packed = self.packed();
        (0..fields.len()).map(|place| format!("{packed}::write(f{place}, out);")).collect()
    }

    /// Initialises fields from `fields`. `last`: nothing follows the record.
    fn read(&self, all: &[Field], last: bool) -> String {
        let packed = self.packed();
        let mut out = String::new();
        for (place, field) in all.iter().enumerate() {
            // What follows may all be missing.
            let last = last && all[place + 1..].iter().all(|field| matches!(field.shape, Shape::Option(_)));
            let read = if last { "read_last" } else { "read" };
            let _ = write!(out, "{}: {packed}::{read}(fields)?,", lower(&field.name));
        }
        out
    }

    fn records(&mut self, name: &str, what: &str, cases: &[Case]) {
        let model = self.model;
        let (runtime, malformed) = (self.runtime, self.malformed());
        let all = || cases.iter().flat_map(|case| case.id.iter().chain(&case.fields));
        let borrows = all().any(|field| model.borrows(&field.shape));
        let lifetime = if borrows { "<'a>" } else { "" };
        let interface = &model.interface;
        self.docs(&format!("{what} (`{interface}`)."));
        let exact = all().all(|field| model.all(&field.shape, &|shape| !matches!(shape, Shape::Scalar("f32" | "f64"))));
        line!(self.out, "#[derive(Debug, Clone, Copy, PartialEq{})]", if exact { ", Eq" } else { "" });
        line!(self.out, "pub enum {name}{lifetime} {{");
        for case in cases {
            self.docs(&case.docs);
            let variant = upper(&case.name);
            if case.id.is_none() && case.fields.is_empty() {
                line!(self.out, "{variant},");
                continue;
            }
            line!(self.out, "{variant} {{");
            for field in case.id.iter().chain(&case.fields) {
                self.docs(&field.docs);
                line!(self.out, "{}: {},", lower(&field.name), self.ty(&field.shape));
            }
            line!(self.out, "}},");
        }
        self.docs("A record of a later version of the protocol: it is to be skipped, and writing it writes nothing.");
        line!(self.out, "Unknown {{ kind: u8 }},");
        line!(self.out, "}}");

        line!(self.out, "impl<'a> {name}{} {{", if borrows { "<'a>" } else { "" });
        if !borrows {
            // An `impl<'a>` whose type does not have the lifetime is no Rust.
            let end = self.out.rfind("impl<'a>").unwrap_or_default();
            self.out.replace_range(end..end + "impl<'a>".len(), "impl");
        }
        for (place, case) in cases.iter().enumerate() {
            self.docs(&format!("The kind of [`{name}::{}`].", upper(&case.name)));
            line!(self.out, "pub const {}: u8 = {};", constant(&case.name, &["NAMES"]), place + 1);
        }
        let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        self.docs("The names of the kinds, from 1 on.");
        line!(self.out, "pub const NAMES: &'static [&'static str] = &{names:?};");

        self.docs(
            "Appends the record to a batch.\n\n# Panics\nIf it is longer than a record can be (`batch::MAX_RECORD`).",
        );
        line!(self.out, "#[inline] pub fn encode(&self, batch: &mut {runtime}::Batch) {{ match self {{");
        for (place, case) in cases.iter().enumerate() {
            self.encode(name, place + 1, case);
        }
        line!(self.out, "{name}::Unknown {{ .. }} => {{}}");
        line!(self.out, "}} }}");

        self.docs(
            "Reads a record. Bytes after its last field are skipped.\n\n# Errors\nIf fields are missing, but for options at \
             the end, or their bytes are not of their form.",
        );
        let record = if borrows { "record: &{}::Record<'a>" } else { "record: &{}::Record<'_>" }.replace("{}", runtime);
        line!(self.out, "#[inline] pub fn decode({record}) -> {RESULT}<Self, {malformed}> {{");
        line!(self.out, "{RESULT}::Ok(match record.kind {{");
        for (place, case) in cases.iter().enumerate() {
            self.decode(name, place + 1, case);
        }
        line!(self.out, "kind => {name}::Unknown {{ kind }},");
        line!(self.out, "}}) }}");

        for (place, case) in cases.iter().enumerate() {
            self.open(place + 1, case);
        }
        line!(self.out, "}}");
    }

    fn encode(&mut self, name: &str, kind: usize, case: &Case) {
        let variant = upper(&case.name);
        let id = match &case.id {
            Some(_) => "u32::from(*id)",
            None => "0",
        };
        let mut pattern: String = case.id.iter().map(|field| format!("{}: id,", lower(&field.name))).collect();
        pattern += &binding(&case.fields);
        let body = match case.fields.as_slice() {
            [field] if case.bare => format!("batch.push({kind}, {id}, {});", bytes(field, "f0")),
            [field @ Field { shape: Shape::Bytes | Shape::Text, .. }] => {
                format!("batch.push_list({kind}, {id}, {});", bytes(field, "f0"))
            }
            [] => format!("batch.push({kind}, {id}, &[]);"),
            fields => format!("let out = batch.begin({kind}, {id}, {}); {}", self.size(fields), self.write(fields)),
        };
        line!(self.out, "{name}::{variant} {{ {pattern} }} => {{ {body} }}");
    }

    fn decode(&mut self, name: &str, kind: usize, case: &Case) {
        let variant = upper(&case.name);
        let runtime = self.runtime;
        let mut body: String =
            case.id.iter().map(|field| format!("{}: {runtime}::packed::id(record)?,", lower(&field.name))).collect();
        let mut fields = "";
        match case.fields.as_slice() {
            [field] if case.bare => {
                let read = match field.shape {
                    Shape::Text => format!("{runtime}::packed::text(record.bytes)?"),
                    _ => "record.bytes".into(),
                };
                let _ = write!(body, "{}: {read},", lower(&field.name));
            }
            [] => {}
            all => {
                fields = "let fields = &mut {}::packed::Fields::new(record.bytes);";
                body += &self.read(all, true);
            }
        }
        let fields = fields.replace("{}", runtime);
        line!(self.out, "{kind} => {{ {fields} {name}::{variant} {{ {body} }} }}");
    }

    /// For a record that ends with bytes: a way to write them in pieces.
    fn open(&mut self, kind: usize, case: &Case) {
        let Some((Field { shape: Shape::Bytes, name: last, .. }, before)) = case.fields.split_last() else { return };
        let (runtime, packed) = (self.runtime, self.packed());
        let mut parameters = String::new();
        for field in case.id.iter().chain(before) {
            let ty = self.ty(&field.shape).replace("'a", "'_");
            let _ = write!(parameters, ", {}: {ty}", parameter(&field.name));
        }
        let id = match &case.id {
            Some(field) => format!("u32::from({})", parameter(&field.name)),
            None => "0".into(),
        };
        let name = &case.name;
        self.docs(&format!("Begins a record `{name}`, to whose `{last}` `Batch::extend` adds bytes, in pieces."));
        line!(self.out, "#[inline]");
        let function = format!("open_{}", name.replace('-', "_").to_lowercase());
        line!(self.out, "pub fn {function}(batch: &mut {runtime}::Batch{parameters}) -> {runtime}::Open {{");
        if case.bare {
            line!(self.out, "batch.open({kind}, {id})");
        } else if before.is_empty() {
            line!(self.out, "batch.open_list({kind}, {id})");
        } else {
            let sizes: Vec<_> =
                before.iter().map(|field| format!("{packed}::size(&{})", parameter(&field.name))).collect();
            let writes: String =
                before.iter().map(|field| format!("{packed}::write(&{}, out);", parameter(&field.name))).collect();
            line!(self.out, "let record = batch.len();");
            line!(self.out, "let out = batch.begin({kind}, {id}, {} + 4);", sizes.join(" + "));
            line!(self.out, "{writes} {packed}::write(&0u32, out);");
            line!(self.out, "batch.opened(record)");
        }
        line!(self.out, "}}");
    }

    fn attach(&mut self, docs: &str, fields: &[Field]) {
        let model = self.model;
        let (runtime, malformed) = (self.runtime, self.malformed());
        let borrows = model.fields_borrow(fields);
        let lifetime = if borrows { "<'a>" } else { "" };
        self.docs(docs);
        self.derive(|holds| fields.iter().all(|field| model.all(&field.shape, &holds)), true);
        self.structure("Attach", lifetime, fields);
        let binding = binding(fields);
        let (generic, bytes) = if borrows { ("<'a>", "&'a [u8]") } else { ("", "&[u8]") };
        line!(self.out, "impl{generic} Attach{lifetime} {{");
        self.docs("Reads what a record `attach` (kind 241) carries.\n\n# Errors\nAs of a record.");
        line!(self.out, "pub fn decode(bytes: {bytes}) -> {RESULT}<Self, {malformed}> {{");
        line!(self.out, "let fields = &mut {runtime}::packed::Fields::new(bytes);");
        line!(self.out, "{RESULT}::Ok(Attach {{ {} }})", self.read(fields, true));
        line!(self.out, "}}");
        self.docs("What a record `attach` carries.");
        line!(self.out, "pub fn encode(&self) -> {runtime}::packed::Vec<u8> {{");
        line!(self.out, "let Attach {{ {binding} }} = self;");
        line!(self.out, "let mut packed = {runtime}::packed::Vec::with_capacity({});", self.size(fields));
        line!(self.out, "let out = &mut packed; {}", self.write(fields));
        line!(self.out, "packed }} }}");
    }
}

/// Reads a byte that says which case it is.
fn one_of(reads: &str, count: usize, malformed: &str) -> String {
    let other = if count == 256 { String::new() } else { format!("_ => return {RESULT}::Err({malformed}),") };
    format!("{RESULT}::Ok(match fields.array()? {{ {reads} {other} }})")
}

fn bytes(field: &Field, place: &str) -> String {
    if field.shape == Shape::Text { format!("{place}.as_bytes()") } else { place.into() }
}

/// Binds fields to `f0`, `f1`, ….
fn binding(fields: &[Field]) -> String {
    fields.iter().enumerate().map(|(place, field)| format!("{}: f{place},", lower(&field.name))).collect()
}

/// A field's name in Rust.
fn lower(name: &str) -> String {
    const RESERVED: &[&str] = &[
        "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum", "extern",
        "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move",
        "mut", "abstract", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try",
        "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
    ];
    let name = name.replace('-', "_").to_lowercase();
    match name.as_str() {
        "self" | "super" | "crate" => name + "_",
        reserved if RESERVED.contains(&reserved) => format!("r#{name}"),
        _ => name,
    }
}

/// A field's name as a parameter beside `batch`, `record` and `out`.
fn parameter(name: &str) -> String {
    match name {
        "batch" | "record" | "out" => format!("{name}_"),
        _ => lower(name),
    }
}

/// A case's name in Rust.
fn upper(name: &str) -> String {
    let name = camel(name);
    if name == "Self" { "Self_".into() } else { name }
}

/// A constant's name, which must not be one of those.
fn constant(name: &str, taken: &[&str]) -> String {
    let name = name.replace('-', "_").to_uppercase();
    if taken.contains(&name.as_str()) { name + "_" } else { name }
}

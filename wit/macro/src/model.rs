//! What a WIT file declares, checked against the rules of `wit/README.md`.

use std::fmt::Write;
use wit_parser::{
    Docs, Function, InterfaceId, Record, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner, Variant,
};

/// Kinds from 240 on mean the same in every protocol.
const MOST_KINDS: usize = 239;

#[derive(Debug, Default)]
pub struct Model {
    pub interface: String,
    pub command: Option<Vec<Case>>,
    pub event: Option<Vec<Case>>,
    pub attach: Option<(String, Vec<Field>)>,
    /// The types of fields that have a name.
    pub named: Vec<Named>,
}

/// A case of `command` or `event`: one kind of record.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub docs: String,
    /// The field that is the header's id.
    pub id: Option<Field>,
    pub fields: Vec<Field>,
    /// The only field is a list of bytes or a string that is all of the record's bytes, without a length.
    pub bare: bool,
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub docs: String,
    pub shape: Shape,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A number, `bool` or `char`, as Rust calls it.
    Scalar(&'static str),
    Text,
    Bytes,
    List(Box<Shape>),
    Option(Box<Shape>),
    Tuple(Vec<Shape>),
    /// A place in `Model::named`.
    Named(usize),
}

#[derive(Debug)]
pub struct Named {
    id: TypeId,
    pub name: String,
    pub docs: String,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Record(Vec<Field>),
    Variant(Vec<(String, String, Option<Shape>)>),
    /// Names and documentation.
    Enum(Vec<(String, String)>),
    Flags(Vec<(String, String)>),
    /// A Rust type that stands for it, and the WIT type's form.
    Mapped(String, String),
}

/// Reads the protocol that an interface declares. `types` are WIT types, as `package/interface/name`, and the Rust types that
/// stand for them.
pub fn read(resolve: &Resolve, interface: &str, types: &[(String, String)]) -> Result<Model, String> {
    let found = resolve.interfaces.iter().find(|(id, _)| path(resolve, *id).as_deref() == Some(interface));
    let Some((_, found)) = found else {
        return Err(format!("{interface}: no such interface in the WIT files that `path` names"));
    };
    let mut reader = Reader { resolve, types, used: vec![false; types.len()], model: Model::default() };
    let name = |what: &str| format!("{interface}: {what}");

    let mut sides = ["client", "service"].iter().filter_map(|side| found.functions.get(*side)).peekable();
    if sides.peek().is_none() {
        return Err(name("not a protocol: it has no function `client` or `service`"));
    }
    let protocol = found.types.get("protocol").copied();
    for side in sides {
        if protocol.is_none_or(|protocol| !reader.declares(side, protocol)) {
            return Err(name(&format!(
                "`{}` must be `func(protocol: list<protocol>) -> u32`, where `protocol` is a record of the interface",
                side.name
            )));
        }
    }
    let Some(Some(protocol)) = protocol.map(|protocol| reader.record(Type::Id(protocol))) else {
        return Err(name("`protocol` must be a record"));
    };
    let mut metered = None;
    for field in &protocol.fields {
        let at = name(&format!("protocol.{}", field.name));
        let as_variant = || variant(resolve, field.ty).ok_or_else(|| format!("{at} must be a variant"));
        let as_record = || record(resolve, field.ty).ok_or_else(|| format!("{at} must be a record"));
        match field.name.as_str() {
            "command" => {
                let cases = as_variant()?;
                reader.model.command = Some(reader.cases(cases, &name("command"))?);
            }
            "event" => {
                let cases = as_variant()?;
                reader.model.event = Some(reader.cases(cases, &name("event"))?);
            }
            "attach" => {
                let record = as_record()?;
                let fields = reader.fields(record, &name("attach"))?;
                reader.model.attach = Some((docs(reader.docs_of(field.ty)), fields));
            }
            "metered" => metered = Some(as_record()?),
            _ => return Err(format!("{at}: the fields are `command`, `event`, `attach` and `metered`")),
        }
    }
    if let Some(metered) = metered {
        reader.metered(metered, interface)?;
    }
    if let Some(unused) = reader.used.iter().position(|used| !used) {
        return Err(name(&format!("no field has the type `{}`, which `types` names", types[unused].0)));
    }
    let Reader { mut model, .. } = reader;
    model.interface = interface.into();
    let mut names: Vec<&str> =
        model.named.iter().filter(|named| !named.is_mapped()).map(|named| &*named.name).collect();
    names.extend(model.command.as_ref().map(|_| "Command"));
    names.extend(model.event.as_ref().map(|_| "Event"));
    names.extend(model.attach.as_ref().map(|_| "Attach"));
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(name(&format!("two types are called `{}`: name one of them in `types`, or rename it", twice[0])));
    }
    Ok(model)
}

/// `package/interface`, without a version.
fn path(resolve: &Resolve, id: InterfaceId) -> Option<String> {
    let interface = &resolve.interfaces[id];
    let package = &resolve.packages[interface.package?].name;
    Some(format!("{}:{}/{}", package.namespace, package.name, interface.name.as_ref()?))
}

fn docs(docs: &Docs) -> String {
    docs.contents.clone().unwrap_or_default().trim().into()
}

/// `other-name` as a type's name.
pub fn camel(name: &str) -> String {
    let mut out = String::new();
    for word in name.split('-') {
        let mut letters = word.chars();
        out.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        out.extend(letters.map(|letter| letter.to_ascii_lowercase()));
    }
    out
}

/// What a type is behind its other names.
fn behind(resolve: &Resolve, mut ty: Type) -> Type {
    while let Type::Id(id) = ty {
        let TypeDefKind::Type(next) = resolve.types[id].kind else { break };
        ty = next;
    }
    ty
}

fn definition(resolve: &Resolve, ty: Type) -> Option<&TypeDef> {
    let Type::Id(id) = behind(resolve, ty) else { return None };
    Some(&resolve.types[id])
}

fn record(resolve: &Resolve, ty: Type) -> Option<&Record> {
    match &definition(resolve, ty)?.kind {
        TypeDefKind::Record(record) => Some(record),
        _ => None,
    }
}

fn variant(resolve: &Resolve, ty: Type) -> Option<&Variant> {
    match &definition(resolve, ty)?.kind {
        TypeDefKind::Variant(variant) => Some(variant),
        _ => None,
    }
}

struct Reader<'a> {
    resolve: &'a Resolve,
    types: &'a [(String, String)],
    used: Vec<bool>,
    model: Model,
}

impl<'a> Reader<'a> {
    fn record(&self, ty: Type) -> Option<&'a Record> {
        record(self.resolve, ty)
    }

    fn docs_of(&self, ty: Type) -> &'a Docs {
        const NONE: &Docs = &Docs { contents: None };
        definition(self.resolve, ty).map_or(NONE, |definition| &definition.docs)
    }

    /// Whether the function is `func(protocol: list<protocol>) -> u32`.
    fn declares(&self, side: &Function, protocol: TypeId) -> bool {
        let [param] = side.params.as_slice() else { return false };
        let Some(TypeDefKind::List(element)) = definition(self.resolve, param.ty).map(|list| &list.kind) else {
            return false;
        };
        behind(self.resolve, *element) == Type::Id(protocol)
            && side.result.map(|result| behind(self.resolve, result)) == Some(Type::U32)
            && matches!(side.kind, wit_parser::FunctionKind::Freestanding)
    }

    fn cases(&mut self, variant: &'a Variant, at: &str) -> Result<Vec<Case>, String> {
        if variant.cases.len() > MOST_KINDS {
            return Err(format!("{at} has {} cases: the most is {MOST_KINDS}", variant.cases.len()));
        }
        variant.cases.iter().map(|case| self.case(case, &format!("{at}.{}", case.name))).collect()
    }

    fn case(&mut self, case: &'a wit_parser::Case, at: &str) -> Result<Case, String> {
        if case.name == "unknown" {
            return Err(format!("{at}: that is what records of later versions are called in Rust; use another name"));
        }
        let mut out =
            Case { name: case.name.clone(), docs: docs(&case.docs), id: None, fields: Vec::new(), bare: false };
        let Some(ty) = case.ty else { return Ok(out) };
        if let Some(record) = self.record(ty) {
            let more = docs(self.docs_of(ty));
            if !out.docs.is_empty() && !more.is_empty() {
                out.docs.push_str("\n\n");
            }
            out.docs.push_str(&more);
            out.fields = self.fields(record, at)?;
        } else {
            let name = match ty {
                Type::Id(id) => self.resolve.types[id].name.as_deref().unwrap_or("value"),
                _ => "value",
            };
            let shape = self.shape(ty, at)?;
            out.bare = matches!(shape, Shape::Text | Shape::Bytes);
            if !out.bare && !matches!(shape, Shape::Scalar(_)) {
                return Err(format!(
                    "{at}: what a case carries must be a record, a number, bool, char, string, list<u8>, or nothing"
                ));
            }
            out.fields = vec![Field { name: name.into(), docs: docs(self.docs_of(ty)), shape }];
        }
        if let Some(Shape::Scalar("u8" | "u16" | "u32")) = out.fields.first().map(|field| &field.shape) {
            out.id = Some(out.fields.remove(0));
        }
        Ok(out)
    }

    fn fields(&mut self, record: &'a Record, at: &str) -> Result<Vec<Field>, String> {
        if record.fields.is_empty() {
            return Err(format!("{at}: a record needs a field"));
        }
        let field = |field: &'a wit_parser::Field| {
            let shape = self.shape(field.ty, &format!("{at}.{}", field.name))?;
            Ok(Field { name: field.name.clone(), docs: docs(&field.docs), shape })
        };
        record.fields.iter().map(field).collect()
    }

    fn shape(&mut self, ty: Type, at: &str) -> Result<Shape, String> {
        let id = match behind(self.resolve, ty) {
            Type::Bool => return Ok(Shape::Scalar("bool")),
            Type::U8 => return Ok(Shape::Scalar("u8")),
            Type::U16 => return Ok(Shape::Scalar("u16")),
            Type::U32 => return Ok(Shape::Scalar("u32")),
            Type::U64 => return Ok(Shape::Scalar("u64")),
            Type::S8 => return Ok(Shape::Scalar("i8")),
            Type::S16 => return Ok(Shape::Scalar("i16")),
            Type::S32 => return Ok(Shape::Scalar("i32")),
            Type::S64 => return Ok(Shape::Scalar("i64")),
            Type::F32 => return Ok(Shape::Scalar("f32")),
            Type::F64 => return Ok(Shape::Scalar("f64")),
            Type::Char => return Ok(Shape::Scalar("char")),
            Type::String => return Ok(Shape::Text),
            Type::ErrorContext => return Err(format!("{at}: an error-context cannot go into a record")),
            Type::Id(id) => id,
        };
        let definition = &self.resolve.types[id];
        match &definition.kind {
            TypeDefKind::List(element) if behind(self.resolve, *element) == Type::U8 => Ok(Shape::Bytes),
            TypeDefKind::List(element) => Ok(Shape::List(self.shape(*element, at)?.into())),
            TypeDefKind::Option(some) => Ok(Shape::Option(self.shape(*some, at)?.into())),
            TypeDefKind::Tuple(tuple) if (1..=8).contains(&tuple.types.len()) => {
                tuple.types.iter().map(|ty| self.shape(*ty, at)).collect::<Result<_, _>>().map(Shape::Tuple)
            }
            TypeDefKind::Tuple(_) => Err(format!("{at}: a tuple has one to eight fields; use a record")),
            TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_) | TypeDefKind::Flags(_) => {
                self.named(id, definition, at).map(Shape::Named)
            }
            TypeDefKind::Handle(_) => Err(format!("{at}: a handle cannot go into a record")),
            other => Err(format!("{at}: a {} cannot go into a record", other.as_str())),
        }
    }

    fn named(&mut self, id: TypeId, definition: &'a TypeDef, at: &str) -> Result<usize, String> {
        if let Some(known) = self.model.named.iter().position(|named| named.id == id) {
            return Ok(known);
        }
        let wit_name = definition.name.as_deref().unwrap_or_default();
        let at = format!("{at} ({wit_name})");
        let before = self.model.named.len();
        let kind = match &definition.kind {
            TypeDefKind::Record(record) => Kind::Record(self.fields(record, &at)?),
            TypeDefKind::Variant(variant) => {
                self.few(variant.cases.len(), 256, &at)?;
                let case = |case: &'a wit_parser::Case| {
                    let at = format!("{at}.{}", case.name);
                    let shape = case.ty.map(|ty| self.shape(ty, &at)).transpose()?;
                    Ok((case.name.clone(), docs(&case.docs), shape))
                };
                Kind::Variant(variant.cases.iter().map(case).collect::<Result<_, String>>()?)
            }
            TypeDefKind::Enum(cases) => {
                self.few(cases.cases.len(), 256, &at)?;
                Kind::Enum(cases.cases.iter().map(|case| (case.name.clone(), docs(&case.docs))).collect())
            }
            TypeDefKind::Flags(flags) => {
                self.few(flags.flags.len(), 32, &at)?;
                Kind::Flags(flags.flags.iter().map(|flag| (flag.name.clone(), docs(&flag.docs))).collect())
            }
            other => unreachable!("{} has no name", other.as_str()),
        };
        let mut named = Named { id, name: camel(wit_name), docs: docs(&definition.docs), kind };
        let owner = match definition.owner {
            TypeOwner::Interface(interface) => path(self.resolve, interface),
            _ => None,
        };
        let whole = format!("{}/{wit_name}", owner.unwrap_or_default());
        if let Some(place) = self.types.iter().position(|(wit, _)| *wit == whole) {
            self.used[place] = true;
            let form = self.model.form_of(&named.kind);
            // What only the type that is replaced has need of.
            self.model.named.truncate(before);
            named.kind = Kind::Mapped(self.types[place].1.clone(), form);
        }
        self.model.named.push(named);
        Ok(self.model.named.len() - 1)
    }

    fn few(&self, count: usize, most: usize, at: &str) -> Result<(), String> {
        match count {
            0 => Err(format!("{at}: it needs a case")),
            _ if count > most => Err(format!("{at} has {count} cases: the most is {most}")),
            _ => Ok(()),
        }
    }

    /// `metered` says which records begin and end a request, by their names.
    fn metered(&self, metered: &'a Record, interface: &str) -> Result<(), String> {
        for field in &metered.fields {
            let at = format!("{interface}: metered.{}", field.name);
            let (of, cases) = match field.name.as_str() {
                "asks" | "cancels" => ("command", &self.model.command),
                "ends" | "fails" | "opens" | "answers" => ("event", &self.model.event),
                _ => return Err(format!("{at}: the fields are asks, cancels, ends, fails, opens and answers")),
            };
            let Some(TypeDefKind::Enum(names)) = definition(self.resolve, field.ty).map(|names| &names.kind) else {
                return Err(format!("{at} must be an enum"));
            };
            for name in &names.cases {
                let case = cases.iter().flatten().find(|case| case.name == name.name);
                let case = case.ok_or_else(|| format!("{at}.{}: `{of}` has no such case", name.name))?;
                // The node reads it there.
                let status = case.id.as_ref().and(case.fields.first());
                let status = status.filter(|field| field.name == "status" && field.shape == Shape::Scalar("u16"));
                if field.name == "answers" && status.is_none() {
                    return Err(format!("{at}.{}: its record needs a field `status: u16` after its id", name.name));
                }
            }
        }
        Ok(())
    }
}

impl Named {
    pub fn is_mapped(&self) -> bool {
        matches!(self.kind, Kind::Mapped(..))
    }
}

impl Model {
    /// Whether a value borrows from the record.
    pub fn borrows(&self, shape: &Shape) -> bool {
        match shape {
            Shape::Scalar(_) => false,
            Shape::Text | Shape::Bytes | Shape::List(_) => true,
            Shape::Option(some) => self.borrows(some),
            Shape::Tuple(shapes) => shapes.iter().any(|shape| self.borrows(shape)),
            Shape::Named(place) => self.kind_borrows(&self.named[*place].kind),
        }
    }

    pub fn kind_borrows(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Record(fields) => self.fields_borrow(fields),
            Kind::Variant(cases) => cases.iter().filter_map(|case| case.2.as_ref()).any(|shape| self.borrows(shape)),
            Kind::Enum(_) | Kind::Flags(_) => false,
            Kind::Mapped(rust, _) => rust.contains("'a"),
        }
    }

    pub fn fields_borrow(&self, fields: &[Field]) -> bool {
        fields.iter().any(|field| self.borrows(&field.shape))
    }

    /// Whether the values of a shape all have what `holds` says of those without parts.
    pub fn all(&self, shape: &Shape, holds: &impl Fn(&Shape) -> bool) -> bool {
        match shape {
            Shape::Scalar(_) | Shape::Text | Shape::Bytes => holds(shape),
            Shape::List(inner) | Shape::Option(inner) => holds(shape) && self.all(inner, holds),
            Shape::Tuple(shapes) => shapes.iter().all(|shape| self.all(shape, holds)),
            Shape::Named(place) => holds(shape) && self.all_of(&self.named[*place].kind, holds),
        }
    }

    pub fn all_of(&self, kind: &Kind, holds: &impl Fn(&Shape) -> bool) -> bool {
        match kind {
            Kind::Record(fields) => fields.iter().all(|field| self.all(&field.shape, holds)),
            Kind::Variant(cases) => cases.iter().filter_map(|case| case.2.as_ref()).all(|shape| self.all(shape, holds)),
            Kind::Enum(_) | Kind::Flags(_) | Kind::Mapped(..) => true,
        }
    }

    /// A type's form, without names (`StandsFor::FORM` in the crate `pearwood-wit`).
    pub fn form_of(&self, kind: &Kind) -> String {
        let list = |forms: Vec<String>| forms.join(",");
        match kind {
            Kind::Record(fields) => {
                format!("record({})", list(fields.iter().map(|field| self.form(&field.shape)).collect()))
            }
            Kind::Variant(cases) => {
                let form = |shape: &Option<Shape>| shape.as_ref().map_or_else(|| "_".into(), |shape| self.form(shape));
                format!("variant({})", list(cases.iter().map(|case| form(&case.2)).collect()))
            }
            Kind::Enum(cases) => format!("enum({})", cases.len()),
            Kind::Flags(flags) => format!("flags({})", flags.len()),
            Kind::Mapped(_, form) => form.clone(),
        }
    }

    fn form(&self, shape: &Shape) -> String {
        match shape {
            Shape::Scalar(name) => name.replace('i', "s"),
            Shape::Text => "string".into(),
            Shape::Bytes => "list(u8)".into(),
            Shape::List(inner) => format!("list({})", self.form(inner)),
            Shape::Option(inner) => format!("option({})", self.form(inner)),
            Shape::Tuple(shapes) => {
                let mut out = String::from("record(");
                for (place, shape) in shapes.iter().enumerate() {
                    let _ = write!(out, "{}{}", if place > 0 { "," } else { "" }, self.form(shape));
                }
                out + ")"
            }
            Shape::Named(place) => self.form_of(&self.named[*place].kind),
        }
    }
}

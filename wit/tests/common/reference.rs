//! Random values of a protocol's records, packed as `wit/README.md` says.

use std::path::Path;
use wit_parser::{Field, InterfaceId, Resolve, Type, TypeDefKind};

/// Numbers that look random (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 7
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

pub struct Protocol {
    resolve: Resolve,
    interface: InterfaceId,
}

/// A record.
#[derive(Debug, Default)]
pub struct Sample {
    pub kind: u8,
    pub id: u32,
    /// Bits of the field that is the id; 0: there is none.
    pub id_bits: u32,
    pub bytes: Vec<u8>,
    /// Where options begin that an earlier version may not have, and in how many others each is.
    pub options: Vec<(usize, usize)>,
    /// The bytes are one list or string, without a length.
    pub bare: bool,
}

impl Protocol {
    pub fn read(files: &[&str], interface: &str) -> Self {
        let mut resolve = Resolve::default();
        for file in files {
            resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a WIT file");
        }
        let (package, name) = interface.split_once('/').expect("package/interface");
        let package = resolve.package_names.iter().find(|(it, _)| format!("{}:{}", it.namespace, it.name) == package);
        let interface = resolve.packages[*package.expect("the package").1].interfaces[name];
        Protocol { resolve, interface }
    }

    fn kind(&self, ty: Type) -> Result<&TypeDefKind, Type> {
        match ty {
            Type::Id(id) => match &self.resolve.types[id].kind {
                TypeDefKind::Type(ty) => self.kind(*ty),
                kind => Ok(kind),
            },
            scalar => Err(scalar),
        }
    }

    /// A record of `command` or `event`, or what `attach` carries.
    pub fn sample(&self, side: &str, dice: &mut Dice) -> Sample {
        let types = &self.resolve.interfaces[self.interface].types;
        let mut out = Sample::default();
        let ty = match &self.resolve.types[types[side]].kind {
            TypeDefKind::Variant(variant) => {
                let place = dice.below(variant.cases.len());
                out.kind = place as u8 + 1;
                match variant.cases[place].ty {
                    Some(ty) => ty,
                    None => return out,
                }
            }
            _ => {
                out.kind = 241;
                Type::Id(types[side])
            }
        };
        let fields: &[Field] = match self.kind(ty) {
            Ok(TypeDefKind::Record(record)) => &record.fields,
            Ok(TypeDefKind::List(_)) | Err(Type::String) => {
                let mut value = Vec::new();
                self.value(ty, &mut value, dice);
                out.bytes = value.split_off(4);
                out.bare = true;
                return out;
            }
            _ => &[],
        };
        let first = fields.first().map_or(ty, |field| field.ty);
        out.id_bits = match self.kind(first) {
            _ if out.kind == 241 => 0,
            Err(Type::U8) => 8,
            Err(Type::U16) => 16,
            Err(Type::U32) => 32,
            _ => 0,
        };
        let skip = usize::from(out.id_bits > 0);
        if skip == 1 {
            out.id = dice.next() as u32 >> (32 - out.id_bits);
        }
        if fields.is_empty() && skip == 0 {
            self.value(ty, &mut out.bytes, dice);
        }
        self.tail(&fields[skip.min(fields.len())..], 0, &mut out, dice);
        out
    }

    /// The fields of a record that nothing follows.
    fn tail(&self, fields: &[Field], depth: usize, out: &mut Sample, dice: &mut Dice) {
        let option = |field: &Field| matches!(self.kind(field.ty), Ok(TypeDefKind::Option(_)));
        for (place, field) in fields.iter().enumerate() {
            let last = fields[place + 1..].iter().all(option);
            match self.kind(field.ty) {
                Ok(TypeDefKind::Record(record)) if last => {
                    self.tail(&record.fields, depth, out, dice);
                    continue;
                }
                Ok(TypeDefKind::Option(some)) if last => {
                    out.options.push((out.bytes.len(), depth));
                    if let Ok(TypeDefKind::Record(record)) = self.kind(*some) {
                        let is_some = dice.below(2);
                        out.bytes.push(is_some as u8);
                        if is_some == 1 {
                            self.tail(&record.fields, depth + 1, out, dice);
                        }
                        continue;
                    }
                }
                _ => {}
            }
            self.value(field.ty, &mut out.bytes, dice);
        }
    }

    fn value(&self, ty: Type, out: &mut Vec<u8>, dice: &mut Dice) {
        let number = if dice.below(2) == 0 { dice.next() << 7 } else { dice.next() % 3 };
        let kind = match self.kind(ty) {
            Ok(kind) => kind,
            Err(scalar) => {
                return match scalar {
                    Type::Bool => out.push(dice.below(2) as u8),
                    Type::U8 | Type::S8 => out.push(number as u8),
                    Type::U16 | Type::S16 => out.extend(number.to_le_bytes()[..2].iter()),
                    Type::U32 | Type::S32 => out.extend(number.to_le_bytes()[..4].iter()),
                    Type::U64 | Type::S64 => out.extend(number.to_le_bytes()),
                    Type::F32 => out.extend((number as f32 / 7.0).to_le_bytes()),
                    Type::F64 => out.extend((number as f64 / 7.0).to_le_bytes()),
                    Type::Char => out.extend(u32::from(letter(dice)).to_le_bytes()),
                    Type::String => {
                        let text: String = (0..dice.below(8)).map(|_| letter(dice)).collect();
                        out.extend((text.len() as u32).to_le_bytes());
                        out.extend(text.bytes());
                    }
                    Type::ErrorContext | Type::Id(_) => unreachable!("not in a record"),
                };
            }
        };
        match kind {
            TypeDefKind::Record(record) => record.fields.iter().for_each(|field| self.value(field.ty, out, dice)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| self.value(*ty, out, dice)),
            TypeDefKind::Enum(cases) => out.push(dice.below(cases.cases.len()) as u8),
            TypeDefKind::Flags(flags) => {
                let bytes = match flags.flags.len() {
                    ..=8 => 1,
                    9..=16 => 2,
                    _ => 4,
                };
                out.extend((dice.next() & ((1 << flags.flags.len()) - 1)).to_le_bytes()[..bytes].iter());
            }
            TypeDefKind::Variant(variant) => {
                let place = dice.below(variant.cases.len());
                out.push(place as u8);
                if let Some(ty) = variant.cases[place].ty {
                    self.value(ty, out, dice);
                }
            }
            TypeDefKind::Option(some) => {
                let is_some = dice.below(2);
                out.push(is_some as u8);
                if is_some == 1 {
                    self.value(*some, out, dice);
                }
            }
            TypeDefKind::List(element) => {
                let count = dice.below(5);
                out.extend((count as u32).to_le_bytes());
                (0..count).for_each(|_| self.value(*element, out, dice));
            }
            other => unreachable!("a {} in a record", other.as_str()),
        }
    }
}

fn letter(dice: &mut Dice) -> char {
    ['a', '/', '\0', 'ß', '€', '𝄞'][dice.below(6)]
}

//! What `attach` says of an arrow whose grant the node does not know: the record that the protocol declares, filled from the
//! arrow's line in the file.

use crate::system::description::Field;
use crate::system::grant::Setting;
use alloc::{format, string::String, vec::Vec};

/// Packs the settings as the fields say.
///
/// # Errors
/// The name of the setting at fault, or an empty one, and what is wrong, in words.
pub(super) fn pack(fields: &[Field], settings: &[(String, Setting)]) -> Result<Vec<u8>, (String, String)> {
    let mut packed = Vec::new();
    for field in fields {
        let setting = settings.iter().find(|(name, _)| *name == field.name).map(|(_, setting)| setting);
        let fault = |why: String| (field.name.clone(), why);
        let ty = match field.ty.strip_prefix("option<").and_then(|ty| ty.strip_suffix('>')) {
            Some(inner) => {
                packed.push(u8::from(setting.is_some()));
                if setting.is_none() {
                    continue;
                }
                inner
            }
            None => &field.ty,
        };
        let Some(setting) = setting else {
            return Err(fault(format!("the arrow does not say `{}` ({})", field.name, field.ty)));
        };
        one(ty, setting, &mut packed).map_err(fault)?;
    }
    match settings.iter().find(|(name, _)| !fields.iter().any(|field| field.name == *name)) {
        Some((name, _)) => Err((name.clone(), format!("the protocol's `attach` has no field `{name}`"))),
        None => Ok(packed),
    }
}

fn one(ty: &str, setting: &Setting, packed: &mut Vec<u8>) -> Result<(), String> {
    let wrong = || Err(format!("{setting} is no {ty}"));
    match (ty, setting) {
        ("string", Setting::Text(text)) => {
            packed.extend_from_slice(&(text.len() as u32).to_le_bytes());
            packed.extend_from_slice(text.as_bytes());
        }
        ("bool", Setting::Truth(value)) => packed.push(u8::from(*value)),
        (_, Setting::Number(number)) => {
            let (bits, signed) = match (ty.as_bytes().first(), ty.get(1..).and_then(|bits| bits.parse().ok())) {
                (Some(b'u'), Some(bits @ (8 | 16 | 32 | 64))) => (bits, false),
                (Some(b's'), Some(bits @ (8 | 16 | 32 | 64))) => (bits, true),
                _ => return wrong(),
            };
            let number = i128::from(*number);
            let (least, most) = if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
            if !(least..=most).contains(&number) {
                return wrong();
            }
            packed.extend_from_slice(&number.to_le_bytes()[..bits / 8]);
        }
        (_, Setting::List(items)) => {
            let Some(item) = ty.strip_prefix("list<").and_then(|ty| ty.strip_suffix('>')) else { return wrong() };
            packed.extend_from_slice(&(items.len() as u32).to_le_bytes());
            items.iter().try_for_each(|setting| one(item, setting, packed))?;
        }
        _ => return wrong(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, ty: &str) -> Field {
        Field { name: name.into(), ty: ty.into() }
    }

    #[test]
    fn settings_are_packed_as_declared() {
        let fields = [field("topic", "string"), field("limit", "u16"), field("all", "option<bool>")];
        let topic = ("topic".into(), Setting::Text("news".into()));
        let limit = |number| ("limit".into(), Setting::Number(number));
        assert_eq!(pack(&fields, &[limit(513), topic.clone()]), Ok(b"\x04\0\0\0news\x01\x02\0".to_vec()));
        let all = ("all".into(), Setting::Truth(true));
        assert_eq!(pack(&fields, &[limit(1), topic.clone(), all]), Ok(b"\x04\0\0\0news\x01\0\x01\x01".to_vec()));
        let missing = pack(&fields, &[limit(1)]).unwrap_err();
        assert_eq!(missing.0, "topic");
        assert!(pack(&fields, &[limit(65_536), topic.clone()]).is_err());
        assert!(pack(&fields, &[limit(1), topic, ("other".into(), Setting::Number(1))]).is_err());
    }
}

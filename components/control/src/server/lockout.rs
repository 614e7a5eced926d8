//! Whoever changes the system does not lose the power over it unawares, and nobody gets more than was given.

use crate::{
    config::{Config, Grantee},
    message::Role,
};
use manage::Authority;
use wit::setting::in_words;

/// Why the owner of a key should think twice before a system takes the place of this one: what could not be done any
/// more then. `settings`: of its control box, if it has one.
pub fn lockout<'a>(
    settings: Option<impl IntoIterator<Item = (&'a str, &'a str)>>,
    key: &[u8; 32],
    role: Role,
) -> Option<String> {
    let Some(settings) = settings else {
        return Some("no box of the new system has the power over the node: nobody could manage it".into());
    };
    let config = match Config::read(settings) {
        Ok(config) => config,
        Err(faults) => {
            let why = in_words(&faults);
            return Some(format!("who could manage the new system is not known: its control box: {why}"));
        }
    };
    if !config.keys.iter().any(|grantee| grantee.role == Role::Deploy) {
        return Some("no key of the new system has the role `deploy`: nobody could change it any more".into());
    }
    match config.grantee(key) {
        None => Some("the new system does not list the key that asks".into()),
        Some(Grantee { role: later, .. }) if *later < role => {
            Some(format!("the key that asks has the role `{role}`, and only `{later}` in the new system"))
        }
        Some(_) => None,
    }
}

/// Whether a system may take the place of this one, at the word of somebody of that role.
pub fn judge(authority: &Authority, key: &[u8; 32], role: Role, allow_lockout: bool) -> Result<(), String> {
    if !authority.is_other {
        return Ok(());
    }
    if role < Role::Deploy {
        // it might give back what was taken
        return Err(format!(
            "the other system gives the power over the node to others: this needs the role `{}`, and the key has `{role}`",
            Role::Deploy
        ));
    }
    let settings = authority.settings.as_deref();
    let settings = settings.map(|settings| settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    match lockout(settings, key, role) {
        Some(why) if !allow_lockout => Err(format!("{why}; --allow-lockout does it all the same")),
        _ => Ok(()),
    }
}

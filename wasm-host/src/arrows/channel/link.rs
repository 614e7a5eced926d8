//! The functions of a protocol's interface, by which a component declares what it speaks and learns its port's number.
#![allow(unsafe_code)]

use super::Port;
use crate::boxes::State;
use wasmtime::{
    Result, StoreContextMut, bail,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext},
        ComponentType, Lift, Linker,
    },
};

/// Gives a box the number of its port for an interface, named as its component names it.
pub fn link(linker: &mut Linker<State>, interface: &str, port: &Port) -> Result<()> {
    let number = u32::from(port.number());
    let mut instance = linker.instance(interface)?;
    instance.func_wrap(port.end().function(), move |_: StoreContextMut<'_, State>, (_,): (Declaration,)| Ok((number,)))
}

/// A list of anything, which is not looked at: what counts is its type, and that was seen when the component was checked.
struct Declaration;

type Flat = <[u8] as ComponentType>::Lower;

// SAFETY: a list of any type is two i32 values, or eight bytes in memory, as `[u8]` has it.
unsafe impl ComponentType for Declaration {
    type Lower = Flat;
    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        match ty {
            InterfaceType::List(_) => Ok(()),
            _ => bail!("the parameter `protocol` is no list"),
        }
    }
}

// SAFETY: nothing is read.
unsafe impl Lift for Declaration {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Flat) -> Result<Self> {
        Ok(Declaration)
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> Result<Self> {
        Ok(Declaration)
    }
}

//! `pearwood:box/figures`: read one by one from the box's memory, so that nothing is allocated before its length is known.

use crate::{
    arrows::Cut,
    boxes::{
        State,
        figures::{self, MOST, MOST_LABELS, NAME, Report, TEXT},
    },
};
use alloc::{format, string::String, vec::Vec};
use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, Lift, Linker, WasmList},
};

/// One more than fits, so that what is too long is seen to be.
type Name = Cut<{ NAME + 1 }>;

#[derive(ComponentType, Lift)]
#[component(variant)]
enum Value {
    #[component(name = "counter")]
    Counter(u64),
    #[component(name = "gauge")]
    Gauge(i64),
    #[component(name = "moment")]
    Moment(u64),
    #[component(name = "text")]
    Text(Cut<TEXT>),
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Figure {
    name: Name,
    labels: WasmList<(Name, Cut<TEXT>)>,
    value: Value,
}

impl From<Value> for figures::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Counter(count) => figures::Value::Counter(count),
            Value::Gauge(number) => figures::Value::Gauge(number),
            Value::Moment(seconds) => figures::Value::Moment(seconds),
            Value::Text(text) => figures::Value::Text(text.0),
        }
    }
}

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance("pearwood:box/figures@0.2.0")?;
    interface.func_wrap("report", |cx: StoreContextMut<'_, State>, (figures,): (WasmList<Figure>,)| {
        Ok((report(cx, &figures)?,))
    })
}

/// An error of the box's memory ends it; one in words is the box's to see.
fn report(mut cx: StoreContextMut<'_, State>, figures: &WasmList<Figure>) -> Result<Result<(), String>> {
    if figures.len() > MOST {
        return Ok(Err(format!("{} figures, where at most {MOST} may be", figures.len())));
    }
    let mut report = Report::new(cx.data().no_charge());
    for at in 0..figures.len() {
        let Some(figure) = figures.get(&mut cx, at) else { break };
        let Figure { name, labels, value } = figure?;
        if labels.len() > MOST_LABELS {
            return Ok(Err(format!("figure {at} (`{}`): more than {MOST_LABELS} labels", name.0)));
        }
        let labels = labels.iter(&mut cx)?.map(|label| label.map(|(name, value)| (name.0, value.0)));
        let labels = labels.collect::<Result<Vec<_>>>()?;
        if let Err(why) = report.add(figures::Figure { name: name.0, labels, value: value.into() }) {
            return Ok(Err(why));
        }
    }
    Ok(report.finish().map(|figures| cx.data().handle.figures_are(Some(figures))))
}

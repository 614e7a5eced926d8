use super::*;
use crate::system::{
    Description, System, check,
    description::{Declaration, Function, Interface, shape},
    plan,
};
use alloc::{collections::BTreeMap, string::ToString, vec};

const BASE: &str = "[system]\nname = \"s\"\n\
    [box.http]\ncomponent = \"http\"\narrows.\"pearwood:http/handler\" = { box = \"site\" }\n\
    [box.site]\ncomponent = \"site\"\narrows.\"acme:store/api\" = { box = \"store\" }\n\
    [box.store]\ncomponent = \"store\"\n";

struct Whole {
    source: String,
    plan: Plan,
    contents: Vec<Content>,
}

fn interface(name: &str, signature: &str) -> Interface {
    let functions = match signature {
        "" => vec![],
        _ => vec![Function { name: "get".into(), signature: signature.into(), shape: shape(signature) }],
    };
    Interface { name: name.into(), functions, types: vec![], protocol: None }
}

/// `store`: the signature of what it exports.
fn whole(source: &str, store: &str) -> Whole {
    let system = System::parse("system.toml", source).unwrap_or_else(|faults| panic!("{faults:?}"));
    let run = || interface("pearwood:box/service@0.2.0", "");
    let api = |signature| interface("acme:store/api@0.1.0", signature);
    let handler = |client| {
        let declaration = Declaration { client, service: !client, ..Declaration::default() };
        Interface { protocol: Some(declaration), ..interface("pearwood:http/handler@0.2.0", "") }
    };
    let is_new = store != "func() -> u32";
    let describe = |name: &str| match name {
        "http" => Description { imports: vec![handler(true)], exports: vec![run()], ..Description::default() },
        "store" => Description { imports: vec![], exports: vec![api(store)], ..Description::default() },
        _ => {
            let imports = vec![handler(false), api(store)];
            Description { imports, exports: vec![run()], ..Description::default() }
        }
    };
    let descriptions: BTreeMap<String, Description> =
        system.boxes.iter().map(|spec| (spec.component_name(), describe(&spec.component_name()))).collect();
    let routes = check(&system, &descriptions).unwrap_or_else(|faults| panic!("{faults:?}"));
    let code = |spec: &BoxPlan| {
        let text = if spec.name == "store" && is_new { store } else { &spec.component[0] };
        Content { code: Some(crate::image::hash(text.as_bytes())), assets: None }
    };
    let plan = plan(&system, &routes, &descriptions, 1);
    let contents = plan.boxes.iter().map(code).collect();
    Whole { source: source.into(), plan, contents }
}

impl Whole {
    fn side(&self) -> Side<'_> {
        let Whole { plan, contents, .. } = self;
        Side { plan, contents }
    }
}

fn changes(old: &Whole, new: &Whole) -> Vec<String> {
    difference(old.side(), new.side()).lines(&old.plan, &new.plan)
}

fn base() -> Whole {
    whole(BASE, "func() -> u32")
}

fn edited(from: &str, to: &str) -> Whole {
    let source = BASE.replace(from, to);
    assert_ne!(source, BASE);
    whole(&source, "func() -> u32")
}

#[test]
fn nothing() {
    assert_eq!(changes(&base(), &base()), Vec::<String>::new());
    let moved = edited("[box.http]", "# a line more\n[box.http]");
    assert_eq!(changes(&base(), &moved), Vec::<String>::new(), "where a box is declared makes no difference");
}

#[test]
fn what_makes_a_box_another() {
    let mut code = base();
    code.contents[1].code = Some(crate::image::hash(b"newer"));
    assert_eq!(changes(&base(), &code), ["site: another component"]);
    let mut assets = base();
    assets.contents[1].assets = Some(crate::image::hash(b"files"));
    assert_eq!(changes(&base(), &assets), ["site: another assets"]);
    let config = edited("[box.store]", "config.a = 1\n[box.store]");
    assert_eq!(changes(&base(), &config), ["site: another config"]);
    for limit in ["memory = \"8 MiB\"", "cpu = 7", "queue = \"512 KiB\""] {
        let limits = edited("component = \"http\"", &alloc::format!("component = \"http\"\n{limit}"));
        assert_eq!(changes(&base(), &limits), ["http: another limits"], "{limit}");
    }
}

#[test]
fn arrows_of_channels_come_and_go() {
    let two = edited(
        "[box.site]",
        "[box.two]\ncomponent = \"site\"\narrows.\"acme:store/api\" = { box = \"store\" }\n[box.site]",
    );
    assert_eq!(changes(&base(), &two), ["two: added"]);
    let moved = two.source.replace("handler\" = { box = \"site\" }", "handler\" = { box = \"two\" }");
    let moved = whole(&moved, "func() -> u32");
    assert_eq!(changes(&two, &moved), Vec::<String>::new(), "http stays");
    assert_eq!(changes(&two, &base()), ["two: removed"]);
    let path = edited("{ box = \"site\" }", "{ box = \"site\", path = \"/x\" }");
    assert_eq!(changes(&base(), &path), Vec::<String>::new());
}

#[test]
fn calls_lead_where_they_did() {
    let source = BASE.replace("[box.store]", "[box.other]").replace("{ box = \"store\" }", "{ box = \"other\" }");
    let other = whole(&source, "func() -> u32");
    assert_eq!(changes(&base(), &other), ["site: another arrows", "other: added", "store: removed"]);
}

#[test]
fn a_callee_that_fits_takes_over_the_calls() {
    let (old, mut new) = (base(), base());
    new.contents[2].code = Some(crate::image::hash(b"newer"));
    let fates = difference(old.side(), new.side()).fates;
    assert!(fates[1].is_kept());
    assert_eq!(fates[2], Fate::Replaced { old: 2, why: vec![Why::Component], takes_calls: true });
}

/// Both ends of a call are other versions: those who are linked to the old one cannot call the new one.
#[test]
fn a_callee_that_does_not_fit_its_old_callers_takes_none() {
    let (old, new) = (base(), whole(BASE, "func(key: string) -> u32"));
    let fates = difference(old.side(), new.side()).fates;
    assert!(matches!(&fates[2], Fate::Replaced { takes_calls: false, .. }), "{fates:?}");
    let why = vec![Why::Callee("store".into())];
    assert_eq!(fates[1], Fate::Replaced { old: 1, why, takes_calls: true });
    assert!(fates[0].is_kept());
    assert_eq!(Why::Callee("store".into()).to_string(), "what `store` exports");
}

//! What the system boxes would find wrong with their settings, found before anything runs: by their own code.

use super::Component;
use crate::launch::{Protocol, may_dial_of, may_listen_of};
use crate::reference;
use crate::system::grant::Grant;
use crate::system::keys::KEYS;
use crate::system::routes::Routes;
use crate::system::{BoxSpec, Diagnostic, Place, System, Target, suggestion};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use wasm_host::plan::MAX_ATTACH;
use wasm_host::slots::size;
use wasmparser::{Parser, Payload};
use wit::setting::{Fault, Setting};

/// A page of memory, where a module does not say another.
const PAGE: u64 = 64 << 10;

/// What a system box makes of its settings.
struct Read {
    faults: Vec<Fault>,
    /// what there is to set
    known: &'static [Setting],
    /// the ports that it would listen at, and the key that says so
    ports: (&'static str, Vec<u16>),
}

/// Reads settings as the system box of that name does itself. None: there is no such box.
///
/// Of several components that are joined, each has all settings of the box.
fn read(component: &str, spec: &BoxSpec) -> Option<Read> {
    let pairs = || spec.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut ports = ("", Vec::new());
    let read = match component {
        "net" => net::Settings::read(pairs()).map(drop),
        "http" => http::Config::read(pairs()).map(|config| ports = ("ports", config.ports)),
        "site" => site::Settings::read(pairs()).map(drop),
        // without keys it listens nowhere
        "control" => control::Config::read(pairs()).map(|config| {
            if !config.keys.is_empty() {
                ports = ("port", vec![config.port]);
            }
        }),
        "tls" => tls::Config::read(pairs()).map(drop),
        "fetch" => fetch::Config::read(pairs()).map(drop),
        "keys" => keys::Config::read(pairs()).map(drop),
        "acme" => acme::Config::read(pairs()).map(drop),
        "store" => Ok(()),
        _ => return None,
    };
    let known = reference::of_component(component)?;
    let faults = read.err().unwrap_or_else(|| {
        // what the box would take and the reference has not is no setting either
        let unknown = pairs().filter(|(key, _)| !known.iter().any(|setting| setting.is_of(key)));
        unknown.map(|(key, value)| Fault::new(key, value, "the reference has no such setting")).collect()
    });
    Some(Read { faults, known, ports })
}

/// What the boxes would refuse when they start, and ports that they would be refused.
pub fn faults(system: &System) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for spec in &system.boxes {
        for Read { faults: found, known, ports: (key, ports) } in
            spec.component.iter().filter_map(|component| read(component, spec))
        {
            faults.extend(found.iter().map(|fault| diagnostic(system, spec, fault, known)));
            for port in ports.into_iter().filter(|port| !may_listen_of(spec, Protocol::Tcp, *port)) {
                let message =
                    format!("box `{}` is to listen at port {port}, which none of its arrows grants", spec.name);
                let mut fault = system.diagnostic(place(spec, key), message).of_box(&spec.name);
                fault.help =
                    Some(format!("add {port} to the `listen` of its arrow `pearwood:net/tcp`, or set config.{key}"));
                faults.push(fault);
            }
        }
        faults.extend(unreached(system, spec));
        faults.extend(open_proxies(system, spec));
        faults.extend(unshown(system, spec));
        faults.extend(ungranted(system, spec));
        faults.extend(unsigned(system, spec));
    }
    faults
}

fn is_of(spec: &BoxSpec, component: &str) -> bool {
    spec.component.iter().any(|name| name == component)
}

/// The upstreams of a box. What is wrong with its settings is told elsewhere.
fn upstreams(spec: &BoxSpec) -> Vec<fetch::Origin> {
    let pairs = spec.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    fetch::Config::read(pairs).map(|config| config.upstreams).unwrap_or_default()
}

/// Upstreams that none of the box's arrows grants.
fn unreached(system: &System, spec: &BoxSpec) -> Vec<Diagnostic> {
    let all = if is_of(spec, "fetch") { upstreams(spec) } else { Vec::new() };
    let unreached = all.iter().filter(|origin| !may_dial_of(spec, &origin.host, origin.port));
    let fault = |origin: &fetch::Origin| {
        let message = format!("box `{}`: no arrow of its grants a connection to the upstream {origin}", spec.name);
        let mut fault = system.diagnostic(place(spec, "upstreams"), message).of_box(&spec.name);
        let (box_name, host, port) = (if origin.is_https { "tls" } else { "net" }, &origin.host, origin.port);
        fault.help = Some(format!(
            "add \"{host}:{port}\" to the `connect` of its arrow `pearwood:net/tcp` to a box such as `{box_name}`"
        ));
        fault
    };
    unreached.map(fault).collect()
}

/// Arrows by which whoever can ask an `http` box could ask any host that `fetch` reaches, and itself would not be seen there.
fn open_proxies(system: &System, spec: &BoxSpec) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for arrow in spec.arrows.iter().filter(|_| is_of(spec, "http")) {
        let (Target::Box(name), Grant::Http(route)) = (&arrow.target, &arrow.grant) else { continue };
        let Some(target) = system.boxes.iter().find(|other| other.name == *name && is_of(other, "fetch")) else {
            continue;
        };
        let says = target.config.iter().any(|(key, _)| key.split('.').next() == Some("upstreams"));
        if !route.host.is_empty() || says {
            continue;
        }
        let message = format!(
            "box `{}`: its arrow to `{name}` is for any host, so whoever asks it reaches every host that `{name}` does",
            spec.name
        );
        let mut fault = system.diagnostic(arrow.target_at, message).of_box(&spec.name);
        fault.interface = Some(arrow.interface.to_string());
        fault.help = Some(format!("say in config.upstreams of `{name}` which servers get the requests"));
        faults.push(fault);
    }
    faults
}

/// Certificates that a box is to get from an authority, and that no `tls` with the same keys would ever show.
fn unshown(system: &System, spec: &BoxSpec) -> Vec<Diagnostic> {
    // what is wrong with settings is told elsewhere
    let Some((keys, Ok(config))) = keys_of(spec, "acme").zip(Some(acme::Config::read(pairs(spec)))) else {
        return Vec::new();
    };
    let servers = system.boxes.iter().filter(|other| keys_of(other, "tls") == Some(keys));
    let servers: Vec<_> = servers.filter_map(|other| Some((other, tls::Config::read(pairs(other)).ok()?))).collect();
    let Some((server, _)) = servers.first() else { return Vec::new() };
    // as `keys` looks at them: without the addresses
    let is_host = |name: &&String| name.parse::<IpAddr>().is_err();
    let is_shown = |wanted: &acme::Certificate| {
        let mut entries = servers.iter().flat_map(|(_, config)| &config.certificates);
        entries.any(|entry| {
            let mut hosts = entry.names.iter().filter(is_host).peekable();
            let is_its = entry.key == wanted.key && entry.chain.is_none() && hosts.peek().is_some();
            is_its && hosts.all(|host| wanted.names.contains(host))
        })
    };
    let fault = |wanted: &acme::Certificate| {
        let (names, key) = (wanted.names.join(", "), &wanted.key);
        let message = format!(
            "box `{}`: the certificate for {names} would never be shown: no entry of config.certificates of `{}` has the key `{key}` and \
             only names of these",
            spec.name, server.name
        );
        let mut fault = system.diagnostic(place(spec, "certificates"), message).of_box(&spec.name);
        let quoted: Vec<String> = wanted.names.iter().map(|name| format!("{name:?}")).collect();
        let quoted = quoted.join(", ");
        fault.help = Some(format!(
            "add {{ names = [{quoted}], key = {key:?} }} to config.certificates of `{}`, with other names in entries of their own",
            server.name
        ));
        fault
    };
    config.certificates.iter().filter(|wanted| !is_shown(wanted)).map(fault).collect()
}

/// Arrows to keys that say what `keys` would refuse, or are not for all keys that the box's settings name.
fn ungranted(system: &System, spec: &BoxSpec) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for arrow in spec.arrows.iter().filter(|arrow| KEYS.contains(&arrow.interface.path())) {
        let (Target::Box(target), Grant::Attach(says)) = (&arrow.target, &arrow.grant) else { continue };
        if !system.boxes.iter().any(|other| other.name == *target && is_of(other, "keys")) {
            continue;
        }
        if says.is_empty() {
            faults.extend(too_many_keys(system, spec, arrow.interface.path()));
            continue;
        }
        let mut fault = |message: String, help: Option<String>| {
            let mut fault = system.diagnostic(arrow.at, message).of_box(&spec.name);
            fault.interface = Some(arrow.interface.to_string());
            fault.help = help;
            faults.push(fault);
        };
        let words: Vec<_> = says.iter().flat_map(|(key, value)| value.words(key)).collect();
        match keys::Grant::read(words.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
            Ok(grant) => {
                for key in keys_named(spec, arrow.interface.path()).iter().filter(|key| !grant.has(key)) {
                    let message = format!(
                        "box `{}`: its settings name the key `{key}`, which its arrow `{}` is not for",
                        spec.name, arrow.interface
                    );
                    fault(message, Some(format!("add {key:?} to its `keys`")));
                }
            }
            Err(why) => fault(format!("box `{}`: its arrow `{}`: {why}", spec.name, arrow.interface), None),
        }
    }
    faults
}

/// Certificates that are to come from an authority for keys of an algorithm that authorities do not sign for.
fn unsigned(system: &System, spec: &BoxSpec) -> Vec<Diagnostic> {
    let holder = keys_of(spec, "acme").and_then(|name| system.boxes.iter().find(|other| other.name == name));
    let Some(Ok(config)) =
        holder.filter(|holder| is_of(holder, "keys")).map(|holder| keys::Config::read(pairs(holder)))
    else {
        return Vec::new();
    };
    let is_unsigned = |key: &String| {
        let origin = config.keys.get(key);
        origin.and_then(keys::Origin::algorithm) == Some(keys::Algorithm::Ed25519)
    };
    let named = keys_named(spec, "pearwood:keys/acme").into_iter().filter(is_unsigned);
    let fault = |key: String| {
        let message = format!(
            "box `{}`: the key `{key}` is one of Ed25519, for which authorities that browsers trust sign no certificates",
            spec.name
        );
        let mut fault = system.diagnostic(place(spec, "certificates"), message).of_box(&spec.name);
        fault.help = Some("give the certificate a key of ECDSA, which is `new` in config.keys of its box".into());
        fault
    };
    named.map(fault).collect()
}

/// The keys that a system box's settings name, for one of the purposes of [`KEYS`]. What is wrong with them is told elsewhere.
fn keys_named(spec: &BoxSpec, interface: &str) -> BTreeSet<String> {
    let of_tls = |config: tls::Config| config.certificates.into_iter().map(|it| it.key).collect();
    let of_acme = |config: acme::Config| config.certificates.into_iter().map(|it| it.key).collect();
    match interface {
        "pearwood:keys/tls" if is_of(spec, "tls") => tls::Config::read(pairs(spec)).map(of_tls).unwrap_or_default(),
        "pearwood:keys/acme" if is_of(spec, "acme") => acme::Config::read(pairs(spec)).map(of_acme).unwrap_or_default(),
        _ => BTreeSet::new(),
    }
}

/// The keys of a box's settings are more than an arrow can name.
fn too_many_keys(system: &System, spec: &BoxSpec, interface: &str) -> Option<Diagnostic> {
    let words = words_of(spec, interface);
    let bytes: usize = words.iter().map(|(name, key)| name.len() + key.len()).sum();
    (bytes > MAX_ATTACH).then(|| {
        let message = format!(
            "box `{}`: its arrow `{interface}` is for the {} keys of its certificates, whose names take {bytes} bytes where an arrow says \
             at most {MAX_ATTACH}",
            spec.name,
            words.len()
        );
        let mut fault = system.diagnostic(place(spec, "certificates"), message).of_box(&spec.name);
        fault.help = Some("several certificates may have one key; or give keys shorter names".into());
        fault
    })
}

/// What an arrow says that is for the keys of a box's settings.
fn words_of(spec: &BoxSpec, interface: &str) -> Vec<(String, String)> {
    let keys = keys_named(spec, interface).into_iter().enumerate();
    keys.map(|(place, key)| (format!("keys.{place}"), key)).collect()
}

/// Has arrows to keys that name none say which ones they are for: those of the box's settings.
pub fn grant_keys(system: &System, routes: &mut Routes) {
    for (spec, of_box) in system.boxes.iter().zip(&mut routes.boxes) {
        for call in of_box.calls.iter_mut().filter(|call| call.words.is_empty()) {
            if is_of(&system.boxes[call.box_index], "keys") {
                let interface = call.interface.split('@').next().unwrap_or_default();
                call.words = words_of(spec, interface);
            }
        }
    }
}

/// The box with the keys of a system box, if that has such a component.
fn keys_of<'a>(spec: &'a BoxSpec, component: &str) -> Option<&'a str> {
    let interface = format!("pearwood:keys/{component}");
    let mut arrows =
        spec.arrows.iter().filter(|arrow| arrow.interface.to_string().split('@').next() == Some(&*interface));
    let target = arrows.next().filter(|_| is_of(spec, component)).map(|arrow| &arrow.target);
    if let Some(Target::Box(name)) = target { Some(name) } else { None }
}

fn pairs(spec: &BoxSpec) -> impl Iterator<Item = (&str, &str)> {
    spec.config.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

fn diagnostic(system: &System, spec: &BoxSpec, fault: &Fault, known: &[Setting]) -> Diagnostic {
    let key = fault.key.as_str();
    let message = format!("box `{}`: {fault}", spec.name);
    let mut diagnostic = system.diagnostic(place(spec, key), message).of_box(&spec.name);
    if let Some(beside) = &fault.beside {
        let line = place(spec, beside).line;
        diagnostic.notes.push(format!("config.{beside} is at {}:{line}", system.source.file));
    }
    if !known.iter().any(|setting| setting.is_of(key)) {
        let plain: Vec<&str> = key.split('.').filter(|part| part.parse::<u32>().is_err()).collect();
        let plain = plain.join(".");
        // those that are as deep
        let depth = |key: &str| key.matches('.').count();
        let known = known.iter().map(|setting| setting.key);
        diagnostic.help = suggestion(&plain, known.filter(|known| depth(known) == depth(&plain)));
    }
    diagnostic
}

/// Boxes that have not the memory that their components begin with, or could not work with what is left.
pub fn too_small(system: &System, components: &BTreeMap<String, Component>) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for spec in &system.boxes {
        let Some(component) = components.get(&spec.component_name()) else { continue };
        let least = initial_memory(&component.binary);
        let left = spec.memory.checked_sub(least);
        let why = match left {
            None => Some(format!("its component begins with {}", size(least))),
            Some(left) => too_little(spec, left),
        };
        if let Some(why) = why {
            let message = format!("box `{}`: memory = {} is too little: {why}", spec.name, size(spec.memory));
            faults.push(system.diagnostic(spec.memory_at, message).of_box(&spec.name));
        }
    }
    faults
}

/// Why a system box cannot work with so many bytes beside those that it begins with.
fn too_little(spec: &BoxSpec, left: u64) -> Option<String> {
    let pairs = || spec.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    spec.component.iter().find_map(|component| match component.as_str() {
        "http" => http::Http::new(http::Config::read(pairs()).ok()?, left).err(),
        "fetch" => fetch::Fetch::new(fetch::Config::read(pairs()).ok()?, left).err(),
        "tls" => tls::Tls::fits(&tls::Config::read(pairs()).ok()?, left).err(),
        _ => None,
    })
}

/// Bytes that the memories of a component's modules have from the start. What is malformed is found elsewhere.
fn initial_memory(binary: &[u8]) -> u64 {
    let sections = Parser::new(0).parse_all(binary).flatten().filter_map(|payload| match payload {
        Payload::MemorySection(memories) => Some(memories),
        _ => None,
    });
    let bytes = sections.flatten().flatten().map(|memory| {
        memory
            .initial
            .saturating_mul(memory.page_size_log2.map_or(PAGE, |log2| 1_u64.checked_shl(log2).unwrap_or(PAGE)))
    });
    bytes.fold(0, u64::saturating_add)
}

/// Where a setting is: that of the key, or the first below it; or else the box.
fn place(spec: &BoxSpec, key: &str) -> Place {
    let is_it = |(name, _): &(String, String)| {
        name.strip_prefix(key).is_some_and(|rest| !key.is_empty() && (rest.is_empty() || rest.starts_with('.')))
    };
    spec.config.iter().position(is_it).and_then(|at| spec.config_at.get(at)).copied().unwrap_or(spec.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::routes::{BoxRoutes, CallRoute, Run};
    use crate::system::web;

    const BOXES: &str = r#"[box.site]
component = "site"
[box.control]
component = "control"
arrows."pearwood:net/tcp" = { box = "net", listen = [7327] }
arrows."pearwood:control/node" = { node = true }
"#;

    /// With lines of `config` in a box of the system.
    fn system(name: &str, lines: &str) -> System {
        let text = web("test", "{ box = \"site\" }", BOXES).replace("[80]", "[80, \"8000-8001\"]");
        let text = text.replace(&format!("component = \"{name}\"\n"), &format!("component = \"{name}\"\n{lines}\n"));
        System::parse("system.toml", &text).unwrap_or_else(|faults| panic!("{}", crate::system::Report(&faults)))
    }

    /// D9: what a box would refuse at its start is refused with its line, and what was meant.
    #[test]
    fn d9_settings_of_system_boxes_are_checked() {
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        for (name, line, message, help) in [
            ("net", "config.adress = \"10.0.0.2/24\"", "no such setting", "did you mean `address`?"),
            ("net", "config.address = \"10.0.0.2\"", "like 192.168.1.5/24", ""),
            ("net", "config.dns = [\"1.1.1.1\", \"one\"]", "expected an IP address", ""),
            ("http", "config.request-timeout = \"1 ms\"", "100 ms at least are meant", ""),
            ("site", "config.types.gmi = \"text\"", "a media type is meant, such as text/gemini", ""),
            ("http", "config.header-timout = 5", "there is no such setting", "did you mean `header-timeout`?"),
            ("http", "config.backlog = 0", "a number from 1 to 65535", ""),
            ("site", "config.cache.fil = \"1 KiB\"", "there is no such setting", "did you mean `cache.file`?"),
            ("site", "config.nonsense = 1", "there is no such setting", "there are `index`"),
            ("site", "config.rules = [{ path = \"/\", listng = true }]", "a rule has", "did you mean `rules.listing`?"),
            ("control", "config.prot = 7327", "the control box has no such setting", "did you mean `port`?"),
            ("control", "config.keys = [{ key = \"12\", role = \"view\" }]", "this is no key", ""),
            // ports that no arrow grants
            ("http", "config.ports = [80, 8080]", "listen at port 8080, which none of its arrows grants", "add 8080"),
            (
                "control",
                &format!("config.port = 7000\nconfig.keys = [{{ key = \"{key}\", role = \"view\" }}]"),
                "port 7000",
                "config.port",
            ),
        ] {
            let faults = faults(&system(name, line));
            let [fault] = &faults[..] else { panic!("{line}: {faults:?}") };
            assert!(fault.message.contains(message), "{line}: {fault}");
            assert!(fault.help.as_deref().unwrap_or_default().contains(help), "{line}: {fault}");
            assert_eq!(
                (fault.box_name.as_deref(), fault.excerpt.starts_with("config.")),
                (Some(name), true),
                "{fault}"
            );
        }
        // one that has no settings
        let text = "[system]\nname = \"s\"\n[box.store]\ncomponent = \"store\"\nconfig.size = 1\n";
        let unknown = faults(&System::parse("system.toml", text).unwrap());
        assert!(matches!(&unknown[..], [fault] if fault.message.contains("config.size")), "{unknown:?}");
        for (name, line) in [("http", "config.ports = [8001]"), ("net", ""), ("control", "config.port = 9")] {
            assert!(faults(&system(name, line)).is_empty(), "{line}");
        }
    }

    /// Each fault is at its line, whatever box it is of, and all are told at once.
    #[test]
    fn settings_of_system_boxes_are_checked() {
        let text = "[system]\nname = \"s\"\n[box.w]\ncomponent = \"http\"\n[box.w.config]\nrules = [\n    { path = \"/a\", \
            redirect = \"/b\" },\n    { path = \"/c\", redirect = \"/d/*\" },\n    { path = \"/e\" },\n]\n[box.s]\ncomponent = \
            \"site\"\n[box.s.config]\nindex = \"index.html\"\nclean-urls = \"yes\"\n[box.o]\ncomponent = \
            \"./other\"\nconfig.index = \"a/b\"\n[box.v]\ncomponent = [\"http\", \"./x\"]\n[box.v.config]\nrules = [\n    \
            { path = \"/a/*\", rate = \"1/s\" },\n    { path = \"/a/b\", rate = \"2/s\" },\n]\n[box.u]\ncomponent = \
            \"http\"\nconfig.rules = [{ path = \"/a\", users.\"a:b\" = \"x\" }]\n";
        let system = System::parse("system.toml", text).unwrap();
        let told = crate::system::Report(&faults(&system)).to_string();
        for part in [
            "box `w`: config.rules.1.redirect: it has a *, and the path has none\n --> system.toml:8:",
            "box `w`: config.rules.2: the rule says nothing\n --> system.toml:9:",
            "box `s`: config.clean-urls = \"yes\": true or false is meant\n  --> system.toml:15:",
            // of components that are joined, each reads them
            "box `v`: config.rules.1.rate: this is never used: rules.0 before it",
            " --> system.toml:24:",
            "config.rules.0 is at system.toml:23",
            "box `u`: config.rules.0.users.a:b = \"x\": users are names",
            " --> system.toml:28:",
            "5 errors",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    /// A gateway whose clients choose where their requests go is refused, and so are upstreams that no arrow reaches.
    #[test]
    fn gateways_lead_where_they_say() {
        let told = |arrow: &str, config: &str, connect: &str| {
            let boxes = format!(
                "[box.shop]\ncomponent = \"fetch\"\n{config}\n\
                 arrows.\"pearwood:net/tcp\" = {{ box = \"net\", connect = [{connect}] }}\n"
            );
            let system = System::parse("system.toml", &web("test", arrow, &boxes)).unwrap();
            crate::system::Report(&faults(&system)).to_string()
        };
        let upstreams = "config.upstreams = [\"http://192.0.2.5:8080\", \"https://shop.example\"]";
        let all = "\"192.0.2.0/24:8000-8099\", \"shop.example:443\"";
        let shop = "[{ box = \"shop\" }]";
        let open = told(shop, "", all);
        for part in
            ["box `http`: its arrow to `shop` is for any host", "pearwood:http/handler", "config.upstreams of `shop`"]
        {
            assert!(open.contains(part), "{part} in {open}");
        }
        assert!(told("{ box = \"shop\", path = \"/a\" }", "", all).contains("is for any host"), "a path is no host");
        assert_eq!(told("{ box = \"shop\", host = \"shop.example\" }", "", all).matches("error").count(), 0);
        assert_eq!(told(shop, upstreams, all).matches("error").count(), 0);
        let missing = told(shop, upstreams, "\"192.0.2.5:8081\", \"shop.example:443\"");
        for part in
            ["no arrow of its grants a connection to the upstream http://192.0.2.5:8080", "add \"192.0.2.5:8080\" to"]
        {
            assert!(missing.contains(part), "{part} in {missing}");
        }
        assert!(!missing.contains("upstream https://"), "{missing}");
    }

    /// A certificate that `tls` would never show is refused: the operator would look for it in vain.
    #[test]
    fn certificates_of_authorities_are_shown() {
        let told = |wanted: &str, entries: &str| {
            let text = format!(
                "[system]\nname = \"s\"\n[box.acme]\ncomponent = \"acme\"\nconfig.terms-agreed = true\n\
                 config.certificates = [{wanted}]\narrows.\"pearwood:keys/acme\" = {{ box = \"keys\" }}\n\
                 [box.tls]\ncomponent = \"tls\"\n{entries}\narrows.\"pearwood:keys/tls\" = {{ box = \"keys\" }}\n\
                 [box.keys]\ncomponent = \"keys\"\n"
            );
            let system = System::parse("system.toml", &text)
                .unwrap_or_else(|faults| panic!("{}", crate::system::Report(&faults)));
            crate::system::Report(&faults(&system)).to_string()
        };
        let one = "{ names = [\"a.example\", \"b.example\"] }";
        for entries in [
            "config.certificates = [{ names = [\"a.example\", \"B.example\"] }]",
            "config.certificates = [{ names = [\"a.example\", \"192.0.2.1\"] }, { names = \"localhost\", key = \"own\" }]",
        ] {
            assert_eq!(told(one, entries).matches("error").count(), 0, "{entries}");
        }
        for entries in [
            "",
            "config.certificates = [{ names = [\"localhost\", \"127.0.0.1\"] }]",
            "config.certificates = [{ names = [\"a.example\", \"b.example\", \"localhost\"] }]",
            "config.certificates = [{ names = [\"a.example\", \"b.example\"], key = \"own\" }]",
            "config.certificates = [{ names = \"192.0.2.1\" }]",
        ] {
            let told = told(one, entries);
            for part in [
                "box `acme`: the certificate for a.example, b.example would never be shown",
                "of `tls` has the key `default`",
                "add { names = [\"a.example\", \"b.example\"], key = \"default\" } to config.certificates of `tls`",
                " --> system.toml:6:",
            ] {
                assert!(told.contains(part), "{entries}: {part} in {told}");
            }
        }
        // one of them
        let two = format!("{one}, {{ names = \"c.example\", key = \"c\" }}");
        let one = "config.certificates = [{ names = [\"a.example\", \"b.example\"] }]";
        let told = told(&two, one);
        assert!(told.contains("the certificate for c.example") && told.contains("1 error"), "{told}");
    }

    /// Which keys are for whom: told where arrows and settings differ, and filled in where an arrow says nothing.
    #[test]
    fn arrows_to_keys_are_for_those_of_the_settings() {
        let system = |arrow: &str| {
            let text = format!(
                "[system]\nname = \"s\"\n[box.tls]\ncomponent = \"tls\"\n\
                 config.certificates = [{{ names = \"a.example\" }}, {{ names = \"b.example\", key = \"shop\" }}]\n\
                 arrows.\"pearwood:keys/tls\" = {{ box = \"keys\"{arrow} }}\n[box.keys]\ncomponent = \"keys\"\n\
                 [box.own]\ncomponent = \"./own\"\narrows.\"pearwood:keys/tls\" = {{ box = \"keys\" }}\n"
            );
            System::parse("system.toml", &text).unwrap_or_else(|faults| panic!("{}", crate::system::Report(&faults)))
        };
        for (arrow, parts) in [
            (", keys = [\"default\"]", &["the key `shop`, which its arrow", "add \"shop\"", "system.toml:6:"][..]),
            (", keys = \"other\"", &["the key `default`", "the key `shop`", "2 errors"]),
            (", keyz = \"shop\"", &["keyz = \"shop\"", "says `keys` and nothing else", "system.toml:6:"]),
            (", keys = [\"\"]", &["keys.0 = \"\"", "1 to 253 bytes"]),
        ] {
            let told = crate::system::Report(&faults(&system(arrow))).to_string();
            assert!(parts.iter().all(|part| told.contains(part)), "{arrow}: {told}");
        }
        for arrow in ["", ", keys = [\"shop\", \"default\", \"more\"]"] {
            assert!(faults(&system(arrow)).is_empty(), "{arrow}");
        }
        let many: Vec<String> =
            (0..200).map(|n| format!("{{ names = \"n{n}.example\", key = \"a-long-name-{n}\" }}")).collect();
        let text = format!(
            "[system]\nname = \"s\"\n[box.tls]\ncomponent = \"tls\"\nconfig.certificates = [{}]\n\
             arrows.\"pearwood:keys/tls\" = {{ box = \"keys\" }}\n[box.keys]\ncomponent = \"keys\"\n",
            many.join(", ")
        );
        let told = crate::system::Report(&faults(&System::parse("system.toml", &text).unwrap())).to_string();
        for part in ["is for the 200 keys", "at most 4096", "system.toml:5:", "1 error"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let call = |words: &[(&str, &str)]| CallRoute {
            interface: "pearwood:keys/tls@0.2.0".into(),
            box_index: 1,
            export: "pearwood:keys/tls@0.2.0".into(),
            words: words.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        };
        let of_box = |call| BoxRoutes {
            run: Run::Called,
            clients: vec![],
            services: vec![],
            calls: call,
            lent: vec![],
            nobody: vec![],
        };
        let mut routes =
            Routes { boxes: vec![of_box(vec![call(&[])]), of_box(vec![]), of_box(vec![call(&[])])], warnings: vec![] };
        grant_keys(&system(""), &mut routes);
        let words = |place: usize| routes.boxes[place].calls[0].words.clone();
        assert_eq!(words(0), [("keys.0".into(), "default".into()), ("keys.1".into(), "shop".into())]);
        assert_eq!(words(2), [], "of a box whose settings are its own");
        let said = [("keys.0", "shop")];
        routes.boxes[0].calls[0] = call(&said);
        grant_keys(&system(""), &mut routes);
        assert_eq!(routes.boxes[0].calls, [call(&said)]);
    }

    #[test]
    fn authorities_sign_for_no_key_of_ed25519() {
        let told = |keys: &str| {
            let text = format!(
                "[system]\nname = \"s\"\n[box.acme]\ncomponent = \"acme\"\nconfig.terms-agreed = true\n\
                 config.certificates = [{{ names = \"a.example\", key = \"a\" }}]\narrows.\"pearwood:keys/acme\" = {{ box = \"keys\" }}\n\
                 [box.keys]\ncomponent = \"keys\"\nconfig.keys = {{ {keys} }}\n"
            );
            let system = System::parse("system.toml", &text)
                .unwrap_or_else(|faults| panic!("{}", crate::system::Report(&faults)));
            crate::system::Report(&faults(&system)).to_string()
        };
        let wrong = told("a = \"new-ed25519\"");
        for part in ["box `acme`: the key `a` is one of Ed25519", "system.toml:6:", "1 error", "a key of ECDSA"] {
            assert!(wrong.contains(part), "{part} in {wrong}");
        }
        for keys in ["a = \"new\"", "b = \"new-ed25519\""] {
            assert_eq!(told(keys).matches("error").count(), 0, "{keys}");
        }
    }

    /// D9: memory below what a component begins with.
    #[test]
    fn d9_memory_that_cannot_do_is_refused() {
        let component = |wat: &str| {
            let binary = wat::parse_str(wat).unwrap();
            let description = crate::system::describe(&binary).unwrap();
            Component { binary, description }
        };
        let components = BTreeMap::from([
            ("http".to_string(), component("(component (core module (memory 17)))")),
            ("site".to_string(), component("(component (core module (memory 33)))")),
        ]);
        assert!(too_small(&system("http", "memory = \"16 MiB\""), &components).is_empty());
        let faults = too_small(&system("site", "memory = \"2 MiB\""), &components);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let message = "box `site`: memory = 2 MiB is too little: its component begins with 2112 KiB";
        assert_eq!((faults[0].message.as_str(), faults[0].excerpt.as_str()), (message, "memory = \"2 MiB\""));
        let faults = too_small(&system("http", "memory = \"1152 KiB\""), &components);
        assert!(faults[0].message.contains("too small for HTTP: it needs"), "{faults:?}");
    }
}

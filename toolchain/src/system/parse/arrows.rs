//! A box's `arrows`: for each interface one table, or an array of tables; an empty one for nobody.

use super::table::{Key, Table, Value};
use super::{Reader, is_device, label};
use crate::system::description::Interface;
use crate::system::given::given;
use crate::system::grant::{
    self, At, BlockGrant, ControlGrant, Grant, HttpGrant, NetGrant, Ports, Remote, Sectors, Setting, StoreGrant,
};
use crate::system::keys::{ACCESS, GRANTS, MAX_QUOTA, MAX_UPLOAD, MIN_UPLOAD, TARGETS, grants};
use crate::system::known::{self, HANDLER, KEYVALUE, Kind, TCP, UDP};
use crate::system::model::{Arrow, BoxSpec, Target};
use crate::system::{Diagnostic, InterfaceName, suggest};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use toml::de::DeValue;
use wasm_host::plan::MAX_ENTRIES;
use wit::keyvalue::Access;

/// Many components import what WASI has for HTTP clients, whether they use it or not: without a target it is denied.
fn goes_to_nobody(key: &Key<'_>, value: &Value<'_>) -> Option<InterfaceName> {
    let interface = InterfaceName::parse(key.text).filter(|name| name.package() == "wasi:http")?;
    let is_client = Kind::of(&interface) == Kind::Protocol(HANDLER);
    let is_empty = matches!(value.get_ref(), DeValue::Array(array) if array.is_empty());
    (is_client && is_empty).then_some(interface)
}

impl Reader {
    pub fn arrows(&mut self, name: &str, value: &Value<'_>, spec: &mut BoxSpec) {
        let Some(table) = self.table(value, &format!("box `{name}`: arrows")) else { return };
        for (key, value) in table.into_entries() {
            let before = self.faults.len();
            match goes_to_nobody(&key, value) {
                Some(interface) => spec.nobody.push(interface),
                None => spec.arrows.extend(self.interface(name, &key, value)),
            }
            for fault in &mut self.faults[before..] {
                fault.interface = Some(key.text.into());
            }
        }
    }

    /// The arrows of one interface.
    fn interface(&mut self, name: &str, key: &Key<'_>, value: &Value<'_>) -> Vec<Arrow> {
        let what = format!("box `{name}`, arrow `{}`", key.text);
        let given = || given().iter().map(Interface::path);
        // arrows.pearwood:net/tcp without quotes does not parse; arrows.net.tcp does
        let named = InterfaceName::parse(key.text).filter(|name| {
            let is_own =
                given().any(|own| own.starts_with(name.package()) && own[name.package().len()..].starts_with('/'));
            !is_own || given().any(|own| own == name.path())
        });
        let Some(interface) = named else {
            let help = match suggest::nearest(key.text, given()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "an interface is named \"namespace:package/interface\", in quotes".into(),
            };
            self.fault(key.span.clone(), format!("{what} names no interface")).help = Some(help);
            return Vec::new();
        };
        let kind = Kind::of(&interface);
        let refuse = match kind {
            Kind::Own => Some("every box has this interface; it takes no arrow"),
            _ => None,
        };
        if let Some(why) = refuse {
            self.fault(key.span.clone(), format!("{what}: {why}")).help = Some("delete this line".into());
            return Vec::new();
        }
        let values = self.one_or_more(value, &what);
        if values.len() > 1 && !matches!(kind, Kind::Protocol(_) | Kind::Device(_) | Kind::Other) {
            let message = format!("{what} has {} targets; this interface can have one", values.len());
            self.fault(value.span(), message);
        }
        if values.len() > MAX_ENTRIES {
            self.fault(value.span(), format!("{what} has {} targets; at most {MAX_ENTRIES}", values.len()));
            return Vec::new();
        }
        values.into_iter().filter_map(|value| self.arrow(&what, &interface, kind, key, value)).collect()
    }

    fn arrow(
        &mut self,
        what: &str,
        interface: &InterfaceName,
        kind: Kind,
        key: &Key<'_>,
        value: &Value<'_>,
    ) -> Option<Arrow> {
        let mut table = self.table(value, what)?;
        // what a protocol of people's own grants is known when its component is there
        if kind != Kind::Other {
            let all = GRANTS.iter().flat_map(|(_, grants)| grants.iter());
            let known: Vec<&str> = TARGETS.iter().chain(all).map(|setting| setting.key).collect();
            self.unknown_keys(&mut table, what, &known);
            let elsewhere = known.iter().filter(|key| TARGETS.iter().chain(grants(kind)).all(|it| it.key != **key));
            for (key, _) in elsewhere.filter_map(|key| table.take(key)).collect::<Vec<_>>() {
                let message = format!("{what}: a grant of `{}` does not belong to this interface", key.text);
                self.fault(key.span, message);
            }
        }
        let target = self.target(what, kind, value, &mut table);
        let grant = match kind {
            Kind::Protocol(TCP | UDP) => Grant::Net(self.net_grant(what, &mut table)),
            Kind::Protocol(HANDLER) => Grant::Http(self.http_grant(what, &mut table)),
            Kind::Protocol(KEYVALUE) => self.store_grant(what, value, &mut table).map_or(Grant::None, Grant::Store),
            Kind::Device(known::DISK) => Grant::Block(self.block_grant(what, &mut table)),
            Kind::Control => Grant::Control(self.control_grant(what, &mut table)),
            Kind::Other => self.attach_grant(what, &mut table),
            _ => Grant::None,
        };
        let (target, target_at) = target?;
        if let (Target::Volume(_), Grant::Block(grant)) = (&target, &grant)
            && grant.at.line > 0
        {
            let (place, message) = (grant.at, format!("{what}: of a volume, all sectors are granted"));
            self.faults
                .push(Diagnostic { box_name: self.box_name.clone(), ..Diagnostic::new(&self.source, place, message) });
        }
        let at = self.place(key.span.clone());
        Some(Arrow { interface: interface.clone(), target, grant, at, target_at })
    }

    fn target(
        &mut self,
        what: &str,
        kind: Kind,
        value: &Value<'_>,
        table: &mut Table<'_, '_>,
    ) -> Option<(Target, crate::system::Place)> {
        // a protocol of people's own may have a grant of that name
        let means = |key: &str| kind != Kind::Other || key != "volume";
        let targets = TARGETS.iter().filter(|target| means(target.key));
        let found: Vec<_> = targets.filter_map(|target| table.take(target.key)).collect();
        let [(key, named)] = &found[..] else {
            let message = match found.len() {
                0 => format!("{what} has no target"),
                _ => format!("{what} has more than one target"),
            };
            let help = match kind {
                Kind::Device(known::DISK) => "write { volume = \"…\" }, and [volume.…] for it".to_string(),
                Kind::Device(class) => format!("write {{ device = \"{class}0\" }}"),
                Kind::Control | Kind::Lent => "write { node = true }".to_string(),
                _ => "write { box = \"…\" }".to_string(),
            };
            self.fault(value.span(), message).help = Some(help);
            return None;
        };
        let place = self.place(named.span());
        let target = match key.text {
            "node" => match named.get_ref() {
                DeValue::Boolean(true) => Target::Node,
                _ => return self.wrong_type(named, &format!("{what}: node"), "true"),
            },
            key => {
                let text = self.string(named, &format!("{what}: {key}"))?;
                if let Err(why) = label(text) {
                    self.fault(named.span(), format!("{what}: the {key} `{text}` {why}"));
                    return None;
                }
                match key {
                    "box" => Target::Box(text.into()),
                    "volume" => Target::Volume(text.into()),
                    _ => Target::Device(text.into()),
                }
            }
        };
        let why = match (kind, &target) {
            (Kind::Device(class), Target::Device(name)) => {
                if is_device(class, name) {
                    None
                } else {
                    Some(format!("the device `{name}` is no {class}; write \"{class}0\""))
                }
            }
            (Kind::Device(known::DISK), Target::Volume(_)) => None,
            (Kind::Device(class), _) => Some(format!("it goes to a device; write {{ device = \"{class}0\" }}")),
            (Kind::Face | Kind::Control | Kind::Lent, Target::Node) => None,
            (Kind::Control | Kind::Lent, _) => Some("it goes to the node; write { node = true }".into()),
            (_, Target::Device(_)) => Some("it goes to a box, not to a device".into()),
            (_, Target::Volume(_)) => Some("it goes to a box, not to a volume".into()),
            (_, Target::Node) => Some("the node gives no such interface; write { box = \"…\" }".into()),
            (_, Target::Box(_)) => None,
        };
        if let Some(why) = why {
            self.fault(named.span(), format!("{what}: {why}"));
            return None;
        }
        Some((target, place))
    }

    fn net_grant(&mut self, what: &str, table: &mut Table<'_, '_>) -> NetGrant {
        let mut grant = NetGrant::default();
        if let Some((_, value)) = table.take("listen") {
            for value in self.entries(&format!("{what}: listen"), value) {
                let ports = match value.get_ref() {
                    DeValue::String(text) => Some(Ports::parse(text)),
                    DeValue::Integer(port) if port.radix() == 10 => Some(Ports::parse(port.as_str())),
                    _ => self.wrong_type(value, &format!("{what}: listen"), "a port or a range of ports"),
                };
                if let Some(ports) = ports.and_then(|ports| self.granted(what, value, ports)) {
                    let ports = At { value: ports, at: self.place(value.span()) };
                    if grant.listen.iter().any(|other| other.overlaps(&ports)) {
                        self.fault(value.span(), format!("{what}: listen = {ports} is granted twice"));
                    }
                    grant.listen.push(ports);
                }
            }
        }
        if let Some((_, value)) = table.take("connect") {
            for value in self.entries(&format!("{what}: connect"), value) {
                let Some(text) = self.string(value, &format!("{what}: connect")) else { continue };
                if let Some(remote) = self.granted(what, value, Remote::parse(text)) {
                    grant.connect.push(At { value: remote, at: self.place(value.span()) });
                }
            }
        }
        grant
    }

    fn http_grant(&mut self, what: &str, table: &mut Table<'_, '_>) -> HttpGrant {
        let mut part = |key: &str, read: fn(&str) -> Result<String, String>| {
            let (_, value) = table.take(key)?;
            let text = self.string(value, &format!("{what}: {key}"))?;
            self.granted(what, value, read(text))
        };
        HttpGrant {
            host: part("host", grant::http_host).unwrap_or_default(),
            path: part("path", grant::http_path).unwrap_or_default(),
        }
    }

    /// None: it names no bucket, which was said.
    fn store_grant(&mut self, what: &str, arrow: &Value<'_>, table: &mut Table<'_, '_>) -> Option<StoreGrant> {
        let mut grant =
            StoreGrant { bucket: String::new(), access: Access::ReadWrite, prefix: String::new(), quota: None };
        if let Some((_, value)) = table.take("access")
            && let Some(text) = self.string(value, &format!("{what}: access"))
        {
            let known =
                grant::store_access(text).ok_or_else(|| format!("access = {text:?} is none of {}", ACCESS.join(", ")));
            grant.access = self.granted(what, value, known)?;
        }
        if let Some((_, value)) = table.take("prefix")
            && let Some(text) = self.string(value, &format!("{what}: prefix"))
        {
            grant.prefix = self.granted(what, value, StoreGrant::prefix(text))?;
        }
        if let Some((_, value)) = table.take("quota") {
            grant.quota = Some(self.size(value, &format!("{what}: quota"), 1..=MAX_QUOTA)?);
        }
        let Some((_, value)) = table.take("bucket") else {
            let help = "write { box = \"store\", bucket = \"…\" }, with a name that stays: what is kept is found by it";
            self.fault(arrow.span(), format!("{what} names no bucket")).help = Some(help.into());
            return None;
        };
        let text = self.string(value, &format!("{what}: bucket"))?;
        if let Err(why) = label(text) {
            self.fault(value.span(), format!("{what}: the bucket `{text}` {why}"));
            return None;
        }
        grant.bucket = text.into();
        Some(grant)
    }

    fn block_grant(&mut self, what: &str, table: &mut Table<'_, '_>) -> At<BlockGrant> {
        let mut grant: At<BlockGrant> = At::default();
        if let Some((_, value)) = table.take("sectors") {
            let text = self.string(value, &format!("{what}: sectors"));
            if let Some(sectors) = text.and_then(|text| self.granted(what, value, Sectors::parse(text))) {
                grant.value.sectors = sectors;
                grant.at = self.place(value.span());
            }
        }
        if let Some((_, value)) = table.take("read-only") {
            grant.value.read_only = self.boolean(value, &format!("{what}: read-only")).unwrap_or_default();
        }
        grant
    }

    /// What the protocol's own `attach` is to say. Whether it does is seen when the component is there.
    fn attach_grant(&mut self, what: &str, table: &mut Table<'_, '_>) -> Grant {
        let mut settings = Vec::new();
        for (key, value) in table.take_all() {
            match setting(value.get_ref()) {
                Some(setting) => settings.push((key.text.into(), setting)),
                None => {
                    let message =
                        format!("{what}: {} is neither text, a whole number, true or false, nor a list", key.text);
                    self.fault(value.span(), message);
                }
            }
        }
        Grant::Attach(settings)
    }

    fn control_grant(&mut self, what: &str, table: &mut Table<'_, '_>) -> ControlGrant {
        let mut grant = ControlGrant::default();
        if let Some((_, value)) = table.take("upload")
            && let Some(bytes) = self.size(value, &format!("{what}: upload"), MIN_UPLOAD..=MAX_UPLOAD)
        {
            grant.upload = bytes;
        }
        grant
    }

    fn entries<'t, 'i>(&mut self, what: &str, value: &'t Value<'i>) -> Vec<&'t Value<'i>> {
        let mut values = self.one_or_more(value, what);
        if values.len() > MAX_ENTRIES {
            self.fault(value.span(), format!("{what} has {} entries; at most {MAX_ENTRIES}", values.len()));
            values.clear();
        }
        values
    }

    /// Notes why a grant could not be read.
    fn granted<T>(&mut self, what: &str, value: &Value<'_>, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.fault(value.span(), format!("{what}: {why}"))).ok()
    }
}

fn setting(value: &DeValue<'_>) -> Option<Setting> {
    Some(match value {
        DeValue::String(text) => Setting::Text(text.as_ref().into()),
        DeValue::Integer(number) => Setting::Number(i64::from_str_radix(number.as_str(), number.radix()).ok()?),
        DeValue::Boolean(truth) => Setting::Truth(*truth),
        DeValue::Array(items) => {
            Setting::List(items.iter().map(|item| setting(item.get_ref())).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

// What boxes report of themselves: certificates, orders, hosts, upstreams. Others have their figures beside them only.
const toldBy = (name, node = now) => (node && node.figures || {})[name] || [];
// Those of a name, of all boxes. Any box may report under any name: only what is of that kind, and has these labels, is one.
const toldOf = (figure, kind, ...labels) => Object.entries(now && now.figures || {}).flatMap(([box, all]) =>
  all.filter(one => one.name === figure && one.kind === kind && labels.every(label => one.labels[label] != null)).map(one => ({ ...one, box })));
// The figure of that name that the same box tells of the same thing.
const besides = (one, name, kind) => toldBy(one.box).find(it => it.name === name && it.kind === kind && sameLabels(it.labels, one.labels));
const sameLabels = (a, b) => Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([name, value]) => b[name] === value);
const since = one => {
  if (!before) return 0;
  const old = toldBy(one.box, before).find(it => it.name === one.name && it.kind === one.kind && sameLabels(it.labels, one.labels));
  return grown(one.value, old ? old.value : 0);
};
const clock = () => now.wall_clock == null ? Date.now() / 1000 : now.wall_clock / 1e9;
// Dates have an end.
const day = moment => Number.isFinite(moment) && Math.abs(moment) < 8.64e12 ? new Date(moment * 1000).toISOString().slice(0, 10) : "no day that there is";
const FAR = 100 * 365 * 86400, WARN_DAYS = 14;
const until = moment => {
  const left = moment - clock();
  return left > FAR ? "no end" : left < 0 ? `${span(-left * 1e9)} ago` : `in ${span(left * 1e9)}`;
};
const toldValue = one => one.kind === "moment" ? until(one.value) : one.kind === "counter" ? one.value.toLocaleString("en") : String(one.value);

// By box and host: requests, and by class; bytes; and how many requests a second there were in the last minute.
const CLASSES = ["2xx", "3xx", "4xx", "5xx"], OTHER = "other";
let hostHistories = new Map();
const keyOf = host => JSON.stringify([host.box, host.name]);
const hostsOf = () => {
  const hosts = new Map(), of = one => {
    const host = { box: one.box, name: one.labels.host, rate: 0, bytes: 0, limited: 0, classes: new Map() }, key = keyOf(host);
    return hosts.get(key) || hosts.set(key, host).get(key);
  };
  for (const one of toldOf("requests", "counter", "host", "status")) {
    const host = of(one), part = one.labels.status;
    host.rate += since(one) / seconds();
    host.classes.set(part, (host.classes.get(part) || 0) + one.value);
  }
  for (const one of toldOf("body-bytes", "counter", "host")) of(one).bytes += since(one) / seconds();
  for (const one of toldOf("limited-requests", "counter", "host")) of(one).limited += one.value;
  return [...hosts.values()].sort((a, b) => (a.name === OTHER) - (b.name === OTHER) || a.name.localeCompare(b.name) || a.box.localeCompare(b.box));
};
// Of hosts that are told of no more, nothing is kept.
const rememberHosts = () => {
  hostHistories = new Map(hostsOf().map(host => [keyOf(host), [...(hostHistories.get(keyOf(host)) || []), host.rate].slice(-KEPT)]));
};

const fill = (id, rows) => { $(id).replaceChildren(...rows); $(id).closest(".scroll").hidden = !rows.length };
const certificateRow = ({ box, labels, value }) => {
  const days = Math.floor((value - clock()) / 86400), kind = days < 0 ? "bad" : days < WARN_DAYS ? "warn" : "good";
  const left = days * 86400 > FAR ? "no end" : days < 0 ? "expired" : days === 1 ? "1 day" : `${days} days`;
  const pill = make("td", { data: { label: "Left" } }, make("span", { className: "pill " + kind, title: days * 86400 > FAR ? "" : "until " + day(value) }, left));
  return make("tr", { data: { certificate: labels.names } }, cell(labels.names, "Certificate", "lead"), pill, cell(labels.issuer ?? "–", "Issuer"),
    cell(labels.from ?? "–", "From", labels.from === "self-signed" ? "warn" : "dim"), cell(labels.key ?? "–", "Key", "dim"), cell(box, "Box", "dim"));
};
const showCertificates = () => fill("certificates", toldOf("certificate-expires", "moment", "names").sort((a, b) => a.value - b.value).map(certificateRow));
const showOrders = () => fill("orders", toldOf("order-state", "text", "names").map(one => {
  const next = besides(one, "next-order", "moment"), error = besides(one, "last-error", "text");
  return make("tr", {}, cell(one.labels.names, "Order", "lead"), cell(one.value, "State", error ? "warn" : ""),
    cell(next ? until(next.value) : "now", "Next try", "dim"), cell(error ? error.value : "–", "Last error", error ? "bad" : "dim"), cell(one.box, "Box", "dim"));
}));
const showHosts = () => fill("hosts", hostsOf().map(host => {
  const spark = newSpark(), counted = part => host.classes.get(part) || 0;
  const of = part => cell(count(counted(part)), part, part === "5xx" && counted(part) ? "n bad" : "n");
  drawSpark(spark, hostHistories.get(keyOf(host)) || [], 1);
  return make("tr", { data: { host: host.name } }, cell(host.name, "Host", "lead"), cell(count(host.rate), "Requests/s", "n"), cell(spark, "Last minute"),
    cell(bytes(host.bytes), "Sent/s", "n"), ...CLASSES.map(of), cell(count(host.limited), "Limited", host.limited ? "n warn" : "n dim"), cell(host.box, "Box", "dim"));
}));
const showUpstreams = () => fill("upstreams", toldOf("upstream-state", "text", "upstream").map(one => {
  const counted = name => { const it = besides(one, name, "counter"); return it ? it.value : 0 }, errors = counted("upstream-errors");
  return make("tr", {}, cell(one.labels.upstream, "Upstream", "lead"), cell(one.value, "State", one.value === "well" ? "good" : "bad"),
    cell(count(counted("upstream-requests")), "Requests", "n"), cell(count(errors), "Errors", errors ? "n warn" : "n dim"), cell(one.box, "Box", "dim"));
}));
const showHandshakes = () => {
  const handshakes = toldOf("handshakes", "counter", "outcome"), failed = toldOf("failed-handshakes", "counter", "reason").filter(one => one.value);
  const told = [...new Set(handshakes.map(one => one.box))].map(box => {
    const by = outcome => count(handshakes.filter(one => one.box === box && one.labels.outcome === outcome).reduce((sum, one) => sum + since(one), 0) / seconds());
    const reasons = failed.filter(one => one.box === box).map(one => `${count(one.value)} ${one.labels.reason}`);
    return `${box}: ${by("full")} full/s, ${by("resumed")} resumed/s` + (reasons.length ? `; failed: ${reasons.join(", ")}` : "");
  });
  write($("handshakes"), told.length ? `TLS handshakes of ${told.join(" · ")}` : "");
};
const showWeb = () => {
  apart(showCertificates, showOrders, showHosts, showUpstreams, showHandshakes);
  $("web").hidden = !$("handshakes").textContent && ["certificates", "orders", "hosts", "upstreams"].every(id => !$(id).children.length);
};

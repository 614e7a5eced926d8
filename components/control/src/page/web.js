// What boxes report of themselves: certificates, orders, hosts, upstreams. Others have their figures beside them only.
const toldBy = (name, node = now) => (node && node.figures || {})[name] || [];
const toldOf = (figure, node = now) => Object.entries(node && node.figures || {}).flatMap(([box, all]) => all.filter(one => one.name === figure).map(one => ({ ...one, box })));
const sameLabels = (a, b) => Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([name, value]) => b[name] === value);
const since = one => {
  if (!before) return 0;
  const old = toldBy(one.box, before).find(it => it.name === one.name && sameLabels(it.labels, one.labels));
  return grown(one.value, old ? old.value : 0);
};
const clock = () => now.wall_clock == null ? Date.now() / 1000 : now.wall_clock / 1e9;
const day = moment => new Date(moment * 1000).toISOString().slice(0, 10);
const FAR = 100 * 365 * 86400, WARN_DAYS = 14;
const until = moment => {
  const left = moment - clock();
  return left > FAR ? "no end" : left < 0 ? `${span(-left * 1e9)} ago` : `in ${span(left * 1e9)}`;
};
const toldValue = one => one.kind === "moment" ? until(one.value) : one.kind === "counter" ? one.value.toLocaleString("en") : String(one.value);

// By host: requests, and by class; bytes; and how many requests a second there were in the last minute.
const hostHistories = new Map();
const hostsOf = () => {
  const hosts = new Map(), of = name => hosts.get(name) || hosts.set(name, { name, rate: 0, bytes: 0, limited: 0, classes: {} }).get(name);
  for (const one of toldOf("requests")) {
    if (!one.labels.host) continue;
    const host = of(one.labels.host), part = one.labels.status;
    host.rate += since(one) / seconds();
    host.classes[part] = (host.classes[part] || 0) + one.value;
  }
  for (const one of toldOf("body-bytes")) if (one.labels.host) of(one.labels.host).bytes += since(one) / seconds();
  for (const one of toldOf("limited-requests")) if (one.labels.host) of(one.labels.host).limited += one.value;
  return [...hosts.values()].sort((a, b) => (a.name === "other") - (b.name === "other") || a.name.localeCompare(b.name));
};
const rememberHosts = () => {
  for (const host of hostsOf()) hostHistories.set(host.name, [...(hostHistories.get(host.name) || []), host.rate].slice(-KEPT));
};

const fill = (id, rows) => { $(id).replaceChildren(...rows); $(id).closest(".scroll").hidden = !rows.length };
const certificateRow = ({ box, labels, value }) => {
  const days = Math.floor((value - clock()) / 86400), kind = days < 0 ? "bad" : days < WARN_DAYS ? "warn" : "good";
  const left = days * 86400 > FAR ? "no end" : days < 0 ? "expired" : days === 1 ? "1 day" : `${days} days`;
  const pill = make("td", { data: { label: "Left" } }, make("span", { className: "pill " + kind, title: days * 86400 > FAR ? "" : "until " + day(value) }, left));
  return make("tr", { data: { certificate: labels.names } }, cell(labels.names, "Certificate", "lead"), pill, cell(labels.issuer, "Issuer"),
    cell(labels.from, "From", labels.from === "self-signed" ? "warn" : "dim"), cell(labels.key, "Key", "dim"), cell(box, "Box", "dim"));
};
const showWeb = () => {
  const certificates = toldOf("certificate-expires").sort((a, b) => a.value - b.value);
  fill("certificates", certificates.map(certificateRow));
  const about = (one, name) => toldBy(one.box).find(it => it.name === name && sameLabels(it.labels, one.labels));
  fill("orders", toldOf("order-state").map(one => {
    const next = about(one, "next-order"), error = about(one, "last-error");
    return make("tr", {}, cell(one.labels.names, "Order", "lead"), cell(one.value, "State", error ? "warn" : ""),
      cell(next ? until(next.value) : "now", "Next try", "dim"), cell(error ? error.value : "–", "Last error", error ? "bad" : "dim"));
  }));
  fill("hosts", hostsOf().map(host => {
    const spark = newSpark(), of = part => cell(count(host.classes[part] || 0), part, part === "5xx" && host.classes[part] ? "n bad" : "n");
    drawSpark(spark, hostHistories.get(host.name) || [], 1);
    return make("tr", { data: { host: host.name } }, cell(host.name, "Host", "lead"), cell(count(host.rate), "Requests/s", "n"), cell(spark, "Last minute"),
      cell(bytes(host.bytes), "Sent/s", "n"), ...["2xx", "3xx", "4xx", "5xx"].map(of), cell(count(host.limited), "Limited", host.limited ? "n warn" : "n dim"));
  }));
  fill("upstreams", toldOf("upstream-state").map(one => {
    const number = name => { const it = toldBy(one.box).find(it => it.name === name && sameLabels(it.labels, one.labels)); return it ? it.value : 0 };
    const errors = number("upstream-errors");
    return make("tr", {}, cell(one.labels.upstream, "Upstream", "lead"), cell(one.value, "State", one.value === "well" ? "good" : "bad"),
      cell(count(number("upstream-requests")), "Requests", "n"), cell(count(errors), "Errors", errors ? "n warn" : "n dim"));
  }));
  const handshakes = toldOf("handshakes"), failed = toldOf("failed-handshakes"), sum = (list, of) => list.reduce((all, one) => all + of(one), 0);
  const by = outcome => count(sum(handshakes.filter(one => one.labels.outcome === outcome), since) / seconds());
  const reasons = failed.filter(one => one.value).map(one => `${count(one.value)} ${one.labels.reason}`);
  write($("handshakes"), handshakes.length ? `TLS handshakes: ${by("full")} full/s, ${by("resumed")} resumed/s` + (reasons.length ? `; failed: ${reasons.join(", ")}` : "") : "");
  $("web").hidden = !handshakes.length && ["certificates", "orders", "hosts", "upstreams"].every(id => !$(id).children.length);
};

// What is asked of the node, and what follows from two answers.
class Away extends Error {}
const get = async (path, options) => {
  let answer;
  try { answer = await fetch(path, { cache: "no-store", ...options }) }
  catch { throw new Away("`pearwood console` does not answer. Is it still running?") }
  if (answer.ok) return answer;
  const text = (await answer.text()).trim();
  throw answer.status === 502 ? new Away(text) : new Error(text || `status ${answer.status}`);
};
const json = async path => (await get(path)).json();
const order = (what, name, body) =>
  get(what + (name ? "?name=" + encodeURIComponent(name) : ""), { method: "POST", headers: { "x-pearwood": "1" }, body });
// Calls `each` with every line of JSON, as they come.
const lines = async (answer, each) => {
  const reader = answer.body.getReader(), decoder = new TextDecoder();
  for (let left = "";;) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    left += decoder.decode(value, { stream: true });
    const whole = left.split("\n");
    left = whole.pop();
    for (const line of whole) if (line) each(JSON.parse(line));
  }
};

let me = { role: "view", name: "", swap: "" };
const ROLES = ["view", "operate", "deploy"];
// Why the key may not; nothing if it may.
const forbids = role => ROLES.indexOf(me.role) >= ROLES.indexOf(role) ? ""
  : `${me.name} may not: this needs the role “${role}”, and the key has “${me.role}”`;

let now = null, before = null;
const KEPT = 60, histories = new Map();
const boxOf = (node, name) => node && node.boxes.find(one => one.name === name);
const arrowOf = (node, it) => node && node.arrows.find(one => one.from === it.from && one.to === it.to && one.interface === it.interface);
const grown = (value, old) => old == null || value < old ? value : value - old;
const seconds = () => before ? Math.max(.001, (now.uptime - before.uptime) / 1e9) : Infinity;

// How long `part` of what is in buckets took, as the node reckons it.
const quantile = (buckets, part) => {
  const all = buckets.reduce((sum, [, n]) => sum + n, 0);
  let left = Math.max(1, Math.ceil(all * part));
  for (const [end, n] of buckets) {
    if (left <= n) { const width = 2 ** (Math.floor(Math.log2(Math.max(end - 1, 1024))) - 2); return end - width + width * left / n }
    left -= n;
  }
  return null;
};
const figuresOf = arrow => {
  const old = arrowOf(before, arrow) || {}, per = seconds(), rate = (value, was) => before ? grown(value, was) / per : 0;
  const counted = arrow.requests ?? arrow.connections, latency = { p50: null, p99: null };
  if (arrow.latency && arrow.latency.count) {
    const was = new Map(old.latency ? old.latency.buckets : []);
    let buckets = before ? arrow.latency.buckets.map(([end, n]) => [end, grown(n, was.get(end))]) : [];
    if (!buckets.some(([, n]) => n)) { buckets = arrow.latency.buckets; latency.past = true }
    latency.p50 = quantile(buckets, .5);
    latency.p99 = quantile(buckets, .99);
  }
  return { ...arrow, counted, calls: counted == null ? null : rate(counted, old.requests ?? old.connections),
    out: rate(arrow.sent.bytes, (old.sent || {}).bytes), back: rate(arrow.received.bytes, (old.received || {}).bytes),
    failing: rate(arrow.errors, old.errors), ...latency };
};
const shareOf = box => { const old = boxOf(before, box.name); return before && old ? grown(box.cpu, old.cpu) / 1e9 / seconds() : 0 };
const remember = () => {
  for (const box of now.boxes) {
    const list = histories.get(box.name) || [];
    list.push(shareOf(box));
    histories.set(box.name, list.slice(-KEPT));
  }
  apart(rememberHosts);
};
const phaseKind = phase => ({ running: "good", "stand-in": "dim", ended: "dim", starting: "warn", backoff: "bad", stopped: "bad" })[phase] || "warn";

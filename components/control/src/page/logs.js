// The log: followed as it is written, never asked for twice.
const LEVELS = { error: 0, warn: 1, info: 2, debug: 3, trace: 3 }, MOST_LINES = 2000;
let kept = [], paused = false, missed = 0;
const isShown = one => (!$("which").value || one.box === $("which").value) && (LEVELS[one.level] ?? 3) <= +$("level").value
  && (!$("find").value || (one.box + ": " + one.text).toLowerCase().includes($("find").value.toLowerCase()));
// the time of day here, if the node knew it; else seconds since its boot
const timeOf = ({ at, time }) => {
  if (!time) return make("time", {}, (at / 1e9).toFixed(3));
  const date = new Date(time / 1e6);
  return make("time", { title: date.toISOString() }, date.toLocaleTimeString(undefined, { hour12: false }) + "." + String(date.getMilliseconds()).padStart(3, "0"));
};
const lineOf = one => make("div", { className: one.level }, timeOf(one),
  make("span", { className: "who" }, one.box), make("span", { className: "what" }, (one.level === "info" ? "" : one.level + ": ") + one.text));
const toEnd = () => { $("log").scrollTop = $("log").scrollHeight };
const showLog = () => {
  const all = kept.filter(isShown).map(lineOf);
  $("log").replaceChildren(...(all.length ? all : [make("div", { className: "none" }, make("span", { className: "none" }, "no such lines"))]));
  toEnd();
};
const addLines = fresh => {
  kept = kept.concat(fresh).slice(-MOST_LINES);
  if (paused) return write($("pause"), `Go on (${missed += fresh.length} new)`);
  const log = $("log"), follows = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
  const shown = fresh.filter(isShown);
  if (!shown.length) return;
  if (log.querySelector(".none")) log.replaceChildren();
  log.append(...shown.map(lineOf));
  while (log.children.length > MOST_LINES) log.firstChild.remove();
  if (follows) toEnd();
};
const follow = async () => {
  const next = new Map();
  let boot = 0;
  for (;;) {
    try {
      await lines(await get("follow"), boxes => {
        const fresh = boxes.flatMap(box => {
          // a node that was started again counts from 0
          if (now && now.uptime < boot) { next.clear(); kept = []; }
          boot = now ? now.uptime : boot;
          const first = next.get(box.name) ?? 0, of = box.lines.filter(one => one.number >= first);
          if (of.length) next.set(box.name, of[of.length - 1].number + 1);
          return of.map(one => ({ ...one, box: box.name }));
        });
        fresh.sort((a, b) => a.at - b.at || a.number - b.number);
        if (fresh.length) addLines(fresh);
      });
    } catch { /* the page says what is wrong with the connection */ }
    await new Promise(done => setTimeout(done, 1000));
  }
};
const showNames = () => {
  const names = ["", ...now.boxes.map(one => one.name)], select = $("which");
  if ([...select.options].map(option => option.value).join("\n") === names.join("\n")) return;
  const value = select.value;
  select.replaceChildren(...names.map(name => make("option", { value: name }, name || "all boxes")));
  select.value = names.includes(value) ? value : "";
};
$("which").onchange = $("level").onchange = $("find").oninput = showLog;
$("pause").onclick = () => {
  paused = !paused;
  missed = 0;
  $("pause").setAttribute("aria-pressed", paused);
  write($("pause"), paused ? "Go on" : "Pause");
  if (!paused) showLog();
};

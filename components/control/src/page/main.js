// Once a second the node is asked how it fares.
const EVERY = 1000;
let lost = false;
// What cannot be shown takes nothing else with it.
const apart = (...parts) => { for (const part of parts) try { part() } catch (error) { console.error(error) } };
const show = () => {
  if (!now) return;
  const arrows = now.arrows.map(figuresOf).sort((a, b) => b.out + b.back - a.out - a.back || (a.from + a.to).localeCompare(b.from + b.to));
  write($("system"), now.system);
  document.title = `${now.system} – Pearwood`;
  const fact = (name, value) => make("span", {}, name + " ", make("b", {}, value));
  $("facts").replaceChildren(fact("up", span(now.uptime)), fact("memory", `${bytes(now.memory.frames)} of ${bytes(now.memory.total)}`), ...(now.memory.heap ? [fact("heap", bytes(now.memory.heap))] : []));
  const bad = now.boxes.filter(box => phaseKind(box.phase) === "bad");
  setClass($("state"), "pill " + (bad.length ? "bad" : "good"));
  write($("state"), bad.length ? bad.map(box => `${box.name}: ${box.phase}`).join(", ") : "all boxes run");
  apart(() => enliven(arrows), showBoxes, showWeb, () => showArrows(arrows), showVolumes, showNames, showHistory);
};
const look = async () => {
  const node = await json("describe");
  // two looks at once would make a rate of nothing
  if (!now || node.uptime < now.uptime || node.uptime - now.uptime > 3e8) { before = now && node.uptime > now.uptime ? now : null; now = node; remember() }
  history = await json("history");
  redraw();
  show();
};
const connection = error => {
  if (!error && !lost) return;
  lost = !!error;
  document.body.classList.toggle("lost", lost);
  write($("lost"), lost ? `No connection to the node: ${error.message} What is below is what was seen last; trying again.` : "");
  if (lost) { setClass($("state"), "pill bad"); write($("state"), "no connection") }
};
$("theme").onclick = () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
};
(async () => {
  let known = false;
  follow();
  for (;;) {
    try {
      if (!known) {
        me = await json("me");
        known = true;
        write($("who"), `${me.name} · ${me.role}`);
        $("who").title = `as ${me.name}, with the role ${me.role}, at ${me.node}`;
      }
      if (!document.hidden || !now) await look();
      connection(null);
    } catch (error) { connection(error); known = false }
    await new Promise(done => setTimeout(done, EVERY));
  }
})();

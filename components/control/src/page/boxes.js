// The boxes, and what can be done to them.
const cards = new Map();
const choose = name => {
  chosen = chosen === name ? "" : name;
  $("which").value = chosen;
  showLog();
  show();
  const card = cards.get(chosen);
  if (card) card.root.scrollIntoView({ block: "nearest", behavior: "smooth" });
};
const allow = (button, role, also) => {
  const why = forbids(role) || also || "";
  button.disabled = !!why;
  button.title = why;
};
// A line of the last values, at least `least` high.
const newSpark = () => {
  const spark = draw("svg", { class: "spark", viewBox: "0 0 84 24", preserveAspectRatio: "none", "aria-hidden": "true" });
  spark.append(draw("path", { class: "under" }), draw("path", {}));
  return spark;
};
const drawSpark = (spark, known, least) => {
  const list = [...Array(KEPT - known.length).fill(0), ...known], top = Math.max(least, ...list);
  const points = list.map((value, at) => `${(84 - (list.length - 1 - at) * 84 / (KEPT - 1)).toFixed(1)} ${(22.5 - 21 * value / top).toFixed(1)}`);
  const line = "M" + points.join("L"), [first] = points[0].split(" ");
  spark.children[1].setAttribute("d", line);
  spark.children[0].setAttribute("d", `${line}L84 24L${first} 24Z`);
};
const newCard = name => {
  const button = (text, action) => make("button", { onclick: action, data: { does: text.replace("…", "").toLowerCase(), box: name } }, text);
  const card = { spark: newSpark(),
    pill: make("span"), figures: make("span", { className: "figures dim" }), memory: make("span"), fill: make("i"), what: make("span", { className: "dim" }),
    told: make("details", { className: "told" }, make("summary", {}, "Figures"), make("table", { ariaLabel: `Figures of ${name}` }, make("tbody"))),
    why: make("div", { className: "why dim" }), restarts: make("span", { className: "warn" }),
    restart: button("Restart…", () => act("restart", name, `Restart ${name}?`, "Its running instance ends, and another starts at once. What it has under way fails.", "Restart")),
    stop: button("Stop…", () => act("stop", name, `Stop ${name}?`, "It stays away until it is started, and whatever asks it fails.", "Stop", true)),
    start: button("Start…", () => act("start", name, `Start ${name}?`, "Its instance starts with what the system declares for it.", "Start")),
    swap: button("Swap…", () => swap(name)) };
  card.root = make("li", { className: "boxed", data: { card: name } },
    make("div", { className: "top" }, make("strong", {}, name), card.pill, card.restarts, card.figures),
    card.row = make("div", { className: "row" }, make("div", { className: "meter", ariaHidden: "true" }, card.fill), card.memory, card.spark),
    card.why, card.told, card.does = make("div", { className: "does", role: "group", ariaLabel: `Actions for ${name}` }, card.restart, card.stop, card.start, card.swap));
  return card;
};
const showBoxes = () => {
  for (const [name, card] of cards) if (!boxOf(now, name)) { card.root.remove(); cards.delete(name) }
  now.boxes.forEach((box, index) => {
    let card = cards.get(box.name);
    if (!card) cards.set(box.name, card = newCard(box.name));
    if ($("boxes").children[index] !== card.root) $("boxes").insertBefore(card.root, $("boxes").children[index] || null);
    const stand = box.phase === "stand-in", share = shareOf(box), part = Math.min(1, box.memory / box.limit);
    setClass(card.root, box.name === chosen ? "boxed chosen" : "boxed");
    setClass(card.pill, "pill " + phaseKind(box.phase));
    write(card.pill, box.phase === "running" ? `running ${span(now.uptime - box.since)}` : box.phase);
    write(card.restarts, box.restarts ? `↻ ${box.restarts} restart${box.restarts > 1 ? "s" : ""}` : "");
    write(card.figures, stand ? "the platform does its work" : `CPU ${percent(share)}`);
    card.row.hidden = card.does.hidden = stand;
    card.fill.style.width = part * 100 + "%";
    setClass(card.fill, part > .9 ? "high" : "");
    write(card.memory, `${bytes(box.memory)} of ${bytes(box.limit)}`);
    const reason = (box.reason || "").split("\n")[0];
    write(card.why, reason ? "ended last: " + reason : "");
    card.why.hidden = !reason;
    drawSpark(card.spark, histories.get(box.name) || [], .02);
    const told = toldBy(box.name);
    card.told.hidden = !told.length;
    if (card.told.open) card.told.querySelector("tbody").replaceChildren(...told.map(one => make("tr", {},
      make("td", {}, one.name), make("td", { className: "dim" }, Object.entries(one.labels).map(pair => pair.join("=")).join(" ")), make("td", { className: "n" }, toldValue(one)))));
    const stopped = box.phase === "stopped";
    card.start.hidden = !stopped; card.stop.hidden = stopped;
    allow(card.restart, "operate", stopped && "it is stopped"); allow(card.stop, "operate"); allow(card.start, "operate"); allow(card.swap, "deploy", me.swap);
  });
};

// Asks whether that is meant. Escape is no.
const sure = (title, text, yes, danger) => new Promise(done => {
  const dialog = $("sure");
  write($("sure-title"), title); write($("sure-text"), text); write($("sure-yes"), yes);
  setClass($("sure-yes"), danger ? "danger" : "primary");
  dialog.returnValue = "no";
  // the event of the time before may come when the dialog is open again
  dialog.onclose = () => dialog.open || done(dialog.returnValue === "yes");
  dialog.showModal();
});
const act = async (what, name, title, text, yes, danger) => {
  if (!await sure(title, text, yes, danger)) return;
  const told = note(`${yes} ${name} …`, "busy");
  try {
    await order(what, name);
    note({ restart: `${name} is started again`, stop: `${name} is stopped`, start: `${name} is started` }[what], "good", told);
    await look();
  } catch (error) { note(error.message, "bad", told) }
};

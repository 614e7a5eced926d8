// The system's boxes and arrows, with what goes on.
let drawn = "", chosen = "";
const flows = new Map();
const ICONS = { world: "M1 8a7 7 0 1 0 14 0a7 7 0 1 0-14 0M5 8a3 7 0 1 0 6 0a3 7 0 1 0-6 0M1.5 5.5H14.5M1.5 10.5H14.5",
  device: "M3 3H13V13H3ZM6 3V.5M10 3V.5M6 15.5V13M10 15.5V13M3 6H.5M3 10H.5M15.5 6H13M15.5 10H13" };
const ABOUT = { device: "device of the machine", volume: "volume on a disk", node: "the system that runs on it can be seen and changed", clients: "whoever reaches this node", hosts: "hosts that boxes may connect to" };
const group = (attributes, ...children) => { const element = draw("g", attributes); element.append(...children); return element };
const said = (tag, attributes, text) => { const element = draw(tag, attributes); element.textContent = text; return element };
const fitting = (text, size, room) => {
  if (wide(text, size) <= room) return text;
  while (text && wide(text + "…", size) > room) text = text.slice(0, -1);
  return text + "…";
};
const head = (id, kind) => {
  const marker = draw("marker", { id, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" });
  marker.append(draw("path", { class: kind, d: "M0 0L10 5L0 10L2.5 5Z" }));
  return marker;
};
const lineOfEdge = edge => {
  const kind = edge.outside ? "line open" : "line", ends = edge.outside ? {} : { "data-from": edge.from.name, "data-to": edge.to.name };
  const line = draw("path", { class: kind, ...ends, d: edge.path, "marker-end": `url(#${edge.outside ? "open-head" : "head"})` });
  line.append(said("title", {}, edge.title));
  if (edge.outside) return [line];
  const flow = draw("path", { class: "flow", d: edge.path, visibility: "hidden" });
  flows.set(line, flow);
  return [line, flow];
};
const labelOf = ({ label, labels, outside, from, to, title }) => {
  const { x, y, width, height } = label, parts = [said("title", {}, title), draw("rect", { class: "behind", x: x - width / 2, y: y - height / 2, width, height, rx: 8 })];
  let line = y - height / 2 - 2;
  for (const one of labels) {
    const text = said("text", { class: outside ? "label open" : "label", x, y: line += 18 }, one.name);
    if (one.grant) text.append(" ", said("tspan", { class: "grant" }, one.grant));
    parts.push(text);
    if (one.measured) parts.push(draw("text", { class: "figures", x, y: line += 18, "data-from": from.name, "data-to": to.name, "data-interface": one.measured }));
  }
  return group({}, ...parts);
};
const cardOf = ({ x, y, width: w, height: h, name, box, lines }, image) => {
  // what comes from a path is the owner's own; a bare name is one of the system's
  const own = /[/.]/.test(box.component) ? "own" : "stock", room = w - 40;
  const card = group({ class: "box", "data-box": name, tabindex: 0, role: "button", transform: `translate(${x - w / 2},${y - h / 2})` },
    said("title", {}, `box ${name}: ${lines.join(", ")}`), draw("rect", { class: box.phase === "stand-in" ? "card stand-in" : "card", width: w, height: h, rx: 12 }),
    draw("rect", { class: own, x: 10, y: 12, width: 4, height: h - 24, rx: 2 }), said("text", { class: "name", x: 26, y: 28 }, fitting(name, 16, room - 30)),
    said("text", { class: "detail", x: 26, y: 47 }, fitting(lines[0], 12, room)), said("text", { class: "detail", x: 26, y: 64 }, fitting(lines[1], 12, room)),
    draw("text", { class: "figures", x: 26, y: 81 }), draw("circle", { class: "dot", cx: w - 18, cy: 22, r: 5 }), draw("text", { class: "again", x: w - 30, y: 27 }),
    draw("rect", { class: "track", x: 26, y: h - 8, width: room, height: 3, rx: 1.5 }), draw("rect", { class: "fill", x: 26, y: h - 8, width: 0, height: 3, rx: 1.5, "data-most": room }));
  card.onclick = () => choose(name);
  card.onkeydown = event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(name) }
    else if (step) {
      event.preventDefault();
      const all = [...image.querySelectorAll(".box")];
      all[(all.indexOf(card) + step + all.length) % all.length].focus();
    }
  };
  return card;
};
const smallOf = ({ kind, name, x, y, width, height }) => {
  const look = kind === "device" || kind === "node" || kind === "volume" ? "device" : "world";
  return group({ transform: `translate(${x - width / 2},${y - height / 2})` }, said("title", {}, `${name}: ${ABOUT[kind]}`),
    draw("rect", { class: `card ${look}-edge`, width, height, rx: look === "world" ? height / 2 : 6 }),
    draw("path", { class: `icon ${look}-edge`, transform: "translate(14,12)", d: ICONS[look] }), said("text", { class: "small", x: 40, y: 25 }, name));
};
const redraw = () => {
  const key = JSON.stringify([now.links, now.boxes.map(box => [box.name, box.component, box.limit, box.weight, box.phase === "stand-in"])]);
  if (key === drawn) return;
  drawn = key;
  flows.clear();
  const picture = layOut(now);
  if (!picture) return $("graph").replaceChildren(make("p", { className: "dim" }, "The system is too large to be drawn; its arrows are listed below."));
  const margin = 24, width = picture.width + 2 * margin, height = picture.height + 2 * margin;
  const image = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": `the boxes of ${now.system} and the arrows between them` });
  picture.edges.forEach(edge => { edge.title = `${edge.from.name} → ${edge.to.name}: ${edge.labels.map(label => label.title).join(", ")}` });
  const marks = draw("defs", {});
  marks.append(head("head", "head"), head("open-head", "open-head"));
  image.append(marks, group({ transform: `translate(${margin},${margin})` }, ...picture.edges.flatMap(lineOfEdge),
    ...picture.edges.filter(edge => edge.label).map(labelOf), ...picture.nodes.map(node => node.box ? cardOf(node, image) : smallOf(node))));
  $("graph").replaceChildren(image);
};

const enliven = arrows => {
  const image = $("graph").firstElementChild;
  if (!image) return;
  image.querySelectorAll(".box").forEach(group => {
    const box = boxOf(now, group.dataset.box);
    if (!box) return;
    const stand = box.phase === "stand-in", kind = phaseKind(box.phase);
    setClass(group, kind === "bad" ? "box down" : "box");
    group.setAttribute("aria-pressed", chosen === box.name);
    setClass(group.querySelector(".dot"), "dot " + kind);
    write(group.querySelector(".again"), box.restarts ? `↻ ${box.restarts}` : "");
    const figures = stand ? "beside the node" : box.phase !== "running" ? box.phase : `CPU ${percent(shareOf(box))} · ${bytes(box.memory)}`;
    write(group.querySelector(".figures"), figures);
    const fill = group.querySelector(".fill"), part = stand ? 0 : Math.min(1, box.memory / box.limit);
    fill.setAttribute("width", fill.dataset.most * part);
    setClass(fill, part > .9 ? "fill high" : "fill");
    group.setAttribute("aria-label", `box ${box.name}: ${box.phase}, ${figures}, ${box.restarts} restarts`);
  });
  const taken = new Set();
  image.querySelectorAll(".figures[data-from]").forEach(text => {
    const { from, to, interface: name } = text.dataset, between = arrows.filter(one => one.from === from && one.to === to);
    // the declaration may name an arrow otherwise than the channel that carries it
    const arrow = between.find(one => one.interface === name && !taken.has(one)) || between.find(one => !taken.has(one));
    if (!arrow) return write(text, "");
    taken.add(arrow);
    const total = arrow.out + arrow.back, idle = !arrow.calls && total < 1;
    const parts = idle ? ["idle"] : [arrow.calls > 0 ? count(arrow.calls) + "/s" : "", arrow.calls > 0 && arrow.p50 != null ? short(arrow.p50) : "", bytes(total) + "/s"];
    if (arrow.failing > 0) parts.unshift(count(arrow.failing) + " errors/s");
    write(text, parts.filter(Boolean).slice(0, 3).join(" · "));
    setClass(text, "figures" + (arrow.failing > 0 ? " failing" : idle ? " idle" : ""));
  });
  flows.forEach((flow, line) => {
    const between = arrows.filter(one => one.from === line.dataset.from && one.to === line.dataset.to);
    const rate = between.reduce((sum, one) => sum + one.out + one.back, 0), busy = rate >= 1;
    flow.setAttribute("visibility", busy ? "visible" : "hidden");
    if (!busy) return;
    const size = Math.min(8, Math.log10(rate + 1));
    flow.setAttribute("stroke-width", (1.4 + size * .42).toFixed(1));
    flow.style.animationDuration = (2.2 / (1 + size * .5)).toFixed(1) + "s";
    setClass(flow, between.some(one => one.failing > 0) ? "flow failing" : "flow");
  });
};

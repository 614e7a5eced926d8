// The node's own drawing of its system, brought to life.
let drawn = "", chosen = "";
const flows = new Map();
const redraw = async () => {
  const text = await (await get("graph")).text();
  if (text === drawn) return;
  const image = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
  if (image.nodeName !== "svg") return;
  drawn = text;
  image.querySelectorAll("style").forEach(style => style.remove());
  // the name and the note stand in the page's own heading
  const [, , width, height] = image.getAttribute("viewBox").split(" ").map(Number), top = 72;
  if (image.querySelector(".heading")) {
    image.setAttribute("viewBox", `0 ${top} ${width} ${height - top - 8}`);
    image.setAttribute("height", height - top - 8);
  }
  image.querySelectorAll(".box").forEach(box => {
    const card = box.querySelector(".card"), w = +card.getAttribute("width"), h = +card.getAttribute("height");
    const name = box.dataset.box;
    box.setAttribute("tabindex", "0");
    box.setAttribute("role", "button");
    box.append(draw("circle", { class: "dot", cx: w - 18, cy: 22, r: 5 }), draw("text", { class: "again", x: w - 30, y: 27 }),
      draw("rect", { class: "track", x: 26, y: h - 8, width: w - 40, height: 3, rx: 1.5 }),
      draw("rect", { class: "fill", x: 26, y: h - 8, width: 0, height: 3, rx: 1.5, "data-most": w - 40 }));
    box.onclick = () => choose(name);
    box.onkeydown = event => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(name) }
      else if (step) {
        event.preventDefault();
        const all = [...image.querySelectorAll(".box")];
        all[(all.indexOf(box) + step + all.length) % all.length].focus();
      }
    };
  });
  flows.clear();
  image.querySelectorAll(".line[data-from]").forEach(line => {
    const flow = draw("path", { class: "flow", d: line.getAttribute("d"), visibility: "hidden" });
    line.after(flow);
    flows.set(line, flow);
  });
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

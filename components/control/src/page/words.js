// Elements, and figures in words.
const $ = id => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {}))
    if (name === "data") Object.assign(element.dataset, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const SVG = "http://www.w3.org/2000/svg";
const draw = (tag, attributes) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const write = (element, text) => { if (element.textContent !== text) element.textContent = text };
const setClass = (element, name) => { if (element.getAttribute("class") !== name) element.setAttribute("class", name) };

const inUnits = (n, units, step) => {
  let unit = 0;
  while (n >= step && unit < units.length - 1) { n /= step; unit++ }
  return (unit === 0 || n >= 100 ? Math.round(n) : n >= 10 ? n.toFixed(1) : n.toFixed(2).replace(/0$/, "")) + units[unit];
};
const bytes = n => inUnits(n, [" B", " KiB", " MiB", " GiB", " TiB"], 1024);
const count = n => n > 0 && n < 10 ? n.toFixed(1).replace(/\.0$/, "") : inUnits(n, ["", "k", "M", "G"], 1000);
const short = ns => ns == null ? "–" : ns < 1e3 ? "<1 µs" : inUnits(ns / 1e3, [" µs", " ms", " s"], 1000);
const span = ns => {
  const s = Math.floor(ns / 1e9), pad = n => String(n).padStart(2, "0");
  return s < 60 ? s + " s" : s < 3600 ? `${Math.floor(s / 60)} min ${pad(s % 60)} s`
    : s < 86400 ? `${Math.floor(s / 3600)} h ${pad(Math.floor(s / 60) % 60)} min` : `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
};
const percent = part => (part * 100 >= 10 ? Math.round(part * 100) : (part * 100).toFixed(1)) + " %";
const plain = name => name.replace(/^pearwood:/, "");

// A note at the edge of the page. It stays if something went wrong.
const note = (text, kind, old) => {
  const words = make("div", {}, text), close = make("button", { ariaLabel: "Close" }, "✕");
  const box = make("div", { className: "note " + (kind || "") }, words, close);
  close.onclick = () => box.remove();
  // what is begun now makes what came of something before old
  if (kind === "busy" && !old) $("notes").querySelectorAll(".note:not(.busy)").forEach(it => it.remove());
  if (old && old.isConnected) old.replaceWith(box); else $("notes").append(box);
  while ($("notes").children.length > 4) $("notes").firstChild.remove();
  if (kind === "good") setTimeout(() => box.remove(), 12000);
  return box;
};

// The arrows, busiest first.
const cell = (text, label, kind) => make("td", { className: kind || "", data: { label } }, text);
const showArrows = arrows => {
  const rows = arrows.filter(one => !chosen || one.from === chosen || one.to === chosen);
  const most = Math.max(1, ...rows.map(one => one.out + one.back));
  $("arrows").replaceChildren(...rows.map(one => {
    const lead = cell(`${one.from} → ${one.to}`, "Arrow", "lead");
    lead.append(make("span", { className: "thin", style: `width:${Math.max(0, 100 * (one.out + one.back) / most)}%` }));
    const wait = one.past ? "n dim" : "n";
    return make("tr", { data: { arrow: `${one.from}/${one.to}` } }, lead, cell(plain(one.interface), "Interface", "dim"), cell(one.calls == null ? "–" : count(one.calls), "Calls/s", "n"),
      cell(bytes(one.out), "Sent/s", "n"), cell(bytes(one.back), "Received/s", "n"), cell(count(one.errors), "Errors", one.failing > 0 ? "n bad" : one.errors ? "n warn" : "n dim"),
      cell(short(one.p50), "p50", wait), cell(short(one.p99), "p99", wait), cell(one.counted == null ? "–" : count(one.counted), "Calls", "n"));
  }));
  write($("chosen"), chosen ? `of ${chosen} only; choose it again for all` : "");
  const served = arrows.filter(one => one.interface.endsWith("/handler")).reduce((sum, one) => sum + one.calls, 0);
  write($("rates"), before ? `${count(served)} requests/s` : "");
};

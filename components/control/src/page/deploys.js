// Deployments: what there was, swap, and roll back.
const STEPS = { done: "good", refused: "bad", "rolled-back": "bad", stuck: "bad" };
let history = [];
const showHistory = () => {
  const rows = [...history].reverse().map(one => make("tr", { data: { deployment: one.number, step: one.step } }, cell("#" + one.number, "Number", "lead"),
    cell(one.wall_clock ? new Date(one.wall_clock / 1e6).toLocaleString() : span(Math.max(0, now.uptime - one.began)) + " ago", "When"), cell(one.by, "By", "wrap"),
    cell(one.changes.join("; ") || "no box", "Changes", "wrap"), cell(one.text.split("\n")[0], "Outcome", "wrap " + (STEPS[one.step] || "warn"))));
  if (!rows.length) { const none = cell("nothing was deployed since the node's boot", "", "dim empty"); none.colSpan = 5; rows.push(make("tr", {}, none)) }
  $("history").replaceChildren(...rows);
  allow($("back"), "operate", history.some(one => one.step === "done") ? "" : "no other system ran here since the node's boot");
};
// Until a deployment is over.
const attend = async (number, title, told) => {
  for (;;) {
    try {
      history = await json("history");
      const record = history.find(one => one.number === number);
      if (record && now) showHistory();
      if (!record) return note(`${title}: deployment ${number} was forgotten`, "bad", told);
      const text = `${title}: deployment ${number} ${record.ended == null ? "is " : ""}${record.text}`;
      if (record.ended != null) return note(text, record.step === "done" ? "good" : "bad", told);
      told = note(text, "busy", told);
    } catch (error) { if (!(error instanceof Away)) return note(error.message, "bad", told) }
    await new Promise(done => setTimeout(done, 400));
  }
};
$("back").onclick = async () => {
  const last = [...history].reverse().find(one => one.step === "done");
  const undone = last ? `It undoes deployment ${last.number} by ${last.by} (${last.changes.join("; ") || "no box"}). ` : "";
  if (!await sure("Roll back?", undone + "The system that ran before takes the place of the one that runs, without a request lost.", "Roll back", true)) return;
  const told = note("Rolling back …", "busy");
  try { await attend(+await (await order("rollback")).text(), "Roll back", told); await look() } catch (error) { note(error.message, "bad", told) }
};
const swap = name => {
  const dialog = $("swap"), file = $("file"), yes = $("swap-yes");
  write($("swap-title"), `Swap ${name}`);
  file.value = ""; yes.disabled = true; write($("swap-text"), "");
  file.onchange = () => {
    const it = file.files[0];
    yes.disabled = !it;
    write(yes, it ? `Swap ${name}` : "Swap");
    write($("swap-text"), it ? `${it.name}, ${bytes(it.size)}, takes the place of ${name}.` : "");
  };
  dialog.returnValue = "no";
  dialog.onclose = async () => {
    const it = file.files[0];
    if (dialog.open) return;
    if (dialog.returnValue !== "yes" || !it) return;
    let told = note(`Swap ${name}: reading ${it.name} …`, "busy"), number = null;
    try {
      await lines(await order("swap", name, it), said => {
        if (said.error) throw new Error(said.error);
        if (said.step) told = note(`Swap ${name}: ${said.step} …`, "busy", told);
        if (said.number) number = said.number;
      });
      if (number == null) throw new Error("the connection ended before the deployment began");
      await attend(number, `Swap ${name}`, told);
      await look();
    } catch (error) { note(`Swap ${name}: ${error.message}`, "bad", told) }
  };
  dialog.showModal();
};

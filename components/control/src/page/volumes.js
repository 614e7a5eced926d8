// What is on the node's disks.
const KINDS = { slots: "the node's systems", erased: "deleted, being erased", foreign: "not Pearwood's" };
const showVolumes = () => {
  const disks = now.disks || [], volumes = now.volumes || [];
  write($("disks"), disks.map(disk => `${disk.name}: ${bytes(disk.size)}, ${disk.free == null ? disk.holds : bytes(disk.free) + " free"}`).join(" · ") || "no disk");
  $("volumes").replaceChildren(...volumes.map(volume => {
    const failed = volume.read_errors + volume.write_errors;
    const used = KINDS[volume.kind] || volume.used_by.join(", ") || (volume.named ? "no box" : "nobody: kept until it is deleted");
    const health = failed ? `${volume.read_errors} reads and ${volume.write_errors} writes failed` : "good";
    return make("tr", { data: { volume: volume.name } }, make("td", {}, volume.name), make("td", {}, volume.disk), make("td", { className: "n" }, bytes(volume.size)),
      make("td", {}, used), make("td", {}, make("span", { className: "pill " + (failed ? "bad" : "good") }, health)));
  }));
};

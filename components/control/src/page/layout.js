// Where the system's boxes and arrows are drawn: a layered drawing (Sugiyama, Tagawa, Toda 1981). The node says only what
// there is.
const GAP = 28, RISE = [20, 60], MOST_NODES = 300, MOST_EDGES = 1000;
const pen = document.createElement("canvas").getContext("2d");
const wide = (text, size, weight) => {
  pen.font = `${weight || 400} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return Math.ceil(pen.measureText(text).width);
};
const sum = (all, of) => all.reduce((total, one) => total + of(one), 0);

// Boxes, devices and the world outside, and a line for each pair that has arrows.
const pictureOf = node => {
  const nodes = node.boxes.map(box => ({ kind: "box", name: box.name, box })), edges = [];
  const at = (kind, name) => {
    let one = nodes.find(other => other.kind === kind && other.name === name);
    if (!one) nodes.push(one = { kind, name });
    return one;
  };
  const join = (from, to, label, outside) => {
    let edge = edges.find(one => one.from === from && one.to === to && !!one.outside === !!outside);
    if (!edge) edges.push(edge = { from, to, outside, labels: [] });
    if (!edge.labels.some(one => one.title === label.title)) edge.labels.push(label);
  };
  const some = (all, before) => all.slice(0, 4).map(one => before + one).join(" ") + (all.length > 4 ? ` and ${all.length - 4} more` : "");
  for (const { from, to, kind, interface: path, grant, listen, connect } of node.links) {
    const own = at("box", from), last = path.split("/").pop();
    const name = path === "pearwood:http/handler" ? "http" : path === "pearwood:control/node" ? "control"
      : /^pearwood:(net|hardware)\//.test(path) ? last : path.slice(path.indexOf(":") + 1);
    const full = [path, grant, listen.map(one => ":" + one).join(" "), connect.map(one => "→" + one).join(" ")].filter(Boolean).join(" ");
    join(own, at(kind, to), { name, grant: grant || some(listen, ":"), title: full, measured: kind === "box" && path });
    if (listen.length) join(at("clients", "clients"), own, { name, grant: some(listen, ":"), title: `${name} ${listen.map(one => ":" + one).join(" ")}` }, true);
    if (connect.length) join(own, at("hosts", "other hosts"), { name, grant: some(connect, ""), title: `${name} ${connect.join(" ")}` }, true);
  }
  return { nodes, edges };
};

// Each node gets a rank; arrows lead downwards, and those that pass ranks get a point on each.
const layersOf = ({ nodes, edges }) => {
  const seen = new Map(), first = nodes.some(one => one.kind === "clients") ? 1 : 0;
  const walk = node => {
    seen.set(node, "open");
    for (const edge of edges.filter(one => one.from === node))
      if (seen.get(edge.to) === "open") edge.back = true; else if (!seen.has(edge.to)) walk(edge.to);
    seen.set(node, "done");
  };
  // those that nothing leads to begin, so that what they lead to comes below them
  const led = new Set(edges.map(edge => edge.to));
  [...nodes.filter(node => !led.has(node)), ...nodes].forEach(node => seen.has(node) || walk(node));
  for (const edge of edges) [edge.top, edge.bottom] = edge.back ? [edge.to, edge.from] : [edge.from, edge.to];
  const lower = node => edges.filter(edge => edge.top === node).map(edge => edge.bottom);
  const waits = new Map(nodes.map(node => [node, edges.filter(edge => edge.bottom === node).length]));
  const order = nodes.filter(node => !waits.get(node)), free = new Set(order);
  nodes.forEach(node => { node.depth = node.kind === "clients" ? 0 : first });
  for (const node of order) for (const to of lower(node)) {
    to.depth = Math.max(to.depth, node.depth + 1);
    waits.set(to, waits.get(to) - 1);
    if (!waits.get(to)) order.push(to);
  }
  const deepest = Math.max(...nodes.filter(node => node.kind === "box").map(node => node.depth));
  nodes.filter(node => /device|volume|node|hosts/.test(node.kind)).forEach(node => { node.depth = deepest + 1 });
  // what nothing leads to need not be far from what it leads to
  for (const node of order.filter(one => one.kind === "box" && free.has(one)))
    if (lower(node).length) node.depth = Math.max(node.depth, Math.min(...lower(node).map(to => to.depth)) - 1);

  const ranks = [], place = (item, rank) => {
    (ranks[rank] = ranks[rank] || []).push(Object.assign(item, { rank, above: [], below: [] }));
    return item;
  };
  nodes.forEach(node => place(node, 2 * node.depth));
  for (const edge of edges) {
    const [start, end] = [edge.top.rank, edge.bottom.rank], middle = Math.floor((start + end) / 2), labelled = middle % 2 ? middle : middle + 1;
    edge.way = [edge.top];
    for (let rank = start + 1; rank < end; rank++)
      edge.way.push(place(rank === labelled ? edge.label = { kind: "label", width: edge.width, height: edge.height } : { kind: "point", width: 12, height: 0 }, rank));
    edge.way.push(edge.bottom);
    edge.way.slice(1).forEach((item, index) => { item.above.push(edge.way[index]); edge.way[index].below.push(item) });
  }
  return [...ranks].map(rank => rank || []);
};

// Sorts ranks by the medians of their neighbours (Gansner et al. 1993), and swaps neighbours while that helps.
const untangle = ranks => {
  const settle = rank => rank.forEach((item, index) => { item.at = index });
  const crossed = (one, other) => sum(one, from => other.filter(to => to.at < from.at).length);
  const cost = (a, b) => crossed(a.above, b.above) + crossed(a.below, b.below);
  const all = () => sum(ranks, rank => sum(rank, a => sum(rank.slice(a.at + 1), b => crossed(a.below, b.below))));
  ranks.forEach(settle);
  let best = ranks.map(rank => [...rank]), fewest = all();
  for (let sweep = 0; sweep < 24 && fewest; sweep++) {
    const down = sweep % 2 === 0, turn = down ? ranks.slice(1) : ranks.slice(0, -1).reverse();
    for (const rank of turn) {
      const keys = new Map(rank.map(item => {
        const near = item[down ? "above" : "below"].map(one => one.at).sort((a, b) => a - b), middle = near.length >> 1;
        return [item, !near.length ? 2 * item.at : near.length % 2 ? 2 * near[middle] : near[middle - 1] + near[middle]];
      }));
      rank.sort((a, b) => keys.get(a) - keys.get(b));
      settle(rank);
    }
    for (let round = 0, better = true; better && round < 8; round++) {
      better = false;
      for (const rank of ranks) for (let i = 1; i < rank.length; i++) if (cost(rank[i], rank[i - 1]) < cost(rank[i - 1], rank[i])) {
        [rank[i - 1], rank[i]] = [rank[i], rank[i - 1]];
        settle(rank);
        better = true;
      }
    }
    const now = all();
    if (now < fewest) { fewest = now; best = ranks.map(rank => [...rank]) }
  }
  ranks.splice(0, ranks.length, ...best);
  ranks.forEach(settle);
};

// Coordinates, such that lines are straight where they can be: each rank in turn goes to where its neighbours want it, as
// near as the order and the gaps allow (least squares, by pooling adjacent violators).
const settle = (ranks, edges) => {
  const isNode = item => item.kind !== "label" && item.kind !== "point";
  const weightOf = (a, b) => isNode(a) && isNode(b) ? 1 : !isNode(a) && !isNode(b) ? 64 : 2;
  for (const rank of ranks) {
    let left = 0;
    for (const item of rank) { item.x = left + item.width / 2; left += item.width + GAP }
  }
  const align = (rank, above, below) => {
    const pools = [];
    let offset = 0;
    rank.forEach((item, index) => {
      if (index) offset += (rank[index - 1].width + item.width) / 2 + GAP;
      item.offset = offset;
      let total = 0, weight = 0;
      for (const other of [...(above ? item.above : []), ...(below ? item.below : [])]) {
        const w = weightOf(item, other);
        total += other.x * w;
        weight += w;
      }
      if (!weight) [total, weight] = [item.x, 1];
      pools.push({ total: total - offset * weight, weight, items: [item] });
      for (let n; (n = pools.length) > 1 && pools[n - 2].total / pools[n - 2].weight > pools[n - 1].total / pools[n - 1].weight;) {
        const last = pools.pop(), before = pools[n - 2];
        before.total += last.total; before.weight += last.weight; before.items.push(...last.items);
      }
    });
    for (const pool of pools) for (const item of pool.items) item.x = pool.total / pool.weight + item.offset;
  };
  for (let round = 0; round <= 480; round++) {
    const down = round % 2 === 0, both = round >= 12 && round < 480;
    for (const rank of down ? ranks : [...ranks].reverse()) align(rank, down || both, !down || both);
  }
  const items = ranks.flat(), left = Math.min(...items.map(item => item.x - item.width / 2));
  items.forEach(item => { item.x = Math.round(item.x - left) });
  // takes small bends out of lines, from their labels outwards: half a gap is always free
  for (const { way, label } of edges.filter(edge => edge.label)) {
    const at = way.indexOf(label);
    for (const side of [way.slice(0, at).reverse(), way.slice(at + 1)]) {
      let line = label.x;
      for (const item of side.filter(one => one.kind === "point")) line = item.x = Math.abs(item.x - line) < GAP / 2 ? line : item.x;
    }
  }
  let top = 0, height = 0;
  for (const rank of ranks) {
    const tallest = Math.max(0, ...rank.map(item => item.height));
    rank.forEach(item => { item.y = top + tallest / 2 });
    Object.assign(rank, { top, bottom: height = top + tallest });
    const aside = Math.max(0, ...rank.flatMap(item => item.below.map(other => Math.abs(item.x - other.x))));
    top = height + Math.min(RISE[1], Math.max(RISE[0], aside / 8));
  }
  return { width: Math.max(...items.map(item => item.x + item.width / 2)), height };
};

// Where lines leave a node and reach one: spread, in the order in which they come. Then a path for each: straight on a
// rank, bent between.
const pathsOf = ({ nodes, edges }, ranks) => {
  const spread = (node, ends, neighbour, key) => {
    const gap = Math.min(26, (node.width - 36) / Math.max(1, ends.length - 1));
    ends.sort((a, b) => neighbour(a).x - neighbour(b).x).forEach((edge, index) => { edge[key] = node.x + gap * (index - (ends.length - 1) / 2) });
  };
  for (const node of nodes) {
    spread(node, edges.filter(edge => edge.top === node), edge => edge.way[1], "start");
    spread(node, edges.filter(edge => edge.bottom === node), edge => edge.way[edge.way.length - 2], "end");
  }
  for (const edge of edges) {
    const { way, top, bottom } = edge, points = [[edge.start, top.y + top.height / 2]];
    for (const item of way.slice(1, -1)) points.push([item.x, ranks[item.rank].top], [item.x, ranks[item.rank].bottom]);
    points.push([edge.end, bottom.y - bottom.height / 2]);
    if (edge.back) points.reverse();
    let [x, y] = points[0], path = `M${x} ${y}`;
    points.slice(1).forEach(([toX, toY], index) => {
      path += index % 2 || toX === x ? `L${toX} ${toY}` : `C${x} ${(y + toY) / 2} ${toX} ${(y + toY) / 2} ${toX} ${toY}`;
      [x, y] = [toX, toY];
    });
    edge.path = path;
  }
};

// All of it. None: there is too much to be drawn.
const layOut = node => {
  const picture = pictureOf(node);
  if (picture.nodes.length > MOST_NODES || picture.edges.length > MOST_EDGES) return null;
  for (const one of picture.nodes) {
    if (one.box) {
      one.lines = [one.box.phase === "stand-in" ? `the platform for ${one.box.component}` : one.box.component, `${bytes(one.box.limit)} · cpu ${one.box.weight}`];
      one.width = Math.min(360, Math.max(196, 44 + Math.max(wide(one.name, 16, 650), ...one.lines.map(line => wide(line, 12)))));
      one.height = 92;
    } else Object.assign(one, { width: wide(one.name, 13) + 58, height: 40 });
  }
  for (const edge of picture.edges) {
    const measured = edge.labels.filter(label => label.measured).length;
    edge.width = Math.max(measured ? 150 : 0, ...edge.labels.map(label => wide(`${label.name} ${label.grant}`, 12, 600) + 20));
    edge.height = 18 * (edge.labels.length + measured) + 6;
  }
  const ranks = layersOf(picture);
  untangle(ranks);
  const size = settle(ranks, picture.edges);
  pathsOf(picture, ranks);
  return { ...picture, ...size };
};

// Scrapes the collectors that the page shows while it is visible, and draws what it reads. The server keeps nothing.
"use strict";
const EVERY = 2000, POINTS = 120, ROWS = 12;
const { metrics, live: collectors, boot } = document.body.dataset;
const byId = id => document.getElementById(id);
document.documentElement.className = "live";

// Units, as in src/http/page/units.rs.
function scaled(value, factor, units) {
  let index = 0;
  while (Math.abs(value) >= factor - 0.5 && index + 1 < units.length) { value /= factor; index++; }
  return value.toFixed(index > 0 && Math.abs(value) < 9.95 ? 1 : 0) + " " + units[index];
}
const bytes = value => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]);
const rate = value => value === null ? "–" : scaled(value, 1000, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]);
const percent = share => share === null ? "–" : (share * 100).toFixed(share >= 0.0005 && share < 0.0995 ? 1 : 0) + "%";
const count = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;
function duration(seconds) {
  if (seconds < 0.0009995) return Math.max(0, seconds * 1e6).toFixed(0) + "µs";
  if (seconds < 0.9995) return (seconds * 1e3).toFixed(0) + "ms";
  if (seconds < 9.95) return seconds.toFixed(1) + "s";
  let rest = Math.round(seconds);
  const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = units.findIndex(([, unit]) => rest >= unit);
  return units.slice(first, first + 2).map(([name, unit]) => {
    const count = Math.floor(rest / unit);
    rest %= unit;
    return count ? count + name : "";
  }).join(" ").trim();
}
function age(time) {
  const seconds = (now() - Date.parse(time)) / 1000;
  return !time ? "–" : seconds < 1 ? "now" : (seconds < 9.5 ? seconds.toFixed(0) + "s" : duration(Math.round(seconds))) + " ago";
}
const compare = new Intl.Collator("en", { numeric: true }).compare;

// The samples of an exposition in text format, by family.
function parse(text, families) {
  const found = new Map(families.map(name => [name, []]));
  for (const line of text.split("\n")) {
    const end = line.search(/[{ ]/);
    const samples = found.get(line.slice(0, end));
    if (!samples) continue;
    const labels = {};
    const close = line[end] === "{" ? line.lastIndexOf("}") : end;
    for (const [, name, value] of line.slice(end, close).matchAll(/([\w:]+)="((?:[^"\\]|\\.)*)"/g))
      labels[name] = value.replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
    samples.push({ labels, value: Number(line.slice(close + 1).trim().split(" ")[0].replace("Inf", "Infinity")) });
  }
  return found;
}

// What is scraped together, at its own pace: a host with thousands of containers must not slow down the rest. Each has the
// values of its counters in the last scrape and in this one, the points of its lines, and when it is due again.
const scrape = (collectors, show) => ({ collectors, show, before: new Map(), current: new Map(), elapsed: 0, last: 0, lines: new Map(), tick: 0 });
let group = null, skew = 0;
const activity = new Map();
const now = () => Date.now() + skew;

// The increase of a counter per second; null at first, and after a gap or a reset.
function perSecond(key, value) {
  group.current.set(key, value);
  const last = group.before.get(key);
  return last === undefined || value < last || group.elapsed <= 0 ? null : (value - last) / group.elapsed;
}
function point(key, value) {
  const line = group.lines.get(key) ?? group.lines.set(key, { points: [] }).get(key);
  line.points.push(value);
  if (line.points.length > POINTS) line.points.shift();
  line.tick = group.tick;
  return line.points;
}
// The lines end here; they continue after a gap.
function gap({ before, lines }) {
  before?.clear();
  for (const line of lines?.values() ?? []) if (line.points.at(-1) !== null) line.points.push(null);
}

// Draws lines with a common scale, whose maximum is at least `least`.
function draw(svg, series, least) {
  const max = Math.max(least, ...series.flat().filter(value => value !== null));
  const y = value => (23 - 22 * value / max).toFixed(2);
  const paths = series.flatMap((points, index) => {
    let d = "", area = "", start = null;
    // At first a minute fills the width.
    const width = Math.max(30, points.length), skip = width - points.length;
    const x = index => (index * 119 / (width - 1)).toFixed(2);
    points.forEach((value, at) => {
      if (value === null) { start = null; return; }
      d += `${start === null ? "M" : "L"}${x(skip + at)} ${y(value)}`;
      if (start === null) start = skip + at;
      if (index === 0 && (points[at + 1] ?? null) === null && start < skip + at) {
        const run = points.slice(start - skip, at + 1).map((one, i) => `L${x(start + i)} ${y(one)}`);
        area += `M${x(start)} 24${run.join("")}L${x(skip + at)} 24Z`;
      }
    });
    return index === 0 ? [["area", area], ["", d]] : [["two", d]];
  });
  while (svg.children.length < paths.length) svg.append(document.createElementNS(svg.namespaceURI, "path"));
  paths.forEach(([name, d], index) => {
    svg.children[index].setAttribute("class", name);
    svg.children[index].setAttribute("d", d);
  });
}
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function svg(kind, box) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ class: kind, viewBox: box, preserveAspectRatio: "none", "aria-hidden": "true" }))
    made.setAttribute(name, value);
  return made;
}
// The heading of a row, as in src/live/html.rs.
function heading(name) {
  const made = element("th"), letters = [...name];
  const shown = letters.length > 60 ? letters.slice(0, 30).join("") + "…" + letters.slice(-30).join("") : name;
  if (shown !== name) made.title = name;
  made.append(...shown.split(/(?<=[/_.:@])/).flatMap((part, index) => index ? [element("wbr"), part] : [part]));
  made.scope = "row";
  return made;
}
function text(node, value) { if (node && node.textContent !== value) node.textContent = value; }

function tile(id, note, big, small, series, least) {
  const card = byId(id);
  text(card.querySelector(".note"), note);
  if (typeof big === "string") big = [[big, ""]];
  const node = card.querySelector(".big");
  node.replaceChildren(...big.flatMap(([value, unit], index) => {
    const part = element("span", value, big.length > 1 ? ["one", "two"][index] : "");
    if (unit) part.append(" ", element("small", unit));
    return [part, " "];
  }));
  text(card.querySelector(".small"), small);
  draw(card.querySelector(".spark"), series, least);
}

// A bar for each core, if there is space for them.
function drawCores(shares) {
  const line = byId("cpu").querySelector(".spark");
  let bars = byId("cpu").querySelector(".cores");
  if (!bars) line.after(bars = svg("cores", "0 0 1 1"));
  const isShown = shares.length > 1 && shares.length <= 128;
  bars.style.display = isShown ? "" : "none";
  if (!isShown) return;
  const gap = Math.min(0.2, shares.length / 80), width = 1 - gap;
  bars.setAttribute("viewBox", `0 0 ${shares.length - gap} 1`);
  const box = (name, attributes) => {
    const made = document.createElementNS(bars.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  bars.replaceChildren(box("path", { d: shares.map((_, x) => `M${x} 0h${width}v1h-${width}z`).join("") }),
    ...shares.map((share, x) => box("rect", { x, y: 1 - share, width, height: share })));
}

// Rows have a name, a score, cells and a line. At most ROWS are shown, those with the highest scores of the last minute.
function table(id, rows, empty) {
  const card = byId(id), body = card.querySelector("tbody");
  for (const row of rows) {
    const last = activity.get(id + row.name) ?? row.score;
    activity.set(id + row.name, last * 0.9 + row.score * 0.1);
  }
  const score = row => activity.get(id + row.name);
  const more = Math.max(0, rows.length - ROWS);
  if (more) rows = rows.sort((a, b) => score(b) - score(a) || compare(a.name, b.name)).slice(0, ROWS);
  rows.sort((a, b) => compare(a.name, b.name));
  const old = new Map([...body.rows].map(row => [row.cells[0].title || row.cells[0].textContent, row]));
  body.replaceChildren(...rows.map(row => {
    let tr = old.get(row.name);
    if (!tr) {
      tr = element("tr");
      tr.append(heading(row.name), element("td", "", "line"), ...row.cells.map(() => element("td", "", "n")));
    }
    row.cells.forEach((cell, index) => {
      const td = tr.cells[index + 2];
      if (typeof cell === "string") return text(td, cell);
      let bar = td.querySelector("svg");
      if (!bar) {
        bar = svg("bar", "0 0 100 1");
        const rect = document.createElementNS(bar.namespaceURI, "rect");
        rect.setAttribute("height", "1");
        bar.append(rect);
        td.replaceChildren(bar, element("span"));
      }
      const is = least => !cell.fixed && cell.share >= least;
      bar.setAttribute("class", is(0.95) ? "bar bad" : is(0.85) ? "bar warn" : "bar");
      bar.firstChild.setAttribute("width", (cell.share * 100).toFixed(1));
      text(td.lastChild, percent(cell.share));
    });
    const line = tr.cells[1];
    if (!line.firstChild) line.append(svg("spark", "0 0 119 24"));
    draw(line.firstChild, row.lines, row.least);
    return tr;
  }));
  card.querySelector("table").hidden = !rows.length;
  text(card.querySelector(".more"), rows.length ? (more ? `and ${more.toLocaleString("en")} more` : "") : empty);
}

const FAMILIES = `container_cpu_usage_seconds_total container_memory_working_set_bytes node_cpu_seconds_total
  node_disk_io_time_seconds_total node_disk_read_bytes_total node_disk_written_bytes_total node_filesystem_avail_bytes
  node_filesystem_free_bytes node_filesystem_readonly node_filesystem_size_bytes node_load1 node_load5 node_load15 node_memory_MemAvailable_bytes
  node_memory_MemTotal_bytes node_memory_SwapFree_bytes node_memory_SwapTotal_bytes node_network_receive_bytes_total
  node_network_transmit_bytes_total`.split(/\s+/);
// Traffic of virtual interfaces and disks passes through physical ones as well.
const VIRTUAL = /^(lo|veth|docker|br-|virbr|cni|flannel|cali|tun|tap|wg|ifb|bond|vxlan)/, STACKED = /^(dm-|md|loop|zd|drbd|bcache)/;

function container(labels) {
  // Without access to the runtime, the name is the ID.
  const name = (labels.name ?? "").replace(/^([0-9a-f]{12})[0-9a-f]{52}$/, "$1");
  return labels.pod && labels.container ? `${labels.namespace}/${labels.pod}/${labels.container}` : name;
}
function service(labels) {
  const unit = (labels.id ?? "").split("/").pop();
  return /\.(service|scope)$/.test(unit) ? unit : "";
}

// Sums of families in columns, by a key of their samples; each sample is first passed through `of`.
function columnsOf(found, families, key, of = (_, sample) => sample.value) {
  const rows = new Map();
  families.forEach((family, column) => {
    for (const sample of found.get(family)) {
      const name = key(sample.labels);
      if (!name) continue;
      const row = rows.get(name) ?? rows.set(name, families.map(() => 0)).get(name);
      const value = of(family, sample);
      row[column] = value === null || row[column] === null ? null : row[column] + value;
    }
  });
  return [...rows];
}
const counted = (family, { labels, value }) => perSecond(family + JSON.stringify(labels), value);
const off = (collector, empty) => isOn(collector) ? empty : `The collector ${collector} is off.`;

function showHost(found) {
  const value = name => found.get(name)[0]?.value;
  const columns = (...rest) => columnsOf(found, ...rest);
  const total = (rows, column, is) => {
    const values = rows.filter(([name]) => is(name)).map(([, row]) => row[column]).filter(value => value !== null);
    return values.length ? values.reduce((a, b) => a + b) : null;
  };

  const cpu = new Map();
  for (const { labels, value } of found.get("node_cpu_seconds_total")) {
    const core = cpu.get(labels.cpu) ?? cpu.set(labels.cpu, {}).get(labels.cpu);
    core[labels.mode] = Math.max(0, perSecond("cpu" + labels.cpu + labels.mode, value) ?? NaN);
  }
  const cores = [...cpu.values()];
  const mode = (...names) => cores.reduce((sum, core) => sum + names.reduce((part, name) => part + (core[name] ?? 0), 0), 0);
  const all = cores.reduce((sum, core) => sum + Object.values(core).reduce((a, b) => a + b, 0), 0);
  const share = (...names) => all > 0 ? mode(...names) / all : null;
  const busy = all > 0 ? Math.max(0, 1 - share("idle", "iowait")) : null;
  tile("cpu", cores.length ? count(cores.length, "core") : "", percent(busy),
    `user ${percent(share("user", "nice"))} · sys ${percent(share("system", "irq", "softirq"))} · wait ${percent(share("iowait"))}`,
    [point("cpu", busy)], 1);
  drawCores(cores.map(core => {
    const sum = Object.values(core).reduce((a, b) => a + b, 0);
    return sum > 0 ? 1 - ((core.idle ?? 0) + (core.iowait ?? 0)) / sum : 0;
  }));

  const memory = name => value(`node_memory_${name}_bytes`) ?? 0;
  const size = memory("MemTotal"), used = size - memory("MemAvailable"), swap = memory("SwapTotal");
  tile("memory", size ? bytes(size) : "", size ? [[bytes(used), percent(used / size)]] : "–",
    `${bytes(size - used)} available · ` + (swap ? `swap ${bytes(swap - memory("SwapFree"))}` : "no swap"),
    [point("memory", size ? used / size : null)], 1);

  const load = name => value(name)?.toFixed(2) ?? "–";
  tile("load", "1 min", load("node_load1"), `5 min ${load("node_load5")} · 15 min ${load("node_load15")}`,
    [point("load", value("node_load1") ?? null)], Math.max(1, cores.length));

  const device = labels => labels.device;
  const network = columns(["node_network_receive_bytes_total", "node_network_transmit_bytes_total"], device, counted);
  const disks = columns(["node_disk_read_bytes_total", "node_disk_written_bytes_total", "node_disk_io_time_seconds_total"], device, counted);
  for (const [id, rows, is, units] of [
    ["network", network, name => !VIRTUAL.test(name), ["in", "out"]],
    ["disk", disks, name => !STACKED.test(name), ["read", "written"]],
  ]) {
    const sums = [total(rows, 0, is), total(rows, 1, is)];
    const series = sums.map((sum, index) => point(id + index, sum));
    const known = series.flat().filter(value => value !== null);
    tile(id, "", sums.map((sum, index) => [rate(sum), units[index]]), known.length ? `peak ${rate(Math.max(...known))}` : "", series, 1000);
  }
  const rates = (id, [name, row], cells) => ({
    name, cells: cells ?? row.map(rate), score: (row[0] ?? 0) + (row[1] ?? 0), least: 1000,
    lines: [point(id + name + 0, row[0]), point(id + name + 1, row[1])],
  });
  table("interfaces", network.map(row => rates("net", row)), off("netdev", "No interfaces."));
  table("disks", disks.map(row => {
    const [read, written, busy] = row[1];
    return rates("io", row, [rate(read), rate(written), percent(busy === null ? null : Math.min(1, busy))]);
  }), off("diskstats", "No disks."));

  const files = columns(["size_bytes", "free_bytes", "avail_bytes", "readonly"].map(what => `node_filesystem_${what}`), labels => labels.mountpoint);
  table("filesystems", files.filter(([, row]) => row[0] > 0).map(([name, [size, free, available, fixed]]) => {
    const share = (size - free) / Math.max(1, size - free + available);
    return {
      name, cells: [{ share, fixed }, bytes(available), bytes(size)], score: fixed ? 0 : share,
      lines: [point("fs" + name, share)], least: 1,
    };
  }), off("filesystem", "No file systems."));
}
function showContainers(found) {
  const usage = key => columnsOf(found, ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes"], key,
    (family, sample) => family.includes("cpu") ? counted(family, sample) : sample.value);
  const containers = usage(container);
  const services = containers.length ? [] : usage(service);
  text(byId("containers").querySelector("h2"), services.length ? "Services" : "Containers");
  text(byId("containers").querySelector("thead th"), services.length ? "Unit" : "Container");
  table("containers", [...containers, ...services].map(([name, [cores, memory]]) => ({
    name, cells: [percent(cores), bytes(memory)], score: cores ?? 0, lines: [point("c" + name, cores)], least: 0.1,
  })), off("container", "No containers."));
}

let status = null;
const isOn = name => status.collectors.some(collector => collector.name === name && collector.scraped);
const BAD = ["failing", "late", "hung"];

function stateOf(state) { return element("span", state, "state " + (state === "ok" ? "good" : BAD.includes(state) ? "bad" : "mute")); }
function row(name, below, state, ...numbers) {
  const tr = element("tr"), head = element("th", name), cell = element("td");
  head.scope = "row";
  for (const [line, kind] of below) if (line) head.append(element("p", line, kind));
  cell.append(stateOf(state));
  tr.append(head, cell, ...numbers.map((number, index) => element("td", number, index ? "n wide" : "n")));
  return tr;
}
function showStatus() {
  const card = byId("collectors");
  const bad = status.collectors.filter(one => BAD.includes(one.state));
  const good = status.collectors.filter(one => !BAD.includes(one.state));
  text(card.querySelector(".note"), `${status.collectors.length} on, ${bad.length || "none"} failing`);
  text(card.querySelector("summary"), bad.length ? `${good.length} more` : "All collectors");
  const head = card.querySelector("thead");
  for (const [place, rows] of [[".failing", bad], [".others", good]]) {
    const list = element("table", "", "list"), body = element("tbody");
    body.append(...rows.map(one => row(one.name, BAD.includes(one.state) ? [[one.error, "bad"]] : [], one.state,
      one.duration_seconds === null ? "–" : duration(one.duration_seconds), age(one.last_success))));
    list.append(head.cloneNode(true), body);
    card.querySelector(place).replaceChildren(...rows.length ? [list] : []);
  }
  const sinks = byId("sinks");
  sinks.querySelector("table").hidden = !status.sinks.length;
  text(sinks.querySelector(".more"), status.sinks.length ? "" : "No sinks: metrics are scraped only.");
  sinks.querySelector("tbody").replaceChildren(...status.sinks.map(sink => {
    const { points, bytes: size } = sink.waiting;
    const answer = sink.last_answer === "accepted" ? "" : sink.last_answer;
    return row(sink.name, [[`${sink.type} · ${sink.url}`, "mute"], [answer, BAD.includes(sink.state) ? "bad" : "warn"]], sink.state,
      points ? `${count(points, "point")}\n${bytes(size)}` : "nothing", age(sink.last_success));
  }));
  text(byId("running"), duration((now() - Date.parse(status.start_time)) / 1000));
}

let abort = new AbortController();

async function get(url, accept) {
  // Without the user and password that may be in the page's own URL: fetch refuses them, and the browser sends them anyway.
  const response = await fetch(new URL(url, location.origin + location.pathname), {
    cache: "no-store", signal: AbortSignal.any([abort.signal, AbortSignal.timeout(15000)]),
    // What hangs is left out, and the rest is shown.
    headers: { accept, "x-prometheus-scrape-timeout-seconds": "5" },
  });
  const at = performance.now();
  if (!response.ok) throw new Error(`status ${response.status}: ${(await response.text()).slice(0, 200)}`);
  return [response, at];
}
async function getStatus() {
  const [response] = await get("status.json", "application/json");
  const before = status;
  status = await response.json();
  skew = Date.parse(status.time) - Date.now();
  if (before && before.version !== status.version) location.reload();
  showStatus();
  if (+boot) text(byId("up"), duration(now() / 1000 - boot));
  if (!before) SCRAPES.forEach(run);
}
async function getMetrics(from) {
  const query = from.collectors.filter(isOn).map(name => "collect[]=" + name).join("&");
  const [response, at] = query ? await get(metrics + "?" + query, "text/plain;version=0.0.4") : [];
  const found = parse(await response?.text() ?? "", FAMILIES);
  Object.assign(from, { elapsed: (at - from.last) / 1000, last: at, current: new Map(), tick: from.tick + 1 });
  group = from;
  from.show(found);
  from.before = from.current;
  for (const [key, line] of from.lines) if (line.tick !== from.tick) from.lines.delete(key);
}
const SCRAPES = [
  scrape(collectors.split(" ").filter(name => name !== "container"), showHost),
  scrape(["container"], showContainers),
];
const STATUS = {};

// What fails, with its message; and since when.
const failures = new Map();
let since = "";
function say() {
  since = failures.size ? since || new Date().toLocaleTimeString() : "";
  const node = byId("live");
  text(node, failures.size ? `no numbers since ${since}: ${failures.values().next().value}` : "live");
  node.className = "state " + (failures.size ? "bad" : "good");
  byId("main").classList.toggle("stale", failures.size > 0);
}
async function run(what) {
  const started = performance.now(), signal = abort.signal;
  try {
    await (what === STATUS ? getStatus() : getMetrics(what));
    failures.delete(what);
  } catch (error) {
    if (signal.aborted) return;
    gap(what);
    const reasons = { TimeoutError: "no answer within 15s", TypeError: "the agent cannot be reached" };
    failures.set(what, reasons[error.name] ?? error.message);
  }
  if (signal.aborted) return;
  say();
  // What takes long is asked for less often, so that the page costs a tenth of a core at most.
  const took = performance.now() - started;
  what.timer = setTimeout(run, Math.max(what === STATUS ? 3 * EVERY : EVERY, 10 * took) - took, what);
}
// A hidden page asks for nothing.
function restart() {
  abort.abort();
  abort = new AbortController();
  for (const what of [STATUS, ...SCRAPES]) {
    clearTimeout(what.timer);
    gap(what);
    if (!document.hidden && (status || what === STATUS)) run(what);
  }
}
document.addEventListener("visibilitychange", restart);
restart();

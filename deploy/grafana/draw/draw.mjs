// Draws dashboards to PNG, from the data of a Prometheus or of an InfluxDB, with Grafana's own components and without a
// Grafana server:
//
//   npm install --no-save --ignore-scripts @grafana/ui@11.6.0 @grafana/data@11.6.0 react@18 react-dom@18 esbuild@0.28
//   node draw.mjs http://127.0.0.1:9090 hosts.png ../prometheus/hosts.json instance=web-1:9100 minutes=60
//
// Several dashboards are drawn one below the other. Arguments with an equals sign are variables of the dashboards
// (`Hosts.instance=web-1:9100` of one of them); `minutes` is the time range, `scrape` the interval of scrapes in seconds, `width` that of the picture, and
// `rows=3,2` how many rows of each dashboard are drawn. CHROMIUM is the program that draws.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const [server, output, ...rest] = process.argv.slice(2);
const given = Object.fromEntries(rest.filter((word) => word.includes('=')).map((pair) => pair.split(/=(.*)/s).slice(0, 2)));
const dashboards = rest.filter((word) => !word.includes('=')).map((file) => JSON.parse(readFileSync(file)));
const width = Number(given.width ?? 1600);
const to = Math.floor(Date.now() / 1000);
const from = to - 60 * Number(given.minutes ?? 60);
const step = Math.max(5, Math.ceil((to - from) / 300));
// As Grafana computes $__rate_interval.
const scrape = Number(given.scrape ?? 15);
const rate = Math.max(step + scrape, 4 * scrape);

/** Pixels of a unit of a panel's height, and between panels. */
const CELL = { height: 38, gap: 8 };

/** What Grafana's global styles set for its components. */
const STYLE = `
  body { margin: 0 }
  * { box-sizing: border-box }
  button { color: inherit; font: inherit; background: none; border: 0; padding: 0 }
  table { width: 100%; border-collapse: collapse }`;

async function get(path, parameters) {
  const answer = await (await fetch(`${server}/${path}?${new URLSearchParams(parameters)}`)).json();
  const error = answer.error ?? answer.results?.[0].error;
  if (error) throw new Error(`${JSON.stringify(parameters)}: ${error}`);
  return answer;
}

const ask = async (path, parameters) => (await get(`api/v1/${path}`, parameters)).data;

const influxql = async (q) => (await get('query', { db: given.db ?? 'telegraf', epoch: 'ms', q })).results[0].series ?? [];

function interpolate(text, variables) {
  const all = {
    ...variables, __rate_interval: `${rate}s`, __interval: `${step}s`, __range: `${to - from}s`,
    timeFilter: `time >= ${from}s and time <= ${to}s`,
  };
  return text.replace(/\$\{?(\w+)\}?/g, (whole, name) => all[name] ?? whole);
}

/** What is asked of each kind of database: the values of a variable, the series of a query, and when events were, in ms. */
const databases = {
  prometheus: {
    async choices({ query }, values) {
      const [, series, label] = interpolate(query.query, values).match(/^label_values\((.*), (\w+)\)$/);
      return ask(`label/${label}/values`, { 'match[]': series, start: from, end: to });
    },
    async series({ expr, instant, refId, legendFormat }, values) {
      const query = interpolate(expr, values);
      const { result } = instant
        ? await ask('query', { query, time: to })
        : await ask('query_range', { query, start: from, end: to, step });
      const differs = (label) => new Set(result.map(({ metric }) => metric[label])).size > 1;
      const differing = (metric) => Object.entries(metric).filter(([label]) => differs(label));
      const legend = ({ metric }) => (legendFormat === '__auto'
        ? `{${differing(metric).map(([label, value]) => `${label}="${value}"`).join(', ')}}`
        : legendFormat?.replace(/{{(\w+)}}/g, (_, label) => metric[label] ?? '').trim());
      const column = `Value #${refId}`;
      return result.map((one) => ({ metric: one.metric, legend: legend(one), column, values: one.values ?? [one.value] }));
    },
    async events({ expr }, values) {
      const { result } = await ask('query', { query: interpolate(expr, values), time: to });
      return result.map(({ value }) => Number(value[1]));
    },
  },
  influxdb: {
    async choices({ query }, values) {
      return (await influxql(interpolate(query, values))).flatMap(({ columns, values }) => {
        const found = Math.max(0, columns.indexOf('value'));
        return values.map((row) => row[found]);
      });
    },
    async series({ query, alias }, values) {
      return (await influxql(interpolate(query, values))).flatMap(({ name, tags = {}, columns, values }) =>
        columns.slice(1).map((column, index) => {
          const all = Object.entries(tags).map(([tag, value]) => `${tag}: ${value}`).join(', ');
          const legend = alias
            ? alias.replace(/\$tag_(\w+)|\[\[tag_(.+?)\]\]/g, (_, tag, odd) => tags[tag ?? odd] ?? '').replace('$measurement', name).trim()
            : `${name}.${column}${all && ` {${all}}`}`;
          return { metric: tags, legend, column, values: values.map((row) => [row[0] / 1000, row[index + 1]]) };
        }));
    },
    async events({ query }, values) {
      return (await influxql(interpolate(query, values))).flatMap(({ values }) => values.map(([time]) => time));
    },
  },
};

/** The values of a dashboard's variables: those given, all, or the first. */
async function variables(dashboard, database) {
  const values = { __from: String(from * 1000) };
  for (const variable of dashboard.templating.list.filter(({ type }) => type === 'query')) {
    const { name, includeAll } = variable;
    const found = await database.choices(variable, values);
    values[name] = given[`${dashboard.title}.${name}`] ?? given[name] ?? (includeAll ? '.*' : found[0]);
  }
  return values;
}

/** The panels of a dashboard's first rows, with their data and below what is above. */
async function panels(dashboard, rows, above) {
  const database = databases[dashboard.tags.at(-1)];
  const values = await variables(dashboard, database);
  const marks = (await Promise.all(dashboard.annotations.list.map((one) => database.events(one, values)))).flat();
  const starts = dashboard.panels.filter(({ type }) => type === 'row').map(({ gridPos }) => gridPos.y);
  const drawn = dashboard.panels.filter(({ gridPos }) => gridPos.y < (starts[rows] ?? Infinity));
  const filled = drawn.map(async (panel) => ({
    ...panel,
    title: interpolate(panel.title, values),
    gridPos: { ...panel.gridPos, y: panel.gridPos.y + above },
    series: await Promise.all((panel.targets ?? []).map((target) => database.series(target, values))),
    marks,
  }));
  return Promise.all(filled);
}

const bottom = (panels) => Math.max(0, ...panels.map(({ gridPos }) => gridPos.y + gridPos.h));

const all = [];
for (const [index, dashboard] of dashboards.entries()) {
  const above = bottom(all);
  if (dashboards.length > 1) {
    all.push({ type: 'heading', title: dashboard.title, gridPos: { x: 0, y: above, w: 24, h: 1.5 } });
  }
  const rows = Number(given.rows?.split(',')[index] ?? Infinity);
  all.push(...(await panels(dashboard, rows, bottom(all))));
}

const folder = mkdtempSync(join(tmpdir(), 'draw-'));
try {
  const drawn = { panels: all, from: from * 1000, to: to * 1000, width, cell: CELL };
  await build({
    entryPoints: [join(dirname(fileURLToPath(import.meta.url)), 'panels.jsx')],
    bundle: true,
    outfile: join(folder, 'page.js'),
    jsx: 'automatic',
    define: { DRAWN: JSON.stringify(drawn), 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.svg': 'text', '.ttf': 'empty', '.woff2': 'empty' },
    logLevel: 'error',
  });
  writeFileSync(
    join(folder, 'page.html'),
    `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><style>${STYLE}</style>
     <body><div id="page"></div><script src="page.js"></script>`,
  );
  const height = Math.ceil(bottom(all) * CELL.height + 2 * CELL.gap);
  execFileSync(
    process.env.CHROMIUM ?? 'chromium',
    [
      '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--allow-file-access-from-files',
      `--window-size=${width},${height}`, '--virtual-time-budget=20000',
      `--screenshot=${resolve(output)}`, `file://${join(folder, 'page.html')}`,
    ],
    { stdio: 'ignore' },
  );
} finally {
  rmSync(folder, { recursive: true });
}

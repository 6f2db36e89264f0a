// Panels drawn with Grafana's own components from data that draw.mjs has put into DRAWN.
import {
  FieldType, createTheme, dateTime, formattedValueToString, getDisplayProcessor,
} from '@grafana/data';
import { BarGauge, BigValue, ThemeContext, TimeSeries } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import 'uplot/dist/uPlot.min.css';

const { panels, from, to, width, cell } = DRAWN;
const theme = createTheme({ colors: { mode: 'dark' } });
const timeRange = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };

/** Settings of a field: the panel's, then those of the overrides that match its name. */
function settings(panel, name) {
  const config = structuredClone(panel.fieldConfig.defaults);
  config.custom ??= {};
  for (const { matcher, properties } of panel.fieldConfig.overrides) {
    const isRegexp = matcher.id === 'byRegexp';
    const matches = isRegexp ? new RegExp(matcher.options.slice(1, -1)).test(name) : matcher.options === name;
    for (const { id, value } of matches ? properties : []) {
      const [first, second] = id.split('.');
      if (second) config[first][second] = value;
      else config[first] = value;
    }
  }
  return config;
}

function field(panel, name, values, seriesIndex) {
  const config = settings(panel, name);
  const made = {
    name, type: FieldType.number, config, labels: {}, values, state: { displayName: name, seriesIndex },
  };
  made.display = getDisplayProcessor({ field: made, theme });
  return made;
}

/** All series of a panel, by name. */
function fields(panel) {
  const renames = (panel.transformations ?? []).filter(({ id }) => id === 'renameByRegex');
  for (const one of panel.series.flat()) {
    one.legend = renames.reduce((name, { options }) => name.replace(new RegExp(`^${options.regex}$`), options.renamePattern), one.legend);
  }
  const byName = (a, b) => a.legend.localeCompare(b.legend, 'en', { numeric: true });
  const series = panel.series.flatMap((ofOneQuery) => ofOneQuery.sort(byName));
  return series.map((one, index) => ({ ...field(panel, one.legend, one.values.map(([, v]) => v === null ? null : Number(v)), index), one }));
}

function Lines({ panel, width, height }) {
  const series = fields(panel);
  const times = [...new Set(series.flatMap(({ one }) => one.values.map(([time]) => time)))].sort((a, b) => a - b);
  const time = { name: 'Time', type: FieldType.time, config: {}, values: times.map((time) => time * 1000), state: {} };
  time.display = getDisplayProcessor({ field: time, theme });
  const aligned = series.map((one) => {
    const at = new Map(one.one.values.map(([time], index) => [time, one.values[index]]));
    return { ...one, values: times.map((time) => at.get(time) ?? null) };
  });
  if (!aligned.length) return <NoData />;
  const frame = { fields: [time, ...aligned], length: times.length };
  return (
    <TimeSeries frames={[frame]} structureRev={1} timeRange={timeRange} timeZone="utc" width={width} height={height}
      legend={{ ...panel.options.legend, isVisible: true }} options={panel.options} replaceVariables={(text) => text}>
      {(config) => mark(config, panel.marks)}
    </TimeSeries>
  );
}

/** Vertical lines where events are. */
function mark(config, times) {
  config.addHook('draw', (u) => {
    for (const time of times.filter((time) => time > from)) {
      const x = u.valToPos(time, 'x', true);
      u.ctx.strokeStyle = theme.visualization.getColorByName('purple');
      u.ctx.beginPath();
      u.ctx.moveTo(x, u.bbox.top);
      u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
      u.ctx.stroke();
    }
  });
  return null;
}

const last = (values) => values.filter((value) => value !== null && !Number.isNaN(value)).at(-1);

function Several({ panel, width, height, One }) {
  const series = fields(panel).filter(({ values }) => last(values) !== undefined);
  if (!series.length) return <NoData />;
  const isAcross = panel.type !== 'bargauge';
  const share = isAcross ? { width: width / series.length, height } : { width, height: Math.min(height / series.length, 40) };
  return (
    <div style={{ display: 'flex', flexDirection: isAcross ? 'row' : 'column' }}>
      {series.map((one) => <One key={one.name} one={one} panel={panel} series={series} {...share} />)}
    </div>
  );
}

function value(one, several) {
  const shown = one.display(last(one.values));
  return { ...shown, title: several ? one.name : undefined };
}

function Stat({ one, panel, series, width, height }) {
  const several = series.length > 1;
  const isName = panel.options.textMode === 'name';
  const shown = isName ? { ...value(one, false), text: one.name, prefix: '', suffix: '' } : value(one, several);
  const textMode = several && !isName ? 'value_and_name' : 'value';
  return (
    <BigValue value={shown} width={width} height={height} theme={theme} colorMode="value" graphMode="none"
      textMode={textMode} justifyMode="center" />
  );
}

/** The arc of a gauge: Grafana's own needs scripts of its server. */
function OneGauge({ one, series, width, height }) {
  const shown = value(one, series.length > 1);
  const radius = Math.min(width / 2, height) * 0.8;
  const arc = (share) => {
    const angle = Math.PI * (1 - Math.min(Math.max(share, 0), 1));
    return `M ${-radius} 0 A ${radius} ${radius} 0 0 1 ${radius * Math.cos(angle)} ${-radius * Math.sin(angle)}`;
  };
  const stroke = { fill: 'none', strokeWidth: radius * 0.25 };
  return (
    <svg width={width} height={height} viewBox={`${-width / 2} ${-height * 0.95} ${width} ${height}`}>
      <path d={arc(1)} {...stroke} stroke={theme.colors.background.secondary} />
      <path d={arc(shown.percent ?? 0)} {...stroke} stroke={shown.color} />
      <text textAnchor="middle" y={-4} fontSize={radius * 0.4} fontWeight="500" fill={shown.color}>
        {formattedValueToString(shown)}
      </text>
    </svg>
  );
}

function Bar({ one, panel, series, width, height }) {
  const longest = (texts) => texts.reduce((longest, text) => (text.length > longest.length ? text : longest), '');
  const values = series.map((each) => value(each, true));
  const room = { ...value(one, true), title: longest(values.map(({ title }) => title)), text: longest(values.map(({ text }) => text)) };
  return (
    <BarGauge value={value(one, true)} alignmentFactors={room} field={one.config} display={one.display} width={width} height={height - 4}
      theme={theme} orientation="horizontal" displayMode={panel.options.displayMode} showUnfilled />
  );
}

/** The rows of a table, as the dashboard's transformations make them. */
function tableRows(panel) {
  const { indexByName, renameByName } = panel.transformations.find(({ id }) => id === 'organize').options;
  const rows = new Map();
  for (const { metric, column, values } of panel.series.flat()) {
    const key = JSON.stringify(metric);
    rows.set(key, { ...metric, ...rows.get(key), [column]: Number(values[0][1]) });
  }
  const names = Object.keys(renameByName).sort((a, b) => indexByName[a] - indexByName[b]);
  const compare = (a, b) => (typeof a === 'string' ? a.localeCompare(b) : (a ?? -1) - (b ?? -1));
  const order = (a, b) => {
    for (const { displayName, desc } of panel.options.sortBy) {
      const name = names.find((name) => renameByName[name] === displayName);
      const difference = compare(a[name], b[name]) * (desc ? -1 : 1);
      if (difference) return difference;
    }
    return 0;
  };
  const sorted = [...rows.values()].sort(order);
  return { names: names.filter((name) => sorted.some((row) => row[name] !== undefined)), renameByName, sorted };
}

function Table({ panel }) {
  const { names, renameByName, sorted } = tableRows(panel);
  const columns = names.map((name) => ({ name, field: field(panel, renameByName[name], []) }));
  const cellStyle = { padding: '5px 10px', borderBottom: `1px solid ${theme.colors.border.weak}`, textAlign: 'left' };
  const show = (field, value) => {
    const { mappings, links, custom } = field.config;
    if (value === undefined && !mappings) return {};
    if (typeof value === 'string' && !mappings) return { text: value, color: links && theme.colors.text.link };
    const shown = field.display(value);
    return { text: formattedValueToString(shown), color: custom.cellOptions && shown.color };
  };
  return (
    <table style={{ fontSize: 13 }}>
      <thead><tr>{columns.map(({ name }) => <th key={name} style={cellStyle}>{renameByName[name]}</th>)}</tr></thead>
      <tbody>
        {sorted.map((row, index) => (
          <tr key={index}>
            {columns.map(({ name, field }) => {
              const { text, color } = show(field, row[name]);
              return <td key={name} style={{ ...cellStyle, color }}>{text}</td>;
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const NoData = () => <div style={{ color: theme.colors.text.secondary, textAlign: 'center', paddingTop: 20 }}>No data</div>;

function Content(given) {
  switch (given.panel.type) {
    case 'timeseries': return <Lines {...given} />;
    case 'stat': return <Several One={Stat} {...given} />;
    case 'gauge': return <Several One={OneGauge} {...given} />;
    case 'bargauge': return <Several One={Bar} {...given} />;
    case 'table': return <Table {...given} />;
    default: throw new Error(given.panel.type);
  }
}

function Panel({ panel }) {
  const { x, y, w, h } = panel.gridPos;
  const column = (width - cell.gap) / 24;
  const style = {
    position: 'absolute', overflow: 'hidden', boxSizing: 'border-box', left: x * column + cell.gap, top: y * cell.height + cell.gap,
    width: w * column - cell.gap, height: h * cell.height - cell.gap,
  };
  if (panel.type === 'heading') return <div style={{ ...style, fontSize: 24, paddingTop: 12 }}>{panel.title}</div>;
  if (panel.type === 'row') return <div style={{ ...style, fontSize: 16, paddingTop: 5, fontWeight: 500 }}>{panel.title}</div>;
  const inner = { width: style.width - 18, height: style.height - 40 };
  return (
    <div style={{ ...style, background: theme.colors.background.primary, border: `1px solid ${theme.colors.border.weak}`, borderRadius: 3, padding: 8 }}>
      <div style={{ height: 22, fontWeight: 500 }}>{panel.title}</div>
      <Content panel={panel} {...inner} />
    </div>
  );
}

const page = { position: 'relative', minHeight: '100vh', background: theme.colors.background.canvas, color: theme.colors.text.primary, font: '14px Inter, Helvetica, Arial, sans-serif' };
createRoot(document.getElementById('page')).render(
  <ThemeContext.Provider value={theme}>
    <div style={page}>{panels.map((panel, index) => <Panel key={index} panel={panel} />)}</div>
  </ThemeContext.Provider>,
);

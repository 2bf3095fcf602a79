// The pipeline page: each hop's position, lag, rate and last error; latency; proof; tables; quarantine; log.
import { t, num, css, el, byId, fill, get, post, span, clock, header, listen, state, dialog, tableSwitch, makeTable, showFreshness } from './common.js';

let last = null, chart = null, rates = {};

const bytes = (n) => (n >= 1e9 ? num(n / 1e9, 1) + ' GB' : n >= 1e6 ? num(n / 1e6, 1) + ' MB' : num(n / 1e3, 1) + ' kB');

// Rows per second of a stage, between two looks.
function rate(stage, now) {
  const before = rates[stage.name];
  if (!before || now - before.at > 1500) {
    const per = before ? (stage.rows - before.rows) / ((now - before.at) / 1000) : 0;
    rates[stage.name] = { at: now, rows: stage.rows, per };
  }
  return rates[stage.name].per;
}

function hop(title, kind, value, unit, ...lines) {
  return el('div', { class: 'hop' }, el('div', { class: 'l' }, el('i', { class: 'dot ' + kind }), title), el('div', { class: 'v' }, value, unit ? el('span', { class: 'u' }, ' ' + unit) : null), ...lines.map((l) => el('div', { class: 's' }, l)));
}
function kindOf(stage, now) {
  if (stage.last_error_us && stage.last_error_us > stage.last_commit_us) return now - stage.last_error_us / 1000 < 30000 ? 'broken' : 'stale';
  return '';
}
const wrong = (stage) => (stage.last_error ? `${t('lastError')} ${clock(stage.last_error_us)}: ${stage.last_error}` : null);
const agoOf = (us, now) => (us ? span(now * 1000 - us) + ' ' + t('ago') : '–');

function showHops(p) {
  const now = p.now_us / 1000, by = Object.fromEntries(p.stages.map((s) => [s.name, s]));
  const { capture, bronze, refine, warehouse } = by;
  fill(byId('hops'),
    hop('PostgreSQL', kindOf(capture, now), p.server_lsn, '', `${t('keeps')} ${bytes(p.retained_bytes)}`, `${t('slot')} ${p.slot}`),
    hop(t('capture'), kindOf(capture, now), num(rate(capture, now)), t('changesPerSecond'), capture.state, `${t('queue')} ${bytes(p.queue_bytes)} · ${t('confirmed')} ${p.durable_lsn}`, wrong(capture)),
    hop('Bronze', kindOf(bronze, now), 'v' + num(p.bronze_version), '', `${num(bronze.batches)} ${t('commits')} · ${num(bronze.rows)} ${t('rows').toLowerCase()}`, `${t('lastCommit')} ${agoOf(bronze.last_commit_us, now)}`, wrong(bronze)),
    hop('Silver', kindOf(refine, now), 'v' + num(p.refined_version), '', refine.state, `${t('quarantine')} ${p.quarantine.length}`, wrong(refine)),
    hop('Gold', kindOf(refine, now), 'v' + num(p.refined_version), '', `${num(p.tables.filter((x) => x.name.startsWith('gold/')).length)} ${t('tableName').toLowerCase()}`, `${num(refine.batches)} ${t('commits')}`),
    hop('ClickHouse', p.lag_us > 10e6 ? 'broken' : p.lag_us > 2e6 ? 'stale' : kindOf(warehouse, now), p.lag_us ? span(p.lag_us) : num(p.latency.p50_us / 1e6, 2), p.lag_us ? t('behind') : t('seconds'), `${t('toAnswer')}: p50 ${num(p.latency.p50_us / 1e6, 2)} · p99 ${num(p.latency.p99_us / 1e6, 2)}`, p.lag_us ? `${num(p.refined_version - p.warehouse_version)} ${t('queue')}` : t('upToDate'), wrong(warehouse)));
}

function showLatency(p) {
  const points = p.latency.points.map(([at, p50, p99]) => [at / 1000, p50 / 1000, p99 / 1000]);
  fill(byId('latencyTable'), makeTable(['', 'p50 ms', 'p99 ms'], points.slice(-60).reverse().map(([at, a, b]) => [clock(at * 1000), num(a), num(b)])));
  byId('latency').setAttribute('aria-label', `${t('latency')}: p50 ${num(p.latency.p50_us / 1000)} ms, p99 ${num(p.latency.p99_us / 1000)} ms`);
  if (!window.echarts || byId('latency').hidden) return;
  chart ||= echarts.init(byId('latency'), null, { renderer: 'svg' });
  const end = p.now_us / 1000, top = Math.max(1200, ...points.map((x) => x[2])) * 1.1;
  const line = (name, column, colour, area) => ({ name, type: 'line', showSymbol: points.length < 3, symbolSize: 4, data: points.map((x) => [x[0], x[column]]), lineStyle: { color: colour, width: 2 }, itemStyle: { color: colour }, areaStyle: area ? { color: colour, opacity: .08 } : undefined, endLabel: { show: points.length > 0, formatter: name, color: colour } });
  chart.setOption({
    animation: false, textStyle: { fontFamily: 'BVP' }, grid: { left: 56, right: 48, top: 14, bottom: 28 },
    tooltip: { trigger: 'axis', backgroundColor: css('--card'), borderColor: css('--line'), textStyle: { color: css('--ink') }, valueFormatter: (x) => num(x) + ' ms' },
    xAxis: { type: 'time', min: end - 36e5, max: end, axisLabel: { color: css('--ink3'), hideOverlap: true }, axisLine: { lineStyle: { color: css('--line') } }, splitLine: { show: false } },
    yAxis: { type: 'value', max: Math.ceil(top / 200) * 200, axisLabel: { color: css('--ink3'), formatter: (x) => num(x) }, splitLine: { lineStyle: { color: css('--line') } } },
    series: [{ ...line('p99', 2, css('--s2'), false), markLine: { silent: true, symbol: 'none', lineStyle: { color: css('--bad'), type: 'dashed' }, label: { show: false }, data: [{ yAxis: 1000 }] } }, line('p50', 1, css('--s1'), true)],
  }, true);
}

function showCheck(check) {
  state.check = check && check.equal && !check.error ? check : null;
  byId('reconcileSub').textContent = check ? (check.error ? check.error : `${t('reconcileSub')}, LSN ${lsnText(check)} · ${clock(check.at_us)}`) : t('reconcileSub');
  if (!check || check.error) { fill(byId('check'), el('p', { class: 'sub' }, t('notVerified'))); return; }
  fill(byId('check'), el('table', {}, el('thead', {}, el('tr', {}, el('th', {}, t('tableName')), el('th', { class: 'n' }, t('rows')), el('th', { class: 'n' }, t('equal')))),
    el('tbody', {}, ...check.lines.map((l) => el('tr', {}, el('td', { title: l.layer }, el('span', { class: 'u' }, l.layer + ' '), l.table.replace('public.', '')), el('td', { class: 'n' }, l.note ? '–' : num(l.rows)), el('td', { class: 'n ' + (l.note ? '' : l.equal ? 'ok' : 'bad'), title: l.note || l.keys.join(', ') }, l.note ? '·' : l.equal ? '✓' : '✕ ' + t('differs')))))));
}
function lsnText(check) {
  const lsn = BigInt(check.lines[0]?.lsn || 0);
  return (lsn >> 32n).toString(16).toUpperCase() + '/' + (lsn & 0xffffffffn).toString(16).toUpperCase();
}

function showTables(p) {
  byId('lakeSub').textContent = `${num(p.tables.length)} ${t('tableName').toLowerCase()} · ${num(p.tables.reduce((a, x) => a + x.files, 0))} ${t('files').toLowerCase()}`;
  fill(byId('tables'), el('table', {}, el('thead', {}, el('tr', {}, el('th', {}, t('tableName')), ...['version', 'rows', 'files', 'deletedShare'].map((h) => el('th', { class: 'n' }, t(h))), el('th', {}, t('lastCommit')))),
    el('tbody', {}, ...p.tables.map((x) => el('tr', {}, el('td', {}, x.name.replace('/', '.')), el('td', { class: 'n' }, num(x.version)), el('td', { class: 'n' }, num(x.rows)), el('td', { class: 'n' }, num(x.files)), el('td', { class: 'n' }, x.rows + x.deleted ? num(100 * x.deleted / (x.rows + x.deleted), 1) + '%' : '–'), el('td', {}, x.commit_ms ? clock(x.commit_ms * 1000) + ' · ' + x.operation.toLowerCase() : '–'))))));
}

function showQuarantine(p) {
  fill(byId('quarantineHead'), t('quarantine') + ' ', el('span', { class: p.quarantine.length ? 'bad' : 'u' }, num(p.quarantine.length)));
  fill(byId('quarantine'), p.quarantine.length ? el('table', {}, el('thead', {}, el('tr', {}, el('th', {}, t('tableName')), el('th', {}, t('key')), el('th', {}, t('reason')), el('th', {}, ''))),
    el('tbody', {}, ...p.quarantine.map((q) => el('tr', {}, el('td', {}, q.table), el('td', {}, el('code', {}, q.key.length > 22 ? q.key.slice(0, 22) + '…' : q.key)), el('td', { class: 'wrap' }, q.reason), el('td', {}, el('button', { class: 'link', onclick: () => showBad(q) }, t('view'))))))) : el('p', { class: 'sub' }, t('none')));
}
function showBad(q) {
  let pretty = q.image;
  try { pretty = JSON.stringify(JSON.parse(q.image), null, 2); } catch { /* shown as it is */ }
  const again = el('button', { class: 'btn', onclick: async () => { await post('/api/replay?' + new URLSearchParams({ table: q.table, key: q.key })); again.textContent = t('asked'); again.disabled = true; } }, t('replay'));
  dialog(q.table, el('dl', {}, el('dt', {}, t('key')), el('dd', {}, el('code', {}, q.key)), el('dt', {}, t('reason')), el('dd', {}, q.reason), el('dt', {}, t('lastCommit')), el('dd', {}, q.commit_at)), el('h2', {}, t('image')), el('pre', { tabindex: 0 }, pretty), again);
}

function showLog(p) {
  byId('log').textContent = p.log.slice(-60).reverse().map((l) => `${clock(l.time_us)}  ${l.level.padEnd(5)} ${l.stage.padEnd(10)} ${l.event.padEnd(24)} ${l.detail}`).join('\n');
}

let loading = false;
async function load() {
  if (loading || document.hidden) return;
  loading = true;
  try {
    last = await get('/api/pipeline');
    state.asOf = last; state.heard = Date.now();
    byId('gone').hidden = true;
    byId('copying').toggleAttribute('hidden', last.copy_complete);
    byId('copying').textContent = t('copying') + ' ' + last.stages[0].state;
    showHops(last); showLatency(last); showTables(last); showQuarantine(last); showLog(last);
    if (!checking) showCheck(last.check);
    showFreshness();
  } catch { if (!state.heard) byId('gone').hidden = false; }
  loading = false;
}

let checking = false;
async function runCheck() {
  if (checking) return;
  checking = true;
  byId('runCheck').textContent = t('running');
  try { showCheck(await (await post('/api/check')).json()); } catch { /* the page says that nobody answers */ }
  checking = false;
  byId('runCheck').textContent = t('runCheck');
}

header('pipeline');
for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
byId('gone').textContent = t('gone');
byId('runCheck').textContent = t('runCheck');
byId('runCheck').addEventListener('click', runCheck);
document.title = 'Millrace · ' + t('pipeline');
tableSwitch(byId('latencySwitch'), byId('latency'), byId('latencyTable'));
addEventListener('themechange', () => last && showLatency(last));
addEventListener('resize', () => chart?.resize());
addEventListener('load', load);
let due = 0;
listen(() => { if (Date.now() >= due) { due = Date.now() + 1000; load(); } });

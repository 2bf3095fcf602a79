// The pipeline page: each hop's position, lag, rate and last error; latency; proof; tables; quarantine; log.
import { stageState, t, num, css, el, byId, fill, get, post, span, clock, header, listen, state, dialog, tableSwitch, makeTable, showFreshness, problem, lsnText, resizing, soft } from './common.js';
import { topicBrowser } from './topics.js';

const TARGET_MS = 1000, RECENT_US = 300e6, LOG_ROWS = 100;
let last = null, chart = null;
const rates = {};

const say = (key, values) => Object.entries(values).reduce((text, [name, value]) => text.replace(`{${name}}`, value), t(key));
const bytes = (n) => (n >= 1e9 ? num(n / 1e9, 1) + ' GB' : n >= 1e6 ? num(n / 1e6, 1) + ' MB' : n >= 1e3 ? num(n / 1e3, 1) + ' kB' : num(n) + ' B');
const ms = (us) => (us < 10e6 ? num(us / 1000) + ' ms' : num(us / 1e6, 1) + ' s');

// Of a stage's counter, per second between two looks.
function rate(name, value, now) {
  const before = rates[name];
  if (!before || now - before.at > 2500) rates[name] = { at: now, value, per: before ? Math.max(0, value - before.value) / ((now - before.at) / 1000) : 0 };
  return rates[name].per;
}

/* ---- hops ---- */

function hop(title, kind, value, unit, ...lines) {
  return el('div', { class: 'hop' }, el('h2', { class: 'l' }, el('i', { class: 'dot ' + kind, role: 'img', 'aria-label': kind || 'ok' }), title), el('div', { class: 'v' }, value, unit ? el('span', { class: 'u' }, ' ' + unit) : null), ...lines.filter(Boolean).map((l) => (l instanceof Node ? l : el('div', { class: 's' }, l))));
}
function kindOf(stage, now) {
  if (stage.last_error_us && stage.last_error_us > stage.last_commit_us) return now - stage.last_error_us / 1000 < 30000 ? 'broken' : 'stale';
  return '';
}
const wrong = (stage) => (stage.last_error ? el('div', { class: 's bad' }, `${t('lastError')} ${clock(stage.last_error_us)}: ${stage.last_error}`) : null);
const commitAge = (us, now) => (us ? say('lastCommitWord', { age: span(Math.max(0, now * 1000 - us)) }) : null);
const stageOf = (p, name) => p.stages.find((s) => s.name === name);
const layer = (p, name) => p.tables.filter((x) => x.name.startsWith(name + '/'));
const sum = (list, member) => list.reduce((a, x) => a + x[member], 0);

// p50 and p99 of the last minutes that had commits: what a reader sees now, not what the first copy took.
function recent(p) {
  const points = p.latency.points.filter(([at]) => at > p.now_us - RECENT_US);
  if (!points.length) return null;
  const middle = points.map((x) => x[1]).sort((a, b) => a - b)[points.length >> 1];
  return { p50: middle, p99: Math.max(...points.map((x) => x[2])) };
}
// What a process does not run has no state. Without Kafka there is neither producer nor consumer; behind another
// process's capture, or Debezium, there is no PostgreSQL to tell of.
function showHops(p) {
  const now = p.now_us / 1000, [capture, producer, consumer, bronze, refine, warehouse] = ['capture', 'producer', 'consumer', 'bronze', 'refine', 'warehouse'].map((name) => stageOf(p, name));
  const lake = layer(p, 'bronze'), silver = layer(p, 'silver').filter((x) => !x.name.endsWith('_history') && x.name !== 'silver/quarantine'), gold = layer(p, 'gold').filter((x) => x.name !== 'gold/batches');
  const facts = p.tables.find((x) => x.name === 'gold/fact_orders'), fresh = recent(p), seconds = (us) => num(us / 1e6, 2);
  const sends = producer?.state, reads = consumer?.state, takes = capture.state || !reads, waits = say('queueWord', { n: bytes(p.queue_bytes) }), confirmed = say('confirmedWord', { lsn: p.durable_lsn });
  const flowing = (stage) => [num(rate(stage.name, stage.rows, now)), t('changesPerSecond'), stageState(stage.state)];
  const list = [
    takes && hop('PostgreSQL', kindOf(capture, now), p.server_lsn, '', say('keepsWord', { n: bytes(p.retained_bytes) }), say('slotWord', { name: p.slot })),
    takes && hop(t('capture'), kindOf(capture, now), ...flowing(capture), sends || reads ? confirmed : `${waits} · ${confirmed}`, wrong(capture)),
    sends && hop(t('producer'), kindOf(producer, now), ...flowing(producer), commitAge(producer.last_commit_us, now), wrong(producer)),
    reads && hop(t('consumer'), kindOf(consumer, now), ...flowing(consumer), waits, wrong(consumer)),
    hop('Bronze', kindOf(bronze, now), 'v' + num(p.bronze_version), '', `${num(rate('bronze', bronze.batches, now), 1)} ${t('commitsPerSecond')} · ${say('filesWord', { n: num(sum(lake, 'files')) })}`, commitAge(bronze.last_commit_us, now), wrong(bronze)),
    hop('Silver', p.quarantine.length ? 'stale' : kindOf(refine, now), 'v' + num(p.refined_version), '', `${stageState(refine.state)} · ${say('tablesWord', { n: num(silver.length) })}`, say('quarantineWord', { n: num(p.quarantine.length) }), wrong(refine)),
    hop('Gold', kindOf(refine, now), 'v' + num(p.refined_version), '', say('modelsWord', { n: num(gold.length) }), commitAge(refine.last_commit_us, now)),
    hop('ClickHouse', p.lag_us > 10e6 ? 'broken' : p.lag_us > 2e6 ? 'stale' : kindOf(warehouse, now), fresh ? seconds(fresh.p50) : '–', fresh ? t('toAnswerUnit') : '', fresh ? `p50 ${seconds(fresh.p50)} · p99 ${seconds(fresh.p99)}` : t('upToDate'), facts ? say('factsWord', { n: num(facts.rows) }) : null, p.lag_us > 2e6 ? say('rest', { lag: span(p.lag_us) }) : null, wrong(warehouse)),
  ].filter(Boolean);
  byId('hops').classList.toggle('many', list.length > 6);
  byId('hops').style.setProperty('--hops', list.length > 6 ? 4 : list.length);
  fill(byId('hops'), ...list);
}

/* ---- latency ---- */

function showLatency(p) {
  const points = p.latency.points.map(([at, p50, p99]) => [at / 1000, p50 / 1000, p99 / 1000]), fresh = recent(p);
  fill(byId('latencyTable'), makeTable([t('time'), 'p50 ms', 'p99 ms'], points.slice(-360).reverse().map(([at, a, b]) => [clock(at * 1000), num(a), num(b)])));
  const most = Math.max(TARGET_MS, ...points.map((x) => x[2])), logarithmic = most > 8 * TARGET_MS;
  byId('latencySub').textContent = !points.length ? t('noCommits') : t('latencySub') + (logarithmic ? ` · ${t('logScale')}` : '') + (fresh ? ` · ${say('latencyNow', { p50: ms(fresh.p50), p99: ms(fresh.p99) })}` : '');
  byId('latency').setAttribute('aria-label', byId('latencySub').textContent);
  if (!window.echarts || byId('latency').hidden) return;
  if (!chart) { chart = echarts.init(byId('latency'), null, { renderer: 'svg' }); resizing(byId('latency'), chart); }
  const end = p.now_us / 1000, span1 = Math.max(6e5, points.length ? end - points[0][0] : 0);
  const line = (name, column, colour, area) => ({ name, type: 'line', showSymbol: points.length < 3, symbolSize: 4, data: points.map((x) => [x[0], Math.max(1, x[column])]), lineStyle: { color: colour, width: 2 }, itemStyle: { color: colour }, areaStyle: area && !logarithmic ? { color: colour, opacity: .08 } : undefined, endLabel: { show: points.length > 0, formatter: name, color: colour }, labelLayout: { moveOverlap: 'shiftY' } });
  chart.setOption({
    animation: false, textStyle: { fontFamily: 'BVP' }, grid: { left: 56, right: 44, top: 14, bottom: 28 },
    tooltip: { trigger: 'axis', backgroundColor: css('--card'), borderColor: css('--line'), textStyle: { color: css('--ink') }, valueFormatter: (x) => num(x) + ' ms' },
    xAxis: { type: 'time', min: end - Math.min(36e5, span1 * 1.02), max: end, splitNumber: 6, axisLabel: { color: css('--ink3'), hideOverlap: true, formatter: (x) => clock(x * 1000).slice(0, 5) }, axisLine: { lineStyle: { color: css('--line') } }, splitLine: { show: false } },
    yAxis: logarithmic ? { type: 'log', min: 10, axisLabel: { color: css('--ink3'), formatter: (x) => num(x) }, splitLine: { lineStyle: { color: css('--line') } } } : { type: 'value', min: 0, max: Math.max(1200, Math.ceil(most * 1.1 / 200) * 200), axisLabel: { color: css('--ink3'), formatter: (x) => num(x) }, splitLine: { lineStyle: { color: css('--line') } } },
    series: [{ ...line('p99', 2, css('--s2'), false), markLine: { silent: true, symbol: 'none', lineStyle: { color: css('--bad'), type: 'dashed' }, label: { show: false }, data: [{ yAxis: TARGET_MS }] } }, line('p50', 1, css('--s1'), true)],
  }, true);
}

/* ---- proof ---- */

// Tables down, layers across: a tick, what differs, or why it was passed over.
function showCheck(check) {
  state.check = check;
  const lsn = check?.lines?.[0]?.lsn;
  byId('reconcileSub').textContent = t('reconcileSub') + (lsn ? ` · LSN ${lsnText(lsn)} · ${clock(check.at_us)}` : '');
  if (!check) { fill(byId('check'), el('p', { class: 'note' }, t('checkNone'))); return; }
  const sorted = [...check.lines].sort((a, b) => Number(a.equal) - Number(b.equal));
  const mark = (l) => (l.note ? el('span', { title: l.note }, '·') : l.equal ? el('span', { class: 'ok' }, '✓') : el('span', { class: 'bad', title: l.keys.join(', ') }, `✕ ${t('differs')} ${num(l.differing + l.missing + l.surplus)}`));
  fill(byId('check'), check.error ? el('p', { class: 'bad' }, t('checkFailed').replace('{text}', check.error)) : '',
    makeTable([t('layer'), t('tableName'), t('rows'), t('equal')], sorted.map((l) => [t('layer_' + l.layer), soft(l.table.replace('public.', '')), l.note ? '–' : num(l.rows), mark(l)]), 2));
}
let checking = false;
async function runCheck() {
  if (checking) return;
  checking = true;
  byId('runCheck').textContent = t('running');
  byId('runCheck').disabled = true;
  try { showCheck(await get('/api/check', { method: 'POST', headers: { 'X-Millrace': '1' } })); problem(null); } catch (error) { problem(error); }
  checking = false;
  byId('runCheck').disabled = false;
  byId('runCheck').textContent = t('runCheck');
}

/* ---- tables, quarantine, log ---- */

const share = (x) => (x.rows + x.deleted ? num(100 * x.deleted / (x.rows + x.deleted), 1) + '%' : '–');
function showTables(p) {
  byId('lakeSub').textContent = say('lakeSub', { n: num(p.tables.length), rows: num(sum(p.tables, 'rows')), files: num(sum(p.tables, 'files')) });
  fill(byId('tables'), makeTable([t('tableName'), t('version'), t('rows'), t('files'), t('deletedShare'), t('lastCommit')],
    p.tables.map((x) => [el('button', { class: 'link', onclick: () => showTable(x) }, soft(x.name.replace('/', '.'))), num(x.version), num(x.rows), num(x.files), share(x), x.commit_ms ? clock(x.commit_ms * 1000) : '–'])));
}
function showTable(x) {
  const [of, name] = x.name.split('/'), source = of === 'silver' && !name.endsWith('_history') && name !== 'quarantine' ? (name.includes('__') ? name.replace('__', '.') : 'public.' + name) : null;
  const again = el('button', { class: 'btn', title: t('resyncAsk'), onclick: () => send(again, '/api/resync?' + new URLSearchParams({ table: source }), 'askedResync') }, t('resync'));
  dialog(x.name.replace('/', '.'), el('dl', {}, el('dt', {}, t('version')), el('dd', {}, num(x.version)), el('dt', {}, t('rows')), el('dd', {}, num(x.rows)), el('dt', {}, t('files')), el('dd', {}, num(x.files)), el('dt', {}, t('deletedRows')), el('dd', {}, `${num(x.deleted)} · ${share(x)}`), el('dt', {}, t('lastCommit')), el('dd', {}, x.commit_ms ? `${clock(x.commit_ms * 1000)} · ${x.operation.toLowerCase()}` : '–')),
    el('pre', { tabindex: 0 }, `SELECT * FROM ${x.name.replace('/', '.')} LIMIT 100\n\nmillrace inspect table ${x.name}`), source ? el('p', { class: 'sub' }, t('resyncAsk')) : '', source ? again : '');
}
async function send(button, path, done) {
  button.disabled = true;
  const answer = await post(path);
  button.textContent = answer.ok ? t(done) : await answer.text();
}
function showQuarantine(p) {
  const many = p.quarantine.length;
  fill(byId('quarantineHead'), t('quarantine') + ' ', el('span', { class: many ? 'warn' : 'u' }, num(many)));
  byId('replayAll').hidden = !many;
  const brief = (key) => (key.length > 28 ? key.slice(0, 28) + '…' : key);
  fill(byId('quarantine'), many ? el('table', {}, el('thead', {}, el('tr', {}, ...['tableName', 'key', 'reason'].map((h) => el('th', { scope: 'col' }, t(h))), el('th', {}))),
    el('tbody', {}, ...p.quarantine.map((q) => el('tr', {}, el('td', {}, soft(q.table)), el('td', { class: 'wrap' }, el('code', {}, brief(q.key))), el('td', { class: 'wrap' }, q.reason), el('td', {}, el('button', { class: 'link', onclick: () => showBad(q) }, t('view'))))))) : el('p', { class: 'note' }, t('none')));
}
function showBad(q) {
  let pretty = q.image;
  try { pretty = JSON.stringify(JSON.parse(q.image), null, 2); } catch { /* shown as it is */ }
  const again = el('button', { class: 'btn', onclick: () => send(again, '/api/replay?' + new URLSearchParams({ table: q.table, key: q.key }), 'asked') }, t('replay'));
  dialog(q.table, el('dl', {}, el('dt', {}, t('key')), el('dd', {}, el('code', {}, q.key)), el('dt', {}, t('reason')), el('dd', { class: 'bad' }, q.reason), el('dt', {}, t('lastCommit')), el('dd', {}, q.commit_at), el('dt', {}, t('firstSeen')), el('dd', {}, q.first_seen)), el('h2', {}, t('image')), el('pre', { tabindex: 0 }, pretty), again);
}
async function replayAll() {
  const tables = [...new Set(last.quarantine.map((q) => q.table))];
  for (const table of tables) await send(byId('replayAll'), '/api/replay?' + new URLSearchParams({ table }), 'asked');
  setTimeout(() => { byId('replayAll').disabled = false; byId('replayAll').textContent = t('replayAll'); }, 4000);
}
function showLog(p) {
  const lines = p.log.slice(-LOG_ROWS).reverse();
  const kind = { warn: 'warn', error: 'bad' };
  fill(byId('log'), ...(lines.length ? lines.map((l) => el('div', {}, el('span', { class: 'tm' }, clock(l.time_us) + '.' + String(Math.floor(l.time_us / 1000) % 1000).padStart(3, '0')), el('span', { class: kind[l.level] ?? '' }, l.level), el('span', {}, l.stage), el('span', {}, l.event), el('span', {}, l.detail))) : [el('p', { class: 'note' }, t('noLog'))]));
}

/* ---- the whole ---- */

function draw() {
  showHops(last); showLatency(last); showTables(last); showQuarantine(last); showLog(last);
  if (!checking) showCheck(last.check);
  byId('copying').toggleAttribute('hidden', last.copy_complete);
  byId('copying').textContent = `${t('copyingHead')} · ${stageOf(last, 'capture').state || stageOf(last, 'consumer')?.state || ''}`;
}
let loading = false;
async function load() {
  if (loading || document.hidden || (state.paused && last)) return;
  loading = true;
  try {
    last = await get('/api/pipeline');
    state.asOf ??= last;
    problem(null);
    draw();
    showFreshness();
  } catch (error) { problem(error); }
  loading = false;
}

header('pipeline');
for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
byId('runCheck').textContent = t('runCheck');
byId('runCheck').addEventListener('click', runCheck);
byId('replayAll').addEventListener('click', replayAll);
document.title = 'Millrace · ' + t('pipeline');
tableSwitch(byId('latencySwitch'), byId('latency'), byId('latencyTable'));
addEventListener('themechange', () => last && showLatency(last));
addEventListener('retry', load);
addEventListener('load', load);
setInterval(load, 2000);
listen(() => {});
topicBrowser();

// The executive page: what it asks, when, and where each answer goes. The panels are in panels.js.
import { t, el, byId, fill, get, num, clock, header, listen, loadCheck, state, tableSwitch, lang, monthName, stageState, showFreshness, problem, lsnText } from './common.js';
import { view, bounds, setBounds, writeAddress, filtered, clear, range, comparedRange, grain, question } from './view.js';
import { tiles, showTile, showMonths, showCategories, showStates, showFeed, showOrders, places, statuses } from './panels.js';
import { stateNames } from './i18n.js';

let shown = null, base = null, loading = false, again = false, arrived = false, drawn = '';

function change(values) {
  Object.assign(view, values);
  writeAddress();
  filters();
  document.body.classList.add('busy');
  load();
}

function select(name, label, options) {
  const s = el('select', { class: 'chip' + (view[name] && options[0][0] === '' ? ' set' : ''), 'aria-label': label, onchange: () => change(name === 'period' ? { period: s.value, month: '' } : { [name]: s.value }) },
    ...options.map(([value, text]) => el('option', { value, selected: view[name] === value }, text)));
  return s;
}
// Drawn anew only when it differs: a list that is open stays open.
function filters() {
  const names = (shown?.categories || []).map((c) => [c.category, (lang === 'vi' ? c.category_vi : c.category_en) || c.category]);
  names.sort((a, b) => a[1].localeCompare(b[1], lang));
  if (view.category && !names.some(([v]) => v === view.category)) names.push([view.category, view.category]);
  const now = JSON.stringify([view, names]);
  if (now === drawn) return;
  drawn = now;
  fill(byId('filters'),
    select('period', t('period'), ['last12', 'last90', 'last30', 'thisYear', 'all'].map((p) => [p, t(p)])),
    select('compare', t('compare'), [['year', t('vsYear')], ['previous', t('vsPrevious')], ['none', t('vsNone')]]),
    select('state', t('state'), [['', t('allStates')], ...Object.keys(places).sort().map((s) => [s, `${s} · ${stateNames[s]}`])]),
    select('category', t('category'), [['', t('allCategories')], ...names]),
    select('status', t('status'), [['', t('allStatuses')], ...statuses.map((s) => [s, t('is_' + s)])]),
    filtered() ? el('button', { class: 'chip', onclick: () => { clear(); change({}); } }, '✕ ' + t('clear') + (view.month ? ' (' + monthName(view.month) + ')' : '')) : null);
}

// Nothing to show yet: the first copy runs, or the shop has no order.
async function showEmpty() {
  const empty = !bounds || Number(bounds.orders) === 0;
  document.body.classList.toggle('nothing', empty);
  byId('copying').hidden = !empty;
  if (!empty) return;
  const p = await get('/api/pipeline');
  const running = p.stages.filter((s) => s.state), rows = (running[0] ?? p.stages[0]).rows; // the first that runs here takes what the source has
  arrived ||= p.copy_complete && p.warehouse_version >= p.bronze_version; // else what was copied is still on its way
  fill(byId('copying'), el('h2', {}, t(arrived ? 'emptyHead' : 'copyingHead')), el('p', {}, t(arrived ? 'empty' : 'copying')),
    el('p', { class: 'sub' }, t('copied').replace('{n}', num(rows)).replace('{state}', running.map((s) => `${s.name}: ${stageState(s.state)}`).join(' · '))));
}

async function ask() {
  if (!bounds || Number(bounds.orders) === 0) setBounds((await get('/api/dashboard?part=bounds')).bounds[0]);
  await showEmpty();
  if (Number(bounds.orders) === 0) { setTimeout(load, 2000); return; }
  const period = range(), other = comparedRange(period);
  const [data, earlier] = await Promise.all([get(question(period)), other ? get(question(other, 'compare')) : null]);
  setBounds(data.bounds[0]);
  state.asOf ??= data;
  shown = { ...data, period, grain: grain(period) };
  base = earlier && { ...earlier, period: other };
  draw();
}
async function load() {
  if (loading) { again = true; return; }
  loading = true;
  try { await ask(); problem(null); } catch (error) { problem(error); }
  loading = false;
  if (again) { again = false; load(); } else document.body.classList.remove('busy');
}

function draw() {
  for (const name of Object.keys(tiles)) showTile(name, shown, base);
  showMonths(shown, base, (key) => change({ month: view.month ? '' : key }));
  showCategories(shown, (category) => change({ category }));
  showStates(shown, (name) => change({ state: name }));
  showFeed(shown.recent);
  filters();
  footer();
  showFreshness();
}
function footer() {
  const c = state.check, proof = !c ? t('notVerified') : c.equal ? t('allEqual').replace('{n}', num(c.lines.filter((l) => !l.note).length)) : t('someDiffer').replace('{n}', num(c.lines.filter((l) => !l.equal).length));
  fill(byId('footer'), el('span', {}, t('source') + ': ', el('b', {}, 'fact_orders'), view.status ? '' : ', ' + t('everyStatus')), el('span', {}, t('currency') + ' ', el('b', {}, 'BRL'), ' · ' + t('zone') + ' ', el('b', {}, 'America/Sao_Paulo')),
    el('span', {}, t('asOf') + ' LSN ', el('b', {}, shown.lsn)), el('span', {}, t('matches') + ': ', el('b', {}, proof), c?.lines?.length ? ` · ${clock(c.at_us)} · LSN ${lsnText(c.lines[0].lsn)}` : ''));
}

header('executive');
for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
document.title = 'Millrace · ' + t('executive');
tableSwitch(byId('monthsSwitch'), byId('months'), byId('monthsTable'));
tableSwitch(byId('categoriesSwitch'), byId('categories'), byId('categoriesTable'));
tableSwitch(byId('statesSwitch'), byId('statesChart'), byId('statesTable'));
byId('showOrders').addEventListener('click', () => shown && showOrders(shown));
byId('measureSwitch').addEventListener('click', () => { view.measure = view.measure === 'onTime' ? 'revenue' : 'onTime'; writeAddress(); if (shown) showStates(shown, (name) => change({ state: name })); });
addEventListener('themechange', () => shown && draw());
addEventListener('retry', load);
filters();
addEventListener('load', load);
loadCheck().then(() => shown && footer());
setInterval(() => loadCheck().then(() => shown && footer()), 30000);
let position = -1, due = 0, waiting = 0;
// A new position is asked for at most every second, and never for more than a fifth of the time; the last one always.
listen((event) => {
  if (event.recent) showFeed(event.recent);
  if (event.position === position) return;
  position = event.position;
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    const started = Date.now();
    await load();
    due = Math.max(started + 1000, Date.now() + 4 * (Date.now() - started));
  }, Math.max(0, due - Date.now()));
});

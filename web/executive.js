// The executive page. All state of the view is in the address: period, comparison, filters.
import { t, num, money, monthName, css, el, byId, fill, get, url, header, listen, loadCheck, state, tick, dialog, tableSwitch, makeTable, lang, showFreshness } from './common.js';

const view = { period: url.get('period') || 'last12', compare: url.get('compare') || 'year', state: url.get('state') || '', category: url.get('category') || '', status: url.get('status') || '', month: url.get('month') || '' };
const statuses = ['created', 'approved', 'invoiced', 'processing', 'shipped', 'delivered', 'canceled', 'unavailable'];
const places = { RR: [2, 0], AP: [3, 0], AM: [1, 1], PA: [2, 1], MA: [3, 1], CE: [4, 1], RN: [5, 1], AC: [0, 2], RO: [1, 2], TO: [3, 2], PI: [4, 2], PB: [5, 2], PE: [6, 2], MT: [2, 3], DF: [3, 3], BA: [4, 3], AL: [5, 3], SE: [6, 3], MS: [2, 4], GO: [3, 4], MG: [4, 4], ES: [5, 4], PR: [3, 5], SP: [4, 5], RJ: [5, 5], RS: [3, 6], SC: [4, 6] };
let bounds = null, shown = null, chart = null, seen = new Set(), loading = false, again = false;

function save() {
  for (const [k, v] of Object.entries(view)) v ? url.set(k, v) : url.delete(k);
  history.replaceState(null, '', '?' + url);
  filters();
  load();
}

const day = (d) => d.toISOString().slice(0, 10);
const plus = (iso, days) => { const d = new Date(iso + 'T00:00:00Z'); d.setUTCDate(d.getUTCDate() + days); return day(d); };
const monthEnd = (iso) => { const d = new Date(iso + 'T00:00:00Z'); d.setUTCMonth(d.getUTCMonth() + 1, 0); return day(d); };

// The newest order is "today": old data has no other (the replay's clock, never the wall's).
function range() {
  const last = bounds?.last_day || day(new Date());
  if (view.month) return [view.month, monthEnd(view.month)];
  if (view.period === 'all') return [bounds?.first_day || '1970-01-01', last];
  if (view.period === 'last90') return [plus(last, -89), last];
  if (view.period === 'last30') return [plus(last, -29), last];
  if (view.period === 'thisYear') return [last.slice(0, 4) + '-01-01', last];
  const d = new Date(last.slice(0, 7) + '-01T00:00:00Z');
  d.setUTCMonth(d.getUTCMonth() - 11);
  return [day(d), last];
}
function comparedRange([from, to]) {
  if (view.compare === 'none') return null;
  const length = Math.round((new Date(to) - new Date(from)) / 864e5) + 1;
  const back = view.compare === 'year' ? 364 * Math.max(1, Math.ceil(length / 364)) : length; // whole weeks: weekdays meet
  const start = plus(from, -(view.compare === 'year' && length > 364 ? length : back));
  return bounds && start < bounds.first_day ? null : [start, plus(start, length - 1)];
}
const query = ([from, to], part) => '/api/dashboard?' + new URLSearchParams({ from, to, state: view.state, category: view.category, status: view.status, ...(part ? { part } : {}) });

function select(name, label, options) {
  const s = el('select', { class: 'chip', 'aria-label': label, onchange: () => { view[name] = s.value; if (name === 'period') view.month = ''; save(); } },
    ...options.map(([value, text]) => el('option', { value, selected: view[name] === value }, text)));
  return s;
}
function filters() {
  const categories = shown?.categories || [];
  const names = categories.map((c) => [c.category, lang === 'vi' ? c.category_vi : c.category_en]);
  if (view.category && !names.some(([v]) => v === view.category)) names.push([view.category, view.category]);
  const filtered = view.state || view.category || view.status || view.month;
  fill(byId('filters'),
    select('period', t('period'), ['last12', 'last90', 'last30', 'thisYear', 'all'].map((p) => [p, t(p)])),
    select('compare', t('compare'), [['year', t('vsYear')], ['previous', t('vsPrevious')], ['none', t('vsNone')]]),
    select('state', t('state'), [['', t('allStates')], ...Object.keys(places).sort().map((s) => [s, s])]),
    select('category', t('category'), [['', t('allCategories')], ...names]),
    select('status', t('status'), [['', t('allStatuses')], ...statuses.map((s) => [s, s])]),
    filtered ? el('button', { class: 'chip', onclick: () => { view.state = view.category = view.status = view.month = ''; save(); } }, '✕ ' + t('clear') + (view.month ? ' (' + monthName(view.month) + ')' : '')) : null);
}

function spark(values) {
  const ns = 'http://www.w3.org/2000/svg', svg = document.createElementNS(ns, 'svg'), path = document.createElementNS(ns, 'path');
  svg.setAttribute('class', 'spark'); svg.setAttribute('viewBox', '0 0 96 30'); svg.setAttribute('aria-hidden', 'true');
  const v = values.filter((x) => x !== null && Number.isFinite(x));
  if (v.length > 1) {
    const top = Math.max(...v), low = Math.min(...v);
    path.setAttribute('d', v.map((x, i) => (i ? 'L' : 'M') + (i * 96 / (v.length - 1)).toFixed(1) + ' ' + (26 - 22 * (top > low ? (x - low) / (top - low) : .5)).toFixed(1)).join(''));
  }
  path.setAttribute('fill', 'none'); path.setAttribute('stroke', 'var(--s1)'); path.setAttribute('stroke-width', 2);
  svg.append(path);
  return svg;
}

const tiles = {
  revenue: { value: (k) => k.revenue || 0, format: (x) => num(x), unit: 'R$', month: (m) => m.revenue, define: 'defRevenue', formula: 'sum(price + freight_value)', column: 'sum(total_amount)' },
  orders: { value: (k) => k.orders, format: (x) => num(x), month: (m) => m.orders, define: 'defOrders', formula: 'count(DISTINCT order_id)', column: 'count(DISTINCT order_id)' },
  aov: { value: (k) => (k.orders ? k.revenue / k.orders : 0), format: (x) => num(x, 2), unit: 'R$', month: (m) => (m.orders ? m.revenue / m.orders : null), define: 'defAov', formula: 'sum(price + freight_value) / count(DISTINCT order_id)', column: 'sum(total_amount) / count(DISTINCT order_id)' },
  onTime: { value: (k) => (k.eligible ? 100 * k.on_time / k.eligible : 0), format: (x) => num(x, 1), after: '%', month: (m) => (m.eligible ? m.on_time / m.eligible : null), points: true, define: 'defOnTime', formula: 'delivered_at::date <= estimated_at::date', column: 'uniqExactIf(order_id, is_delivered AND NOT is_late) / uniqExactIf(order_id, is_delivered)' },
};
function showTile(name, data, base) {
  const tile = tiles[name], box = byId(name), k = data.kpi[0], value = tile.value(k);
  box.classList.remove('skeleton');
  if (!box.querySelector('.v')) {
    fill(box, el('div', { class: 'l' }, t(name)), el('div', { class: 'v' }, tile.unit ? el('span', { class: 'u' }, tile.unit + ' ') : null, el('span', { class: 'n' }), tile.after ? el('span', { class: 'u' }, tile.after) : null), el('div', { class: 'r' }));
    box.addEventListener('click', () => define(name));
    box.setAttribute('aria-describedby', 'footer');
  }
  tick(box.querySelector('.n'), value, tile.format);
  const was = base && tile.value(base.kpi[0]);
  let delta = el('span', { class: 'd' }, el('small', {}, t('noBase')));
  if (was) {
    const change = tile.points ? value - was : 100 * (value - was) / was;
    delta = el('span', { class: 'd ' + (change >= 0 ? 'up' : 'dn') }, (change >= 0 ? '▲ ' : '▼ ') + num(Math.abs(change), 1) + (tile.points ? ' ' + t('points') : '%') + ' ', el('small', {}, t('samePeriod')));
  } else if (view.compare === 'none') delta = el('span', { class: 'd' });
  fill(box.querySelector('.r'), delta, spark(weeks(data.days, tile)));
}
// A point a week: the days alone would be noise.
function weeks(days, tile) {
  const sums = [];
  for (let i = 0; i < days.length; i += 7) {
    const part = days.slice(i, i + 7), sum = (m) => part.reduce((a, d) => a + Number(d[m] || 0), 0);
    if (part.length === 7 || days.length < 14) sums.push(tile.month({ revenue: sum('revenue'), orders: sum('orders'), eligible: sum('eligible'), on_time: sum('on_time') }));
  }
  return sums;
}
function define(name) {
  const tile = tiles[name], k = shown.kpi[0], [from, to] = range();
  dialog(t(name), el('p', {}, t(tile.define)), el('dl', {}, el('dt', {}, t('formula')), el('dd', {}, el('code', {}, tile.formula)), el('dt', {}, t('rows')), el('dd', {}, num(k.items)), el('dt', {}, t('asOf')), el('dd', {}, 'LSN ' + shown.lsn)),
    el('pre', { tabindex: 0 }, `SELECT ${tile.column}\n  FROM fact_orders\n WHERE order_date >= '${from}' AND order_date < '${plus(to, 1)}'`));
}

function showMonths(data, base) {
  const m = data.months.filter((x) => x.month > '1971'), names = [], revenue = [], orders = [], was = [];
  const table = [];
  const byMonth = new Map(m.map((x) => [x.month, x])), earlier = base?.months || [];
  const [from, to] = range();
  const first = new Date(from.slice(0, 7) + '-01T00:00:00Z'), keys = [];
  for (const d = new Date(first); day(d) <= to && keys.length < 240; d.setUTCMonth(d.getUTCMonth() + 1)) keys.push(day(d));
  if (view.period === 'all' && m.length) while (keys.length && keys[0] < m[0].month) keys.shift();
  keys.forEach((key, i) => {
    const x = byMonth.get(key) || { revenue: 0, orders: 0 };
    const unfinished = monthEnd(key) > to && key === keys[keys.length - 1] && to === bounds?.last_day;
    names.push(monthName(key));
    revenue.push(unfinished ? { value: x.revenue, itemStyle: { color: 'transparent', borderColor: css('--s1'), borderType: 'dashed', borderWidth: 1.5 } } : x.revenue);
    orders.push(x.orders);
    was.push(earlier[i] ? earlier[i].revenue : null);
    table.push([monthName(key), money(x.revenue), num(x.orders), earlier[i] ? money(earlier[i].revenue) : '–']);
  });
  const box = byId('months');
  fill(byId('monthsTable'), makeTable([t('month'), t('revenue'), t('orders'), t('comparison')], table));
  byId('monthsSummary').textContent = `${t('byMonth')}: ${money(data.kpi[0].revenue || 0)}, ${num(data.kpi[0].orders)} ${t('orders')}`;
  box.setAttribute('aria-label', byId('monthsSummary').textContent);
  if (!window.echarts || box.hidden) return;
  chart ||= echarts.init(box, null, { renderer: 'svg' });
  const short = (x) => (x >= 1e6 ? num(x / 1e6, 1) + 'M' : x >= 1e3 ? num(x / 1e3) + 'k' : num(x));
  const friday = keys.indexOf([...keys].reverse().find((k) => k.slice(5, 7) === '11' && (byMonth.get(k)?.orders || 0) > 0));
  const axis = { type: 'category', data: names, axisLine: { lineStyle: { color: css('--line') } }, axisTick: { show: false } };
  const values = { type: 'value', axisLabel: { color: css('--ink3'), formatter: short }, splitLine: { lineStyle: { color: css('--line') } } };
  chart.setOption({
    animation: false, textStyle: { fontFamily: 'BVP' }, grid: [{ left: 52, right: 12, top: 34, height: 166 }, { left: 52, right: 12, top: 222, height: 48 }],
    legend: { top: 0, left: 0, itemWidth: 14, itemHeight: 8, textStyle: { color: css('--ink2') }, data: [t('revenue'), ...(base ? [t('comparison')] : [])] },
    tooltip: { trigger: 'axis', backgroundColor: css('--card'), borderColor: css('--line'), textStyle: { color: css('--ink') }, valueFormatter: (x) => (x === null || x === undefined ? '–' : num(x, 0)) },
    axisPointer: { link: [{ xAxisIndex: 'all' }] },
    xAxis: [{ ...axis, axisLabel: { show: false } }, { ...axis, gridIndex: 1, axisLabel: { color: css('--ink3'), hideOverlap: true } }],
    yAxis: [{ ...values, splitNumber: 4 }, { ...values, gridIndex: 1, splitNumber: 2 }],
    series: [
      { name: t('revenue'), type: 'bar', barWidth: '56%', data: revenue, cursor: 'pointer', itemStyle: { color: css('--s1'), borderRadius: [4, 4, 0, 0] },
        markPoint: friday >= 0 ? { symbol: 'circle', symbolSize: 1, label: { formatter: 'Black Friday', color: css('--ink2'), position: 'top', fontSize: 11 }, data: [{ coord: [friday, byMonth.get(keys[friday]).revenue] }] } : undefined },
      { name: t('comparison'), type: 'line', step: 'middle', data: base ? was : [], symbol: 'none', lineStyle: { color: css('--ink3'), width: 1.5 }, itemStyle: { color: css('--ink3') } },
      { name: t('orders'), type: 'line', xAxisIndex: 1, yAxisIndex: 1, data: orders, symbolSize: 4, lineStyle: { color: css('--s2'), width: 2 }, itemStyle: { color: css('--s2') }, areaStyle: { color: css('--s2'), opacity: .1 } },
    ],
  }, true);
  chart.off('click');
  chart.on('click', (e) => { view.month = view.month === keys[e.dataIndex] ? '' : keys[e.dataIndex]; save(); });
}

function showCategories(data) {
  const top = data.categories.slice(0, 8), most = Math.max(1, ...top.map((c) => Number(c.revenue)));
  fill(byId('categories'), ...(top.length ? top.map((c) => el('button', { class: 'bar', 'aria-pressed': String(view.category === c.category), title: lang === 'vi' ? c.category_vi : c.category_en, onclick: () => { view.category = view.category === c.category ? '' : c.category; save(); } },
    el('span', {}, (lang === 'vi' ? c.category_vi : c.category_en) || c.category), bar(100 * c.revenue / most), el('span', { class: 'n' }, num(c.revenue / 1000, c.revenue < 1e5 ? 1 : 0)))) : [el('p', { class: 'sub' }, t('noData'))]));
}
function bar(percent) {
  const i = el('i');
  i.style.width = percent.toFixed(1) + '%';
  return el('span', { class: 't' }, i);
}
function showStates(data) {
  const by = new Map(data.states.map((s) => [s.state, s])), cells = [];
  for (let y = 0; y < 7; y++) for (let x = 0; x < 7; x++) {
    const name = Object.keys(places).find((k) => places[k][0] === x && places[k][1] === y);
    if (!name) { cells.push(el('i', { 'aria-hidden': 'true' })); continue; }
    const s = by.get(name), share = s && s.eligible ? 100 * s.on_time / s.eligible : null;
    const b = el('button', { 'aria-pressed': String(view.state === name), 'aria-label': `${name}: ${share === null ? t('noData') : num(share) + '%'}, ${num(s?.orders || 0)} ${t('orders')}`, title: `${name}: ${num(s?.orders || 0)} ${t('orders')}, ${money(s?.revenue || 0, 0)}`,
      onclick: () => { view.state = view.state === name ? '' : name; save(); } }, name, el('small', {}, share === null ? '–' : num(share) + '%'));
    const depth = share === null ? 0 : Math.max(8, Math.min(100, (share - 60) * 2.5));
    b.style.background = `color-mix(in srgb, var(--s1) ${depth.toFixed(0)}%, var(--card))`;
    b.style.color = depth > 55 ? 'var(--card)' : 'var(--ink)';
    cells.push(b);
  }
  fill(byId('states'), ...cells);
}
function showFeed(orders) {
  const fresh = seen.size > 0;
  fill(byId('feed'), ...orders.slice(0, 7).map((o) => {
    const isNew = fresh && !seen.has(o.order_id);
    const kind = [lang === 'vi' ? o.category_vi : o.category_en, t(o.payment_type || 'not_defined') + (o.payment_installments > 1 ? ` ${o.payment_installments} ${t('installments')}` : '')].filter(Boolean).join(' · ');
    return el('li', { class: isNew ? 'new' : '' }, el('button', { onclick: () => showOrder(o.order_id) }, el('span', { class: 'tm' }, o.order_date.slice(11, 19)), el('span', { class: 'pl' }, [o.city, o.state].filter(Boolean).join(', ')), el('span', { class: 'am' }, money(o.total_amount)), el('span', { class: 'm' }, kind)));
  }));
  orders.forEach((o) => seen.add(o.order_id));
  const times = orders.map((o) => new Date(o.order_date.replace(' ', 'T').slice(0, 19) + 'Z').getTime());
  const minutes = times.length > 1 ? (times[0] - times[times.length - 1]) / 6e4 : 0;
  byId('pace').textContent = t('live') + (minutes > 0 && minutes < 60 ? ` · ${num((times.length - 1) / minutes)} ${t('perMinute')}` : '');
}
async function showOrder(id) {
  const [o] = await get('/api/order?' + new URLSearchParams({ id }));
  if (!o) return;
  const line = (name, value) => (value ? [el('dt', {}, t(name)), el('dd', {}, value)] : []);
  const time = (x) => (x ? x.slice(0, 16) : '');
  dialog(t('order') + ' ' + o.order_id.slice(0, 8) + '…', el('dl', {}, el('dt', {}, t('status')), el('dd', {}, o.status + (o.is_late ? ' · ' + t('late') : '')), ...line('state', o.state), ...line('purchased', time(o.order_date)), ...line('approved', time(o.approved_at)), ...line('shipped', time(o.shipped_at)), ...line('delivered', time(o.delivered_at)), ...line('promised', o.estimated_at),
    ...line('items', num(o.items)), ...line('goods', money(o.price)), ...line('freight', money(o.freight_value)), ...line('total', money(o.total_amount)), ...line('paid', money(o.payment_value)), ...line('score', o.review_score ? '★'.repeat(o.review_score) : ''), el('dt', {}, 'order_id'), el('dd', {}, el('code', {}, o.order_id))));
}

async function load() {
  if (loading) { again = true; return; }
  loading = true;
  try {
    if (!bounds) bounds = (await get(query(['1970-01-01', '1970-01-01']))).bounds[0];
    const period = range(), other = comparedRange(period);
    const data = await get(query(period)), base = other ? await get(query(other, 'compare')) : null;
    bounds = data.bounds[0];
    shown = data; state.asOf = data; state.heard = Date.now();
    byId('copying').toggleAttribute('hidden', Number(bounds.orders) > 0);
    for (const name of Object.keys(tiles)) showTile(name, data, base);
    showMonths(data, base); showCategories(data); showStates(data); showFeed(data.recent);
    filters(); footer(); showFreshness();
  } catch (error) {
    byId('gone').textContent = t('failed') + ': ' + error.message;
    if (!state.heard) byId('gone').hidden = false;
  }
  loading = false;
  if (again) { again = false; load(); }
}
function footer() {
  fill(byId('footer'), el('span', {}, t('source') + ': ', el('b', {}, 'fact_orders'), ', ' + t('everyStatus')), el('span', {}, t('currency') + ' ', el('b', {}, 'BRL'), ' · ' + t('zone') + ' ', el('b', {}, 'America/Sao_Paulo')), el('span', {}, 'LSN ', el('b', {}, shown.lsn)));
}

header('executive');
for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
byId('gone').textContent = t('gone');
byId('copying').textContent = t('copying');
document.title = 'Millrace · ' + t('executive');
tableSwitch(byId('monthsSwitch'), byId('months'), byId('monthsTable'));
addEventListener('themechange', () => shown && load());
addEventListener('resize', () => chart?.resize());
filters();
addEventListener('load', load);
loadCheck();
let position = -1, due = 0;
listen((event) => {
  if (event.recent) showFeed(event.recent);
  byId('gone').hidden = true;
  if (event.position === position || Date.now() < due) return;
  position = event.position; due = Date.now() + 1000;
  load();
});

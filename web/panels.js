// The executive page's panels: tiles, months, categories, states, new orders, and the dialogs behind them.
import { t, num, money, monthName, dayName, css, el, byId, fill, get, span, tick, dialog, makeTable, lang, state, resizing } from './common.js';
import { view, bounds, range, plus, monthEnd, buckets, total, question } from './view.js';
import { stateNames } from './i18n.js';

export const statuses = ['created', 'approved', 'invoiced', 'processing', 'shipped', 'delivered', 'canceled', 'unavailable'];
// Column and row of each state's tile: neighbours lie beside each other.
export const places = { RR: [2, 0], AP: [3, 0], AM: [1, 1], PA: [2, 1], MA: [4, 1], CE: [5, 1], RN: [6, 1], AC: [0, 2], RO: [1, 2], TO: [3, 2], PI: [4, 2], PE: [5, 2], PB: [6, 2], MT: [2, 3], DF: [3, 3], BA: [4, 3], AL: [5, 3], SE: [6, 3], MS: [2, 4], GO: [3, 4], MG: [4, 4], ES: [5, 4], PR: [3, 5], SP: [4, 5], RJ: [5, 5], RS: [3, 6], SC: [4, 6] };
const FEW_ORDERS = 30;

/* ---- tiles ---- */

const share = (part, whole) => (whole ? part / whole : null);
export const tiles = {
  revenue: { of: (s) => s.revenue, format: (x) => num(x), unit: 'R$', define: 'defRevenue', formula: 'sum(price + freight_value)', column: 'sum(f.total_amount)' },
  orders: { of: (s) => s.orders, format: (x) => num(x), define: 'defOrders', formula: 'count(DISTINCT order_id)', column: 'uniqExact(f.order_id)' },
  aov: { of: (s) => share(s.revenue, s.orders), format: (x) => num(x, 2), unit: 'R$', define: 'defAov', formula: 'sum(price + freight_value) / count(DISTINCT order_id)', column: 'sum(f.total_amount) / uniqExact(f.order_id)' },
  onTime: { of: (s) => share(100 * s.on_time, s.eligible), format: (x) => num(x, 1), after: '%', points: true, define: 'defOnTime', formula: 'date(delivered_at) <= date(estimated_at)', column: 'uniqExactIf(f.order_id, l.is_delivered AND l.delivered_at IS NOT NULL AND NOT l.is_late)\n       / uniqExactIf(f.order_id, l.is_delivered AND l.delivered_at IS NOT NULL)' },
};

function spark(values) {
  const ns = 'http://www.w3.org/2000/svg', svg = document.createElementNS(ns, 'svg'), path = document.createElementNS(ns, 'path');
  svg.setAttribute('class', 'spark'); svg.setAttribute('viewBox', '0 0 96 30'); svg.setAttribute('aria-hidden', 'true');
  const v = values.filter((x) => x !== null && Number.isFinite(x));
  if (v.length > 1) {
    const top = Math.max(...v), low = Math.min(...v);
    path.setAttribute('d', v.map((x, i) => (i ? 'L' : 'M') + (1 + i * 94 / (v.length - 1)).toFixed(1) + ' ' + (26 - 22 * (top > low ? (x - low) / (top - low) : .5)).toFixed(1)).join(''));
  }
  path.setAttribute('fill', 'none'); path.setAttribute('stroke', 'var(--s1)'); path.setAttribute('stroke-width', 2); path.setAttribute('stroke-linejoin', 'round');
  svg.append(path);
  return svg;
}
function delta(tile, now, was) {
  if (view.compare === 'none') return el('span', { class: 'd' });
  if (was === null || was === undefined || now === null || (!tile.points && !was)) return el('span', { class: 'd' }, el('small', {}, t('noBase')));
  const change = tile.points ? now - was : 100 * (now - was) / was;
  return el('span', { class: 'd ' + (change >= 0 ? 'up' : 'dn') }, (change >= 0 ? '▲ ' : '▼ ') + num(Math.abs(change), 1) + (tile.points ? ' ' + t('points') : '%') + ' ',
    el('small', {}, t(view.compare === 'year' ? 'onYear' : 'onPrevious')));
}
export function showTile(name, data, base) {
  const tile = tiles[name], box = byId(name), sums = total(data.days), value = tile.of(sums);
  box.classList.remove('skeleton');
  if (!box.querySelector('.n')) {
    fill(box, el('div', { class: 'l' }, t(name), el('i', { 'aria-hidden': 'true' }, 'i')), el('div', { class: 'v' }, tile.unit ? el('span', { class: 'u' }, tile.unit + ' ') : null, el('span', { class: 'n' }), tile.after ? el('span', { class: 'u' }, tile.after) : null), el('div', { class: 'r' }));
    box.addEventListener('click', () => define(name, box.data));
  }
  box.data = data;
  tick(box.querySelector('.n'), value, (x) => (x === null ? '–' : tile.format(x)));
  const few = sums.orders < FEW_ORDERS && name !== 'orders' && sums.orders > 0 ? el('span', { class: 'd warn' }, t('few')) : null;
  const points = buckets(data.period, data.days, data.grain).slice(0, data.grain === 'month' && monthEnd(data.period[1]) !== data.period[1] ? -1 : undefined);
  fill(box.querySelector('.r'), few || delta(tile, value, base && tile.of(total(base.days))), spark(points.map(tile.of)));
}
// The statement behind a tile, with the filters in force; text is quoted as SQL wants it.
function statement(column, [from, to]) {
  const quote = (x) => "'" + x.replaceAll('\\', '\\\\').replaceAll("'", "\\'") + "'";
  const where = [`f.order_date >= '${from}'`, `f.order_date < '${plus(to, 1)}'`];
  if (view.state) where.push('l.customer_state = ' + quote(view.state));
  if (view.category) where.push('p.category = ' + quote(view.category));
  if (view.status) where.push('f.order_status = ' + quote(view.status));
  return `SELECT ${column}\n  FROM fact_orders f\n  JOIN fact_order_lifecycle l ON l.order_id = f.order_id\n  JOIN dim_products p ON p.product_key = f.product_key\n WHERE ${where.join('\n   AND ')}`;
}
function define(name, data) {
  const tile = tiles[name], sums = total(data.days), sql = statement(tile.column, data.period);
  const copy = el('button', { class: 'btn', onclick: async () => { await navigator.clipboard.writeText(sql); copy.textContent = t('copiedSql'); } }, t('copySql'));
  dialog(t(name), el('p', {}, t(tile.define)), el('dl', {}, el('dt', {}, t('formula')), el('dd', {}, el('code', {}, tile.formula)), el('dt', {}, t('rows')), el('dd', {}, t('rowsCounted').replace('{items}', num(sums.items)).replace('{orders}', num(sums.orders))),
    el('dt', {}, t('period')), el('dd', {}, `${dayName(data.period[0])} – ${dayName(data.period[1])}`), el('dt', {}, t('asOf')), el('dd', {}, 'LSN ' + data.lsn)), el('pre', { tabindex: 0 }, sql),
  el('div', { class: 'row' }, navigator.clipboard ? copy : null, el('button', { class: 'btn', onclick: () => showOrders(data) }, t('seeOrders'))));
}

/* ---- months or days ---- */

let chart = null;
const axisName = (key, i, kind) => (kind === 'day' ? `${Number(key.slice(8))}/${Number(key.slice(5, 7))}` : Number(key.slice(5, 7)) + (i === 0 || key.slice(5, 7) === '01' ? '/' + key.slice(2, 4) : ''));
const short = (x) => (x >= 1e6 ? num(x / 1e6, 1) + 'M' : x >= 1e3 ? num(x / 1e3, x % 1e3 ? 1 : 0) + 'k' : num(x));

// The day after the fourth Thursday of November, when the data reaches it.
function blackFriday(list) {
  const at = list.map((b) => b.key.slice(5, 7)).lastIndexOf('11');
  if (at < 0) return -1;
  const first = new Date(list[at].key.slice(0, 7) + '-01T00:00:00Z').getUTCDay();
  return list[at].key.slice(0, 8) + String(1 + (4 - first + 7) % 7 + 22).padStart(2, '0') <= bounds.last_day ? at : -1;
}
function marks(list, kind) {
  if (kind === 'day' || !list.length) return undefined;
  const friday = blackFriday(list), top = list.reduce((a, b, i) => (b.revenue > list[a].revenue ? i : a), 0), data = [];
  if (friday >= 0) data.push({ coord: [friday, list[friday].revenue], value: 'Black Friday' });
  if (top !== friday && list[top].revenue) data.push({ coord: [top, list[top].revenue], value: t('highest') });
  return { symbol: 'circle', symbolSize: 1, silent: true, itemStyle: { color: 'transparent' }, label: { formatter: (p) => p.value, color: css('--ink2'), position: 'top', fontSize: 11 }, data };
}
export function showMonths(data, base, pick) {
  const kind = data.grain, list = buckets(data.period, data.days, kind), was = base ? buckets(base.period, base.days, kind) : [];
  const name = kind === 'day' ? dayName : monthName, last = list.length - 1;
  const open = list.length && data.period[1] === bounds.last_day && (kind === 'day' || monthEnd(list[last].key) > bounds.last_day);
  byId('monthsHead').textContent = t(kind === 'day' ? 'byDay' : 'byMonth');
  byId('monthsSub').textContent = t(kind === 'day' ? 'byDaySub' : 'byMonthSub');
  fill(byId('monthsTable'), makeTable([t(kind === 'day' ? 'day' : 'month'), t('revenue'), t('orders'), t('comparison')],
    list.map((b, i) => [kind === 'month' ? el('button', { class: 'link', onclick: () => pick(b.key) }, name(b.key)) : name(b.key), money(b.revenue), num(b.orders), was[i] ? money(was[i].revenue) : '–'])));
  const sums = total(data.days), top = list.reduce((a, b) => (b.revenue > a.revenue ? b : a), list[0]);
  byId('monthsSummary').textContent = t('summary').replace('{from}', dayName(data.period[0])).replace('{to}', dayName(data.period[1])).replace('{revenue}', money(sums.revenue, 0)).replace('{orders}', num(sums.orders)).replace('{top}', name(top.key));
  const box = byId('months');
  box.setAttribute('aria-label', byId('monthsSummary').textContent);
  if (!window.echarts || box.hidden) return;
  if (!chart) { chart = echarts.init(box, null, { renderer: 'svg' }); resizing(box, chart); }
  const axis = { type: 'category', data: list.map((b) => b.key), axisLine: { lineStyle: { color: css('--line') } }, axisTick: { show: false } };
  const values = { type: 'value', axisLabel: { color: css('--ink3'), formatter: short }, splitLine: { lineStyle: { color: css('--line') } } };
  chart.setOption({
    animation: false, textStyle: { fontFamily: 'BVP' }, grid: [{ left: 52, right: 8, top: 38, bottom: 112 }, { left: 52, right: 8, height: 54, bottom: 26 }],
    legend: { top: 0, left: 0, itemWidth: 14, itemHeight: 8, textStyle: { color: css('--ink2') }, data: [t('revenue'), ...(base ? [t('comparison')] : []), t('orders')] },
    tooltip: { trigger: 'axis', backgroundColor: css('--card'), borderColor: css('--line'), textStyle: { color: css('--ink') }, valueFormatter: (x) => (x === null || x === undefined ? '–' : num(x, 0)) },
    axisPointer: { link: [{ xAxisIndex: 'all' }], label: { show: false } },
    xAxis: [{ ...axis, axisLabel: { show: false } }, { ...axis, gridIndex: 1, axisLabel: { color: css('--ink3'), hideOverlap: true, formatter: (key, i) => axisName(key, i, kind) } }],
    yAxis: [{ ...values, splitNumber: 4 }, { ...values, gridIndex: 1, splitNumber: 2 }],
    series: [
      { name: t('revenue'), type: 'bar', barWidth: kind === 'day' ? '62%' : '56%', cursor: kind === 'month' ? 'pointer' : 'default', itemStyle: { color: css('--s1'), borderRadius: [4, 4, 0, 0] }, markPoint: marks(list, kind),
        data: list.map((b, i) => (open && i === last ? { value: b.revenue, itemStyle: { color: 'transparent', borderColor: css('--s1'), borderType: 'dashed', borderWidth: 1.5, borderRadius: [4, 4, 0, 0] } } : b.revenue)) },
      { name: t('comparison'), type: 'line', step: 'middle', data: list.map((b, i) => (was[i] ? was[i].revenue : null)), symbol: 'none', lineStyle: { color: css('--ink3'), width: 1.5 }, itemStyle: { color: css('--ink3') } },
      { name: t('orders'), type: 'line', xAxisIndex: 1, yAxisIndex: 1, data: list.map((b) => b.orders), symbolSize: 4, showSymbol: list.length < 40, lineStyle: { color: css('--s2'), width: 2 }, itemStyle: { color: css('--s2') }, areaStyle: { color: css('--s2'), opacity: .1 } },
    ],
  }, true);
  chart.off('click');
  if (kind === 'month') chart.on('click', (e) => pick(list[e.dataIndex].key));
}

/* ---- categories and states ---- */

function bar(percent) {
  const i = el('i');
  i.style.width = percent.toFixed(1) + '%';
  return el('span', { class: 't' }, i);
}
export function showCategories(data, pick) {
  const name = (c) => (lang === 'vi' ? c.category_vi : c.category_en) || c.category;
  const chosen = data.categories.find((c) => c.category === view.category), top = data.categories.slice(0, 10);
  if (chosen && !top.includes(chosen)) top[top.length - 1] = chosen;
  const most = Math.max(1, ...top.map((c) => Number(c.revenue))), thousands = most >= 1e4;
  byId('categoriesSub').textContent = t(thousands ? 'thousand' : 'single');
  fill(byId('categories'), ...(top.length ? top.map((c) => el('button', { class: 'bar' + (view.category && c !== chosen ? ' dim' : ''), 'aria-pressed': String(c === chosen), title: name(c), onclick: () => pick(c === chosen ? '' : c.category) },
    el('span', {}, name(c)), bar(100 * c.revenue / most), el('span', { class: 'n' }, thousands ? num(c.revenue / 1000, most < 1e6 ? 1 : 0) : num(c.revenue)))) : [el('p', { class: 'note' }, t('noData'))]));
  fill(byId('categoriesTable'), makeTable([t('category'), t('revenue'), t('orders')], data.categories.map((c) => [el('button', { class: 'link', onclick: () => pick(c.category) }, name(c)), money(c.revenue), num(c.orders)])));
}

// Five steps: on-time by fixed bounds, so that colours mean the same every day; revenue by shares of the largest.
const steps = { onTime: [80, 85, 90, 95], revenue: [2, 10, 25, 50] };
const depth = (measure, value) => steps[measure].filter((bound) => value >= bound).length;
export function showStates(data, pick) {
  const measure = view.measure === 'revenue' ? 'revenue' : 'onTime', by = new Map(data.states.map((s) => [s.state, s])), cells = [];
  const most = Math.max(1, ...data.states.map((s) => Number(s.revenue)));
  const onTime = (s) => (s && s.eligible ? 100 * s.on_time / s.eligible : null);
  for (let y = 0; y < 7; y++) for (let x = 0; x < 7; x++) {
    const name = Object.keys(places).find((k) => places[k][0] === x && places[k][1] === y);
    if (!name) { cells.push(el('i', { 'aria-hidden': 'true' })); continue; }
    const s = by.get(name), value = measure === 'onTime' ? onTime(s) : s ? 100 * s.revenue / most : null;
    const said = value === null ? '–' : measure === 'onTime' ? num(value) + '%' : short(Number(s.revenue));
    const label = s ? `${stateNames[name]}: ${num(s.orders)} ${t('orders').toLowerCase()}, ${money(s.revenue, 0)}, ${t('onTime').toLowerCase()} ${onTime(s) === null ? '–' : num(onTime(s), 1) + '%'}` : `${stateNames[name]}: ${t('noOrders')}`;
    cells.push(el('button', { class: value === null ? 'none' : 'q' + depth(measure, value), 'aria-pressed': String(view.state === name), 'aria-label': label, title: label, onclick: () => pick(view.state === name ? '' : name) }, name, el('small', {}, said)));
  }
  fill(byId('states'), ...cells);
  byId('statesSub').textContent = t(measure === 'onTime' ? 'byStateSub' : 'byStateRevenueSub');
  byId('measureSwitch').textContent = t(measure === 'onTime' ? 'showRevenue' : 'showOnTime');
  const bounds5 = steps[measure].map((b) => (measure === 'onTime' ? b + '%' : short(most * b / 100)));
  fill(byId('scale'), ...[0, 1, 2, 3, 4].map((i) => el('span', {}, el('i', { class: 'q' + i }), i === 0 ? '< ' + bounds5[0] : '≥ ' + bounds5[i - 1])));
  fill(byId('statesTable'), makeTable([t('state'), t('revenue'), t('orders'), t('onTime')], data.states.map((s) => [el('button', { class: 'link', onclick: () => pick(s.state) }, `${s.state} · ${stateNames[s.state] ?? ''}`), money(s.revenue), num(s.orders), onTime(s) === null ? '–' : num(onTime(s), 1) + '%'])));
}

/* ---- new orders ---- */

const seen = new Set(), arrivals = [], started = Date.now();
const payment = (o) => (o.payment_type === 'credit_card' && o.payment_installments > 0 ? t(o.payment_installments > 1 ? 'cards' : 'card').replace('{n}', o.payment_installments) : t(o.payment_type || 'not_defined'));
// Today's by their time; the others by their day too, as old data has no today.
const whenText = (at) => (at.slice(0, 10) === bounds?.last_day ? at.slice(11, 19) : `${Number(at.slice(8, 10))}/${Number(at.slice(5, 7))} ${at.slice(11, 16)}`);
export function showFeed(orders) {
  if (!orders || (state.paused && seen.size)) return;
  const known = seen.size > 0, fresh = orders.filter((o) => known && !seen.has(o.order_id));
  orders.forEach((o) => seen.add(o.order_id));
  for (const o of fresh) arrivals.push(Date.now());
  while (arrivals.length && arrivals[0] < Date.now() - 60000) arrivals.shift();
  fill(byId('feed'), ...orders.slice(0, 8).map((o) => el('li', { class: fresh.includes(o) ? 'new' : '' }, el('button', { onclick: () => showOrder(o.order_id) }, el('span', { class: 'tm' }, whenText(o.order_date)), el('span', { class: 'pl' }, [o.city, o.state].filter(Boolean).join(', ')), el('span', { class: 'am' }, money(o.total_amount)),
    el('span', { class: 'm' }, [lang === 'vi' ? o.category_vi : o.category_en, payment(o)].filter(Boolean).join(' · '))))));
  if (!orders.length) fill(byId('feed'), el('li', { class: 'note' }, t('waitingOrders')));
  const seconds = Math.min(60, Math.max(15, (Date.now() - started) / 1000));
  byId('pace').textContent = t('live') + (arrivals.length ? ` · ${num(arrivals.length * 60 / seconds)} ${t('perMinute')}` : ` · ${t('waitingOrders')}`);
  if (fresh.length) byId('said').textContent = t('newCount').replace('{n}', num(fresh.length));
}

/* ---- orders, one order ---- */

export async function showOrders(data) {
  const { orders } = await get(question(data.period, 'orders'));
  const table = makeTable([t('purchased'), t('state'), t('status'), t('items'), t('total')], orders.map((o) => [el('button', { class: 'link', onclick: () => showOrder(o.order_id) }, `${dayName(o.order_date.slice(0, 10))} ${o.order_date.slice(11, 16)}`), o.state, t('is_' + o.status) + (o.is_late ? ' · ' + t('late') : ''), num(o.items), money(o.total_amount)]), 3);
  dialog(t('ordersHead'), el('p', { class: 'sub' }, t('ordersSub').replace('{n}', num(orders.length))), el('div', { class: 'scroll' }, table));
}
const between = (from, to) => (from && to ? span(1000 * (new Date(to.replace(' ', 'T').slice(0, 19) + 'Z') - new Date(from.replace(' ', 'T').slice(0, 19) + 'Z'))) : '');
export async function showOrder(id) {
  const [o] = await get('/api/order?' + new URLSearchParams({ id }));
  if (!o) return dialog(t('order'), el('p', {}, t('noOrder')));
  const time = (x) => (x ? `${dayName(x.slice(0, 10))} ${x.slice(11, 16)}` : t('notYet'));
  const stage = (name, at, before) => el('li', { class: at ? '' : 'open' }, el('div', {}, t(name), el('div', { class: 'sub' }, at && before ? t('after').replace('{t}', between(before, at)) : '')), el('span', {}, time(at)));
  const fact = (name, value) => [el('dt', {}, t(name)), el('dd', {}, value)];
  const promised = el('li', { class: 'open' }, el('div', {}, t('promised'), el('div', { class: o.is_late ? 'bad' : 'sub' }, o.is_late ? t('late') : o.delivered_at ? t('inTime') : '')), el('span', {}, dayName(o.estimated_at)));
  return dialog(`${t('order')} ${o.order_id.slice(0, 8)}… · ${t('is_' + o.status)}`, el('ol', { class: 'line' }, stage('purchased', o.order_date), stage('approved', o.approved_at, o.order_date), stage('shipped', o.shipped_at, o.approved_at || o.order_date), stage('delivered', o.delivered_at, o.shipped_at || o.order_date), promised),
    el('dl', {}, ...fact('state', `${o.state} · ${stateNames[o.state] ?? ''}`), ...fact('items', num(o.items)), ...fact('goods', money(o.price)), ...fact('freight', money(o.freight_value)), ...fact('total', money(o.total_amount)), ...fact('paid', money(o.payment_value)),
      ...fact('score', o.review_score ? `${'★'.repeat(o.review_score)} (${o.review_score}/5)` : t('notYet')), el('dt', {}, 'order_id'), el('dd', {}, el('code', {}, o.order_id))));
}

// What is looked at: period, comparison and filters, all of it in the address; and the days that follow.
import { url } from './common.js';

export const view = { period: 'last12', compare: 'year', state: '', category: '', status: '', month: '', measure: 'onTime' };
const usual = { ...view };
for (const name of Object.keys(view)) view[name] = url.get(name) || usual[name];
export let bounds = null; // first_day, last_day, orders of the data
export function setBounds(value) { bounds = value; }

export function writeAddress() {
  for (const [name, value] of Object.entries(view)) value && value !== usual[name] ? url.set(name, value) : url.delete(name);
  history.replaceState(null, '', url.size ? '?' + url : location.pathname);
}
export const filtered = () => Boolean(view.state || view.category || view.status || view.month);
export function clear() { view.state = view.category = view.status = view.month = ''; }

// Days are texts of the shop's calendar: no time zone may move them.
const text = (d) => d.toISOString().slice(0, 10);
export function plus(iso, days) { const d = new Date(iso + 'T00:00:00Z'); d.setUTCDate(d.getUTCDate() + days); return text(d); }
export function plusMonths(iso, months) {
  const d = new Date(iso + 'T00:00:00Z'), wanted = d.getUTCMonth() + months, year = d.getUTCFullYear();
  const last = new Date(Date.UTC(year, wanted + 1, 0)).getUTCDate();
  return text(new Date(Date.UTC(year, wanted, Math.min(d.getUTCDate(), last))));
}
export const monthStart = (iso) => iso.slice(0, 7) + '-01';
export const monthEnd = (iso) => plus(plusMonths(monthStart(iso), 1), -1);
export const length = ([from, to]) => Math.round((new Date(to) - new Date(from)) / 864e5) + 1;

// The newest order is "today": old data has no other (the replay's clock, never the wall's).
export function range() {
  const last = bounds.last_day;
  if (view.month) return [view.month, monthEnd(view.month) < last ? monthEnd(view.month) : last];
  if (view.period === 'all') return [bounds.first_day, last];
  if (view.period === 'last90') return [plus(last, -89), last];
  if (view.period === 'last30') return [plus(last, -29), last];
  if (view.period === 'thisYear') return [last.slice(0, 4) + '-01-01', last];
  return [plusMonths(monthStart(last), -11), last];
}
// Days up to two months, months beyond.
export const grain = (period) => (length(period) <= 62 ? 'day' : 'month');
// A year before: the same dates for months, the same weekdays for days. null: nothing, or the data begins
// later, so that the comparison would be with a part.
export function comparedRange(period) {
  const [from, to] = period, days = length(period);
  let earlier = null;
  if (view.compare === 'year' && grain(period) === 'day') earlier = [plus(from, -364), plus(to, -364)];
  else if (view.compare === 'year') earlier = [plusMonths(from, -12), plusMonths(to, -12)];
  else if (view.compare === 'previous') earlier = [plus(from, -days), plus(from, -1)];
  return earlier && earlier[0] >= monthStart(bounds.first_day) && earlier[1] < from ? earlier : null;
}
export const question = ([from, to], part) => '/api/dashboard?' + new URLSearchParams({ from, to, state: view.state, category: view.category, status: view.status, ...(part ? { part } : {}) });

// The buckets of a period, each with the sums of its days; empty ones are zero.
export function buckets(period, days, kind) {
  const [from, to] = period, byKey = new Map(), list = [];
  const key = kind === 'day' ? (d) => d : monthStart;
  for (let k = key(from); k <= to; k = kind === 'day' ? plus(k, 1) : plusMonths(k, 1)) {
    const bucket = { key: k, revenue: 0, orders: 0, eligible: 0, on_time: 0, items: 0 };
    byKey.set(k, bucket);
    list.push(bucket);
  }
  for (const d of days) add(byKey.get(key(d.day)), d);
  return list;
}
function add(into, d) {
  if (!into) return;
  for (const m of ['revenue', 'orders', 'eligible', 'on_time', 'items']) into[m] += Number(d[m] || 0);
}
export function total(days) {
  const sum = { revenue: 0, orders: 0, eligible: 0, on_time: 0, items: 0 };
  for (const d of days) add(sum, d);
  return sum;
}

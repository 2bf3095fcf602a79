// The topic browser: Kafka's topics and how far bronze has read them; the records of a partition; what one changed.
import { t, num, el, byId, fill, get, span, clock, state, soft, lang, lsnText } from './common.js';

const LIMIT = 20, FOUND_LIMIT = 200, SCAN = 20000 /* how many records the server looks through for a key */, REFRESH_MS = 5000, SLOW_US = 2e6, BROKEN_US = 10e6, BRIEF = 400, BRIEF_SAME = 120;
const say = (key, values) => Object.entries(values).reduce((text, [name, value]) => text.replace(`{${name}}`, () => value), t(key));

/* ---- topics ---- */

let listed = null, seen = false, asking = false;
const opened = new Set();

// Kafka's end is the offset that the next record gets.
const kept = (p) => (p.end > p.oldest ? `${num(p.oldest)} – ${num(p.end - 1)}` : t('keepsNone'));
const held = (p) => p.end - p.oldest;
function totals(partitions) {
  const read = partitions.filter((p) => p.lag !== null);
  return { records: partitions.reduce((n, p) => n + held(p), 0), lag: read.length ? read.reduce((n, p) => n + p.lag, 0) : null, behind: Math.max(0, ...read.map((p) => p.behind_us ?? 0)) };
}
function numbers({ records, lag, behind }) {
  const kind = behind > BROKEN_US ? ' bad' : behind > SLOW_US ? ' warn' : '', age = lag ? span(behind) : '–';
  return [el('td', { class: 'n' }, num(records)), el('td', { class: 'n' }, lag === null ? t('notRead') : num(lag), el('div', { class: 'narrow' + kind }, age)), el('td', { class: 'n' + kind }, age)];
}
function topicRows(topic) {
  const open = opened.has(topic.name), chosen = view.topic === topic.name;
  const toggle = el('button', { class: 'link', 'aria-expanded': String(open), 'aria-label': say('showPartitions', { name: topic.name }), onclick: () => { if (!opened.delete(topic.name)) opened.add(topic.name); showTopics(); } }, open ? '▾ ' : '▸ ', num(topic.partitions.length));
  const row = el('tr', { class: chosen ? 'on' : '' }, el('td', { class: 'name' }, el('button', { class: 'link', 'aria-pressed': String(chosen), onclick: () => choose(topic.name, topic.partitions[0]?.partition ?? 0) }, soft(topic.name))), el('td', { class: 'n' }, toggle), ...numbers(totals(topic.partitions)));
  return [row, ...(open ? topic.partitions : []).map((p) => el('tr', { class: 'part' },
    el('td', { class: 'name', colspan: 2 }, el('button', { class: 'link', onclick: () => choose(topic.name, p.partition) }, say('partitionWord', { n: p.partition })), el('span', { class: 'faint' }, ` · offset ${kept(p)}${p.next >= 0 ? ' · ' + say('bronzeAt', { n: num(p.next) }) : ''}`)), ...numbers(totals([p]))))];
}
function showTopics() {
  const all = listed.topics;
  byId('topicsSub').className = 'sub';
  byId('topicsSub').textContent = say('topicsSub', { servers: listed.bootstrap_servers, n: num(all.length), records: num(all.reduce((n, x) => n + totals(x.partitions).records, 0)) });
  fill(byId('topics'), all.length ? el('table', { class: 'steady' }, el('thead', {}, el('tr', {}, ...['topic', 'partitions', 'records', 'bronzeLag', 'bronzeBehind'].map((h, i) => el('th', { scope: 'col', class: i ? 'n' : 'name' }, t(h))))),
    el('tbody', {}, ...all.flatMap(topicRows))) : el('p', { class: 'note' }, t('topicsNone')));
}
// The first time always, to know whether there is Kafka; then only what somebody looks at.
async function loadTopics() {
  if (asking || document.hidden || (listed && (!listed.kafka || !seen || state.paused))) return;
  asking = true;
  try {
    listed = await get('/api/topics');
    byId('topicsCard').hidden = !listed.kafka;
    if (listed.kafka) showTopics();
  } catch (error) {
    if (error.answered) {
      byId('topicsCard').hidden = false;
      byId('topicsSub').className = 'sub bad';
      byId('topicsSub').textContent = say('topicsLost', { text: error.message });
    }
  }
  asking = false;
}

/* ---- reading a record ---- */

// JSON whose numbers keep their digits: an int8 or a numeric may hold more than a double does.
class Digits {
  constructor(text) { this.text = text; }
  toJSON() { return JSON.rawJSON ? JSON.rawJSON(this.text) : this.text; }
}
const parse = (text) => JSON.parse(text, (key, value, context) => (typeof value === 'number' && context?.source && String(value) !== context.source ? new Digits(context.source) : value));
const wrapped = (v) => v !== null && typeof v === 'object' && 'payload' in v && 'schema' in v && Object.keys(v).length === 2;
function decode(text) {
  if (text === null) return { value: null };
  try {
    const whole = parse(text);
    return wrapped(whole) ? { value: whole.payload, schema: whole.schema, whole } : { value: whole, whole };
  } catch { return { value: text, text }; }
}
const isObject = (v) => v !== null && typeof v === 'object' && !Array.isArray(v) && !(v instanceof Digits);
const plain = (v) => (typeof v === 'string' ? v : JSON.stringify(v) ?? '');
function keyText(text) {
  const { value } = decode(text);
  if (!isObject(value)) return value === null ? '–' : plain(value);
  const parts = Object.entries(value);
  return parts.length === 1 ? plain(parts[0][1]) : parts.map(([name, v]) => `${name}=${plain(v)}`).join(' ');
}
const statuses = { BEGIN: 'begin', END: 'end' };
function opOf(record, value) {
  if (record.value === null) return 'tombstone';
  if (!isObject(value)) return 'other';
  if (typeof value.op === 'string') return 'crudtm'.includes(value.op) ? value.op : 'other';
  if (value.status in statuses && 'id' in value) return statuses[value.status];
  return Object.keys(value).every((name) => name.startsWith('ts_')) ? 'heartbeat' : 'other';
}
const kinds = { c: 'ok', u: 'warn', d: 'bad', t: 'bad', r: 'read' };
const opWord = (op) => el('span', { class: 'op ' + (kinds[op] ?? ''), title: op === 'tombstone' ? t('noValue') : op.length === 1 ? op : null }, t('op_' + op));
const exact = (us) => clock(us) + (lang === 'vi' ? ',' : '.') + String(Math.floor(us / 1000) % 1000).padStart(3, '0');
const date = (us) => new Date(us / 1000).toLocaleDateString(lang === 'vi' ? 'vi-VN' : 'en-GB', { day: '2-digit', month: '2-digit', year: 'numeric' });
const today = (us) => new Date(us / 1000).toDateString() === new Date().toDateString();
const when = (us) => `${date(us)} ${exact(us)}`;

/* ---- one record ---- */

const UNSENT = ['__debezium_unavailable_value', 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==', '5f5f646562657a69756d5f756e617661696c61626c655f76616c7565'];
const unsent = (v) => (typeof v === 'string' ? UNSENT.includes(v) : v !== null && typeof v === 'object' && UNSENT.some((mark) => plain(v).includes(`"${mark}"`)));
// What the schema says of a value: the time that a number tells, as the source has it; the digits of a decimal.
const units = { 'io.debezium.time.Timestamp': 1, 'io.debezium.time.MicroTimestamp': 1e3, 'io.debezium.time.NanoTimestamp': 1e6, 'io.debezium.time.Date': 1 / 864e5 };
function meaning(v, field) {
  if (field?.name === 'org.apache.kafka.connect.data.Decimal' && typeof v === 'string') return decimal(v, Number(field.parameters?.scale ?? 0));
  const at = typeof v === 'number' && units[field?.name] ? new Date(v / units[field.name]) : null;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString().slice(0, field.name.endsWith('Date') ? 10 : 19).replace('T', ' ') : null;
}
// Base64 of a big-endian two's complement.
function decimal(base64, scale) {
  try {
    const hex = [...atob(base64)].map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(''), n = BigInt.asIntN(4 * hex.length, BigInt('0x' + (hex || '0')));
    const digits = String(n < 0n ? -n : n).padStart(scale + 1, '0'), cut = digits.length - scale;
    return scale < 0 ? null : (n < 0n ? '-' : '') + digits.slice(0, cut) + (scale ? '.' + digits.slice(cut) : '');
  } catch { return null; }
}
function cell(row, name, field, changed) {
  if (!row || !(name in row)) return el('td', {}, el('span', { class: 'faint' }, '–'));
  const v = row[name], text = v === null ? 'null' : plain(v), told = meaning(v, field);
  if (unsent(v)) return el('td', {}, el('span', { class: 'faint', title: t('notSentHint') }, t('notSent')));
  const most = changed === false ? BRIEF_SAME : BRIEF, shown = text.length > most ? text.slice(0, most) + '…' : text, code = el('code', { class: v === null ? 'faint' : '' }, shown);
  return el('td', { class: 'wrap' }, changed ? el('mark', {}, code) : code, told ? el('div', { class: 'faint' }, told) : null);
}
function rowTable({ before, after }, schema, op) {
  const fields = schema?.fields?.find((f) => f.field === 'after')?.fields ?? [], field = Object.fromEntries(fields.map((f) => [f.field, f]));
  const names = [...new Set([...Object.keys(after ?? {}), ...Object.keys(before ?? {})])], both = before && after;
  const differ = (name) => !!both && !unsent(after[name]) && plain(before[name]) !== plain(after[name]);
  const many = names.filter(differ).length, sides = [before && 'before', after && 'after'].filter(Boolean);
  return [both ? el('p', { class: 'sub' }, say('changedWord', { n: num(many) })) : op === 'u' ? el('p', { class: 'sub' }, t('noBefore')) : null,
    el('table', { class: 'diff' }, el('thead', {}, el('tr', {}, ...['column', ...sides.map((side) => 'side_' + side)].map((h) => el('th', { scope: 'col' }, t(h))))),
      el('tbody', {}, ...names.map((name) => el('tr', { class: differ(name) ? 'changed' : '' }, el('th', { scope: 'row' }, soft(name), differ(name) ? el('span', { class: 'sr' }, ' ' + t('changed')) : null), ...sides.map((side) => cell(side === 'before' ? before : after, name, field[name], both ? differ(name) : null))))))];
}
const pairs = (list) => el('dl', { class: 'pairs' }, ...list.filter(([, v]) => v !== undefined && v !== null && v !== '').flatMap(([name, v]) => [el('dt', {}, name), el('dd', {}, el('code', {}, plain(v)))]));
function sourceOf(value) {
  const s = value.source;
  if (!isObject(s)) return [];
  const at = s.ts_us ?? (typeof s.ts_ms === 'number' ? s.ts_ms * 1000 : null), lsn = s.lsn instanceof Digits ? s.lsn.text : s.lsn;
  return [el('h3', {}, t('source')), pairs([['LSN', lsn === null || lsn === undefined ? null : `${lsnText(lsn)} · ${lsn}`], ['txId', s.txId], [t('snapshot'), s.snapshot], [t('tableName'), s.table ? `${s.db}.${s.schema}.${s.table}` : s.db],
    [t('committedAt'), typeof at === 'number' ? when(at) : null], [t('transaction'), value.transaction?.id], ['connector', [s.connector, s.version, s.name].filter(Boolean).join(' · ')]])];
}
let rawOpen = false;
function rawJson(record) {
  const pre = el('pre', { tabindex: 0 }), box = el('details', { open: rawOpen, ontoggle: () => { rawOpen = box.open; if (box.open && !pre.textContent) pre.textContent = [record.key, record.value].map(pretty).join('\n\n'); } }, el('summary', {}, t('rawRecord')), pre);
  return box;
}
function pretty(text) {
  const { whole } = decode(text);
  return whole === undefined ? String(text) : JSON.stringify(whole, null, 2);
}
function details(record, op, decoded) {
  const { value, schema } = decoded;
  if (op === 'tombstone') return [el('p', { class: 'sub' }, t('noValue'))];
  if (isObject(value) && ('before' in value || 'after' in value) && (isObject(value.before) || isObject(value.after))) return [...rowTable(value, schema, op), ...sourceOf(value)];
  if (isObject(value)) return [pairs(Object.entries(value).filter(([name]) => name !== 'source' && name !== 'transaction')), ...sourceOf(value)];
  return [el('pre', { tabindex: 0 }, plain(value).slice(0, 10 * BRIEF))];
}
function showRecord(record) {
  const decoded = decode(record.value), op = opOf(record, decoded.value), headers = Object.entries(record.headers ?? {});
  byId('record').scrollTop = 0;
  fill(byId('record'), el('h3', {}, `${t('offset')} ${num(record.offset)} · `, opWord(op)),
    el('p', { class: 'sub' }, `${t('writtenAt')} ${when(record.timestamp_us)} · ${t('key')} `, el('code', {}, keyText(record.key))),
    ...details(record, op, decoded), el('h3', {}, t('headers')), headers.length ? pairs(headers.map(([name, v]) => [name, v ?? 'null'])) : el('p', { class: 'sub' }, t('noHeaders')), rawJson(record));
}

/* ---- records of a partition ---- */

const view = { topic: '', partition: 0, key: '', from: 0, next: 0, oldest: 0, end: 0 };
let turn = 0, records = [], picked = -1;

// Offsets have holes (compaction, transaction marks): fewer records than asked for means that the end was reached.
function standing(answer, limit) {
  const rows = answer.records, full = rows.length >= limit;
  return { from: answer.from, oldest: answer.oldest, end: answer.end, next: full ? rows.at(-1).offset + 1 : view.key ? Math.min(answer.end, answer.from + SCAN) : answer.end };
}
// Not `disabled`: a button that has the keyboard keeps it.
const able = (id, can) => byId(id).setAttribute('aria-disabled', String(!can));
const can = (id) => byId(id).getAttribute('aria-disabled') !== 'true';
function showPlace() {
  const range = { from: num(view.from), to: num(Math.max(view.from, view.next - 1)), kept: kept(view) };
  byId('recordsSub').className = 'sub';
  byId('recordsSub').textContent = view.key ? say('recordsFound', { n: num(records.length), ...range }) : records.length ? say('recordsSub', { ...range, from: num(records[0].offset) }) : say('keepsPart', range);
  able('older', view.from > view.oldest);
  able('newer', view.next < view.end);
}
function pick(at, focus) {
  const buttons = [...byId('records').querySelectorAll('tbody button')];
  if (!buttons[at]) return;
  picked = at;
  buttons.forEach((b, i) => { b.setAttribute('aria-pressed', String(i === at)); b.tabIndex = i === at ? 0 : -1; b.closest('tr').classList.toggle('on', i === at); });
  if (focus) { buttons[at].focus({ preventScroll: true }); buttons[at].closest('tr').scrollIntoView({ block: 'nearest' }); }
  showRecord(records[records.length - 1 - at]);
}
function moved(event) {
  const to = { ArrowDown: picked + 1, ArrowUp: picked - 1, Home: 0, End: records.length - 1 }[event.key];
  if (to === undefined || !event.target.closest('tbody')) return;
  event.preventDefault();
  pick(Math.max(0, Math.min(records.length - 1, to)), true);
}
// The record stands below the list there, not beside it.
const stacked = () => matchMedia('(max-width:1100px)').matches;
function shown(at) {
  pick(at, true);
  if (stacked()) byId('record').scrollIntoView({ block: 'nearest' });
}
function showRecords(sought) {
  const newestFirst = [...records].reverse();
  fill(byId('records'), records.length ? el('table', { class: 'picks' }, el('thead', {}, el('tr', {}, ...['offset', 'time', 'op', 'key'].map((h, i) => el('th', { scope: 'col', class: i ? '' : 'n' }, t(h))))),
    el('tbody', {}, ...newestFirst.map((r, at) => {
      const key = keyText(r.key);
      return el('tr', { onclick: (e) => { if (!getSelection().toString() || e.target.closest('button')) shown(at); } }, el('td', { class: 'n' }, el('button', { class: 'link', 'aria-pressed': 'false', tabindex: -1 }, num(r.offset))), el('td', { title: when(r.timestamp_us) }, today(r.timestamp_us) ? null : date(r.timestamp_us) + ' ', exact(r.timestamp_us)), el('td', {}, opWord(opOf(r, decode(r.value).value))), el('td', { class: 'wrap' }, el('code', {}, key.length > 48 ? key.slice(0, 48) + '…' : key)));
    }))) : el('p', { class: 'note' }, t('recordsNone')));
  byId('records').scrollTop = sought ? byId('records').scrollHeight : 0;
  picked = -1;
  if (records.length) pick(sought ? records.length - 1 : 0, false); else fill(byId('record'), el('p', { class: 'note' }, t('pickRecord')));
}
// What was sought is the oldest of its page, and is shown; else the newest is.
async function read(where, sought) {
  const mine = ++turn, limit = view.key ? FOUND_LIMIT : LIMIT, question = { topic: view.topic, partition: view.partition, limit, ...where };
  if (view.key) question.key = view.key;
  byId('recordsCard').setAttribute('aria-busy', 'true');
  byId('recordsSub').className = 'sub';
  byId('recordsSub').textContent = t('reading');
  try {
    const answer = await get('/api/records?' + new URLSearchParams(question));
    if (mine !== turn) return;
    Object.assign(view, standing(answer, limit));
    records = answer.records;
    showRecords(sought);
    showPlace();
  } catch (error) {
    if (mine !== turn) return;
    byId('recordsSub').className = 'sub bad';
    byId('recordsSub').textContent = `${t('failed')}: ${error.message}`;
  }
  byId('recordsCard').removeAttribute('aria-busy');
}
function newest() {
  byId('seekOffset').value = byId('seekTime').value = '';
  view.key = byId('seekKey').value.trim();
  read({});
}
function older() {
  if (can('older')) read({ offset: Math.max(view.oldest, Math.min(view.from, view.end) - (view.key ? SCAN : LIMIT)) });
}
function newer() {
  if (can('newer')) read({ offset: view.next });
}
function seek(event) {
  event.preventDefault();
  view.key = byId('seekKey').value.trim();
  const offset = byId('seekOffset').value, time = byId('seekTime').value;
  read(offset !== '' ? { offset: Math.max(0, Math.trunc(Number(offset))) } : time ? { time_us: new Date(time).getTime() * 1000 } : {}, offset !== '' || time !== '');
}
function choose(topic, partition) {
  const list = listed.topics.find((x) => x.name === topic)?.partitions ?? [];
  Object.assign(view, { topic, partition, key: '', from: 0, next: 0, oldest: 0, end: 0 });
  records = [];
  fill(byId('recordsHead'), soft(topic));
  fill(byId('seekPartition'), ...list.map((p) => el('option', { value: p.partition, selected: p.partition === partition }, num(p.partition))));
  byId('seekKey').value = '';
  byId('recordsCard').hidden = false;
  able('older', false);
  able('newer', false);
  fill(byId('records'));
  fill(byId('record'));
  showTopics();
  byId('recordsHead').focus({ preventScroll: true });
  byId('recordsCard').scrollIntoView({ block: stacked() ? 'start' : 'nearest' });
  newest();
}
function close() {
  turn++;
  const topic = view.topic;
  view.topic = '';
  byId('recordsCard').hidden = true;
  showTopics();
  [...byId('topics').querySelectorAll('.name button')].find((b) => b.textContent === topic)?.focus();
}

export function topicBrowser() {
  byId('seek').addEventListener('submit', seek);
  byId('seekOffset').addEventListener('input', () => { byId('seekTime').value = ''; });
  byId('seekTime').addEventListener('input', () => { byId('seekOffset').value = ''; });
  byId('seekPartition').addEventListener('change', () => { view.partition = Number(byId('seekPartition').value); newest(); });
  byId('seekKey').placeholder = t('keyHint');
  byId('newest').addEventListener('click', newest);
  byId('older').addEventListener('click', older);
  byId('newer').addEventListener('click', newer);
  byId('closeRecords').setAttribute('aria-label', t('close'));
  byId('closeRecords').addEventListener('click', close);
  byId('records').addEventListener('keydown', moved);
  byId('record').setAttribute('aria-label', t('recordHead'));
  new IntersectionObserver((entries) => { seen = entries.at(-1).isIntersecting; if (seen) loadTopics(); }).observe(byId('topicsCard'));
  document.addEventListener('visibilitychange', loadTopics);
  addEventListener('retry', loadTopics);
  setInterval(loadTopics, REFRESH_MS);
  loadTopics();
}

// What both pages share: language, theme, number formats, the header with freshness, live updates.
import { words } from './i18n.js';

const kept = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* private window: not kept */ } },
};

export const url = new URLSearchParams(location.search);
export let lang = url.get('lang') || kept.get('lang') || 'vi';
if (!words[lang]) lang = 'vi';
export const t = (key) => words[lang][key] ?? words.en[key] ?? key;
const locale = lang === 'vi' ? 'vi-VN' : 'en-GB';
export const num = (x, digits = 0) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(x);
export const money = (x, digits = 2) => 'R$ ' + num(x, digits);
export const monthName = (iso) => (lang === 'vi' ? `thg ${Number(iso.slice(5, 7))} ${iso.slice(0, 4)}` : new Intl.DateTimeFormat(locale, { month: 'short', year: 'numeric', timeZone: 'UTC' }).format(new Date(iso + 'T00:00:00Z')));
export const dayName = (iso) => new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'numeric', year: 'numeric', timeZone: 'UTC' }).format(new Date(iso + 'T00:00:00Z'));
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches || document.hidden;

// Makes an element; text is always text, never markup.
export function el(tag, attrs = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (k === 'class') e.className = v;
    else if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (v !== undefined && v !== null && v !== false) e.setAttribute(k, v === true ? '' : v);
  }
  for (const c of children) if (c !== undefined && c !== null) e.append(c);
  return e;
}
export const byId = (id) => document.getElementById(id);
// What is drawn anew keeps the keyboard where it was: the same place among what can be focused.
export function fill(target, ...children) {
  const stops = () => [...target.querySelectorAll('a,button,select,[tabindex]')];
  const at = target.contains(document.activeElement) ? stops().indexOf(document.activeElement) : -1;
  target.replaceChildren(...children.filter((c) => c !== null && c !== undefined));
  if (at >= 0) stops()[at]?.focus({ preventScroll: true });
}
// A stage's own word for what it does, in the reader's language where it is one that lasts.
export const stageState = (text) => { const key = 'stage_' + text.replaceAll(' ', '_'), word = t(key); return word === key ? text : word; };

export async function get(path, options) {
  const answer = await fetch(path, options);
  if (answer.status === 401) throw Object.assign(new Error(t('denied')), { denied: true, answered: true });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error || answer.statusText), { answered: true });
  return body;
}
export function lsnText(lsn) {
  const n = BigInt(lsn);
  return (n >> 32n).toString(16).toUpperCase() + '/' + (n & 0xffffffffn).toString(16).toUpperCase();
}
// A chart follows its box, not the window: a table beside it may change its height.
export const resizing = (box, chart) => new ResizeObserver(() => box.clientWidth && chart.resize()).observe(box);
export const post = (path) => fetch(path, { method: 'POST', headers: { 'X-Millrace': '1' } });

export function span(us) {
  const s = Math.max(0.1, us / 1e6);
  if (s < 60) return num(s, s < 10 ? 1 : 0) + ' ' + t('seconds');
  if (s < 3600) return num(s / 60) + ' ' + t('minutes');
  return num(s / 3600, 1) + ' ' + t('hours');
}
export const clock = (us) => new Date(us / 1000).toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event('themechange'));
}
setTheme(url.get('theme') || kept.get('theme') || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
document.documentElement.lang = lang;

const wave = () => {
  const ns = 'http://www.w3.org/2000/svg', svg = document.createElementNS(ns, 'svg'), path = document.createElementNS(ns, 'path');
  svg.setAttribute('width', 26); svg.setAttribute('height', 26); svg.setAttribute('viewBox', '0 0 26 26'); svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', 'M2 8c4-4 7 4 11 0s7 4 11 0M2 14c4-4 7 4 11 0s7 4 11 0M2 20c4-4 7 4 11 0s7 4 11 0');
  path.setAttribute('stroke', 'var(--accent)'); path.setAttribute('stroke-width', 2.2); path.setAttribute('stroke-linecap', 'round'); path.setAttribute('fill', 'none');
  svg.append(path);
  return svg;
};

// paused=1 in the address: a still page, for printing and pictures.
export const state = { paused: url.get('paused') === '1', asOf: null, heard: 0, check: undefined, broken: false };

export function header(page) {
  const item = (name, path) => el('a', { href: path + (url.get('lang') ? '?lang=' + lang : ''), 'aria-current': name === page ? 'page' : null }, t(name));
  const pause = el('button', { class: 'btn', 'aria-label': t(state.paused ? 'resume' : 'pause'), onclick: () => {
    state.paused = !state.paused;
    if (state.paused) disconnect(); else { state.heard = Date.now(); connect(); dispatchEvent(new Event('retry')); }
    pause.textContent = state.paused ? '▶' : '❚❚';
    pause.setAttribute('aria-label', t(state.paused ? 'resume' : 'pause'));
    showFreshness();
  } }, state.paused ? '▶' : '❚❚');
  const other = lang === 'vi' ? 'en' : 'vi';
  const language = el('button', { class: 'btn', 'aria-label': t('language') + ': ' + other.toUpperCase(), onclick: () => {
    kept.set('lang', other); url.set('lang', other); location.search = url.toString();
  } }, lang.toUpperCase());
  const theme = el('button', { class: 'btn', 'aria-label': t('theme'), onclick: () => {
    const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    kept.set('theme', next); setTheme(next);
  } }, '◐');
  document.body.prepend(
    el('a', { class: 'skip', href: '#main' }, t('skip')),
    el('header', {}, el('div', { class: 'brand' }, wave(), 'Millrace'), el('nav', { 'aria-label': 'Millrace' }, item('executive', '/'), item('pipeline', '/pipeline')),
      el('div', { class: 'space' }), el('div', { class: 'fresh', id: 'fresh' }), pause, language, theme));
  setInterval(showFreshness, 500);
}

// What is wrong, in the order in which it matters: no permission, nobody answers, an answer that failed, lag.
const STALE_US = 2e6, BANNER_US = 5e6, BROKEN_US = 10e6, SILENT_MS = 6000;
export function problem(error) {
  state.problem = error;
  if (error) console.warn(error.message);
  showFreshness();
}
function trouble(lag) {
  if (state.problem?.denied) return ['broken', t('denied'), t('reload'), () => location.reload()];
  if (state.broken || (state.problem && !state.problem.answered)) return ['broken', t('gone'), t('retry'), () => { connect(); dispatchEvent(new Event('retry')); }];
  if (state.problem) return ['broken', `${t('failed')}: ${state.problem.message}`, t('retry'), () => dispatchEvent(new Event('retry'))];
  if (lag > BANNER_US && !state.paused) return [lag > BROKEN_US ? 'broken' : '', t('stale').replace('{age}', span(Math.floor(lag / 1e6) * 1e6)), null];
  return null;
}
let said = '';
function showTrouble(what) {
  const box = byId('trouble');
  box.hidden = !what;
  document.body.classList.toggle('gone', !!what && !!state.broken);
  if ((what ? what[1] : '') === said) return;
  said = what ? what[1] : '';
  if (!what) return;
  box.className = 'banner ' + what[0];
  fill(box, el('span', {}, what[1]), what[2] ? el('button', { class: 'btn', onclick: what[3] }, what[2]) : null);
}

// The age of what is shown: the flow's own lag, and the time since it was last heard of. The dot is green while
// that is small, amber when it grows or the view is paused, red when nobody answers.
export function showFreshness() {
  const box = byId('fresh');
  if (!box || document.hidden) return;
  const silentMs = Date.now() - state.heard, a = state.asOf;
  state.broken = !state.paused && state.heard > 0 && silentMs > SILENT_MS;
  const lag = a ? a.lag_us : 0;
  showTrouble(trouble(lag));
  if (!a) { fill(box, el('i', { class: 'dot stale' }), el('span', {}, t('connecting'))); return; }
  const kind = state.broken || state.problem || lag > BROKEN_US ? 'broken' : state.paused || lag > STALE_US ? 'stale' : '';
  const [before, after] = t('updated').split('{age}'), age = [before, el('b', {}, span(Math.max(1e5, lag + silentMs * 1000))), after];
  const c = state.check, proof = !c || c.error ? t('notVerified') : t(c.equal ? 'verified' : 'verifiedDiffers').replace('{time}', clock(c.at_us).slice(0, 5));
  fill(box, el('i', { class: 'dot ' + kind }), el('span', {}, ...(state.paused ? [t('paused')] : age), el('span', { class: 'wide' }, ` · LSN ${a.lsn} · ${proof}`)));
}

// The stream of live updates. It is closed while the page is hidden or paused, and opened again with growing
// pauses when it breaks; the first message after that holds all that is new.
let source = null, onMessage = null, retryMs = 1000, timer = 0;
function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = null;
}
function connect() {
  disconnect();
  if (document.hidden || state.paused) return;
  source = new EventSource('/api/live');
  source.onmessage = (message) => {
    state.asOf = JSON.parse(message.data);
    state.heard = Date.now();
    retryMs = 1000;
    if (state.problem && !state.problem.answered) { state.problem = null; dispatchEvent(new Event('retry')); }
    showFreshness();
    onMessage(state.asOf);
  };
  source.onerror = () => {
    disconnect();
    timer = setTimeout(connect, retryMs);
    retryMs = Math.min(2 * retryMs, 10000);
  };
}
export function listen(onEvent) {
  onMessage = onEvent;
  document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
  connect();
}
export async function loadCheck() {
  try { state.check = await get('/api/check'); } catch { /* the stream says when nobody answers */ }
}

// Counts a figure to its new value in 300 ms.
export function tick(node, to, format) {
  const from = node.value ?? to;
  node.value = to;
  if (from === to || to === null || calm()) { node.textContent = format(to); return; }
  const start = performance.now();
  const step = (now) => {
    const part = Math.min(1, (now - start) / 300);
    node.textContent = format(part < 1 ? from + (to - from) * part : to);
    if (part < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

export function dialog(title, ...content) {
  const box = el('dialog', { 'aria-label': title }, el('div', { class: 'head' }, el('h2', {}, title), el('button', { class: 'btn', onclick: () => box.close() }, t('close'))), ...content);
  box.addEventListener('close', () => box.remove());
  box.addEventListener('click', (e) => { if (e.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

// A switch between a chart and the table behind it.
export function tableSwitch(button, chart, table) {
  button.textContent = t('table');
  button.setAttribute('aria-expanded', 'false');
  button.addEventListener('click', () => {
    const show = table.hidden;
    table.hidden = !show; chart.hidden = show;
    button.textContent = t(show ? 'chart' : 'table');
    button.setAttribute('aria-expanded', String(show));
    dispatchEvent(new Event('themechange')); /* draws what was hidden */
  });
}
// A name that may break after its dots and underscores.
export const soft = (name) => { const e = el('span'); for (const part of name.split(/(?<=[._])/)) e.append(part, el('wbr')); return e; };
// Columns from `left` on are numbers and stand right.
export function makeTable(heads, rows, left = 1) {
  return el('table', {}, el('thead', {}, el('tr', {}, ...heads.map((h, i) => el('th', { class: i >= left ? 'n' : '', scope: 'col' }, h)))),
    el('tbody', {}, ...rows.map((r) => el('tr', {}, ...r.map((c, i) => el('td', { class: i >= left ? 'n' : '' }, c))))));
}

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
const locale = lang === 'vi' ? 'vi-VN' : 'en-US';
export const num = (x, digits = 0) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(x);
export const money = (x, digits = 2) => 'R$ ' + num(x, digits);
export const monthName = (iso) => new Intl.DateTimeFormat(locale, { month: 'short', year: 'numeric', timeZone: 'UTC' }).format(new Date(iso + 'T00:00:00Z'));
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

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
export function fill(target, ...children) { target.replaceChildren(...children.filter((c) => c !== null && c !== undefined)); }

export async function get(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}
export const post = (path) => fetch(path, { method: 'POST', headers: { 'X-Millrace': '1' } });

export function span(us) {
  const s = Math.max(0, us / 1e6);
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

export const state = { paused: false, asOf: null, heard: 0, check: undefined, broken: false };

export function header(page) {
  const item = (name, path) => el('a', { href: path + (url.get('lang') ? '?lang=' + lang : ''), 'aria-current': name === page ? 'page' : null }, t(name));
  const pause = el('button', { class: 'btn', 'aria-label': t('pause'), onclick: () => {
    state.paused = !state.paused;
    pause.textContent = state.paused ? '▶' : '❚❚';
    pause.setAttribute('aria-label', t(state.paused ? 'resume' : 'pause'));
    showFreshness();
  } }, '❚❚');
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
      el('div', { class: 'space' }), el('div', { class: 'fresh', id: 'fresh', role: 'status' }), pause, language, theme));
  setInterval(showFreshness, 500);
}

// The dot is green while the numbers are young, amber when they lag or the view is paused, red when nobody answers.
export function showFreshness() {
  const box = byId('fresh');
  if (!box || document.hidden) return;
  const silent = Date.now() - state.heard > 6000;
  state.broken = silent && state.heard > 0;
  byId('gone')?.toggleAttribute('hidden', !state.broken);
  const a = state.asOf;
  if (!a) return;
  const lag = a.lag_us + (state.broken ? (Date.now() - state.heard) * 1000 : 0);
  const kind = state.broken ? 'broken' : state.paused || lag > 2e6 ? 'stale' : '';
  const age = lag > 0 ? [t('behind') + ' ', el('b', {}, span(lag))] : [t('updated') + ' ', el('b', {}, span(Math.max(0, Date.now() - state.heard) * 1000)), ' ' + t('ago')];
  const proof = state.check ? t('verified') + ' ' + clock(state.check.at_us) : t('notVerified');
  fill(box, el('i', { class: 'dot ' + kind }), el('span', {}, ...(state.paused ? [t('paused')] : age), el('span', { class: 'wide' }, ` · LSN ${a.lsn} · ${proof}`)));
}

// Calls onEvent for every message; the browser reconnects by itself.
export function listen(onEvent) {
  const source = new EventSource('/api/live');
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    state.heard = Date.now();
    if (state.paused || document.hidden) return;
    state.asOf = event;
    onEvent(event);
  };
}
export async function loadCheck() {
  try { state.check = await get('/api/check'); if (state.check?.error || state.check?.equal === false) state.check = null; } catch { state.check = null; }
}

// Counts a figure to its new value in 300 ms.
export function tick(node, to, format) {
  const from = node.dataset.value === undefined ? to : Number(node.dataset.value);
  node.dataset.value = to;
  if (from === to || calm()) { node.textContent = format(to); return; }
  const start = performance.now();
  const step = (now) => {
    const part = Math.min(1, (now - start) / 300);
    node.textContent = format(from + (to - from) * part);
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
}

// A switch between a chart and the table behind it.
export function tableSwitch(button, chart, table) {
  button.textContent = t('table');
  button.addEventListener('click', () => {
    const show = table.hidden;
    table.hidden = !show; chart.hidden = show;
    button.textContent = t(show ? 'chart' : 'table');
    if (!show) dispatchEvent(new Event('resize'));
  });
}
export function makeTable(heads, rows) {
  return el('table', {}, el('thead', {}, el('tr', {}, ...heads.map((h, i) => el('th', { class: i ? 'n' : '', scope: 'col' }, h)))),
    el('tbody', {}, ...rows.map((r) => el('tr', {}, ...r.map((c, i) => el('td', { class: i ? 'n' : '' }, c))))));
}

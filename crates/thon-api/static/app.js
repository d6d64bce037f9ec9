// The dashboard's script: keeps pages up to date, and sends what is asked for.
//
// For: pages that work without a reload. The server makes the pages; parts of them, marked with
// data-live, are replaced by newer ones when the stream of events says that something happened.
// Not for: rules, and not for texts of pages; both are the server's.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const csrf = $('meta[name="csrf"]')?.content ?? "";

// ---------------------------------------------------------------- words for people

function toast(text, bad = false) {
  const box = document.createElement("div");
  box.className = bad ? "toast bad" : "toast";
  box.textContent = text;
  if (bad) box.setAttribute("role", "alert");
  $("#toasts").append(box);
  setTimeout(() => box.remove(), bad ? 12000 : 5000);
}

function bytes(number) {
  if (number === null || number === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) { number /= 1024; unit += 1; }
  return `${number >= 10 || unit === 0 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
}

function ago(date) {
  const seconds = Math.round((Date.now() - date) / 1000);
  const far = Math.abs(seconds);
  const [size, unit] = far < 60 ? [1, "s"] : far < 3600 ? [60, "min"] : far < 172800 ? [3600, "h"] : [86400, "d"];
  if (far < 5) return "now";
  const text = `${Math.floor(far / size)} ${unit}`;
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

function tellTimes() {
  for (const time of $$("time[data-ago]")) {
    const date = new Date(time.dateTime);
    time.title = date.toLocaleString();
    time.textContent = ago(date);
  }
}

// ---------------------------------------------------------------- talking to the server

async function call(method, path, body, match) {
  const headers = { accept: "application/json", "x-thon-csrf": csrf };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (match) headers["if-match"] = `"${match}"`;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw { detail: "The server doesn't answer.", hint: "Is `thon serve` running?" };
  }
  if (answer.status === 401) { location.reload(); return new Promise(() => {}); }
  const text = await answer.text();
  let value = {};
  try { value = text ? JSON.parse(text) : {}; } catch { value = { detail: text.slice(0, 200) }; }
  if (!answer.ok) throw value;
  return { status: answer.status, value };
}

const words = (problem) => [problem.detail ?? "It failed.", problem.hint].filter(Boolean).join(" – ");

// Operations whose end is told to whoever asked for them here, and where to go then.
const asked = new Map();

function follow(operation, what, then) {
  asked.set(operation.id, { what, then });
  toast(`${what} …`);
}

// ---------------------------------------------------------------- asking before something is lost

function confirmed(title, loses, word) {
  const dialog = $("#confirm"), input = $("#confirm-input"), yes = $("#confirm-yes");
  $("#confirm-title").textContent = title;
  $("#confirm-loses").textContent = loses ?? "";
  $("#confirm-label").hidden = !word;
  $("#confirm-word").textContent = word ?? "";
  input.value = "";
  const judge = () => { yes.disabled = Boolean(word) && input.value.trim() !== word; };
  input.oninput = judge;
  judge();
  dialog.returnValue = "no";
  dialog.showModal();
  (word ? input : yes).focus();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes" && !yes.disabled);
  });
}

// Enter in the field means the button beside it, once the word is right.
$("#confirm-input")?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  if (!$("#confirm-yes").disabled) $("#confirm").close("yes");
});

// ---------------------------------------------------------------- what is sent

const filled = (text, values) => text.replace(/\{([\w.]+)\}/g, (_, name) => values[name] ?? "");

function read(form) {
  const body = {};
  for (const field of $$("input[name], select[name], textarea[name]", form)) {
    let value = field.value;
    const kind = field.dataset.kind;
    if (field.tagName !== "TEXTAREA") value = value.trim();
    if (value === "" && kind === "nullable") value = null;
    else if (value === "" && !field.required) continue;
    else if (kind === "number") value = Number(value);
    else if (kind === "truth") value = value === "true";
    const path = field.name.split(".");
    let place = body;
    for (const part of path.slice(0, -1)) place = place[part] ??= {};
    place[path.at(-1)] = value;
  }
  return body;
}

async function ids(query) {
  const found = [];
  for (let page = 1; ; page += 1) {
    const { value } = await call("GET", `/api/instances?${query}&page_size=200&page=${page}`);
    found.push(...value.instances.filter((one) => one.in_roster));
    if (page * 200 >= value.total) return found;
  }
}

async function bodyOf(button) {
  const { body, ids: some, all, group } = button.dataset;
  if (body) return JSON.parse(body);
  if (some) return { instance_ids: some.split(",") };
  if (all || group) {
    const query = all ? `state=${all}` : `group=${encodeURIComponent(group)}`;
    const wanted = (await ids(query)).filter((one) => one.state !== "Running" && one.state !== "Paused");
    return { instance_ids: wanted.map((one) => one.id) };
  }
  return undefined;
}

async function send(element, body, values = {}) {
  const [method, path] = element.dataset.call.split(" ");
  const { status, value } = await call(method, path, body, element.dataset.match);
  const done = element.dataset.done && filled(element.dataset.done, values);
  const operation = status === 202 && value.id ? value : value.operation;
  const then = element.dataset.then && filled(element.dataset.then, values);
  if (operation) follow(operation, done ?? title(operation), then);
  else if (done) toast(done);
  // What an operation leads to is there when it is over.
  if (then && status !== 202) { location.assign(then); return; }
  if (element.dataset.reload !== undefined) { location.reload(); return; }
  refresh();
}

const title = (operation) => {
  const names = operation.instance_ids.map((id) => id.replace("_", "/"));
  const shown = names.length > 3 ? `${names.length} users` : names.join(", ");
  const task = operation.task.replace("_", " ");
  return `${task[0].toUpperCase()}${task.slice(1)} ${shown}`;
};

async function busy(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  try { await work(); } finally { element.removeAttribute("aria-busy"); }
}

async function press(button) {
  const { ask, loses, word } = button.dataset;
  if (ask && !(await confirmed(ask, loses, word))) return;
  await busy(button, async () => {
    try { await send(button, await bodyOf(button)); } catch (problem) { toast(words(problem), true); }
  });
}

async function submit(form) {
  const { ask, loses, word } = form.dataset;
  if (ask && !(await confirmed(ask, loses, word))) return;
  const said = $$(".error[role=alert]", form).at(-1);
  const button = $("button:not([type=button])", form);
  await busy(button, async () => {
    const body = read(form);
    const values = Object.fromEntries(Object.entries(body).map(([name, value]) => [name, String(value ?? "")]));
    for (const field of $$("[aria-invalid]", form)) field.removeAttribute("aria-invalid");
    if (said) said.hidden = true;
    try {
      await send(form, body, values);
      if (form.dataset.reset !== undefined) {
        for (const field of $$("input", form)) field.value = "";
        $("input", form)?.focus();
      }
      if (form.dataset.match && !form.dataset.then) location.reload();
    } catch (problem) {
      if (!said) { toast(words(problem), true); return; }
      said.textContent = words(problem);
      said.hidden = false;
      const field = problem.field && $(`[name="${CSS.escape(problem.field)}"]`, form);
      if (field) { field.setAttribute("aria-invalid", "true"); field.focus(); }
    }
  });
}

async function bulk(button) {
  const chosen = $$('#list input[name="id"]:checked').map((box) => box.value);
  const { ask, loses, word } = button.dataset;
  const whom = chosen.length === 1 ? chosen[0].replace("_", "/") : `${chosen.length} users`;
  if (ask && !(await confirmed(`${ask} ${whom}?`, loses, word))) return;
  await busy(button, async () => {
    try {
      const { value } = await call("POST", `/api/instances/bulk/${button.dataset.bulk}`, { instance_ids: chosen });
      follow(value, title(value));
      refresh();
    } catch (problem) { toast(words(problem), true); }
  });
}

function countChosen() {
  const boxes = $$('#list input[name="id"]');
  const chosen = boxes.filter((box) => box.checked).length;
  const all = $("#choose-all");
  if (!all) return;
  all.checked = chosen > 0 && chosen === boxes.length;
  all.indeterminate = chosen > 0 && chosen < boxes.length;
  $("#chosen").textContent = chosen ? `${chosen} chosen` : "nobody chosen";
  for (const button of $$("[data-bulk]")) button.disabled = chosen === 0;
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, [data-call]");
  if (!target) return;
  if (target.dataset.call && target.tagName === "BUTTON") press(target);
  else if (target.dataset.bulk) bulk(target);
  else if (target.dataset.copy) copy(target.dataset.copy);
  else if (target.dataset.reveal !== undefined) reveal(target);
  else if (target.dataset.verdict !== undefined) verdict(target.form);
  else if (target.dataset.print !== undefined) print();
  else if (target.id === "logout") busy(target, logout);
  else if (target.classList.contains("menu")) {
    const open = target.closest(".side").classList.toggle("open");
    target.setAttribute("aria-expanded", String(open));
  }
});

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.call) return;
  event.preventDefault();
  submit(event.target);
});

document.addEventListener("change", (event) => {
  if (event.target.id === "choose-all") {
    for (const box of $$('#list input[name="id"]')) box.checked = event.target.checked;
  }
  if (event.target.matches("input[type=checkbox]")) countChosen();
  if (event.target.matches(".filters select")) event.target.form.requestSubmit();
});

// A query says what was chosen and nothing else.
for (const form of $$("form.filters")) {
  form.addEventListener("submit", () => {
    for (const field of $$("input, select", form)) if (field.value === "") field.disabled = true;
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS a browser has no clipboard for pages but this one.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  toast("Copied");
}

const isShown = (secret) => secret.textContent === secret.dataset.secret;

function show(secret, shown) {
  secret.textContent = shown ? secret.dataset.secret : "••••••••";
  $("[data-reveal]", secret.parentElement).textContent = shown ? "Hide" : "Show";
}

function reveal(button) {
  const secret = $("[data-secret]", button.parentElement);
  show(secret, !isShown(secret));
}

async function verdict(form) {
  const answer = await fetch(form.action, {
    method: "POST", headers: { "x-thon-csrf": csrf }, body: new URLSearchParams(new FormData(form)),
  });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = $("#verdict", page);
  if (found) $("#verdict").replaceWith(found); else toast("It could not be checked.", true);
}

async function logout() {
  await call("POST", "/logout");
  location.assign("/login");
}

// ---------------------------------------------------------------- staying up to date

// What the server said of each part last: what is filled in here doesn't count as a difference.
const said = new WeakMap();

const rowsOf = (part) => $$("[data-key]", part);

// What the server says of a part: all of it, and what is left of it without its rows.
function saying(part) {
  const shell = part.cloneNode(true);
  for (const row of rowsOf(shell)) row.replaceChildren();
  return { html: part.outerHTML, shell: shell.outerHTML };
}

function remember(part) {
  said.set(part, saying(part));
  for (const row of rowsOf(part)) said.set(row, saying(row));
}

// Puts newer words in the place of a part: row by row where the rows are the same ones.
function adopt(old, fresh) {
  const before = said.get(old), now = saying(fresh);
  if (before?.html === now.html) return;
  const rows = rowsOf(old), next = rowsOf(fresh);
  const same = before && before.shell.replace(/ class="[^"]*"/g, "") === now.shell.replace(/ class="[^"]*"/g, "");
  if (!same || rows.length === 0 || rows.length !== next.length) { exchange(old, fresh); return; }
  said.set(old, now);
  rows.forEach((row, at) => {
    if (said.get(row)?.html !== next[at].outerHTML) exchange(row, next[at]);
  });
}

// What a person did to a part stays: what is checked, shown, open and where they are.
function exchange(old, fresh) {
  const focus = old.contains(document.activeElement) ? path(document.activeElement, old) : null;
  const open = $$("details", old).map((details) => details.open);
  const checked = new Set($$("input[type=checkbox]:checked", old).map((box) => box.value));
  const shown = new Set($$("[data-secret]", old).filter(isShown).map((secret) => secret.dataset.secret));
  remember(fresh);
  old.replaceWith(fresh);
  for (const box of $$("input[type=checkbox]", fresh)) if (checked.has(box.value)) box.checked = true;
  for (const secret of $$("[data-secret]", fresh)) if (shown.has(secret.dataset.secret)) show(secret, true);
  $$("details", fresh).forEach((details, at) => { if (open[at]) details.open = true; });
  if (focus) find(focus, fresh)?.focus({ preventScroll: true });
}

// Where an element is, so that the one in its place can be found again.
function path(element, root) {
  const row = element.closest("[data-key]");
  const within = row && root.contains(row) ? row : root;
  const all = $$("button, a, input, select, summary", within);
  return { key: within === row && row !== root ? row.dataset.key : null, at: all.indexOf(element), text: element.textContent };
}

function find({ key, at, text }, root) {
  const within = key ? $(`[data-key="${CSS.escape(key)}"]`, root) ?? root : root;
  const all = $$("button, a, input, select, summary", within);
  return all.find((one) => text && one.textContent === text) ?? all[at];
}

let under = false, again = false, timer = null;

function refresh() {
  if (timer === null) timer = setTimeout(bring, 150);
}

async function bring() {
  timer = null;
  if (under) { again = true; return; }
  under = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html", "x-thon-refresh": "1" } });
    if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of $$("[data-live]")) {
        const part = page.getElementById(old.id);
        if (part) adopt(old, document.importNode(part, true));
      }
      after();
    }
  } catch {
    // The stream of events says when the server is there again.
  } finally {
    under = false;
    if (again) { again = false; setTimeout(refresh, 500); }
  }
}

function after() {
  tellTimes();
  countChosen();
  fillLoads();
}

function listen() {
  const live = $("#live");
  if (!live) return;
  const stream = new EventSource("/api/events");
  stream.onopen = () => { live.dataset.state = "on"; live.textContent = "live"; refresh(); };
  stream.onerror = () => {
    live.dataset.state = "off";
    live.textContent = "not connected";
    // A refusal ends the stream for good, and the page is asked whether it holds still; anything else is
    // tried again by the browser.
    if (stream.readyState === EventSource.CLOSED) { refresh(); setTimeout(listen, 5000); }
  };
  for (const kind of ["instance_changed", "roster_changed", "examined", "lagged", "workspace_ready", "disk_pressing"]) {
    stream.addEventListener(kind, refresh);
  }
  stream.addEventListener("warning", (event) => toast(JSON.parse(event.data).text, true));
  stream.addEventListener("operation_changed", (event) => {
    const { operation, state, result } = JSON.parse(event.data);
    const one = asked.get(operation);
    if (one && !["queued", "running"].includes(state)) {
      asked.delete(operation);
      const done = state === "succeeded";
      toast(done ? `${one.what}: done` : `${one.what}: ${result ?? state}`, !done);
      if (done && one.then) { location.assign(one.then); return; }
    }
    refresh();
  });
}

// ---------------------------------------------------------------- how busy everything is

const loads = new Map();
let host = null;

function fillLoads() {
  for (const cell of $$("td[data-cpu], td[data-memory]")) {
    cell.toggleAttribute("data-empty", !loads.has(cell.dataset.cpu ?? cell.dataset.memory));
  }
  for (const cell of $$("[data-cpu]")) {
    const load = loads.get(cell.dataset.cpu);
    cell.textContent = load?.cpu_percent == null ? "–" : `${Math.round(load.cpu_percent)} %`;
  }
  for (const cell of $$("[data-memory]")) cell.textContent = bytes(loads.get(cell.dataset.memory)?.memory);
  if (!host || !$("[data-host]")) return;
  const set = (name, value, text) => {
    if (value == null) return;
    $(`[data-meter=${name}]`).value = value;
    $(`[data-text=${name}]`).textContent = text;
  };
  set("cpu", host.cpu_percent, `${Math.round(host.cpu_percent)} %`);
  set("memory", host.memory_used, `${bytes(host.memory_used)} of ${bytes(host.memory_total)}`);
  set("disk", host.disk_used, `${bytes(host.disk_total - host.disk_used)} free of ${bytes(host.disk_total)}`);
}

async function measure() {
  const watched = [...new Set($$("[data-cpu]").map((cell) => cell.dataset.cpu))];
  if (document.hidden || (!watched.length && !$("[data-host]"))) return;
  try {
    const query = watched.map((id) => `id=${encodeURIComponent(id)}`).join("&");
    const { value } = await call("GET", `/api/load?${query}`);
    loads.clear();
    for (const load of value.instances) loads.set(load.id, load);
    host = value.host;
    fillLoads();
  } catch {
    // What was measured last stays until something newer is there.
  }
}

$$("[data-live]").forEach(remember);
after();
listen();
measure();
setInterval(measure, 5000);
setInterval(tellTimes, 10000);

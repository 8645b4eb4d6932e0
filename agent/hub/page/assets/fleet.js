// The fleet: a row a run. Only the rows that can be seen are in the document.

import { button, copy, h, nav, put, say } from "./dom.js";
import { bytes, count, duration, elapsed, isNumber, money, moment, plural } from "./format.js";
import { compare, hasEnded, needsYou } from "./store.js";

const STATES = ["waiting", "running", "disconnected", "failed", "cancelled", "succeeded"];
const NARROW = matchMedia("(max-width: 960px)");
const height = () => NARROW.matches ? 108 : 58;
const SPARE = 6;

export const address = (id) => `/runs/${encodeURIComponent(id)}`;
export const title = (row) => row.title || row.repo || row.id;

const WHY = { question: "asks a question", failed: "failed", idle: "idle", disconnected: "disconnected" };

export function badge(row) {
  const word = row.attention === "idle" ? "idle" : row.state;
  return h("span", { class: `state ${word}` }, word === "waiting" ? "question" : word);
}

/** What happens in a run now, in one line. */
export function activity(row) {
  if (row.state === "waiting") {
    const said = row.question?.message || row.question?.question || row.now || "waits for an answer";
    return row.questions?.length > 1 ? `${row.questions.length} questions: ${said}` : said;
  }
  if (hasEnded(row)) return row.message || row.reason || row.now || "";
  if (row.retry) return `API retry ${row.retry.attempt ?? "?"} of ${row.retry.of ?? "?"}: ${row.retry.reason ?? ""}`;
  if (row.progress) {
    const { stage, percent, bytes: size } = row.progress;
    return [stage, isNumber(percent) ? `${Math.round(percent)} %` : "", bytes(size)].filter(Boolean).join(" · ");
  }
  return row.now || "";
}

export function todo(row) {
  const { done, total } = row.todo ?? {};
  if (!isNumber(total) || !total) return "";
  const percent = Math.max(0, Math.min(100, 100 * (done ?? 0) / total));
  const bar = h("span", { class: "progress", "aria-hidden": "true" }, h("i"));
  bar.firstChild.style.width = `${percent}%`;
  return h("span", { class: "todo", title: "to-do list" }, bar, `${count(done ?? 0)} of ${count(total)}`);
}

export function memory(row) {
  if (!isNumber(row.memory)) return "";
  const share = isNumber(row.memoryLimit) && row.memoryLimit > 0 ? row.memory / row.memoryLimit : 0;
  return h("span", { class: share > 0.9 ? "bad" : share > 0.75 ? "warn" : "", title: "memory of its limit" },
    bytes(row.memory), isNumber(row.memoryLimit) ? h("small", null, ` / ${bytes(row.memoryLimit)}`) : "");
}

function losses(row) {
  return [
    row.missing ? h("span", { class: "bad" }, `${count(row.missing)} missing`) : "",
    row.dropped ? h("span", { class: "warn" }, `${count(row.dropped)} dropped`) : "",
    row.queued > 0 ? h("span", { class: row.queued > 500 ? "warn" : "", title: "messages not confirmed" }, `${count(row.queued)} queued`) : "",
    row.errors ? h("span", { class: "bad" }, plural(row.errors, "error")) : "",
  ].filter(Boolean);
}

/** Since when nothing is heard of a run that is not connected. */
export function silent(row) {
  const heard = Date.parse(row.updated);
  return Number.isNaN(heard) ? "" : h("span", { class: "warn" }, `last heard ${duration((Date.now() - heard) / 1000)} ago`);
}

const COLUMNS = ["State", "Run", "Now", "Time", "Turns", "Cost", "Memory"];

export class Fleet {
  constructor(store, go) {
    this.store = store;
    this.go = go;
    this.selected = null;
    this.shown = [];
    this.nodes = new Map();
    this.element = h("section", { class: "fleet", "aria-label": "Runs" });
    this.build();
    const resized = () => this.ask();
    this.stopListening = () => { NARROW.removeEventListener("change", resized); removeEventListener("resize", resized); };
    NARROW.addEventListener("change", resized);
    addEventListener("resize", resized);
    store.listeners.add(this.heard = () => this.ask());
    this.clock = setInterval(() => { this.stale = true; this.ask(); }, 5000);
    this.read();
  }

  close() {
    this.stopListening();
    clearInterval(this.clock);
    this.store.listeners.delete(this.heard);
  }

  build() {
    this.input = h("input", { type: "search", class: "filter", placeholder: "Filter  /", "aria-label": "Filter by title, repository, branch, label or text",
      autocomplete: "off", spellcheck: "false", oninput: () => this.write(), onkeydown: (event) => {
        if (event.key === "Escape") { this.input.value = ""; this.write(); this.input.blur(); }
        if (event.key === "Enter" || event.key === "ArrowDown") { event.preventDefault(); this.move(0); }
      } });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "States" });
    this.label = h("select", { class: "labels", "aria-label": "Label", onchange: () => this.write() });
    this.totals = h("p", { class: "totals" });
    this.note = h("p", { class: "notice", hidden: true });
    this.head = h("div", { class: "row head", role: "row", "aria-rowindex": 1 }, COLUMNS.map((name, at) => h("span", { role: "columnheader", class: `c${at}` }, name)));
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.table = h("div", { class: "table", role: "table", "aria-label": "Runs" }, h("div", { role: "rowgroup" }, this.head), this.body);
    this.empty = h("div", { class: "empty", hidden: true });
    this.scroller = h("div", { class: "scroll", tabindex: -1, onscroll: () => this.ask() }, this.table, this.empty);
    put(this.element, h("div", { class: "tools" }, this.input, this.chips, this.label, this.totals), this.note, this.scroller);
  }

  /** Takes the filter from the address. */
  read() {
    const query = new URLSearchParams(location.search);
    this.input.value = query.get("q") ?? "";
    this.states = new Set((query.get("state") ?? "").split(",").filter((state) => STATES.includes(state) || state === "attention"));
    this.wanted = query.get("label") ?? "";
    this.ask();
  }

  /** Puts the filter into the address, so that it can be sent to a colleague. */
  write() {
    this.wanted = this.label.value;
    const query = new URLSearchParams();
    if (this.input.value) query.set("q", this.input.value);
    if (this.states.size) query.set("state", [...this.states].join(","));
    if (this.wanted) query.set("label", this.wanted);
    history.replaceState(history.state, "", `/${query.size ? `?${query}` : ""}`);
    this.scroller.scrollTop = 0;
    this.ask();
  }

  ask() { this.asked ||= requestAnimationFrame(() => { this.asked = 0; if (this.element.isConnected) this.draw(); }); }

  matches(row, words) {
    if (this.wanted) {
      const at = this.wanted.indexOf("=");
      if (row.labels?.[this.wanted.slice(0, at)] !== this.wanted.slice(at + 1)) return false;
    }
    if (words.length) {
      const text = [row.id, row.title, row.repo, row.ref, row.branch, row.now, row.message, row.phase, row.containerID,
        ...Object.entries(row.labels ?? {}).map(([name, value]) => `${name}=${value}`)].join("\n").toLowerCase();
      if (!words.every((word) => text.includes(word))) return false;
    }
    return true;
  }

  draw() {
    const { store } = this;
    const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const all = [...store.rows.values()].filter((row) => this.matches(row, words));
    const chosen = (row) => !this.states.size || this.states.has(row.state) || (this.states.has("attention") && needsYou(row));
    this.shown = all.filter(chosen).sort(compare);
    this.drawTools(all);
    const none = !this.shown.length;
    this.table.hidden = none;
    this.empty.hidden = !none;
    if (none) this.drawEmpty();
    this.drawRows();
  }

  drawTools(all) {
    const counts = new Map();
    let attention = 0;
    const labels = new Set(this.wanted ? [this.wanted] : []);
    for (const row of all) {
      counts.set(row.state, (counts.get(row.state) ?? 0) + 1);
      if (needsYou(row)) attention += 1;
    }
    for (const row of this.store.rows.values()) {
      if (labels.size > 300) break;
      for (const [name, value] of Object.entries(row.labels ?? {})) labels.add(`${name}=${value}`);
    }
    const text = JSON.stringify([[...counts], attention, [...this.states]]);
    if (text !== this.chipsShown) {
      this.chipsShown = text;
      const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.state : null;
      put(this.chips, [["attention", attention], ...STATES.map((state) => [state, counts.get(state) ?? 0])]
        .filter(([state, number]) => number || this.states.has(state))
        .map(([state, number]) => button([state === "attention" ? "needs you" : state === "waiting" ? "question" : state, h("b", null, count(number))], () => {
          if (!this.states.delete(state)) this.states.add(state);
          this.write();
        }, { class: `chip ${state}`, "aria-pressed": String(this.states.has(state)), "data-state": state })));
      if (focused) this.chips.querySelector(`[data-state=${focused}]`)?.focus();
    }
    const options = [...labels].sort();
    const named = options.join("\n");
    if (named !== this.labelsShown) {
      this.labelsShown = named;
      put(this.label, h("option", { value: "" }, "all labels"), options.map((name) => h("option", { value: name }, name)));
    }
    this.label.hidden = !options.length;
    this.label.value = this.wanted;
    const { shown } = this, known = this.store.rows.size;
    this.totals.hidden = !known;
    put(this.totals, h("b", null, shown.length < known ? `${count(shown.length)} of ${plural(known, "run")}` : plural(known, "run")),
      h("b", null, money(shown.reduce((sum, row) => sum + (row.cost ?? 0), 0))));
    const notes = [];
    if (!this.store.connected) notes.push(this.store.error || "The hub does not answer. Trying again …");
    if (this.store.indexing) notes.push("The hub still reads stored runs; the list is not complete.");
    put(this.note, notes.join(" "), this.store.next ? button("Load older runs", () => this.store.older().catch((error) => say(error.message)), { class: "quiet" }) : "");
    this.note.hidden = !notes.length && !this.store.next;
  }

  drawEmpty() {
    const state = !this.store.loaded ? "loading" : this.store.rows.size ? "filtered" : "none";
    const key = `${state} ${this.store.error}`;
    if (key === this.emptyShown) return;
    this.emptyShown = key;
    if (state === "loading") return void put(this.empty, h("p", null, this.store.error || "Loading …"));
    if (state === "filtered") {
      return void put(this.empty, h("h2", null, "No run matches"), h("p", null, "Nothing here has these words, states and labels."),
        button("Clear the filter", () => { this.input.value = ""; this.states.clear(); this.label.value = ""; this.write(); }));
    }
    const server = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
    const command = `REPO_URL=https://github.com/you/project \\\nTASK='Make the failing tests pass' \\\nANTHROPIC_API_KEY=… \\\nWORKSPACE_DIR=$PWD/workspace \\\nWS_SERVER=${server} \\\nagent run`;
    put(this.empty, h("h2", null, "No runs yet"), h("p", null, "Start the first one with this hub as its server. It appears here as soon as it connects."),
      h("pre", { tabindex: 0, "aria-label": "Command" }, command),
      button("Copy", () => copy(command)),
      h("p", { class: "dim" }, "A hub with a token for agents also wants WS_TOKEN. In a container, WS_SERVER needs this machine's name in place of localhost."));
  }

  drawRows() {
    const each = height(), { scroller, shown } = this;
    this.body.style.height = `${shown.length * each}px`;
    const top = Math.max(0, scroller.scrollTop - this.body.offsetTop);
    const first = Math.max(0, Math.floor(top / each) - SPARE);
    const last = Math.min(shown.length, Math.ceil((top + scroller.clientHeight) / each) + SPARE);
    const kept = new Set();
    for (let at = first; at < last; at += 1) {
      const row = shown[at];
      kept.add(row.id);
      let node = this.nodes.get(row.id);
      if (!node || node.row !== row || this.stale) {
        node ??= { element: h("div", { class: "row", role: "row", onclick: (event) => { if (!event.target.closest("a")) this.go(address(row.id)); } }) };
        const focused = node.element.contains(document.activeElement);
        node.row = row;
        this.fill(node.element, row);
        if (focused) node.element.querySelector("a").focus({ preventScroll: true });
        this.nodes.set(row.id, node);
      }
      node.element.setAttribute("aria-rowindex", at + 2);
      node.element.classList.toggle("selected", row.id === this.selected);
      node.element.style.transform = `translateY(${at * each}px)`;
      if (!node.element.isConnected) this.body.append(node.element);
    }
    this.stale = false;
    for (const [id, node] of this.nodes) {
      if (!kept.has(id)) { node.element.remove(); this.nodes.delete(id); }
    }
    this.table.setAttribute("aria-rowcount", shown.length + 1);
    if (this.focusing) {
      this.focusing = false;
      this.nodes.get(this.selected)?.element.querySelector("a")?.focus({ preventScroll: true });
    }
  }

  fill(element, row) {
    const cell = (at, ...children) => h("span", { role: "cell", class: `c${at}` }, ...children);
    const labels = Object.entries(row.labels ?? {});
    const lost = losses(row);
    element.className = `row ${row.state} ${needsYou(row) ? "attention" : hasEnded(row) ? "ended" : ""}`;
    put(element,
      cell(0, badge(row), h("small", { class: "phase" }, hasEnded(row) ? said(row.reason, row.state) : said(row.phase, row.state))),
      cell(1, nav(address(row.id), { class: "name", title: title(row), "aria-label": `${title(row)}, ${row.attention ? WHY[row.attention] : row.state}` }, title(row)),
        h("span", { class: "sub" }, row.title && row.repo ? h("span", { class: "repo" }, short(row.repo).replace(/^github\.com\//, "")) : "", row.branch || row.ref ? h("span", { class: "branch" }, row.branch || row.ref) : "",
          labels.slice(0, 4).map(([name, value]) => h("span", { class: "label" }, `${name}=${value}`)), labels.length > 4 ? `+${labels.length - 4}` : "",
          !row.title && !row.branch && !labels.length ? row.containerID : "")),
      cell(2, h("span", { class: "now" }, activity(row)), h("span", { class: "sub" }, todo(row),
        isNumber(row.idle) && row.idle >= 30 && !hasEnded(row) ? h("span", { class: row.attention === "idle" ? "warn" : "" }, `idle ${duration(row.idle)}`) : "",
        row.state === "disconnected" ? silent(row) : "",
        verified(row.verify, "span", true),
        hasEnded(row) && row.changes?.files ? h("span", null, `${plural(row.changes.files, "file")} `, h("ins", null, `+${count(row.changes.insertions ?? 0)}`), " ", h("del", null, `−${count(row.changes.deletions ?? 0)}`)) : "", lost)),
      cell(3, h("span", { title: moment(row.started) }, duration(elapsed(row)))),
      cell(4, count(row.turns)),
      cell(5, money(row.cost)),
      cell(6, hasEnded(row) ? "" : memory(row)));
  }

  /** Selects another row; 0 keeps the selected one, or takes the first. */
  move(by) {
    if (!this.shown.length) return;
    const at = this.shown.findIndex((row) => row.id === this.selected);
    const next = Math.max(0, Math.min(this.shown.length - 1, at < 0 ? 0 : at + by));
    this.selected = this.shown[next].id;
    const each = height(), top = next * each, { scroller } = this;
    const lead = this.body.offsetTop;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + each + lead > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + each + lead - scroller.clientHeight;
    this.focusing = true;
    this.ask();
  }

  key(event) {
    if (event.key === "j" || event.key === "ArrowDown") this.move(1);
    else if (event.key === "k" || event.key === "ArrowUp") this.move(-1);
    else if (event.key === "Enter" && this.selected && !event.target.closest("a, button")) this.go(address(this.selected));
    else if (event.key === "/") { this.input.focus(); this.input.select(); }
    else return false;
    return true;
  }
}

const TESTS = new Map([["passed", ["good", "tests passed"]], ["failed", ["bad", "tests failed"]], ["unfinished", ["warn", "tests not finished"]]]);

/** What VERIFY_COMMAND made of the work, of a row or of COMPLETE. */
export function verified(verify, tag, brief = false) {
  if (!TESTS.has(verify?.state)) return "";
  const [look, words] = TESTS.get(verify.state), { attempts, exit, signal, timedOut } = verify;
  const why = timedOut === true ? "timed out" : typeof signal === "string" ? signal : isNumber(exit) && exit ? `exit ${exit}` : "";
  const facts = [why, isNumber(attempts) && attempts > 1 ? plural(attempts, "attempt") : "", isNumber(verify.duration) ? duration(verify.duration / 1000) : ""].filter(Boolean);
  return h(tag, { class: look }, words, brief || !facts.length ? "" : h("small", { class: "dim" }, ` ${facts.join(" · ")}`));
}

/** A reason or phase in words, unless it repeats the state. */
export const said = (word, state) => { const text = (word ?? "").toLowerCase().replaceAll("_", " "); return state.startsWith(text) || (text === "success" && state === "succeeded") ? "" : text; };
export const short = (repo) => repo.replace(/^[a-z+]+:\/\/([^/@]*@)?/, "").replace(/^git@([^:]+):/, "$1/").replace(/\.git$/, "");

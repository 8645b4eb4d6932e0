// One run: what it is and does, its transcript, its work, and the buttons of operators.

import { json, parsed, request, run as path, Stream } from "./api.js";
import { asked, card, permissions, showRaw, todoList } from "./cards.js";
import { Charts } from "./charts.js";
import { patch } from "./diff.js";
import { button, h, link, nav, put, say } from "./dom.js";
import { activity, badge, memory, said, short, silent, title, todo, verified } from "./fleet.js";
import { bytes, count, duration, elapsed, isNumber, money, moment, plural } from "./format.js";
import { Growing } from "./growing.js";
import { List } from "./list.js";
import { hasEnded } from "./store.js";
import { MOST, Transcript, whole } from "./transcript.js";

/** Where the facts beside the transcript become a tab. */
const NARROW = matchMedia("(max-width: 1000px)");

/** The questions of a row that are open, the oldest first. */
const open = (row) => row.questions?.length ? row.questions : row.question ? [row.question] : [];

export class RunView {
  constructor(id, session, store) {
    Object.assign(this, { id, session, row: null, over: false });
    this.head = h("div", { class: "run-head" });
    this.alert = h("div", { class: "alert", hidden: true });
    this.note = h("p", { class: "notice", hidden: true, role: "status" });
    this.side = h("aside", { class: "side", "aria-label": "About this run", tabindex: 0 });
    this.middle = h("div", { class: "middle" });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Views of the run" });
    this.steer = h("div", { class: "steer", hidden: true });
    this.panel = h("div", { class: "panel", role: "tabpanel", "aria-label": "Transcript" });
    this.element = h("section", { class: "run", "aria-label": "Run" }, this.head, this.note, this.alert, this.tabs, h("div", { class: "columns" }, this.middle, this.side));
    put(this.middle, this.panel, this.steer);
    this.asked = new Map();
    this.tab = "transcript";
    this.growing = new Growing();
    this.charts = new Charts(id);
    this.clock = setInterval(() => this.row && this.drawHead(), 1000);
    const known = store.rows.get(id);
    if (known) { this.row = known; this.drawHead(); }
    void this.start();
  }

  close() {
    this.closed = true;
    clearInterval(this.clock);
    this.stream?.close();
    this.list?.close();
  }

  async start() {
    for (let wait = 500; !this.closed; wait = Math.min(2 * wait, 10_000)) {
      try { this.row = await json(path(this.id)); break; } catch (error) {
        const early = error.status === 404 && await this.indexing();
        if (error.status === 404 && !early) return void put(this.element, h("div", { class: "empty" }, h("h2", null, "There is no run at this address"), h("p", null, "It was removed, or the hub was started with another store."), nav("/", null, "All runs")));
        this.tell(early ? "The hub still reads stored runs …" : error.status ? `${error.message}.` : "The hub does not answer. Trying again …");
        if (error.status === 401) return;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
    if (this.closed) return;
    const from = this.row.seq;
    this.transcript = new Transcript(this.id, from, () => { if (this.transcript.beyond) this.tell(); this.list?.ask(); });
    this.tell("");
    const ctx = { id: this.id, transcript: this.transcript, patch: () => this.choose("changes"), whole: (item) => this.whole(item) };
    this.list = ctx.list = new List(this.transcript, (item, depth) => card(item, depth, ctx), (state) => this.followed(state));
    this.fresh = button("", () => this.list.follow(), { class: "fresh primary", hidden: true });
    this.drawTabs();
    this.drawPanel();
    this.drawRow();
    if (location.hash) void this.goto(location.hash);
    this.follow(from);
    try { await this.charts.load(); } catch { /* a run without charts is still a run */ }
    if (!this.closed) this.drawSide();
  }

  /** After a start the hub does not know all of its runs yet. */
  async indexing() {
    try { return (await json("/api/runs?limit=1")).indexing; } catch { return true; }
  }

  /** What is stored up to `from` is read in blocks; what comes behind it comes here, so no line comes twice. */
  follow(from) {
    this.stream = new Stream((last) => path(this.id, `/live?after=${last}`), from, {
      message: (data, seq) => { this.transcript.take(data, seq); if (this.growing.blocks.size) this.growing.settle(parsed(data).message); },
      preview: (data) => this.growing.take(parsed(data).message.data),
      row: (data) => this.take(JSON.parse(data)),
      end: (data) => { this.over = true; this.stream.close(); this.growing.clear(); this.take(JSON.parse(data)); this.tell(""); },
    }, (connected) => { if (!this.over) this.tell(connected ? "" : "reconnecting … what comes meanwhile is not lost"); });
  }

  tell(text = this.told) {
    this.told = text;
    const beyond = this.transcript?.beyond ? `Lines above number ${count(MOST)} are not shown here: download all messages.` : "";
    put(this.note, [text, beyond].filter(Boolean).join(" "));
    this.note.hidden = !text && !beyond;
  }

  take(row) {
    this.row = row;
    this.charts.take(row);
    this.drawRow();
  }

  async goto(hash) {
    const seq = Number(hash.slice(1));
    if (!Number.isSafeInteger(seq) || seq < 1 || !this.transcript) return;
    this.choose("transcript");
    try {
      const item = await this.transcript.find(seq);
      if (item) this.list.reveal(item);
    } catch (error) { say(error.message); }
  }

  async whole(item) {
    try {
      const entry = await whole(this.id, item);
      const block = item.block, at = block.items.indexOf(item);
      const made = this.transcript.logged({ ...item, show: "log", version: item.version + 1, height: null, entry, data: entry.message.data, meta: entry.message.data.metadata ?? {} }, block);
      if (!made || at < 0) { item.text += " (shown with its call)"; item.version += 1; }
      else { made.block = block; block.items.splice(at, 1, made); block.height = null; }
    } catch (error) { item.failed = error.message; item.version += 1; }
    this.list.ask();
  }

  followed({ atEnd, fresh }) {
    this.fresh.hidden = atEnd;
    put(this.fresh, fresh ? `↓ ${plural(fresh, "new line")}` : "↓ to the end");
  }

  choose(tab) { if (tab !== this.tab) { this.tab = tab; this.drawTabs(); this.drawPanel(); } }

  drawTabs() {
    const tabs = [["transcript", "Transcript"], ["changes", "Changes"], ["about", "About"]];
    const focused = this.tabs.contains(document.activeElement);
    put(this.tabs, tabs.map(([name, words]) => button(words, () => this.choose(name), { role: "tab", class: `tab tab-${name}`, "aria-selected": String(name === this.tab), tabindex: name === this.tab ? 0 : -1,
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) { const names = tabs.map(([other]) => other).filter((other) => other !== "about" || NARROW.matches); this.choose(names[(names.indexOf(this.tab) + step + names.length) % names.length]); event.preventDefault(); }
      } })));
    if (focused) this.tabs.querySelector("[aria-selected=true]").focus();
  }

  drawPanel() {
    this.element.dataset.tab = this.tab;
    this.panel.setAttribute("aria-label", this.tab);
    if (this.tab === "changes") return void this.drawChanges();
    if (this.panel.firstChild !== this.list.element) put(this.panel, this.list.element, this.growing.element, this.fresh);
    this.list.draw();
    return undefined;
  }

  async drawChanges() {
    const { row } = this, { changes } = row, place = h("div", { class: "scroll changes", tabindex: 0, role: "region", "aria-label": "Changes" });
    put(this.panel, place);
    if (!row.patch) return void put(place, h("div", { class: "empty" }, h("h2", null, "No patch"), h("p", null, hasEnded(row) ? "The run sent none. With STREAM_PATCH=1 an agent sends its work." : "An agent with STREAM_PATCH=1 sends its work at its end."), changes?.compareURL ? link(changes.compareURL, "Compare on the server") : ""));
    try {
      const text = await (await request(path(this.id, "/patch"))).text();
      const download = nav(path(this.id, "/patch"), { class: "button", download: "changes.patch" }, "Download changes.patch");
      put(place, h("div", { class: "changes-head" }, changes ? h("span", null, `${plural(changes.files ?? 0, "file")} `, h("ins", null, `+${count(changes.insertions ?? 0)} `), h("del", null, `−${count(changes.deletions ?? 0)}`)) : "", h("span", { class: "grow" }), changes?.compareURL ? link(changes.compareURL, "Compare") : "", download), patch(text));
    } catch (error) { put(place, h("p", { class: "bad pad" }, error.message)); }
    return undefined;
  }

  drawRow() {
    this.drawHead();
    this.drawSide();
    this.drawAlert();
    this.drawSteer();
    if (this.tab === "changes" && this.row.patch && !this.hadPatch) void this.drawChanges();
    this.hadPatch = this.row.patch;
  }

  drawHead() {
    const { row } = this, phase = hasEnded(row) ? "" : said(row.phase, row.state);
    document.title = `${row.state === "waiting" ? "? " : ""}${title(row)}`;
    put(this.head, h("h1", null, title(row)), h("div", { class: "facts" }, badge(row), phase ? h("span", null, phase) : "", h("span", { title: `${moment(row.started)} – ${moment(row.ended)}` }, duration(elapsed(row))),
      isNumber(row.turns) ? h("span", null, plural(row.turns, "turn")) : "", isNumber(row.cost) ? h("span", null, money(row.cost)) : "", hasEnded(row) ? "" : memory(row), todo(row), isNumber(row.idle) && row.idle >= 30 && !hasEnded(row) ? h("span", { class: row.attention === "idle" ? "warn" : "" }, `idle ${duration(row.idle)}`) : "",
      row.state === "disconnected" ? silent(row) : "", hasEnded(row) ? "" : h("span", { class: "now" }, activity(row))));
  }

  drawAlert() {
    const { row } = this, asks = row.state === "waiting" ? open(row) : [], key = JSON.stringify([asks, row.progress]);
    if (key === this.alertShown) return undefined;
    this.alertShown = key;
    const { progress } = row;
    this.alert.className = `alert ${row.state === "waiting" ? "question-box" : ""}`;
    this.alert.hidden = false;
    if (asks.length) {
      this.alert.setAttribute("role", "alert");
      return this.drawQuestions(asks);
    }
    this.asked.clear();
    this.alert.removeAttribute("role");
    if (progress && !hasEnded(row)) {
      const bar = h("span", { class: "progress wide", role: "progressbar", "aria-label": progress.stage ?? "progress", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": isNumber(progress.percent) ? Math.round(progress.percent) : undefined }, h("i"));
      bar.firstChild.style.width = `${Math.max(0, Math.min(100, progress.percent ?? 0))}%`;
      return void put(this.alert, h("div", { class: "cloning" }, h("span", null, `${(row.phase ?? "").toLowerCase()}: ${progress.stage ?? ""}`), bar, h("span", { class: "dim" }, [isNumber(progress.percent) ? `${Math.round(progress.percent)} %` : "", isNumber(progress.done) && isNumber(progress.total) ? `${count(progress.done)} of ${count(progress.total)}` : "", bytes(progress.bytes)].filter(Boolean).join(" · "))));
    }
    this.alert.hidden = true;
    return undefined;
  }

  /** All that are open, each with its own answer; what somebody types for one of them outlives the coming of others. */
  drawQuestions(asks) {
    const known = this.asked, focused = document.activeElement;
    this.asked = new Map(asks.map((question, at) => [question.id ?? at, known.get(question.id ?? at) ?? h("section", { class: "asks", "aria-label": `Question ${at + 1}` }, h("p", { class: "text" }, question.message ?? ""), asked(question), this.answers(question))]));
    put(this.alert, h("b", null, asks.length > 1 ? `claude waits for ${asks.length} answers` : "claude waits for an answer"), [...this.asked.values()]);
    if (focused && this.alert.contains(focused)) focused.focus();
  }

  answers(question) {
    if (this.session.right !== "command") return h("p", { class: "dim" }, "Only an operator may answer: log in with that token.");
    const reason = h("input", { type: "text", placeholder: "Reason, for a denial (optional)", "aria-label": "Reason" });
    const answer = (behavior) => this.command({ command: "answer", question: question.id, behavior, ...(behavior === "deny" && reason.value ? { message: reason.value } : {}) }, "Answer sent");
    const always = permissions(question);
    return h("div", { class: "answers" }, button("Allow", () => answer("allow"), { class: "primary" }), question.cut ? "" : button("Allow for the whole run", () => answer("allow_always")), button("Deny", () => answer("deny"), { class: "danger" }), reason, question.cut ? h("p", { class: "dim" }, "Too long to be shown whole here: the transcript has all of it.") : always ? h("p", { class: "dim" }, `Allow for the whole run lets claude use: ${always}`) : "");
  }

  async command(body, done) {
    try {
      await json(path(this.id, "/commands"), { method: "POST", body: { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, ...body } });
      say(done);
      return true;
    } catch (error) { say(error.message); return false; }
  }

  drawSteer() {
    const may = this.session.right === "command" && !hasEnded(this.row);
    this.steer.hidden = !may;
    const hint = this.row.connected ? "Tell claude …" : "No agent is connected now";
    if (this.words) this.words.placeholder = hint;
    if (!may || this.words) return;
    const text = this.words = h("textarea", { rows: 1, "aria-label": "Message to claude", placeholder: hint, onkeydown: (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); void tell(); } if (event.key === "Escape") text.blur(); } });
    const tell = async () => { if (text.value.trim() && await this.command({ command: "message", text: text.value }, "Message sent")) text.value = ""; };
    const interrupt = async () => { const said = text.value.trim(); if (await this.command({ command: "interrupt", ...(said ? { text: said } : {}) }, "Interrupt sent")) text.value = ""; };
    put(this.steer, text, button("Tell", tell, { class: "primary" }), button("Interrupt", interrupt, { title: "Stop what claude does now, and say the text if there is one" }), button("Stop the run", () => this.stop(), { class: "danger" }));
  }

  stop() {
    const dialog = h("dialog", { "aria-label": "Stop the run", onclose: () => { if (dialog.returnValue === "stop") void this.command({ command: "cancel" }, "Stop sent"); dialog.remove(); } },
      h("h2", null, "Stop this run?"), h("p", { class: "pad" }, title(this.row)), h("form", { method: "dialog", class: "answers" }, h("button", { value: "stop", class: "danger" }, "Stop the run"), h("button", { value: "" }, "Let it go on")));
    document.body.append(dialog);
    dialog.showModal();
  }

  drawSide() {
    const { row } = this, { comparison, changes } = row;
    const fact = (name, ...value) => value.some((one) => one !== null && one !== undefined && one !== "") ? [h("dt", null, name), h("dd", null, ...value)] : "";
    const part = (name, ...children) => h("section", null, h("h3", null, name), ...children);
    const items = row.todos ?? [];
    this.charts.draw(row);
    put(this.side,
      hasEnded(row) ? part("Verdict", h("p", { class: `verdict ${row.state}` }, (!row.reason || row.reason === "success" ? row.state : row.reason).replaceAll("_", " "), isNumber(row.exitCode) ? h("small", { class: "dim" }, ` exit ${row.exitCode}`) : ""), row.message ? h("p", { class: "text" }, row.message) : "", verified(row.verify, "p"),
        comparison ? h("p", { class: comparison.whole ? "good" : "bad" }, comparison.summary) : h("p", { class: "dim" }, "not compared"), comparison?.problems?.map((problem) => h("p", { class: "bad text" }, problem)) ?? "") : "",
      items.length || row.todo?.total ? part("To-do", todo(row), items.length ? todoList(items) : "") : "",
      changes ? part("Work", h("p", null, `${plural(changes.files ?? 0, "file")} `, h("ins", null, `+${count(changes.insertions ?? 0)} `), h("del", null, `−${count(changes.deletions ?? 0)}`), changes.commits ? ` · ${plural(changes.commits, "commit")}` : ""), h("p", null, row.patch ? button("Show changes", () => this.choose("changes")) : "", " ", changes.compareURL ? link(changes.compareURL, "Compare") : "")) : "",
      this.charts.samples.length ? part("Resources", this.charts.element) : "",
      part("Run", h("dl", null, fact("repository", row.repo ? link(row.repo, short(row.repo)) : ""), fact("ref", row.ref), fact("branch", row.branch), fact("commit", row.head?.slice(0, 12)), fact("started", moment(row.started)), fact("ended", moment(row.ended)),
        fact("messages", row.events ? `${count(row.events)} · ${bytes(row.bytes)}` : ""), fact("not confirmed", row.queued ? count(row.queued) : ""), fact("missing", row.missing ? h("span", { class: "bad" }, count(row.missing)) : ""), fact("dropped", row.dropped ? h("span", { class: "warn" }, count(row.dropped)) : ""), fact("errors", row.errors ? h("span", { class: "bad" }, count(row.errors)) : ""),
        fact("tokens", count(row.tokens)), fact("disk free", bytes(row.disk)), fact("run ID", row.runID), fact("container", row.containerID), fact("session", row.sessionID), Object.entries(row.versions ?? {}).map(([name, value]) => fact(name, value)))),
      Object.keys(row.labels ?? {}).length ? part("Labels", h("p", { class: "label-list" }, Object.entries(row.labels).map(([name, value]) => nav(`/?label=${encodeURIComponent(`${name}=${value}`)}`, { class: "label" }, `${name}=${value}`)))) : "",
      h("p", null, nav(path(this.id, "/messages"), { class: "dim", download: `${row.runID}.ndjson` }, "Download all messages (NDJSON)")));
  }

  key(event) {
    const { list } = this;
    if (!list || this.tab !== "transcript") return false;
    if (event.key === "j") list.move(1);
    else if (event.key === "k") list.move(-1);
    else if (event.key === "g") list.start();
    else if (event.key === "G") list.follow();
    else if (event.key === "r" && list.selected) showRaw(list.selected);
    else if (event.key === "Enter" && list.selected && !event.target.closest("a, button, summary")) list.nodes.get(list.selected)?.querySelector(".more, summary, .tool-head button")?.click();
    else return false;
    return true;
  }
}

// The rows of the fleet, as they are now.

import { json, run, Stream } from "./api.js";

/** As many rows as are read at the start; older runs are read when somebody asks for them. */
const PAGES = 5;
const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const FIRST = { question: 0, failed: 1, idle: 2, disconnected: 3 };

export const hasEnded = (row) => ENDED.has(row.state);
/** Whether a person should look: a failure counts for a day, then it is one of the ended runs. */
export function needsYou(row) {
  return row.attention && !(row.attention === "failed" && Date.now() - Date.parse(row.ended) > 86_400_000);
}

export function compare(one, other) {
  const group = (row) => needsYou(row) ? FIRST[row.attention] ?? 4 : hasEnded(row) ? 6 : 5;
  const before = group(one) - group(other);
  if (before) return before;
  return one.started < other.started ? 1 : one.started > other.started ? -1 : one.id < other.id ? -1 : 1;
}

export class Store {
  constructor() {
    this.rows = new Map();
    this.next = null;
    this.loaded = false;
    this.connected = true;
    this.error = "";
    this.indexing = false;
    this.listeners = new Set();
    this.stream = null;
    this.asked = new Set();
  }

  changed() { for (const listener of this.listeners) listener(); }

  async start() {
    if (this.starting) return;
    this.starting = true;
    for (let wait = 500; ; wait = Math.min(2 * wait, 10_000)) {
      try { await this.read(); break; } catch (error) {
        this.error = error.message;
        this.connected = false;
        this.changed();
        if (error.status === 401 || error.status === 403) { this.starting = false; return; }
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
    this.starting = false;
  }

  stop() { this.stream?.close(); this.stream = null; this.rows.clear(); this.loaded = false; }

  async read() {
    this.stream?.close();
    const rows = new Map();
    let first = null, cursor = null;
    for (let page = 0; page < PAGES; page += 1) {
      const answer = await json(`/api/runs?limit=1000${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      first ??= answer;
      for (const row of answer.runs) rows.set(row.id, row);
      cursor = answer.next;
      if (page === 0 || !cursor) { this.take(rows, cursor, first); }
      if (!cursor) break;
    }
    this.take(rows, cursor, first);
    this.stream = new Stream((rev) => `/api/live?after=${rev}`, first.rev, {
      rows: (data) => this.merge(JSON.parse(data)),
      removed: (data) => { for (const id of JSON.parse(data)) this.rows.delete(id); this.changed(); },
      reset: () => void this.start(),
    }, (connected) => { this.connected = connected; this.changed(); });
    if (first.indexing) setTimeout(() => void this.start(), 3000);
  }

  take(rows, cursor, first) {
    this.rows = rows;
    this.next = cursor;
    this.loaded = this.connected = true;
    this.indexing = first.indexing;
    this.total = first.totals.runs;
    this.error = "";
    this.changed();
  }

  async older() {
    const answer = await json(`/api/runs?limit=1000&cursor=${encodeURIComponent(this.next)}`);
    for (const row of answer.runs) if (!this.rows.has(row.id)) this.rows.set(row.id, row);
    this.next = answer.next;
    this.changed();
  }

  merge(changes) {
    for (const change of changes) {
      const known = this.rows.get(change.id);
      if (known) this.rows.set(change.id, { ...known, ...change });
      else if ("runID" in change && "state" in change && "started" in change) this.rows.set(change.id, change);
      else void this.ask(change.id);
    }
    this.changed();
  }

  async ask(id) {
    if (this.asked.has(id)) return;
    this.asked.add(id);
    try { this.rows.set(id, await json(run(id))); this.changed(); } catch { /* removed meanwhile */ }
    this.asked.delete(id);
  }
}

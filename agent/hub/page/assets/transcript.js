// A run's messages in blocks of numbers, and what a person reads of them. Blocks are read when they are needed and
// forgotten when they are far away; what comes live goes into its block. A number is in one block, once.

import { messages, parsed, run } from "./api.js";

export const SIZE = 200;
/** Numbers are given by others: a block for each 200 of them has to fit into the browser. */
export const MOST = 5_000_000;
const KEPT = 60;
/** Pieces and progress of what comes whole later. */
const SILENT = new Set(["partial", "progress", "silent"]);

const object = (value) => value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
export const string = (value) => typeof value === "string" ? value : "";

export class Transcript {
  constructor(id, last, changed) {
    this.id = id;
    this.blocks = [];
    this.tools = new Map();
    this.orphans = new Map();
    this.changed = changed;
    this.last = 0;
    /** Whether there are lines with numbers above MOST. */
    this.beyond = false;
    this.grow(last);
  }

  grow(seq) {
    if (seq > MOST) { this.beyond = true; seq = MOST; }
    if (seq <= this.last) return;
    this.last = seq;
    while (this.blocks.length * SIZE < seq) this.blocks.push({ number: this.blocks.length, state: "absent", entries: new Map(), items: [], height: null });
  }

  blockOf(seq) { return this.blocks[Math.floor((seq - 1) / SIZE)]; }

  /** Takes a message that came live. */
  take(text, seq) {
    if (!Number.isSafeInteger(seq) || seq < 1) return;
    if (seq > MOST) { this.beyond = true; return void this.changed(); }
    const fresh = seq > this.last, ready = fresh && Math.floor((seq - 1) / SIZE) >= this.blocks.length && seq % SIZE === 1;
    this.grow(seq);
    const block = this.blockOf(seq);
    if (ready) block.state = "loaded";  // nothing of it was stored before this message
    if (block.entries.has(seq)) return;
    const entry = { seq, ...parsed(text) };
    block.entries.set(seq, entry);
    if (block.state === "loaded") this.add(block, entry);
    this.changed();
  }

  async load(block) {
    if (block.state !== "absent") return block.loading;
    block.state = "loading";
    const from = block.number * SIZE;
    block.loading = (async () => {
      try {
        for (const { text, message } of await messages(run(this.id, `/messages?after=${from}&before=${from + SIZE + 1}`))) {
          const seq = message.seq;
          if (Number.isSafeInteger(seq) && !block.entries.has(seq)) block.entries.set(seq, { seq, text, message });
        }
      } catch (error) {
        block.state = "absent";
        block.failed = Date.now();
        setTimeout(this.changed, 2000);
        throw error;
      }
      this.build(block);
      this.changed();
    })();
    return block.loading;
  }

  build(block) {
    block.items = [];
    block.height = null;
    block.state = "loaded";
    for (const seq of [...block.entries.keys()].sort((one, other) => one - other)) this.add(block, block.entries.get(seq));
  }

  /** Forgets blocks that are far from the visible one. */
  forget(near) {
    const loaded = this.blocks.filter((block) => block.state === "loaded");
    if (loaded.length <= KEPT) return;
    loaded.sort((one, other) => Math.abs(other.number - near) - Math.abs(one.number - near));
    for (const block of loaded.slice(0, loaded.length - KEPT)) {
      for (const item of block.items) {
        for (const use of item.uses ?? []) if (this.tools.get(use.id) === item) this.tools.delete(use.id);
        for (const id of item.answers ?? []) this.orphans.delete(id);
      }
      block.state = "absent";
      block.loading = null;
      block.entries = new Map();
      block.items = [];
    }
  }

  add(block, entry) {
    const item = this.read(entry, block);
    if (!item) return;
    item.block = block;
    block.height = null;
    const parent = item.parent && this.tools.get(item.parent);
    if (parent && parent.block === block && parent !== item) {
      // A subagent's lines stand below the call that started it, also where several work at a time.
      let at = block.items.indexOf(parent) + 1;
      while (at < block.items.length && this.within(block.items[at], parent)) at += 1;
      block.items.splice(at, 0, item);
      parent.version += 1;
    } else block.items.push(item);
  }

  parentOf(item) { return item.parent ? this.tools.get(item.parent) : undefined; }

  within(item, ancestor) {
    for (let up = this.parentOf(item), steps = 0; up && steps < 20; up = this.parentOf(up), steps += 1) if (up === ancestor) return true;
    return false;
  }

  depth(item) {
    let depth = item.parent ? 1 : 0;
    for (let up = this.parentOf(item); up?.parent && depth < 6; up = this.parentOf(up)) depth += 1;
    return depth;
  }

  hidden(item) {
    for (let up = this.parentOf(item), steps = 0; up && steps < 20; up = this.parentOf(up), steps += 1) if (up.folded) return true;
    return false;
  }

  children(item) { return (item.block?.items ?? []).filter((other) => other !== item && this.within(other, item)).length; }

  read(entry, block) {
    const { seq, message } = entry, data = object(message.data), meta = object(data.metadata);
    const item = { seq, entry, version: 0, height: null, time: string(message.timestamp), level: string(data.level) || "info", text: string(data.message), source: string(meta.source) || "agent", kind: string(meta.kind), data, meta };
    if (message.type === "STATUS") return this.status(item);
    if (message.type === "ERROR") return { ...item, show: "error", level: "error" };
    if (message.type === "COMPLETE") return { ...item, show: "complete" };
    if (message.type !== "LOG") return { ...item, show: "log", text: item.text || string(message.type) || entry.text.slice(0, 500) };
    const part = object(meta.part);
    if (part.n > 1) return part.i === 1 ? { ...item, show: "parts", part, text: item.text || `a long message in ${part.n} parts` } : null;
    return this.logged(item, block);
  }

  status(item) {
    const { data } = item;
    if (data.status === "waiting") return { ...item, show: "question" };
    if (data.question) return { ...item, show: "log", source: "question", text: item.text || `${string(object(data.question).id)}: ${string(object(data.question).answer)}` };
    if (data.retry) return { ...item, show: "log", level: "warn", source: "API" };
    if (data.progress) return null;
    return { ...item, show: "phase" };
  }

  logged(item, block) {
    const { meta, kind } = item;
    if (kind === "command" || item.source === "operator") return { ...item, show: "operator" };
    if (kind === "patch") return { ...item, show: "patch" };
    if (kind === "gap") return { ...item, show: "log", level: "warn" };
    if (item.source !== "claude") return { ...item, show: "log" };
    if (SILENT.has(kind)) return null;
    const claude = object(meta.claude);
    item.parent = string(claude.parent_tool_use_id) || null;
    if (kind === "init") return { ...item, show: "init", claude };
    if (claude.type === "result") return { ...item, show: "turn", claude };
    const content = object(claude.message).content;
    const blocks = (Array.isArray(content) ? content : typeof content === "string" ? [{ type: "text", text: content }] : []).map(object);
    if (!blocks.length || (claude.type !== "assistant" && claude.type !== "user")) return this.noted(item, block);
    Object.assign(item, { show: "said", claude, blocks, who: claude.type, uses: [], answers: [], results: new Map() });
    const left = [];
    for (const piece of blocks) {
      if (piece.type === "tool_use" && typeof piece.id === "string") {
        item.uses.push(piece);
        this.tools.set(piece.id, item);
        const orphan = this.orphans.get(piece.id);
        if (orphan) this.adopt(item, orphan, piece.id);
      }
      if (piece.type === "tool_result" && typeof piece.tool_use_id === "string") {
        const call = this.tools.get(piece.tool_use_id);
        const given = { piece, seq: item.seq, entry: item.entry, time: item.time, extra: claude.tool_use_result, level: item.level, kind };
        if (call && call !== item) { call.results.set(piece.tool_use_id, given); call.version += 1; continue; }
        item.answers.push(piece.tool_use_id);
        this.orphans.set(piece.tool_use_id, { item, given });
      }
      left.push(piece);
    }
    item.blocks = left;
    return left.length ? item : null;
  }

  /** A result that was read before its call moves to it. */
  adopt(call, { item, given }, id) {
    this.orphans.delete(id);
    call.results.set(id, given);
    if (!item.block) return;
    item.blocks = item.blocks.filter((piece) => piece !== given.piece);
    item.version += 1;
    if (!item.blocks.length) { item.block.items = item.block.items.filter((other) => other !== item); item.block.height = null; }
  }

  /** Lines of the CLI's own: one row each, and one for a run of thinking. */
  noted(item, block) {
    if (item.kind === "thinking") {
      const before = block.items.at(-1);
      if (before?.show === "note" && before.kind === "thinking") { before.entry = item.entry; return null; }
    }
    return { ...item, show: "note" };
  }

  /** The item with this number, or the last one before it, once its block is there. */
  async find(seq) {
    const block = this.blockOf(Math.max(1, Math.min(seq, this.last)));
    if (!block) return null;
    await this.load(block);
    for (const item of this.tools.values()) {
      for (const given of item.results?.values() ?? []) if (given.seq === seq) return item;
    }
    let found = block.items[0] ?? null;
    for (const item of block.items) if (item.seq <= seq && (item.seq >= (found?.seq ?? 0) || found.seq > seq)) found = item;
    return found;
  }
}

/** The parts of a message, joined; the message as if it had come whole. */
export async function whole(id, item) {
  const { n } = item.part;
  const parts = await messages(run(id, `/messages?after=${item.seq - 1}&limit=${Math.min(n, 10_000)}`));
  const text = parts.map(({ message }) => string(object(object(object(message.data).metadata).part).text)).join("");
  return { seq: item.seq, text, message: { ...item.entry.message, data: JSON.parse(text) } };
}

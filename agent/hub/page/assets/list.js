// A list of any length of which only the visible part is in the document. Heights are measured; what was not yet seen
// has an estimated one, and what is being read stays where it is when an estimate turns out wrong.

import { h } from "./dom.js";
import { SIZE } from "./transcript.js";

const SPARE = 700;
/** Browsers cannot scroll further than some 16 million pixels. */
const TALLEST = 12_000_000;
const GUESS = { said: 120, log: 26, note: 26, phase: 40, complete: 160, turn: 60, init: 30 };

export class List {
  constructor(transcript, render, told) {
    Object.assign(this, { transcript, render, told, nodes: new Map(), following: true, selected: null, target: null, seen: transcript.last, lastTop: 0 });
    this.canvas = h("div", { class: "canvas", role: "feed", "aria-label": "Transcript" });
    this.element = h("div", { class: "scroll transcript", tabindex: 0, role: "region", "aria-label": "Transcript of the run", onscroll: () => this.scrolled() }, this.canvas);
    const touched = () => { this.target = null; };
    for (const name of ["wheel", "touchmove", "pointerdown"]) this.element.addEventListener(name, touched, { passive: true });
    this.observer = new ResizeObserver((entries) => {
      for (const { target } of entries) this.dirty.add(target);
      this.ask();
    });
    this.dirty = new Set();
    this.sizes = new ResizeObserver(() => this.ask());
    this.sizes.observe(this.element);
  }

  close() { this.observer.disconnect(); this.sizes.disconnect(); }

  ask() { this.asked ||= requestAnimationFrame(() => { this.asked = 0; if (this.element.isConnected) this.draw(); }); }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    if (scrollTop < this.lastTop - 2) this.following = false;
    if (scrollHeight - scrollTop - clientHeight < 24 && !this.target) this.following = true;
    this.lastTop = scrollTop;
    this.ask();
  }

  heightOf(item) { return this.transcript.hidden(item) ? 0 : item.height ?? GUESS[item.show] ?? 60; }

  heightOfBlock(block) {
    if (block.state !== "loaded") {
      const lines = Math.min(SIZE, this.transcript.last - block.number * SIZE);
      return block.old ?? Math.min(lines * 32, TALLEST / this.transcript.blocks.length);
    }
    block.height ??= block.items.reduce((sum, item) => sum + this.heightOf(item), 0);
    return block.old = block.height;
  }

  offsetOf(item) {
    let top = 0;
    for (const block of this.transcript.blocks) {
      if (block === item.block) break;
      top += this.heightOfBlock(block);
    }
    for (const other of item.block.items) {
      if (other === item) return top;
      top += this.heightOf(other);
    }
    return top;
  }

  /** What is at the top of what can be seen. */
  anchor() {
    if (this.target?.block?.items.includes(this.target)) return { item: this.target, delta: -60 };
    const at = this.element.scrollTop;
    let top = 0;
    for (const block of this.transcript.blocks) {
      const height = this.heightOfBlock(block);
      if (top + height > at) {
        if (block.state !== "loaded") return { block, share: (at - top) / height };
        for (const item of block.items) {
          const each = this.heightOf(item);
          if (top + each > at) return { item, block, delta: at - top };
          top += each;
        }
      }
      top += height;
    }
    return null;
  }

  restore(anchor) {
    if (this.following) return this.scroll(this.element.scrollHeight);
    if (!anchor) return undefined;
    if (anchor.item?.block?.items.includes(anchor.item)) return this.scroll(this.offsetOf(anchor.item) + anchor.delta);
    let top = 0;
    for (const block of this.transcript.blocks) {
      if (block === anchor.block) return this.scroll(top + (anchor.share ?? 0) * this.heightOfBlock(block));
      top += this.heightOfBlock(block);
    }
    return undefined;
  }

  scroll(top) {
    if (Math.abs(this.element.scrollTop - top) >= 1) this.element.scrollTop = top;
    this.lastTop = this.element.scrollTop;
  }

  draw() {
    let anchor = this.held && this.heldTop === this.element.scrollTop && !this.target ? this.held : this.anchor();
    for (let round = 0; round < 4; round += 1) {
      this.place();
      const changed = this.measure();
      if (changed) this.resize();
      this.restore(anchor);
      if (!changed) break;
      anchor = this.following ? null : anchor;
    }
    // Where blocks are read meanwhile, heights above change: remember what was being read.
    this.held = this.anchor();
    this.heldTop = this.element.scrollTop;
    if (this.following) this.seen = this.transcript.last;
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    this.told({ atEnd: this.following || scrollHeight - scrollTop - clientHeight < 24, fresh: this.transcript.last - this.seen });
  }

  resize() {
    let total = 0;
    for (const block of this.transcript.blocks) total += this.heightOfBlock(block);
    this.canvas.style.height = `${total}px`;
  }

  place() {
    this.resize();
    if (this.following) this.scroll(this.element.scrollHeight);
    const { scrollTop, clientHeight } = this.element;
    const from = scrollTop - SPARE, to = scrollTop + clientHeight + SPARE;
    const kept = new Set();
    let top = 0, near = 0;
    for (const block of this.transcript.blocks) {
      const height = this.heightOfBlock(block);
      if (top + height >= from && top <= to) {
        near = block.number;
        if (block.state === "absent" && !(Date.now() - block.failed < 2000)) this.transcript.load(block).catch(() => {});
        let at = top;
        for (const item of block.items) {
          const each = this.heightOf(item);
          if (each && at + each >= from && at <= to) { kept.add(item); this.show(item, at); }
          at += each;
        }
      }
      top += height;
    }
    for (const [item, node] of this.nodes) {
      if (!kept.has(item)) { this.observer.unobserve(node); node.remove(); this.nodes.delete(item); }
    }
    this.order(kept);
    this.canvas.setAttribute("aria-busy", String(!kept.size));  // a feed without lines is one that is being read
    this.transcript.forget(near);
  }

  show(item, top) {
    let node = this.nodes.get(item);
    const depth = this.transcript.depth(item);
    if (!node || node.version !== item.version) {
      const made = this.render(item, depth);
      made.version = item.version;
      made.item = item;
      if (node) {
        const focused = node === document.activeElement;
        this.observer.unobserve(node);
        node.replaceWith(made);
        if (focused) made.focus({ preventScroll: true });
      } else this.canvas.append(made);
      node = made;
      this.nodes.set(item, node);
      this.observer.observe(node);
      this.dirty.add(node);
    }
    node.classList.toggle("selected", item === this.selected);
    node.setAttribute("aria-posinset", item.seq);
    node.setAttribute("aria-setsize", this.transcript.last);
    node.style.transform = `translateY(${top}px)`;
  }

  /** Keeps the order of the document that of the numbers, for screen readers and for selecting text. */
  order(kept) {
    let before = null;
    for (const item of kept) {
      const node = this.nodes.get(item);
      const next = before ? before.nextSibling : this.canvas.firstChild;
      if (next !== node) this.canvas.insertBefore(node, next);
      before = node;
    }
  }

  measure() {
    let changed = false;
    for (const node of this.dirty) {
      if (!node.isConnected || !node.item) continue;
      const height = node.offsetHeight;
      if (height && height !== node.item.height) {
        node.item.height = height;
        if (node.item.block) node.item.block.height = null;
        changed = true;
      }
    }
    this.dirty.clear();
    return changed;
  }

  /** The folds of a subagent changed: heights of many items did. */
  folded() {
    for (const block of this.transcript.blocks) block.height = null;
    this.ask();
  }

  follow() { this.following = true; this.target = null; this.held = null; this.ask(); }

  start() { this.following = false; this.target = null; this.held = null; this.scroll(0); this.ask(); }

  reveal(item, mark = true) {
    this.following = false;
    this.target = item;
    if (mark) this.selected = item;
    this.held = null;
    this.scroll(this.offsetOf(item) - 60);
    this.ask();
  }

  move(by) {
    const items = this.transcript.blocks.flatMap((block) => block.items.filter((item) => !this.transcript.hidden(item)));
    let at = items.indexOf(this.selected);
    if (at < 0) {
      at = Math.max(0, items.indexOf(this.anchor()?.item)) - (by > 0 ? by : 0);
    }
    const next = items[Math.max(0, Math.min(items.length - 1, at + by))];
    if (!next) return;
    this.selected = next;
    const top = this.offsetOf(next), bottom = top + this.heightOf(next), view = this.element;
    this.target = null;
    this.held = null;
    if (top < view.scrollTop + 10) { this.following = false; this.scroll(top - 10); }
    else if (bottom > view.scrollTop + view.clientHeight) { this.following = false; this.scroll(Math.min(top - 10, bottom - view.clientHeight + 10)); }
    this.draw();
    this.nodes.get(next)?.focus({ preventScroll: true });
  }
}

// What claude is writing now, and what a running command prints: pieces that come live and are stored nowhere. Each goes
// when its whole message comes.

import { h, put } from "./dom.js";
import { count, isNumber, plural } from "./format.js";
import { string } from "./transcript.js";

/** Characters of a text that are kept: its end. */
const KEPT = 4000;
const BLOCKS = 20;
const NAMES = { thinking: "thinking", text: "writing", tool_use: "calling", output: "running" };

export class Growing {
  constructor() {
    this.blocks = new Map();
    this.element = h("div", { class: "growing", hidden: true, "aria-label": "What claude is writing", role: "region", tabindex: 0 });
  }

  /** Takes the data of a PREVIEW. */
  take(data) {
    const id = string(data?.id), kind = NAMES[data?.kind] ? data.kind : null;
    if (!id || !kind) return;
    let block = this.blocks.get(id);
    if (!block) {
      if (this.blocks.size >= BLOCKS) this.remove(this.blocks.keys().next().value);
      const text = h("pre", { class: "text" });
      const head = h("b", null, [NAMES[kind], string(data.tool)].filter(Boolean).join(" "));
      block = { kind, last: 0, words: "", head, text, node: h("div", { class: `growing-${kind}` }, head, " ", text) };
      this.blocks.set(id, block);
      this.element.append(block.node);
    }
    if (!(data.piece > block.last)) return;
    const follows = data.piece === block.last + 1;
    block.last = data.piece;
    if (kind === "tool_use") block.words = `${count(data.size ?? 0)} characters`;
    else if (kind === "output") block.words = string(data.text);
    else block.words = `${block.words}${follows ? "" : "… "}${string(data.text)}`.slice(-KEPT);
    if (kind === "thinking" && isNumber(data.tokens)) put(block.head, `thinking, ${plural(data.tokens, "token")}`);
    put(block.text, block.words);
    this.element.hidden = false;
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** Takes a whole message of the run: its pieces are not needed any more. */
  settle(message) {
    if (message?.type === "COMPLETE") return this.clear();
    const claude = message?.data?.metadata?.claude, said = claude?.message;
    if (claude?.type === "result") return this.clear();
    if (claude?.type === "assistant" && string(said?.id)) for (const id of [...this.blocks.keys()]) if (id.startsWith(`${said.id}/`)) this.remove(id);
    if (claude?.type === "user" && Array.isArray(said?.content)) for (const piece of said.content) this.remove(string(piece?.tool_use_id));
    return undefined;
  }

  remove(id) {
    this.blocks.get(id)?.node.remove();
    this.blocks.delete(id);
    this.element.hidden = !this.blocks.size;
  }

  clear() { for (const id of [...this.blocks.keys()]) this.remove(id); }
}

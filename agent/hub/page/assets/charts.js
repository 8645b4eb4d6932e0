// Small charts of what HEARTBEATs tell: what the hub has kept of them, and what comes.

import { messages, run as path } from "./api.js";
import { h, put, s } from "./dom.js";
import { bytes, count, duration, isNumber } from "./format.js";

const MOST = 2000, WIDTH = 240, HEIGHT = 40;
const CHARTS = [
  ["memory", "Memory", bytes, (row) => row.memoryLimit],
  ["cpu", "CPU", (n) => `${n.toFixed(1)} cores`, () => null],
  ["queued", "Not confirmed", (n) => count(n), () => null],
];

export class Charts {
  constructor(id) {
    this.id = id;
    this.samples = [];
    this.element = h("div", { class: "charts" });
  }

  /** Reads what is kept. Samples that came meanwhile stay behind it. */
  async load() {
    const kept = (await messages(path(this.id, "/vitals"))).map(({ message }) => sample(message.at, message)).filter(Boolean);
    const last = kept.at(-1)?.at ?? 0;
    this.samples = [...kept, ...this.samples.filter((one) => one.at > last)];
  }

  /** Takes a row; one that says nothing new about resources is no sample. */
  take(row) {
    const last = this.samples.at(-1);
    if (last && row.uptime === last.uptime && row.cpu === last.cpu && row.memory === last.memory && row.queued === last.queued) return;
    const found = sample(row.updated, row);
    if (!found || found.at <= (last?.at ?? 0)) return;
    this.samples.push(found);
    if (this.samples.length > MOST) this.samples.splice(0, this.samples.length - MOST);
  }

  draw(row) {
    const from = this.samples[0]?.at ?? 0, span = (this.samples.at(-1)?.at ?? 0) - from;
    put(this.element, CHARTS.map(([name, title, shown, limitOf]) => {
      const points = this.samples.filter((sample) => isNumber(sample[name]));
      if (!points.length || (name === "queued" && points.every((sample) => !sample.queued))) return "";
      const now = points.at(-1)[name], limit = limitOf(row);
      const most = Math.max(isNumber(limit) ? limit : 0, ...points.map((sample) => sample[name])) || 1;
      const peak = Math.max(...points.map((sample) => sample[name]));
      const xy = points.map((sample) => `${(span ? (sample.at - from) / span : 1) * WIDTH},${HEIGHT - 2 - (HEIGHT - 4) * sample[name] / most}`);
      if (!span || xy.length === 1) xy.splice(0, xy.length, `0,${xy.at(-1).split(",")[1]}`, xy.at(-1));
      const words = `${title}: ${shown(now)}${isNumber(limit) ? ` of ${shown(limit)}` : ""}, ${shown(peak)} at most, over ${duration(span / 1000)}`;
      return h("figure", null, h("figcaption", null, h("span", null, title), h("span", null, peak > now ? h("small", null, `at most ${shown(peak)} · `) : "", h("b", null, shown(now)), isNumber(limit) ? h("small", null, ` / ${shown(limit)}`) : "")),
        s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
          s("polygon", { class: "area", points: `0,${HEIGHT} ${xy.join(" ")} ${WIDTH},${HEIGHT}` }), s("polyline", { class: "curve", points: xy.join(" ") })));
    }), span > 1000 ? h("p", { class: "dim" }, `over ${duration(span / 1000)}`) : "");
  }
}

function sample(moment, of) {
  const at = Date.parse(moment);
  if (Number.isNaN(at) || !CHARTS.some(([name]) => isNumber(of[name]))) return null;
  return { at, uptime: of.uptime, cpu: of.cpu, memory: of.memory, queued: of.queued };
}

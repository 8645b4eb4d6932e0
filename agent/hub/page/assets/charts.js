// Small charts of what HEARTBEATs tell. The hub does not store these: a chart begins when the page was opened.

import { h, put, s } from "./dom.js";
import { bytes, count, isNumber } from "./format.js";

const MOST = 720, WIDTH = 240, HEIGHT = 40;
const CHARTS = [
  ["memory", "Memory", bytes, (row) => row.memoryLimit],
  ["cpu", "CPU", (n) => `${n.toFixed(1)} cores`, () => null],
  ["queued", "Not confirmed", (n) => count(n), () => null],
];

export class Charts {
  constructor() {
    this.samples = [];
    this.element = h("div", { class: "charts" });
  }

  /** Takes a row; one that says nothing new about resources is no sample. */
  take(row) {
    const last = this.samples.at(-1);
    if (last && row.uptime === last.uptime && row.cpu === last.cpu && row.memory === last.memory && row.queued === last.queued) return;
    if (!CHARTS.some(([name]) => isNumber(row[name]))) return;
    this.samples.push({ at: Date.now(), uptime: row.uptime, cpu: row.cpu, memory: row.memory, queued: row.queued, memoryLimit: row.memoryLimit });
    if (this.samples.length > MOST) this.samples.splice(0, this.samples.length - MOST);
    this.draw(row);
  }

  draw(row) {
    put(this.element, CHARTS.map(([name, title, shown, limitOf]) => {
      const points = this.samples.filter((sample) => isNumber(sample[name]));
      if (!points.length || (name === "queued" && points.every((sample) => !sample.queued))) return "";
      const now = points.at(-1)[name], limit = limitOf(row);
      const most = Math.max(isNumber(limit) ? limit : 0, ...points.map((sample) => sample[name])) || 1;
      const from = points[0].at, span = Math.max(1, points.at(-1).at - from);
      const xy = points.map((sample) => `${(points.length > 1 ? (sample.at - from) / span : 1) * WIDTH},${HEIGHT - 2 - (HEIGHT - 4) * sample[name] / most}`);
      if (xy.length === 1) xy.unshift(`0,${xy[0].split(",")[1]}`);
      const words = `${title}: ${shown(now)}${isNumber(limit) ? ` of ${shown(limit)}` : ""}`;
      return h("figure", null, h("figcaption", null, h("span", null, title), h("b", null, shown(now), isNumber(limit) ? h("small", null, ` / ${shown(limit)}`) : "")),
        s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
          s("polygon", { class: "area", points: `0,${HEIGHT} ${xy.join(" ")} ${WIDTH},${HEIGHT}` }), s("polyline", { class: "curve", points: xy.join(" ") })));
    }));
  }
}

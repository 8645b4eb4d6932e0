// Changes of texts, readable: of two texts, and of a patch in git's format.

import { button, h } from "./dom.js";

const MOST = 400;

/** Lines of two texts as [sign, text]; for long texts everything between equal ends is taken as replaced. */
export function compare(before, after) {
  const a = split(before), b = split(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const x = a.slice(head, a.length - tail), y = b.slice(head, b.length - tail);
  const middle = x.length * y.length > 250_000 ? [...x.map((t) => ["-", t]), ...y.map((t) => ["+", t])] : common(x, y);
  return [...a.slice(0, head).map((t) => [" ", t]), ...middle, ...a.slice(a.length - tail).map((t) => [" ", t])];
}

const split = (text) => text === "" ? [] : text.replace(/\n$/, "").split("\n");

function common(x, y) {
  const width = y.length + 1, best = new Uint32Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i -= 1) {
    for (let j = y.length - 1; j >= 0; j -= 1) {
      best[i * width + j] = x[i] === y[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const lines = [];
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { lines.push([" ", x[i]]); i += 1; j += 1; }
    else if (j >= y.length || (i < x.length && best[(i + 1) * width + j] >= best[i * width + j + 1])) { lines.push(["-", x[i]]); i += 1; }
    else { lines.push(["+", y[j]]); j += 1; }
  }
  return lines;
}

const KIND = { "+": "ins", "-": "del", "@": "hunk", " ": "" };

/** Lines as a table of changes; `most` of them at first. Numbers are those of the file, where they are known. */
export function table(lines, most = 40) {
  const place = h("div", { class: "diff" });
  const add = (from, to) => {
    for (const [sign, text, number] of lines.slice(from, to)) {
      place.append(h("div", { class: `line ${KIND[sign] ?? ""}` }, number === undefined ? "" : h("span", { class: "number", "aria-hidden": "true" }, number),
        h("span", { class: "sign" }, sign === "@" ? "" : sign), h("span", { class: "text" }, text || " ")));
    }
    if (to < lines.length) {
      const more = button(`Show ${Math.min(lines.length - to, 2000).toLocaleString("en-US")} more of ${lines.length.toLocaleString("en-US")} lines`, () => { more.remove(); add(to, to + 2000); }, { class: "quiet more" });
      place.append(more);
    }
  };
  add(0, most);
  return place;
}

/** Files of a patch: {name, lines: [sign, text, number], added, removed}. */
export function files(patch) {
  const found = [];
  let file = null, number = 0;
  for (const line of patch.split("\n")) {
    const begins = /^diff --git "?a\/(.*?)"? "?b\/(.*?)"?$/.exec(line);
    if (begins) { found.push(file = { name: begins[2], was: begins[1], lines: [], added: 0, removed: 0, inHunk: false, notes: [] }); continue; }
    if (!file) continue;
    const hunk = /^@@ -\d+(?:,\d+)? \+(\d+)/.exec(line);
    if (hunk) { file.inHunk = true; number = Number(hunk[1]); file.lines.push(["@", line, ""]); continue; }
    if (!file.inHunk) {
      if (/^(new file|deleted file|rename|Binary files|GIT binary|old mode|new mode|similarity)/.test(line)) file.notes.push(line);
      continue;
    }
    const sign = line[0];
    if (sign === "+") { file.added += 1; file.lines.push(["+", line.slice(1), number]); number += 1; }
    else if (sign === "-") { file.removed += 1; file.lines.push(["-", line.slice(1), ""]); }
    else if (sign === " ") { file.lines.push([" ", line.slice(1), number]); number += 1; }
  }
  return found;
}

/** A patch as one fold a file; what is long is filled when it is opened. */
export function patch(text) {
  const found = files(text);
  if (!found.length) return h("p", { class: "dim pad" }, "The patch is empty.");
  return h("div", { class: "patch" }, found.map((file, at) => {
    const body = h("div"), fill = () => { if (!body.hasChildNodes()) body.append(table(file.lines, MOST)); };
    const fold = h("details", { ontoggle: () => { if (fold.open) fill(); } }, h("summary", null, h("span", { class: "path" }, file.name), h("span", { class: "grow" }),
      file.notes.length ? h("small", null, file.notes[0].split(" ").slice(0, 2).join(" ")) : "", h("ins", null, `+${file.added}`), h("del", null, `−${file.removed}`)), body);
    if (at < 30 && file.lines.length < 1000) fold.open = true;
    return fold;
  }));
}

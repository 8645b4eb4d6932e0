// Elements, made without markup: texts of others reach the document through `visible` and text nodes only.

const SVG = "http://www.w3.org/2000/svg";

/** Sequences for terminals: CSI, OSC up to BEL or ST, and the other escapes. `ansi` takes their colours; else they go. */
export const SEQUENCE = /\u001b\[([0-?]*)[ -/]*([@-~])|\u001b[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[ -/]*[0-~]?|\u009b[0-?]*[ -/]*[@-~]/g;

/** Characters that do not show, or that turn the text around them: shown as what they are. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

export function visible(text) {
  return text.replace(SEQUENCE, "").replace(HIDDEN, (c) => {
    const code = c.codePointAt(0);
    if (code === 13) return "";
    return code < 32 ? String.fromCodePoint(0x2400 + code) : `⟨${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "href") throw new Error("use link() or nav()");
    else element.setAttribute(name, value === true ? "" : visible(String(value)));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    element.append(child instanceof Node ? child : document.createTextNode(visible(String(child))));
  }
  return element;
}

/** An element with attributes, listeners (`onclick`) and children: nodes, or strings that become text. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** Replaces what an element holds. */
export function put(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

/** A link inside the page. `path` is made here, never given by others. */
export function nav(path, props, ...children) {
  const a = h("a", props, ...children);
  a.setAttribute("href", path);
  if (!props?.download) a.dataset.nav = "";
  return a;
}

/** A link that others wrote: http and https only; anything else stays text. */
export function link(url, ...children) {
  let parsed = null;
  try { parsed = new URL(url); } catch { /* no address */ }
  const shown = children.length ? children : [url];
  if (!parsed || !/^https?:$/.test(parsed.protocol)) return h("span", null, ...shown);
  const a = h("a", { rel: "noopener noreferrer", target: "_blank" }, ...shown);
  a.setAttribute("href", parsed.href);
  return a;
}

const ADDRESS = /https?:\/\/[^\s<>"'`\u0000-\u001f]+/g;

/** A text as nodes, with its web addresses as links. */
export function linked(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const url = match[0].replace(/[.,;:!?)\]}]+$/, "");
    nodes.push(text.slice(end, match.index), link(url));
    end = match.index + url.length;
  }
  nodes.push(text.slice(end));
  return nodes;
}

/** Says something to screen readers and, for a moment, to everybody. */
let quiet = 0;
export function say(text) {
  const place = document.getElementById("said");
  put(place, text);
  place.classList.add("shown");
  clearTimeout(quiet);
  quiet = setTimeout(() => place.classList.remove("shown"), 5000);
}

/** Copies a text, and says so. Browsers give scripts no clipboard over plain http, where the old way still works. */
export async function copy(text) {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else if (!copied(text)) throw new Error("refused");
    say("Copied");
  } catch { say("The browser does not allow it"); }
}

function copied(text) {
  const field = h("textarea", { class: "off-screen", "aria-hidden": "true" }), focused = document.activeElement;
  field.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  try { return document.execCommand("copy"); } finally { field.remove(); focused?.focus(); }
}

export const button = (label, onclick, props) => h("button", { type: "button", onclick, ...props }, label);

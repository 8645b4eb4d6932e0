// Terminal output: colours become classes, every other sequence becomes nothing.

import { h, SEQUENCE } from "./dom.js";

/** A text as nodes. `limit` bounds how many pieces of colour one text may have. */
export function ansi(text, limit = 5000) {
  if (!text.includes("\u001b") && !text.includes("\u009b")) return [overwritten(text)];
  const nodes = [];
  let end = 0, style = { bold: false, dim: false, italic: false, underline: false, color: null };
  const emit = (piece) => {
    if (!piece) return;
    const names = [style.color !== null && `f${style.color}`, style.bold && "b", style.dim && "d", style.italic && "i", style.underline && "u"].filter(Boolean);
    nodes.push(names.length && nodes.length < limit ? h("span", { class: names.join(" ") }, piece) : piece);
  };
  text = overwritten(text);
  for (const match of text.matchAll(SEQUENCE)) {
    emit(text.slice(end, match.index));
    end = match.index + match[0].length;
    if (match[2] === "m") style = styled(style, match[1]);
  }
  emit(text.slice(end));
  return nodes;
}

export const plain = (text) => text.replace(SEQUENCE, "");

function styled(style, codes) {
  const next = { ...style }, numbers = codes.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at += 1) {
    const code = numbers[at];
    if (code === 0) Object.assign(next, { bold: false, dim: false, italic: false, underline: false, color: null });
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code >= 30 && code <= 37) next.color = code - 30;
    else if (code >= 90 && code <= 97) next.color = code - 90;
    else if (code === 39) next.color = null;
    else if (code === 38 || code === 48) {
      // 256 colours and true colours: the nearest of the eight, which both themes can show.
      const [kind] = numbers.slice(at + 1);
      const rgb = kind === 2 ? numbers.slice(at + 2, at + 5) : null;
      if (code === 38) next.color = kind === 5 ? indexed(numbers[at + 2]) : rgb ? nearest(rgb) : next.color;
      at += kind === 5 ? 2 : 4;
    }
  }
  return next;
}

function indexed(n) {
  if (n < 16) return n % 8;
  if (n >= 232) return n < 244 ? 0 : 7;
  const c = n - 16;
  return nearest([Math.floor(c / 36) * 51, (Math.floor(c / 6) % 6) * 51, (c % 6) * 51]);
}

const nearest = ([r, g, b]) => (r > 127 ? 1 : 0) + (g > 127 ? 2 : 0) + (b > 127 ? 4 : 0);

/** What a terminal shows of lines that were written over: a progress bar is its last state. */
function overwritten(text) {
  if (!text.includes("\r")) return text;
  return text.replace(/\r+\n/g, "\n").replace(/[^\n\r]*\r(?=[^\n\r])/g, "").replaceAll("\r", "");
}

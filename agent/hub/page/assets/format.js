// Figures for people.

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function duration(seconds) {
  if (!isNumber(seconds)) return "";
  const t = Math.max(0, Math.round(seconds));
  if (t < 60) return `${t}s`;
  if (t < 3600) return `${Math.floor(t / 60)}m ${String(t % 60).padStart(2, "0")}s`;
  if (t < 86400) return `${Math.floor(t / 3600)}h ${String(Math.floor(t / 60) % 60).padStart(2, "0")}m`;
  return `${Math.floor(t / 86400)}d ${Math.floor(t / 3600) % 24}h`;
}

export function bytes(n) {
  if (!isNumber(n)) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1000 && at < units.length - 1) { n /= 1024; at += 1; }
  return `${n < 10 && at ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}

export const money = (n) => !isNumber(n) ? "" : `$${n.toFixed(n !== 0 && Math.abs(n) < 0.01 ? 4 : 2)}`;
export const count = (n) => isNumber(n) ? n.toLocaleString("en-US") : "";
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

export function time(text) {
  const t = new Date(text ?? "");
  return Number.isNaN(t.getTime()) ? "" : t.toLocaleTimeString("en-GB");
}

export function moment(text) {
  const t = new Date(text ?? "");
  return Number.isNaN(t.getTime()) ? "" : `${t.toLocaleDateString("en-CA")} ${t.toLocaleTimeString("en-GB")}`;
}

/** Seconds of a run until now, or until its end. */
export function elapsed(row, now = Date.now()) {
  if (isNumber(row.duration) && row.ended) return row.duration / 1000;
  const began = Date.parse(row.started), ended = row.ended ? Date.parse(row.ended) : now;
  return Number.isNaN(began) || Number.isNaN(ended) ? undefined : Math.max(0, (ended - began) / 1000);
}

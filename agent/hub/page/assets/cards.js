// A line of the transcript as a person reads it. Everything in it was written by others: texts only.

import { ansi, plain } from "./ansi.js";
import { compare, table } from "./diff.js";
import { button, copy, h, linked, nav } from "./dom.js";
import { verified } from "./fleet.js";
import { bytes, count, duration, isNumber, money, plural, time } from "./format.js";
import { string } from "./transcript.js";

const object = (value) => value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
const list = (value) => Array.isArray(value) ? value : [];
/** Levels are given by others, and classes decide how a line looks. */
const LEVELS = new Set(["debug", "info", "warn", "error"]);
/** Exit codes of runs that somebody stopped. */
const STOPPED = new Set([79, 129, 130, 131, 143]);
const SHOWN = 14, LONGEST = 200_000;
/** Paragraphs, and marked words, of a text; what is beyond them is there, but plain. */
const MARKED = 2000;
/** Characters of a line that is no output and no text of claude's: browsers take seconds to break millions. */
const LINE = 20_000;
const cut = (text, most = LINE, where = "see the raw JSON") => text.length > most ? `${text.slice(0, most)}\n… ${count(text.length - most)} more characters: ${where}` : text;

/** Both ends of a text, so that nothing hides behind its beginning. */
const ends = (text, most) => text.length > most ? `${text.slice(0, most / 2)}\n… ${count(text.length - most)} characters are not shown: see the raw JSON …\n${text.slice(-most / 2)}` : text;
/** Characters of an argument that a person shall allow; a question that is longer than this comes cut. */
const WHOLE = 16_384;
/** Arguments that `called` shows in a way of their own. */
const DRAWN = { Bash: ["command"], Edit: ["old_string", "new_string"], MultiEdit: ["edits"], Write: ["content"], TodoWrite: ["todos"], ExitPlanMode: ["plan"], Agent: ["prompt"], Task: ["prompt"] };

/** An article for an item. `ctx`: {id, transcript, list, patch()}. */
export function card(item, depth, ctx) {
  const body = (SHOWS[item.show] ?? SHOWS.log)(item, ctx);
  const at = nav(`/runs/${encodeURIComponent(ctx.id)}#${item.seq}`, { class: "at", "aria-label": `${time(item.time)}, address of line ${item.seq}`, title: `line ${item.seq}` }, time(item.time));
  const raw = button("{ }", () => showRaw(item), { class: "quiet raw", "aria-label": `Raw JSON of line ${item.seq}`, title: "Raw JSON (r)" });
  const article = h("article", { class: `item ${item.show} ${LEVELS.has(item.level) ? item.level : ""} ${depth ? "sub-agent" : ""}`, tabindex: -1, "data-seq": item.seq, "aria-label": `line ${item.seq}` }, at, h("div", { class: "body" }, depth ? of(item, ctx) : "", body), raw);
  article.style.setProperty("--depth", Math.min(depth, 4));
  return article;
}

function of(item, ctx) {
  const parent = ctx.transcript.parentOf(item);
  const before = item.block?.items[item.block.items.indexOf(item) - 1];
  if (before && (before.parent === item.parent || before === parent)) return "";
  const use = parent?.uses?.find((piece) => piece.id === item.parent);
  return h("small", { class: "dim" }, "subagent: ", string(object(use?.input).description) || item.parent);
}

const SHOWS = {
  log: (item) => h("span", { class: "log-line" }, h("span", { class: "source" }, item.source), h("span", { class: "text" }, ansi(cut(item.text)), details(item.meta.details))),
  note: (item) => h("span", { class: "log-line" }, h("span", { class: "source" }, item.kind || "claude"), h("span", { class: "text" }, cut(item.text))),
  phase: (item) => h("div", { class: "phase-line" }, h("b", null, (string(item.data.phase) || string(item.data.status)).toLowerCase()), h("span", null, cut(string(item.data.message)))),
  init: (item) => h("span", { class: "log-line" }, h("span", { class: "source" }, "claude"), h("span", { class: "text" }, [string(item.claude.model), item.claude.claude_code_version ? `Claude Code ${item.claude.claude_code_version}` : "", string(item.claude.cwd), item.claude.permissionMode ? `mode ${item.claude.permissionMode}` : ""].filter(Boolean).join(" · "))),
  error: (item) => h("div", { class: "box error-box" }, h("b", null, string(item.data.code).replaceAll("_", " ") || "error"), h("p", { class: "text" }, linked(cut(string(item.data.error)))), details(item.data.details)),
  operator: (item) => {
    const command = object(item.meta.command), said = string(item.meta.text), state = string(command.state), refused = state === "refused";
    if (!said && !refused) return h("span", { class: "log-line" }, h("span", { class: "source" }, "operator"), h("span", { class: "text" }, cut(item.text)));
    return h("div", { class: "box operator-box" }, h("b", null, string(command.by) || "operator"), " ", h("span", { class: refused ? "bad" : "dim" }, string(command.command), state ? `, ${state}` : "", command.reason ? `: ${string(command.reason)}` : ""), h("p", { class: "text" }, linked(cut(said || item.text))));
  },
  question: (item) => h("div", { class: "box question-box" }, h("b", null, "question"), h("p", { class: "text" }, linked(cut(string(item.data.message)))), asked(object(item.data.question))),
  patch: (item, ctx) => h("span", { class: "log-line" }, h("span", { class: "source" }, "work"), h("span", { class: "text" }, cut(item.text), " ", button("Show changes", () => ctx.patch(), { class: "quiet" }))),
  parts: (item, ctx) => h("div", { class: "log-line" }, h("span", { class: "source" }, item.source), h("span", { class: "text" }, cut(item.text), " ", button(item.failed ? `Read again (${item.failed})` : `Show all ${plural(item.part.n, "part")}`, () => ctx.whole(item), { class: "quiet" }))),
  turn: (item) => {
    const { claude } = item, bad = claude.is_error || claude.subtype !== "success";
    const facts = [plural(claude.num_turns ?? 0, "turn"), isNumber(claude.duration_ms) ? duration(claude.duration_ms / 1000) : "", money(claude.total_cost_usd)].filter(Boolean).join(" · ");
    return h("div", { class: `box ${bad ? "error-box" : "turn-box"}` }, h("b", null, bad ? (string(claude.subtype).replaceAll("_", " ") === "success" ? "error" : string(claude.subtype).replaceAll("_", " ")) : "claude has finished"), " ", h("span", { class: "dim" }, facts), bad && claude.result ? prose(string(claude.result)) : "", list(claude.errors).map((error) => h("p", { class: "text bad" }, cut(String(error)))));
  },
  complete: (item) => {
    const { data } = item, good = data.exitCode === 0;
    return h("div", { class: `box ${good ? "good-box" : STOPPED.has(data.exitCode) ? "turn-box" : "error-box"}` }, h("b", null, good ? "succeeded" : (string(data.reason) || "failed").replaceAll("_", " ")), " ", h("span", { class: "dim" }, `exit ${data.exitCode} · ${duration((data.duration ?? 0) / 1000)}`), h("p", { class: "text" }, linked(cut(string(data.message)))), verified(data.verify, "p"), list(data.published).filter((done) => done?.url).map((done) => h("p", { class: "text" }, `${string(done.kind).replaceAll("_", " ")} ${string(done.action)}: `, linked(string(done.url)))));
  },
  said: (item, ctx) => h("div", { class: "pieces" }, item.blocks.map((piece) => {
    if (piece.type === "text") return item.who === "user" ? h("div", { class: "box user-box" }, h("b", null, item.parent ? "task" : "user"), folded(string(piece.text))) : prose(string(piece.text));
    if (piece.type === "thinking" || piece.type === "redacted_thinking") return thinking(piece);
    if (piece.type === "tool_use") return tool(piece, item, ctx);
    if (piece.type === "tool_result") return h("div", { class: "tool" }, h("div", { class: "tool-head" }, h("b", null, "result")), result({ piece, level: item.level, kind: item.kind }));
    return h("pre", { class: "text" }, JSON.stringify(piece).slice(0, 2000));
  })),
};

function details(value) { return typeof value === "string" && value ? output(value) : ""; }

/** claude's words: paragraphs, code, and addresses. */
function prose(text) {
  const place = h("div", { class: "prose" });
  const pieces = cut(text, LONGEST).split(/^```[^\n`]{0,40}(?:\n|$)/m);
  pieces.forEach((piece, at) => {
    if (at % 2) place.append(h("pre", { class: "code" }, piece.replace(/\n$/, "")));
    else if (piece.trim()) {
      const lines = piece.trim().split(/\n{2,}/), room = Math.max(0, MARKED - place.childElementCount);
      if (lines.length > room) lines.splice(room, lines.length, lines.slice(room).join("\n\n"));
      for (const line of lines) {
        const head = /^(#{1,6}) (.*)$/.exec(line);
        place.append(h("p", { class: head ? "heading" : "" }, inline(head ? head[2] : line)));
      }
    }
  });
  return place;
}

function inline(text) {
  const pieces = text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/);
  return pieces.length > 2 * MARKED ? linked(text) : pieces.map((piece, at) => at % 2 === 0 ? linked(piece) : piece[0] === "`" ? h("code", null, piece.slice(1, -1)) : h("strong", null, inline(piece.slice(2, -2))));
}

function thinking(piece) {
  const text = string(piece.thinking);
  if (!text) return h("span", { class: "dim" }, "thinking (not shown by the API)");
  return h("details", { class: "thinking" }, h("summary", null, "thinking ", h("span", { class: "dim" }, brief(text))), h("p", { class: "text" }, cut(text, LONGEST)));
}

const brief = (text) => { const line = text.slice(0, 400).replaceAll(/\s+/g, " "); return line.length > 100 ? `${line.slice(0, 100)}…` : line; };

function folded(text) {
  const lines = text.split("\n");
  if (lines.length <= SHOWN && text.length < 2000) return h("p", { class: "text" }, linked(text));
  return h("details", null, h("summary", null, lines[0].slice(0, 200)), h("p", { class: "text" }, linked(text.slice(0, LONGEST))));
}

const SUBJECT = { Read: "file_path", Write: "file_path", Edit: "file_path", MultiEdit: "file_path", NotebookEdit: "notebook_path", Glob: "pattern", Grep: "pattern", WebFetch: "url", WebSearch: "query", Agent: "description", Task: "description", Skill: "skill", TaskCreate: "subject", ToolSearch: "query" };

function tool(use, item, ctx) {
  const input = object(use.input), name = string(use.name), given = item.results.get(use.id);
  const failed = given && (given.piece.is_error === true), waiting = !given;
  const subject = string(input[SUBJECT[name]]);
  const children = name === "Agent" || name === "Task" ? ctx.transcript.children(item) : 0;
  return h("div", { class: `tool ${failed ? "failed" : ""}` },
    h("div", { class: "tool-head" }, h("b", null, name), subject ? h("span", { class: "subject" }, /^https?:/.test(subject) ? linked(subject) : subject) : "", name === "Bash" && input.description ? h("span", { class: "dim" }, string(input.description)) : "", h("span", { class: "grow" }),
      children ? button(item.folded ? `Show ${plural(children, "line")}` : "Fold", () => { item.folded = !item.folded; item.version += 1; ctx.list.folded(); }, { class: "quiet", "aria-expanded": String(!item.folded) }) : "",
      failed ? h("span", { class: "bad" }, { permission_denied: "denied", tool_denied: "denied", tool_interrupted: "interrupted" }[given.kind] ?? "failed") : waiting ? h("span", { class: "dim" }, "…") : ""),
    called(name, input), given ? result(given, name) : "");
}

function called(name, input, most = 4000) {
  if (name === "Bash") return h("pre", { class: "command" }, string(input.command));
  if (name === "Edit") return table(compare(string(input.old_string), string(input.new_string)));
  if (name === "MultiEdit") return list(input.edits).map(object).map((edit) => table(compare(string(edit.old_string), string(edit.new_string))));
  if (name === "Write") return table(string(input.content).replace(/\n$/, "").split("\n").map((line, at) => ["+", line, at + 1]), SHOWN);
  if (name === "TodoWrite") return todoList(list(input.todos).map(object));
  if (name === "AskUserQuestion") return asked(input);
  if (name === "ExitPlanMode") return prose(string(input.plan));
  if (name === "Agent" || name === "Task") return folded(string(input.prompt));
  return named(input, [SUBJECT[name]], most);
}

/** Arguments with their names, but those that are shown already; of a long one both ends. */
function named(input, shown, most) {
  const rest = Object.entries(input).filter(([key]) => !shown.includes(key));
  if (!rest.length) return "";
  const pairs = rest.slice(0, 30).map(([key, value]) => [h("dt", { title: key }, key), h("dd", { class: "text" }, ends(typeof value === "string" ? value : JSON.stringify(value), most))]);
  return h("dl", { class: "input" }, pairs, rest.length > 30 ? [h("dt", null, "…"), h("dd", null, `${count(rest.length - 30)} more: see the raw JSON`)] : "");
}

const MARK = { completed: ["✓", "good", "done"], in_progress: ["▸", "blue", "in progress"] };

export function todoList(items) {
  return h("ul", { class: "todos" }, items.slice(0, 200).map((item) => {
    const [mark, tone, word] = MARK[item.status] ?? ["○", "dim", "to do"];
    return h("li", { class: string(item.status) === "completed" ? "completed" : "" }, h("span", { class: tone, role: "img", "aria-label": word }, mark), h("span", { class: "text" }, string(item.content)));
  }));
}

export function asked(question) {
  const questions = list(question.questions).map(object);
  if (questions.length) return questions.map((one) => [h("p", { class: "text" }, string(one.question)), h("ul", { class: "options" }, list(one.options).map(object).map((option) => h("li", { class: "text" }, h("b", null, string(option.label)), option.description ? ` ${string(option.description)}` : "")))]);
  const input = object(question.input);
  if (!question.tool && !Object.keys(input).length) return "";
  const tool = string(question.tool), drawn = Object.hasOwn(DRAWN, tool) ? DRAWN[tool] : undefined;
  return [h("div", { class: "tool-head" }, h("b", null, tool), string(input[SUBJECT[tool]])), called(tool, input, WHOLE), drawn ? named(input, [...drawn, SUBJECT[tool]], WHOLE) : ""];
}

/** What claude may use without a question once its suggestions are taken, in words. */
export function permissions(question) {
  return list(question.suggestions).map(object).flatMap((each) => [
    ...list(each.rules).map(object).filter((rule) => rule.toolName).map((rule) => string(rule.toolName) + (rule.ruleContent ? `(${string(rule.ruleContent)})` : " with any arguments")),
    ...list(each.directories).map((path) => `the directory ${string(path)}`),
    ...(each.mode ? [`the mode ${string(each.mode)}`] : []),
  ]).join(", ");
}

function result(given, name) {
  const { piece } = given, content = piece.content;
  const texts = typeof content === "string" ? [content] : list(content).map(object).map((part) => part.type === "text" ? string(part.text) : part.type === "image" ? `[image, ${string(object(part.source).media_type) || "unknown type"}]` : JSON.stringify(part).slice(0, 2000));
  const text = texts.join("\n").replace(/^<tool_use_error>([^]*)<\/tool_use_error>$/, "$1");
  if (!plain(text).trim()) return piece.is_error ? "" : h("small", { class: "dim none" }, "no output");
  if (!piece.is_error && (name === "Edit" || name === "MultiEdit" || name === "Write" || name === "TodoWrite")) return "";
  return output(text);
}

/** Output of a program: its colours, the first lines, and the rest when it is asked for. */
function output(text) {
  const cut = text.length > LONGEST ? text.slice(0, LONGEST) : text;
  const lines = cut.replace(/\s+$/, "").split("\n");
  const place = h("pre", { class: "output", tabindex: lines.length > SHOWN ? 0 : undefined });
  const most = lines.length > SHOWN + 4 ? SHOWN : lines.length;
  let head = lines.slice(0, most).join("\n");
  const long = head.length > 8000;
  if (long) head = head.slice(0, 8000);
  place.append(...nodes(head));
  if (most === lines.length && !long && cut === text) return place;
  const more = button(`Show all ${plural(lines.length, "line")}, ${bytes(text.length)}`, () => {
    place.replaceChildren(...nodes(cut));
    if (cut !== text) place.append(h("span", { class: "dim" }, `\n… ${bytes(text.length - LONGEST)} more: see the raw JSON`));
    place.classList.add("all");
    more.remove();
  }, { class: "quiet more" });
  return h("div", null, place, more);
}

const nodes = (text) => [...h("span", null, ansi(text)).childNodes];

export function showRaw(item) {
  const entries = [item.entry, ...[...(item.results?.values() ?? [])].map((given) => given.entry)].filter(Boolean);
  const pretty = (text) => { try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; } };
  const dialog = h("dialog", { class: "raw-dialog", "aria-label": `Raw JSON of line ${item.seq}`, onclose: () => dialog.remove() },
    entries.map((entry) => [h("div", { class: "tool-head" }, h("h2", null, `Line ${entry.seq}`), h("span", { class: "grow" }), button("Copy as received", () => copy(entry.text))),
      h("pre", { tabindex: 0 }, cut(pretty(entry.text), LONGEST, "the button copies them all"))]),
    h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

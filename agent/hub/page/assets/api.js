// The hub's HTTP API, and streams of it that come back.

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

/** A request. Throws Refused with the hub's own sentence, or a TypeError where the hub is not there. */
export async function request(path, { method = "GET", body } = {}) {
  const answer = await fetch(path, {
    method, credentials: "same-origin",
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  if (answer.ok) return answer;
  let why = `the hub answered ${answer.status}`;
  try { why = (await answer.json()).error ?? why; } catch { /* not the hub's words */ }
  if (answer.status === 401) window.dispatchEvent(new Event("login-needed"));
  throw new Refused(answer.status, why);
}

export const json = async (path, options) => (await request(path, options)).json();
export const run = (id, rest = "") => `/api/runs/${encodeURIComponent(id)}${rest}`;

/** The lines of an NDJSON answer, as {text, message}; a line that is no JSON stays text. */
export async function messages(path) {
  const text = await (await request(path)).text();
  return text.split("\n").filter(Boolean).map(parsed);
}

export function parsed(text) {
  let message = null;
  try { message = JSON.parse(text); } catch { /* kept as text */ }
  return { text, message: message !== null && typeof message === "object" && !Array.isArray(message) ? message : {} };
}

/**
 * Server-sent events that go on after a lost connection or a restart of the hub, behind the last event that came.
 * `address(last)` makes the URL; `handlers` are functions by event; `told(connected)` follows the connection.
 */
export class Stream {
  constructor(address, last, handlers, told) {
    Object.assign(this, { address, last, handlers, told, wait: 500, timer: 0, source: null });
    this.open();
  }

  open() {
    const source = this.source = new EventSource(this.address(this.last));
    source.onopen = () => { this.wait = 500; this.told(true); };
    source.onerror = () => {
      // The browser's own attempts end at the first answer that is not 200, as a proxy's 502; these do not.
      source.close();
      if (this.source !== source) return;
      this.told(false);
      this.timer = setTimeout(() => this.again(), this.wait * (0.5 + Math.random()));
      this.wait = Math.min(this.wait * 2, 10_000);
    };
    for (const [name, handler] of Object.entries(this.handlers)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) this.last = Number(event.lastEventId);
        handler(event.data, Number(event.lastEventId));
      });
    }
  }

  async again() {
    try {
      // An EventSource does not tell a 401 from a hub that is away.
      if ((await json("/api/session")).right === "nothing") return void window.dispatchEvent(new Event("login-needed"));
    } catch { /* away */ }
    if (this.source) this.open();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}

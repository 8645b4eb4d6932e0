// The way in for people: a token for a cookie that scripts cannot read.

import { json } from "./api.js";
import { h, put } from "./dom.js";

export function login(session, entered) {
  const field = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const wrong = h("p", { class: "bad", role: "alert" });
  const send = h("button", { type: "submit", class: "primary" }, "Log in");
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    send.disabled = true;
    put(wrong);
    try {
      const found = await json("/api/login", { method: "POST", body: { token: field.value } });
      field.value = "";
      entered(found);
    } catch (error) {
      put(wrong, `${error.message[0].toUpperCase()}${error.message.slice(1)}.`);
      field.select();
    }
    send.disabled = false;
  } }, h("label", { for: "token" }, "Token"), field, send, wrong,
  h("p", { class: "dim" }, "Watchers' token to read, operators' to read and steer: SERVE_WATCH_TOKEN or SERVE_COMMAND_TOKEN of the hub. It is kept as a cookie for 30 days."));
  const closed = h("p", null, "Nobody may read here: start the hub with SERVE_WATCH_TOKEN or SERVE_COMMAND_TOKEN.");
  const element = h("section", { class: "login", "aria-label": "Log in" }, h("h1", null, "Runs"), session.login ? form : closed);
  queueMicrotask(() => field.focus());
  return { element, close() {}, key: () => false };
}

// The page: which view the address names, who looks, and the keys.

import { json } from "./api.js";
import { button, h, nav, put, say } from "./dom.js";
import { Fleet } from "./fleet.js";
import { login } from "./login.js";
import { RunView } from "./run.js";
import { Store } from "./store.js";

const main = document.getElementById("main");
const store = new Store();
let session = { right: "nothing", login: false };
let view = null, path = null, fleetTop = 0;

const theme = {
  chosen: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
  dark: () => (theme.chosen() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark",
  apply() { const chosen = theme.chosen(); if (chosen) document.documentElement.dataset.theme = chosen; },
  toggle() {
    try { localStorage.setItem("theme", theme.dark() ? "light" : "dark"); } catch { /* for this view only */ }
    theme.apply();
  },
};

function bar() {
  const live = h("span", { class: "live", role: "status" });
  const follow = () => put(live, store.connected ? "" : "reconnecting …");
  store.listeners.add(follow);
  put(document.getElementById("bar"),
    nav("/", { class: "home" }, h("span", { class: "mark", "aria-hidden": "true" }), "Runs"), live, h("span", { class: "grow" }),
    h("span", { class: "right dim" }, session.right === "command" ? "operator" : session.right === "read" ? "read only" : ""),
    button("◐", () => theme.toggle(), { class: "icon", "aria-label": "Dark or light", title: "Dark or light" }),
    button("?", help, { class: "icon", "aria-label": "Keys", title: "Keys" }),
    session.login && session.right !== "nothing" ? button("Log out", async () => {
      try { session = { ...session, ...await json("/api/logout", { method: "POST", body: {} }) }; } catch (error) { say(error.message); return; }
      store.stop();
      path = null;
      route();
    }, { class: "quiet" }) : "");
}

function help() {
  const keys = [["j  k", "next, previous run or line"], ["enter", "open the run; unfold the line"], ["esc", "back"], ["/", "filter"], ["g  G", "start, end of a run"], ["r", "raw JSON of the line"], ["t", "dark or light"]];
  const dialog = h("dialog", { "aria-label": "Keys", onclose: () => dialog.remove() }, h("h2", null, "Keys"),
    h("dl", null, keys.map(([key, meaning]) => [h("dt", null, h("kbd", null, key)), h("dd", null, meaning)])), h("form", { method: "dialog" }, h("button", null, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

function go(address, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  route();
}

function show(next) {
  if (view instanceof Fleet) fleetTop = view.scroller.scrollTop;
  view?.close();
  view = next;
  put(main, view.element);
  if (view instanceof Fleet) { view.draw(); view.scroller.scrollTop = fleetTop; }
}

function route() {
  const here = location.pathname;
  if (session.right === "nothing") {
    path = null;
    bar();
    document.title = "Log in";
    return show(login(session, (found) => { session = found; void store.start(); bar(); route(); }));
  }
  if (here === "/login") return go("/", true);
  const id = /^\/runs\/([^/]+)$/.exec(here)?.[1];
  if (path === here) return id ? view.goto?.(location.hash) : view.read?.();
  path = here;
  if (id) {
    let name = id;
    try { name = decodeURIComponent(id); } catch { /* as it stands */ }
    return show(new RunView(name, session, store));
  }
  document.title = "Runs";
  show(new Fleet(store, go));
}

addEventListener("click", (event) => {
  const a = event.target.closest?.("a[data-nav]");
  if (!a || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(a.getAttribute("href"));
});
addEventListener("popstate", route);
addEventListener("login-needed", () => { if (session.right !== "nothing") { session = { right: "nothing", login: true }; store.stop(); route(); } });
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, textarea, select")) return;
  if (view?.key(event)) event.preventDefault();
  else if (event.key === "Escape" && path !== "/") { event.preventDefault(); go("/"); }
  else if (event.key === "t") theme.toggle();
  else if (event.key === "?") help();
});

theme.apply();
for (;;) {
  try { session = await json("/api/session"); break; } catch (error) {
    put(main, h("section", { class: "empty" }, h("p", null, error.status ? `${error.message}.` : "The hub does not answer. Trying again …")));
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}
bar();
if (session.right !== "nothing") void store.start();
route();

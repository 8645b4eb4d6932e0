import { h } from "./dom.js";
export class RunView {
  constructor(id) { this.element = h("section", { class: "run" }, id); }
  close() {}
  key() { return false; }
}

// The query as a line of text, with its terms as chips and a list of completions.

import {data} from "./data.js";
import {h} from "./dom.js";
import {T} from "./texts.js";

const PAUSE_MS = 120;

export class QueryBar {
  // onQuery(text) is called when the reader asks for another query.
  constructor(host, onQuery) {
    this.onQuery = onQuery;
    this.options = [];
    this.chosen = -1;
    this.asked = 0;
    this.input = h("input", {
      type: "search",
      class: "query",
      role: "combobox",
      "aria-label": T.grid.query,
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": "query-options",
      "aria-describedby": "query-error",
      placeholder: T.grid.queryHint,
      spellcheck: false,
      autocomplete: "off",
      autocapitalize: "none",
      readOnly: data.isExport,
    });
    this.list = h("div", {class: "query-options", id: "query-options", role: "listbox", "aria-label": T.grid.completions, hidden: true});
    this.terms = h("div", {class: "query-terms", role: "list", "aria-label": T.grid.terms});
    this.error = h("p", {class: "query-error bad", id: "query-error", role: "alert"});
    const form = h(
      "form",
      {class: "query-form", role: "search"},
      h("div", {class: "query-box"}, this.input, this.list),
      data.isExport ? null : h("button", {type: "submit", class: "primary"}, T.grid.show),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.input.addEventListener("input", () => this.askSoon());
    this.input.addEventListener("keydown", (event) => this.pressed(event));
    this.input.addEventListener("focus", () => this.askSoon());
    this.input.addEventListener("blur", () => this.close());
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    host.append(form, this.terms, this.error);
  }

  // Show a query that was asked.
  setQuery(text) {
    this.input.value = text;
    this.asked += 1;
    this.close();
  }

  // Show the terms of the query that was asked.
  async readTerms() {
    if (data.isExport) return;
    const text = this.input.value;
    const said = await data.complete(text, text.length).catch(() => null);
    if (said && this.input.value === text) this.showTerms(text, said.terms || []);
  }

  setError(sentence) {
    this.error.textContent = sentence || "";
    this.input.setAttribute("aria-invalid", String(Boolean(sentence)));
  }

  showTerms(text, terms) {
    this.terms.replaceChildren(...terms.map((term) => this.termChip(text, term)));
  }

  termChip(text, term) {
    const without = (text.slice(0, term.start) + text.slice(term.end)).replace(/\s+/g, " ").trim();
    const remove = h(
      "button",
      {type: "button", class: "term-remove", "aria-label": T.grid.removeTerm(term.text)},
      "✕",
    );
    remove.addEventListener("click", () => {
      this.onQuery(without);
      this.input.focus();
    });
    return h("span", {class: "term", role: "listitem"}, h("span", {class: "term-text", title: term.text}, term.text), remove);
  }

  submit() {
    clearTimeout(this.timer);
    this.asked += 1;
    this.close();
    this.onQuery(this.input.value.trim());
  }

  askSoon() {
    if (data.isExport) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), PAUSE_MS);
  }

  async ask() {
    const asked = ++this.asked;
    const text = this.input.value;
    const said = await data.complete(text, this.input.selectionStart ?? text.length).catch(() => null);
    if (!said || asked !== this.asked || document.activeElement !== this.input) return;
    this.setError(said.error);
    this.showTerms(text, said.terms || []);
    this.open(said);
  }

  open({from, to, options}) {
    this.span = {from, to};
    this.options = options.slice(0, 50);
    this.chosen = -1;
    this.list.replaceChildren(...this.options.map((option, n) => this.optionNode(option, n)));
    this.list.hidden = !this.options.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.input.removeAttribute("aria-activedescendant");
  }

  close() {
    this.options = [];
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  optionNode(option, n) {
    const node = h(
      "div",
      {class: "query-option", role: "option", id: `query-option-${n}`, "aria-selected": "false"},
      h("span", {}, option.text),
      option.about ? h("span", {class: "muted"}, option.about) : null,
    );
    node.addEventListener("click", () => this.take(n));
    return node;
  }

  pressed(event) {
    if (event.isComposing) return;
    const steps = {ArrowDown: 1, ArrowUp: -1};
    if (event.key === "Escape" && !this.list.hidden) this.close();
    else if (event.key in steps && this.options.length) this.choose(steps[event.key]);
    else if (["Enter", "Tab"].includes(event.key) && this.chosen >= 0 && !this.list.hidden) this.take(this.chosen);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  choose(step) {
    const count = this.options.length;
    this.chosen = this.chosen < 0 && step < 0 ? count - 1 : (this.chosen + step + count) % count;
    [...this.list.children].forEach((node, n) => node.setAttribute("aria-selected", String(n === this.chosen)));
    const node = this.list.children[this.chosen];
    node.scrollIntoView({block: "nearest"});
    this.input.setAttribute("aria-activedescendant", node.id);
  }

  // Put an option in the place of what was typed of it.
  take(n) {
    const {text} = this.options[n];
    const {from, to} = this.span;
    const value = this.input.value;
    this.input.value = value.slice(0, from) + text + value.slice(to);
    const end = from + text.length;
    this.input.setSelectionRange(end, end);
    this.close();
    this.askSoon();
  }
}

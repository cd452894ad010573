// A field for a query, with a list of completions under it.

import {data} from "./data.js";
import {h} from "./dom.js";
import {T} from "./texts.js";

const PAUSE_MS = 120;

export class QueryInput {
  // props: further properties of the field. onSaid(text, said) is called with what the
  // server says of a query that is being typed.
  constructor(props = {}, onSaid = () => {}) {
    this.onSaid = onSaid;
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
      spellcheck: false,
      autocomplete: "off",
      autocapitalize: "none",
      readOnly: data.isExport,
      ...props,
    });
    this.list = h("div", {class: "query-options", id: "query-options", role: "listbox", "aria-label": T.grid.completions, hidden: true});
    this.box = h("div", {class: "query-box"}, this.input, this.list);
    this.input.addEventListener("input", () => this.typed());
    this.input.addEventListener("keydown", (event) => this.pressed(event));
    this.input.addEventListener("focus", () => this.askSoon());
    this.input.addEventListener("blur", () => this.close());
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
  }

  // Offer nothing more for what was typed so far.
  end() {
    clearTimeout(this.timer);
    this.asked += 1;
    this.close();
  }

  // What is offered for an earlier text can be chosen no more.
  typed() {
    this.asked += 1;
    this.options = [];
    this.chosen = -1;
    this.askSoon();
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
    this.onSaid(text, said);
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
    if (!this.options[n]) return;
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

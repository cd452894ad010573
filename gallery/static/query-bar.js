// The query as a line of text, with its terms as chips and a list of completions.

import {data} from "./data.js";
import {h} from "./dom.js";
import {QueryInput} from "./query-input.js";
import {T} from "./texts.js";

export class QueryBar {
  // onQuery(text) is called when the reader asks for another query.
  constructor(host, onQuery) {
    this.onQuery = onQuery;
    const props = {"aria-describedby": "query-error", placeholder: T.grid.queryHint};
    this.field = new QueryInput(props, (text, said) => this.showSaid(text, said));
    this.input = this.field.input;
    this.terms = h("div", {class: "query-terms", role: "list", "aria-label": T.grid.terms});
    this.error = h("p", {class: "query-error bad", id: "query-error", role: "alert"});
    const form = h(
      "form",
      {class: "query-form", role: "search"},
      this.field.box,
      data.isExport ? null : h("button", {type: "submit", class: "primary"}, T.grid.show),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    host.append(form, this.terms, this.error);
  }

  // Show a query that was asked.
  setQuery(text) {
    this.input.value = text;
    this.field.end();
  }

  showSaid(text, said) {
    this.setError(said.error);
    this.showTerms(text, said.terms || []);
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
    this.field.end();
    this.onQuery(this.input.value.trim());
  }
}

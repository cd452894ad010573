// Images that differ from this one in one axis, to step through.
import {data} from "./data.js";
import {h, setChildren} from "./dom.js";
import {readStored, writeStored} from "./shell.js";
import {T} from "./texts.js";

const axisKey = "nightsweep-axis";

export class NeighbourRows {
  // `go(key)` shows another image, `among(scope)` looks for neighbours in another query.
  constructor({go, among}) {
    this.go = go;
    this.among = among;
    this.axes = {};
    this.element = h("section", {class: "neighbours", "aria-label": T.image.neighbours});
    this.element.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-key]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.choose(link.dataset.axis);
      this.go(link.dataset.key);
    });
  }

  show({neighbours = {}, scopes = [], scope}) {
    this.axes = Object.fromEntries(Object.entries(neighbours).filter(([, row]) => row.length > 1));
    const names = Object.keys(this.axes);
    const stored = readStored("sessionStorage", axisKey);
    this.axis = names.includes(stored) ? stored : names[0];
    const focused = document.activeElement?.dataset?.axis;
    const wasChoosing = document.activeElement === this.choice;
    this.choice = scopes.length > 1 ? this.choiceOf(scopes, scope) : null;
    const choice = this.choice && h("label", {class: "neighbour-scope"}, h("span", {}, T.image.among), this.choice);
    setChildren(this.element, choice, names.map((name) => this.rowOf(name)));
    if (wasChoosing) this.choice?.focus();
    for (const here of this.element.querySelectorAll("[aria-current]")) {
      const row = here.closest("ol");
      row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.clientWidth) / 2;
      if (focused && here.dataset.axis === focused) here.focus({preventScroll: true});
    }
  }

  choiceOf(scopes, scope) {
    const options = scopes.map((one) => h("option", {value: one, selected: one === scope}, one));
    return h("select", {onchange: (event) => this.among(event.target.value)}, options);
  }

  rowOf(name) {
    return h("div", {class: name === this.axis ? "neighbour-row is-axis" : "neighbour-row"},
      h("h3", {}, h("button", {type: "button", "aria-pressed": name === this.axis, "aria-label": T.image.axis(name), onclick: () => this.choose(name)}, name)),
      h("ol", {}, this.axes[name].map((one) => h("li", {}, this.cellOf(name, one)))));
  }

  cellOf(axis, {label, key, state, is_here}) {
    const text = h("span", {class: "label", title: String(label)}, String(label));
    if (!key) return h("span", {class: "cell"}, h("span", {class: "hole"}, T.image.hole), text);
    const picture = state === "done"
      ? h("img", {src: data.thumbUrl(key), alt: "", loading: "lazy", width: 72, height: 72})
      : h("span", {class: `hole state-${state}`}, T.sweeps.states[state] ?? state);
    return h("a", {class: "cell", href: `/show/${key}${location.search}`, "aria-current": is_here ? "true" : null, dataset: {key, axis}}, picture, text);
  }

  choose(axis) {
    this.axis = axis;
    writeStored("sessionStorage", axisKey, axis);
    for (const row of this.element.querySelectorAll(".neighbour-row")) {
      const button = row.querySelector("button");
      const isAxis = button.textContent === axis;
      row.classList.toggle("is-axis", isAxis);
      button.setAttribute("aria-pressed", isAxis);
    }
  }

  // Return the keys beside this image along the axis, nearest first.
  around() {
    return [this.beside(1), this.beside(-1)].filter((one) => one?.state === "done").map((one) => one.key);
  }

  // Return the next one along the axis that has a key.
  beside(by) {
    const row = this.axes[this.axis] ?? [];
    let index = row.findIndex((one) => one.is_here);
    if (index < 0) return null;
    for (index += by; row[index]; index += by) if (row[index].key) return row[index];
    return null;
  }

  // Take an arrow key; return whether it did something.
  takeKey(event) {
    const steps = {ArrowLeft: -1, ArrowRight: 1};
    const changes = {ArrowUp: -1, ArrowDown: 1};
    const names = Object.keys(this.axes);
    if (event.shiftKey || !names.length) return false;
    if (steps[event.key]) {
      const next = this.beside(steps[event.key]);
      if (next) this.go(next.key);
      return true;
    }
    if (!changes[event.key]) return false;
    this.choose(names[(names.indexOf(this.axis) + changes[event.key] + names.length) % names.length]);
    this.element.querySelector(".is-axis").scrollIntoView({block: "nearest"});
    return true;
  }
}

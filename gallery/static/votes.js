// Blind votes: two pictures that differ in one axis, and which is better.
import {data} from "./data.js";
import {h, setChildren} from "./dom.js";
import {isTyping, mayWrite, sayError} from "./shell.js";
import {PanZoom} from "./zoom.js";
import {T} from "./texts.js";

// `open({q, axes})`, or the event `ns-vote` with the same detail, opens it. Without axes
// it asks for those of the query.
export class VotesElement extends HTMLElement {
  connectedCallback() {
    if (this.dialog) return;
    this.axis = h("select", {onchange: () => this.begin()});
    this.stage = h("div", {class: "votes-stage"});
    this.told = h("p", {class: "votes-told", role: "status"});
    this.results = h("div", {class: "votes-results"});
    this.buttons = ["a", "tie", "b"].map((winner) =>
      h("button", {type: "button", onclick: () => this.vote(winner)}, T.cull.winners[winner]));
    this.dialog = h("dialog", {class: "votes", tabIndex: -1, "aria-label": T.cull.votes},
      h("div", {class: "compare-head"}, h("h2", {}, T.cull.votes),
        h("label", {}, T.cull.axis, " ", this.axis), h("span", {class: "muted votes-keys"}, T.cull.voteKeys),
        h("button", {type: "button", class: "compare-close", onclick: () => this.dialog.close()}, T.cull.close)),
      this.stage, h("div", {class: "votes-buttons"}, this.buttons), this.told, this.results);
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.zoom = new PanZoom(this.stage);
    this.append(this.dialog);
    document.addEventListener("ns-vote", (event) => this.open(event.detail));
  }

  async open({q, axes}) {
    this.q = q;
    this.dialog.showModal();
    this.dialog.focus();
    setChildren(this.stage);
    setChildren(this.results);
    this.told.textContent = T.cull.reading;
    try {
      const names = axes ?? (await data.pivot(q, {})).axes.map((axis) => axis.name);
      setChildren(this.axis, names.map((name) => h("option", {value: name}, name)));
      if (names.includes("scheduler")) this.axis.value = "scheduler";
      if (names.length) await this.begin();
      else this.told.textContent = T.cull.noAxes;
    } catch (error) {
      this.told.textContent = error.message;
    }
  }

  async begin() {
    this.told.textContent = T.cull.reading;
    await Promise.all([this.next(), this.showResults()]);
  }

  // Show the next pair. An answer that comes after the axis was changed is nothing.
  async next() {
    const by = this.axis.value;
    this.pair = null;
    this.enable();
    try {
      const pair = await data.pair(this.q, by);
      if (by !== this.axis.value) return;
      if (!pair?.a) throw new Error(T.cull.noPairs(by));
      this.pair = pair;
      this.zoom.reset();
      const sideOf = (winner) => h("figure", {},
        h("div", {class: "pane"}, h("img", {class: "zoomed", src: data.imageUrl(pair[winner]), alt: T.cull.sides[winner], draggable: false})));
      setChildren(this.stage, sideOf("a"), sideOf("b"));
      if (this.told.textContent === T.cull.reading) this.told.textContent = "";
    } catch (error) {
      setChildren(this.stage);
      this.told.textContent = error.message;
    }
    this.enable();
  }

  enable() {
    for (const button of this.buttons) button.disabled = !this.pair || !mayWrite();
    if (!mayWrite()) this.told.textContent = T.cull.readOnly;
  }

  async vote(winner) {
    if (!this.pair || !mayWrite()) return;
    const {a, b} = this.pair;
    const by = this.axis.value;
    const hadFocus = document.activeElement;
    this.pair = null;
    this.enable();
    try {
      const said = await data.vote(a, b, winner, by, this.q);
      this.told.textContent = T.cull.voted(said.votes, said.a?.label ?? said.a, said.b?.label ?? said.b, winner);
    } catch (error) {
      sayError(error);
    }
    await Promise.all([this.next(), this.showResults()]);
    if (this.buttons.includes(hadFocus)) hadFocus.focus();
  }

  async showResults() {
    const by = this.axis.value;
    try {
      const found = await data.preferences(this.q, by);
      if (by === this.axis.value) setChildren(this.results, preferenceList(found));
    } catch (error) {
      setChildren(this.results, h("p", {class: "muted"}, error.message));
    }
  }

  pressed(event) {
    const winner = {ArrowLeft: "a", ArrowRight: "b", ArrowDown: "tie"}[event.key];
    if (isTyping(event) || this.zoom.takeKey(event) || !winner) return;
    event.preventDefault();
    this.vote(winner);
  }
}

// Return how often each value wins against an average one, as bars with their intervals.
// With few votes there is no interval, and `notes` say why.
export function preferenceList({by, votes, values, notes}) {
  const best = [...values].sort((a, b) => b.preference - a.preference);
  return h("section", {},
    h("h3", {}, T.cull.preferences(by, votes)),
    values.length ? h("p", {class: "muted"}, T.cull.preferenceNote) : null,
    h("ol", {class: "bars"}, best.map((value) => h("li", {},
      h("span", {class: "bar-label", title: String(value.label)}, String(value.label)),
      preferenceBar(value),
      h("span", {class: "bar-text"}, preferenceText(value))))),
    (notes ?? []).map((note) => h("p", {class: "muted"}, note)));
}

function preferenceBar({preference, low, high}) {
  const hasInterval = low !== null && high !== null;
  return h("span", {class: "bar", "aria-hidden": "true"},
    h("span", {class: "bar-mean", style: {width: `${preference * 100}%`}}),
    hasInterval && h("span", {class: "bar-interval", style: {left: `${low * 100}%`, width: `${(high - low) * 100}%`}}),
    h("span", {class: "bar-middle"}));
}

function preferenceText({preference, low, high, votes}) {
  const percent = (share) => `${Math.round(share * 100)} %`;
  const interval = low !== null && high !== null ? T.cull.interval(percent(low), percent(high)) : T.cull.noInterval;
  return T.cull.preference(percent(preference), interval, votes);
}

customElements.define("ns-votes", VotesElement);

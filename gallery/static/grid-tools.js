// The tools over the grid: slider, zoom, cell size, the line under cells, what to make.

import {data} from "./data.js";
import {h} from "./dom.js";
import {openMenu} from "./menu.js";
import {sideText} from "./grid-labels.js";
import {T} from "./texts.js";

const RATES = [0.5, 1, 2, 4, 8];
export const SMALLEST_CELL = 20;
export const LARGEST_CELL = 1024;

// What the line under cells may say, by its name in the page's address.
export function lineNames(metrics) {
  return ["none", "time", "rating", ...metrics.map((metric) => `score.${metric}`)];
}

export class GridTools {
  // acts: {onAt(at), onDepth(step), onPlay(isPlaying), onRate(rate), onZoom(factor),
  // onUnzoom(), onCell(px), onLine(name), makeChoices(), onBlind(), onVote(),
  // onHelp()}.
  constructor(host, acts) {
    this.acts = acts;
    host.append(
      this.sliderGroup(),
      this.stackGroup(),
      this.zoomGroup(),
      this.cellGroup(),
      this.lineGroup(),
      this.actionGroup(),
    );
  }

  sliderGroup() {
    const {acts} = this;
    this.slider = h("input", {type: "range", min: 0, max: 1, step: 1, value: 0, class: "slider"});
    this.slider.addEventListener("input", () => acts.onAt(Number(this.slider.value)));
    this.sliderName = h("span", {class: "tool-name"});
    this.sliderText = h("span", {class: "slider-text"});
    this.play = iconButton("▶", T.grid.playHint, () => acts.onPlay(this.play.ariaPressed !== "true"));
    this.play.ariaPressed = "false";
    this.rate = h(
      "select",
      {"aria-label": T.grid.rate},
      RATES.map((rate) => h("option", {value: rate}, T.grid.perSecond(rate))),
    );
    this.rate.addEventListener("change", () => acts.onRate(Number(this.rate.value)));
    this.sliderBox = h("div", {class: "tool"}, this.sliderName, this.slider, this.sliderText, this.play, this.rate);
    return this.sliderBox;
  }

  stackGroup() {
    this.depthText = h("span", {class: "depth-text"});
    this.stackBox = h(
      "div",
      {class: "tool"},
      h("span", {class: "tool-name"}, T.grid.stackOf),
      iconButton("‹", T.grid.previous, () => this.acts.onDepth(-1)),
      this.depthText,
      iconButton("›", T.grid.next, () => this.acts.onDepth(1)),
    );
    return this.stackBox;
  }

  zoomGroup() {
    this.zoomText = h("button", {type: "button", class: "zoom-text", title: T.grid.zoomReset, onclick: () => this.acts.onUnzoom()});
    return h(
      "div",
      {class: "tool", role: "group", "aria-label": T.grid.zoom},
      iconButton("−", T.grid.zoomOut, () => this.acts.onZoom(0.8)),
      this.zoomText,
      iconButton("+", T.grid.zoomIn, () => this.acts.onZoom(1.25)),
    );
  }

  // Sizes grow by a constant factor along the slider.
  cellGroup() {
    const [low, high] = [Math.log2(SMALLEST_CELL), Math.log2(LARGEST_CELL)];
    this.cell = h("input", {type: "range", min: low, max: high, step: 0.05, id: "cell-size"});
    this.cell.addEventListener("input", () => this.acts.onCell(Math.round(2 ** Number(this.cell.value))));
    this.fit = h("button", {type: "button", title: T.grid.fitHint, onclick: () => this.acts.onCell(0)}, T.grid.fit);
    return h("div", {class: "tool"}, h("label", {class: "tool-name", for: "cell-size"}, T.grid.cell), this.cell, this.fit);
  }

  lineGroup() {
    this.line = h("select", {id: "cell-line"});
    this.line.addEventListener("change", () => this.acts.onLine(this.line.value));
    return h("div", {class: "tool"}, h("label", {class: "tool-name", for: "cell-line"}, T.grid.line), this.line);
  }

  actionGroup() {
    const {acts} = this;
    this.blind = h("button", {type: "button", title: T.grid.blindHint, "aria-pressed": "false", onclick: () => acts.onBlind()}, T.grid.blind);
    this.make = menuButton(T.grid.make, T.grid.makeHint, () => acts.makeChoices());
    this.vote = h("button", {type: "button", title: T.grid.voteHint, onclick: () => acts.onVote()}, T.grid.vote);
    this.make.hidden = this.vote.hidden = data.isExport || document.body.dataset.readOnly === "1";
    this.blind.hidden = data.isExport;
    const help = iconButton("?", T.grid.help, () => acts.onHelp());
    return h("div", {class: "tool tool-end"}, this.blind, this.vote, this.make, help);
  }

  // Show a model and what is chosen of it.
  setModel(model, metrics) {
    this.model = model;
    const {slider} = model.roles;
    this.sliderBox.hidden = !slider.length;
    this.sliderName.textContent = slider[0] || "";
    this.slider.setAttribute("aria-label", slider[0] || "");
    this.slider.max = Math.max(1, model.slider.count - 1);
    this.stackBox.hidden = model.deepest < 2;
    this.vote.disabled = !model.pivot.axes.length;
    this.line.replaceChildren(...lineNames(metrics).map((name) => h("option", {value: name}, T.grid.lines[name] || name)));
  }

  setAt(at, depth, isHidden) {
    const text = isHidden ? T.grid.nth(at + 1, this.model.slider.count) : sideText(this.model.slider.labels[at] || []);
    this.slider.value = at;
    this.slider.setAttribute("aria-valuetext", text);
    this.sliderText.textContent = text;
    this.sliderText.title = text;
    this.depthText.textContent = T.grid.nth(depth + 1, this.model.deepest);
  }

  setPlaying(isPlaying) {
    this.play.ariaPressed = String(isPlaying);
    this.play.textContent = isPlaying ? "❚❚" : "▶";
  }

  setView(view, shownCell) {
    this.rate.value = RATES.includes(view.rate) ? view.rate : 2;
    this.zoomText.textContent = `${Math.round(view.zoom.z * 100)} %`;
    this.zoomText.disabled = view.zoom.z === 1;
    const px = view.cell || shownCell || 128;
    this.cell.value = Math.log2(px);
    this.cell.setAttribute("aria-valuetext", T.grid.pixels(px));
    this.fit.ariaPressed = String(!view.cell);
    this.line.value = view.line;
  }
}

function iconButton(sign, name, act) {
  return h("button", {type: "button", class: "icon", "aria-label": name, title: name, onclick: act}, sign);
}

function menuButton(text, title, choices) {
  const button = h("button", {type: "button", title, "aria-haspopup": "menu", "aria-expanded": "false"}, text);
  button.addEventListener("click", () => openMenu(button, title, choices()));
  return button;
}

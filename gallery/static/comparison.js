// Pinned images over the whole window: side by side, by slider, fade or difference.
import {isBlind, rateImages, ratingOfKey, shuffled} from "./cull.js";
import {h, setChildren} from "./dom.js";
import {data} from "./data.js";
import {isMeasured, splitParameters} from "./parameters.js";
import {parameterTables} from "./parameter-tables.js";
import {isTyping, say} from "./shell.js";
import {PanZoom} from "./zoom.js";
import {T} from "./texts.js";

const compareModes = ["side", "slider", "fade", "difference"];
// From this many pixels of the screen for one of the picture, its pixels are shown.
const pixelatedFrom = 3;

export class Comparison {
  constructor(tray) {
    this.tray = tray;
    this.known = new Map();
    this.mode = "side";
    this.amounts = {slider: 50, fade: 50, difference: 4};
    this.order = [];
    this.first = 0;
    this.second = 1;
    this.build();
    tray.addEventListener("change", () => this.dialog.open && this.changed());
    document.addEventListener("ns-marks", (event) => this.marked(event.detail.marks));
  }

  build() {
    this.modeButtons = compareModes.map((mode) =>
      h("button", {type: "button", onclick: () => this.setMode(mode)}, T.tray.modes[mode]));
    const button = (text, label, onclick) => h("button", {type: "button", title: label, "aria-label": label, onclick}, text);
    this.zoomText = h("output", {class: "compare-zoom"}, "100 %");
    this.blindButton = h("button", {type: "button", onclick: () => this.toggleBlind()}, T.tray.blind);
    const head = h("div", {class: "compare-head"},
      h("h2", {}, T.tray.title),
      h("div", {class: "segments", role: "group", "aria-label": T.tray.mode}, this.modeButtons),
      button("⇄", T.tray.swap, () => this.swap()),
      h("div", {class: "segments", role: "group", "aria-label": T.tray.zoom},
        button("−", T.tray.zoomOut, () => this.zoom.zoomBy(1 / 1.5)),
        button(T.tray.fitShort, T.tray.fit, () => this.zoom.reset()),
        button("+", T.tray.zoomIn, () => this.zoom.zoomBy(1.5))),
      this.zoomText, this.blindButton,
      h("button", {type: "button", class: "compare-close", onclick: () => this.dialog.close()}, T.tray.close));
    this.stage = h("div", {class: "compare-stage"});
    this.range = h("input", {type: "range", oninput: () => this.setAmount(Number(this.range.value))});
    this.rangeText = h("span", {class: "muted"});
    this.rangeLine = h("label", {class: "compare-range"}, this.rangeText, this.range);
    this.strip = h("ol", {class: "compare-strip"});
    this.table = h("div", {class: "compare-table", tabIndex: 0, role: "region", "aria-label": T.tray.table});
    const side = h("div", {class: "compare-side"}, this.strip, this.table, h("p", {class: "muted compare-keys"}, T.tray.keys));
    this.dialog = h("dialog", {class: "compare", tabIndex: -1, "aria-label": T.tray.title},
      head, h("div", {class: "compare-body"}, h("div", {class: "compare-main"}, this.stage, this.rangeLine), side));
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.zoom = new PanZoom(this.stage, {onChange: () => this.zoomed()});
    new ResizeObserver(() => this.arrange()).observe(this.stage);
  }

  open() {
    this.dialog.showModal();
    this.changed();
    if (isBlind() && !this.isBlind) this.toggleBlind();
    this.modeButtons[compareModes.indexOf(this.mode)].focus();
  }

  // Read what is new in the tray, and show it.
  changed() {
    const {keys} = this.tray;
    if (keys.length < 2) {
      this.dialog.close();
      return;
    }
    const kept = this.order.filter((key) => keys.includes(key));
    this.order = [...kept, ...keys.filter((key) => !kept.includes(key))];
    this.first = Math.min(this.first, this.order.length - 1);
    this.second = Math.min(this.second, this.order.length - 1);
    if (this.first === this.second) this.second = (this.first + 1) % this.order.length;
    this.show();
    for (const key of this.order) if (!this.known.has(key)) this.read(key);
  }

  async read(key) {
    try {
      this.known.set(key, await data.image(key));
    } catch (error) {
      this.known.set(key, {});
      say(error.message, {error: true});
    }
    if (this.dialog.open && this.order.every((one) => this.known.has(one))) this.show();
  }

  show() {
    this.modeButtons.forEach((button, index) => button.setAttribute("aria-pressed", compareModes[index] === this.mode));
    this.blindButton.setAttribute("aria-pressed", Boolean(this.isBlind));
    this.showTable();
    this.showStrip();
    this.showStage();
    this.showRange();
  }

  // Return what tells an image from the others, in a few words.
  labelOf(index) {
    const rating = ratingText(this.known.get(this.order[index])?.rating);
    const number = [index + 1, rating].filter(Boolean).join(" ");
    if (this.isBlind) return number;
    const rows = (this.differ ?? []).filter(([name]) => !isMeasured(name));
    // Prompts are long: they come last, where a label may be cut.
    const isLong = ([name]) => name.includes("prompt");
    const ordered = [...rows.filter((row) => !isLong(row)), ...rows.filter(isLong)];
    return [number, ...ordered.map(([, texts]) => texts[index])].join(" · ");
  }

  paneOf(indexes, className = "") {
    const layers = indexes.map((index) => h("div", {class: "layer"}, this.pictureOf(index)));
    return h("div", {class: `pane ${className}`}, layers);
  }

  pictureOf(index) {
    const picture = h("img", {
      class: "zoomed",
      src: data.imageUrl(this.order[index]),
      alt: this.labelOf(index),
      draggable: false,
      onload: () => this.zoomed(),
    });
    return picture;
  }

  showStage() {
    const pair = [this.first, this.second];
    this.stage.className = `compare-stage mode-${this.mode}`;
    if (this.mode === "side") {
      const figures = this.order.map((_, index) => h("figure", {class: index === this.second ? "is-here" : ""},
        this.paneOf([index]), h("figcaption", {title: this.labelOf(index)}, this.labelOf(index))));
      setChildren(this.stage, figures);
    } else {
      const pane = this.paneOf(pair);
      if (this.mode === "slider") pane.append(this.dividerOf(pane));
      const caption = h("figcaption", {}, T.tray.between(this.labelOf(this.first), this.labelOf(this.second)));
      setChildren(this.stage, h("figure", {}, pane, caption));
    }
    this.arrange();
    this.zoomed();
  }

  dividerOf(pane) {
    const divider = h("div", {class: "divider"});
    divider.onpointerdown = (event) => divider.setPointerCapture(event.pointerId);
    divider.onpointermove = (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const box = pane.getBoundingClientRect();
      this.setAmount(Math.round(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * 100));
    };
    return divider;
  }

  // Choose the number of columns that leaves the pictures largest.
  arrange() {
    if (this.mode !== "side" || !this.order.length) return;
    const {clientWidth: width, clientHeight: height} = this.stage;
    const count = this.order.length;
    const sizeOf = (columns) => Math.min(width / columns, height / Math.ceil(count / columns) - 24);
    let best = 1;
    for (let columns = 2; columns <= count; columns += 1) if (sizeOf(columns) > sizeOf(best)) best = columns;
    this.stage.style.setProperty("--columns", best);
  }

  zoomed() {
    this.zoomText.textContent = `${Math.round(this.zoom.scale * 100)} %`;
    for (const picture of this.stage.querySelectorAll("img")) {
      const box = picture.closest(".pane");
      const shown = Math.min(box.clientWidth / picture.naturalWidth, box.clientHeight / picture.naturalHeight);
      picture.classList.toggle("pixels", shown * this.zoom.scale >= pixelatedFrom);
    }
  }

  showRange() {
    const isRanged = this.mode !== "side";
    this.rangeLine.hidden = !isRanged;
    if (!isRanged) return;
    const isDifference = this.mode === "difference";
    Object.assign(this.range, {min: isDifference ? 1 : 0, max: isDifference ? 16 : 100, step: 1});
    this.setAmount(this.amounts[this.mode]);
  }

  setAmount(amount) {
    this.amounts[this.mode] = amount;
    this.range.value = amount;
    this.rangeText.textContent = T.tray.amounts[this.mode](amount);
    this.stage.style.setProperty("--amount", this.mode === "difference" ? amount : amount / 100);
  }

  setMode(mode) {
    this.mode = mode;
    this.show();
  }

  swap() {
    [this.first, this.second] = [this.second, this.first];
    if (this.mode === "side") {
      [this.order[this.first], this.order[this.second]] = [this.order[this.second], this.order[this.first]];
      [this.first, this.second] = [this.second, this.first];
    }
    this.show();
  }

  // Hide what the pictures are, and shuffle them, or show it again in the tray's order.
  toggleBlind() {
    this.isBlind = !this.isBlind;
    this.order = [...this.tray.keys];
    if (this.isBlind) this.order = shuffled(this.order);
    this.show();
  }

  showStrip() {
    const buttons = () => [...this.strip.querySelectorAll("button")];
    const focused = buttons().indexOf(document.activeElement);
    const markOf = (index) => (index === this.first ? "A" : index === this.second ? "B" : "");
    setChildren(this.strip, this.order.map((key, index) => h("li", {},
      h("button", {
        type: "button",
        class: "compare-pick",
        "aria-pressed": index === this.first || index === this.second,
        "aria-label": T.tray.pick(this.labelOf(index), markOf(index)),
        onclick: (event) => this.choose(index, {isFirst: event.shiftKey}),
      }, h("img", {src: data.thumbUrl(key), alt: "", width: 48, height: 48}), h("b", {}, markOf(index))),
      h("button", {type: "button", class: "tray-remove", "aria-label": T.tray.remove(index + 1), onclick: () => this.tray.unpin(key)}, "✕"))));
    // What held the focus was drawn anew; without it, keys would not reach the window.
    if (focused >= 0) (buttons()[focused] ?? this.dialog).focus();
  }

  // Make an image the second of the pair, or the first; the other makes way.
  choose(index, {isFirst = false} = {}) {
    const [mine, other] = isFirst ? ["first", "second"] : ["second", "first"];
    if (index === this[other]) this[other] = this[mine];
    this[mine] = index;
    this.show();
    this.strip.children[index].firstChild.focus();
  }

  showTable() {
    const images = this.order.map((key) => this.known.get(key));
    if (images.some((image) => !image)) {
      setChildren(this.table, h("p", {class: "muted"}, T.tray.reading));
      return;
    }
    const {differ, same} = splitParameters(images);
    this.differ = differ;
    setChildren(this.table, this.isBlind ? h("p", {class: "muted"}, T.tray.hidden) : parameterTables({differ, same}));
  }

  pressed(event) {
    // A range takes arrows itself.
    const isRange = event.target === this.range && event.key.startsWith("Arrow");
    if (isTyping(event) || isRange || this.zoom.takeKey(event)) return;
    const rating = ratingOfKey(event);
    if (rating) this.rate(rating);
    const count = this.order.length;
    const step = (from, by) => (from + by + count) % count;
    const next = (from, by, but) => (count > 2 && step(from, by) === but ? step(step(from, by), by) : step(from, by));
    const actions = {
      ArrowRight: () => this.choose(next(this.second, 1, this.first)),
      ArrowLeft: () => this.choose(next(this.second, -1, this.first)),
      ArrowDown: () => this.choose(next(this.first, 1, this.second), {isFirst: true}),
      ArrowUp: () => this.choose(next(this.first, -1, this.second), {isFirst: true}),
      m: () => this.setMode(compareModes[(compareModes.indexOf(this.mode) + 1) % compareModes.length]),
      s: () => this.swap(),
      b: () => this.toggleBlind(),
      "[": () => this.nudge(-1),
      "]": () => this.nudge(1),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  // Rate the second image of the pair.
  rate(change) {
    const key = this.order[this.second];
    const {stars = 0, verdict = "none"} = this.known.get(key)?.rating ?? {};
    rateImages({keys: [key], ...change, before: [{stars, verdict}]});
  }

  marked(marks) {
    const mine = marks.filter((mark) => this.known.has(mark.key));
    for (const {key, stars, verdict} of mine) {
      const image = this.known.get(key);
      const before = image.rating ?? {stars: 0, verdict: "none"};
      image.rating = {stars: stars ?? before.stars, verdict: verdict ?? before.verdict};
    }
    if (mine.length && this.dialog.open) this.show();
  }

  nudge(by) {
    if (this.mode === "side") return;
    const step = this.mode === "difference" ? 1 : 5;
    this.setAmount(Math.min(Math.max(this.amounts[this.mode] + by * step, Number(this.range.min)), Number(this.range.max)));
  }
}

function ratingText(rating) {
  const verdict = {accepted: "✓", rejected: "✗"}[rating?.verdict] ?? "";
  return (rating?.stars ? `★${rating.stars}` : "") + verdict;
}

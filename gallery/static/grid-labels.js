// The labels of a grid's sides, which stay in sight: rows left, columns above, super-rows
// over their band. Only those in sight are elements.

import {h} from "./dom.js";
import {isBlind} from "./cull.js";
import {T} from "./texts.js";

const MOST_MEASURED = 2000;

// The labels of a place on a side, as one text.
export function sideText(labels) {
  return labels.map((label) => (label === null ? T.grid.noValue : label || T.grid.empty)).join(" · ");
}

export class GridLabels {
  // Elements: rows and cols, the strips; supers, the layer over the cells. `onPick` is
  // called with ("row", line) or ("col", col) when a label is clicked.
  constructor({rows, cols, supers, onPick}) {
    this.strips = {rows: stripIn(rows), cols: stripIn(cols)};
    this.supers = supers;
    this.shown = {rows: new Map(), cols: new Map(), supers: new Map()};
    for (const [name, kind] of [["rows", "row"], ["cols", "col"]]) {
      this.strips[name].addEventListener("click", (event) => {
        const place = event.target.closest("[data-place]")?.dataset.place;
        if (place !== undefined) onPick(kind, Number(place));
      });
    }
    this.pen = document.createElement("canvas").getContext("2d");
  }

  // Show the labels of another model or layout. Returns the room that they need, in CSS
  // pixels: {width of the rows' strip, height of the columns' strip}.
  setModel(model, layout, stageWidth) {
    this.model = model;
    this.layout = layout;
    for (const shown of Object.values(this.shown)) {
      for (const node of shown.values()) node.remove();
      shown.clear();
    }
    const cell = layout.pitchX / layout.ratio;
    this.isUpright = cell < 44;
    this.hasCols = model.roles.cols.length > 0 && !model.wrap;
    const height = this.hasCols ? this.headHeight(model, cell) : 0;
    return {width: this.rowsWidth(model, stageWidth), height: Math.round(height)};
  }

  rowsWidth(model, stageWidth) {
    if (!model.roles.rows.length) return 0;
    return Math.round(Math.min(this.longest(model.rows.labels) + 18, 260, stageWidth * 0.34));
  }

  headHeight(model, cell) {
    const longest = this.longest(model.cols.labels);
    if (this.isUpright) return Math.min(longest + 16, 120);
    return longest + 12 > cell ? 40 : 24;
  }

  longest(labels) {
    this.pen.font = `13px ${getComputedStyle(document.body).fontFamily}`;
    let longest = 0;
    for (const each of labels.slice(0, MOST_MEASURED)) {
      longest = Math.max(longest, this.pen.measureText(sideText(each).slice(0, 60)).width);
    }
    return longest;
  }

  // Put the labels where a window's corner at (x, y), in device pixels, needs them.
  moveTo(x, y, w, h) {
    const {layout, model} = this;
    const {ratio} = layout;
    const seen = layout.within(x, y, w, h);
    this.strips.cols.style.transform = `translateX(${-x / ratio}px)`;
    this.strips.rows.style.transform = `translateY(${-y / ratio}px)`;
    if (this.hasCols) this.keep("cols", seen.left, seen.right, (col) => this.colLabel(col));
    if (model.roles.rows.length) this.keep("rows", seen.top, seen.bottom, (line) => this.rowLabel(line));
    if (model.roles.supers.length) this.moveSupers(seen, y);
  }

  // Have elements for the places first to last, and no others.
  keep(name, first, last, make, parent = this.strips[name]) {
    const shown = this.shown[name];
    for (const [place, node] of shown) {
      if (place < first || place > last) {
        node.remove();
        shown.delete(place);
      }
    }
    for (let place = first; place <= last; place++) {
      if (!shown.has(place)) {
        const node = make(place);
        shown.set(place, node);
        parent.append(node);
      }
    }
  }

  colLabel(col) {
    const {ratio, pitchX, box} = this.layout;
    const node = labelNode(sideText(this.model.cols.labels[col]), col);
    node.classList.toggle("upright", this.isUpright);
    node.style.left = `${(col * pitchX) / ratio}px`;
    node.style.width = `${box.w / ratio}px`;
    return node;
  }

  rowLabel(line) {
    const {ratio, box, lineH, rows} = this.layout;
    const node = labelNode(sideText(this.model.rows.labels[line % rows]), line);
    const height = (box.h + lineH) / ratio;
    node.style.top = `${this.layout.lineTop(line) / ratio}px`;
    node.style.height = `${height}px`;
    node.firstChild.style.webkitLineClamp = Math.max(1, Math.floor((height - 4) / 17));
    return node;
  }

  // The label of a band stands at its top, and stays in sight as long as the band is.
  moveSupers(seen, y) {
    const {bandH, rows, superH, ratio} = this.layout;
    const [first, last] = [Math.floor(seen.top / rows), Math.floor(seen.bottom / rows)];
    this.keep("supers", first, last, (band) => this.superLabel(band), this.supers);
    for (const [band, node] of this.shown.supers) {
      const top = Math.max(band * bandH - y, Math.min(0, (band + 1) * bandH - superH - y));
      node.style.transform = `translateY(${top / ratio}px)`;
    }
  }

  superLabel(band) {
    const node = labelNode(sideText(this.model.supers.labels[band]), band);
    node.classList.add("super");
    node.style.height = `${this.layout.superH / this.layout.ratio}px`;
    return node;
  }
}

function stripIn(parent) {
  const strip = h("div", {class: "grid-strip"});
  parent.append(strip);
  return strip;
}

function labelNode(label, place) {
  const text = isBlind() ? "" : label;
  // Names such as dpmpp_2m_karras may break behind each "_".
  const words = text.split("_").flatMap((word, n) => (n ? ["_", h("wbr", {}), word] : [word]));
  return h("div", {class: "grid-label", title: text, "data-place": place}, h("span", {}, words));
}

// The grid on the page: a canvas with the cells in sight, under an element that scrolls.

import {GridCanvas} from "./grid-canvas.js";
import {GridGestures} from "./grid-gestures.js";
import {GridLabels} from "./grid-labels.js";
import {GridLayout} from "./grid-layout.js";
import {movePictures, NO_ZOOM, zoomAround} from "./cell-zoom.js";
import {h} from "./dom.js";
import {T} from "./texts.js";

// Loads are chosen anew so long after the last change of what is in sight.
const SETTLE_MS = 60;
// The window goes on drawing so long after it last moved, to measure its frames.
const MOVING_MS = 200;
const MOST_FRAMES = 20000;

export class GridView {
  // bitmaps: a BitmapStore; acts: {describe(line, col), onFocus(), onOpen(), onZoom()}.
  constructor(host, bitmaps, acts) {
    this.bitmaps = bitmaps;
    this.acts = acts;
    this.scene = {model: null, at: 0, depth: 0, selected: new Set(), lineOf: () => "", showMarks: true};
    this.zoom = NO_ZOOM;
    this.cell = 128;
    this.hasLine = false;
    this.focus = {line: 0, col: 0};
    this.play = null;
    window.nightsweepFrames = [];
    this.build(host);
    this.canvas = new GridCanvas(this.parts.canvas, bitmaps);
    this.labels = new GridLabels({...this.parts, onPick: (kind, place) => this.selectAlong(kind, place)});
    this.gestures = new GridGestures(this.parts.scroller, {
      isZoomed: () => this.zoom.z > 1,
      zoomAt: (factor, event) => this.zoomAt(factor, event),
      movePictures: (dx, dy) => this.movePictures(dx, dy),
      pick: (event) => this.pick(event),
      open: (event) => this.cellUnder(event) && this.acts.onOpen(),
      hover: (event) => this.hover(event),
    });
    this.parts.scroller.addEventListener("scroll", () => this.invalidate());
    this.parts.scroller.addEventListener("focus", () => this.markFocus());
    new ResizeObserver(() => this.relayout()).observe(this.parts.scroller);
  }

  build(host) {
    const parts = {
      corner: h("div", {class: "grid-corner", "aria-hidden": "true"}),
      cols: h("div", {class: "grid-cols", "aria-hidden": "true"}),
      rows: h("div", {class: "grid-rows", "aria-hidden": "true"}),
      canvas: h("canvas", {class: "grid-canvas", "aria-hidden": "true"}),
      supers: h("div", {class: "grid-supers", "aria-hidden": "true"}),
      cursors: [0, 1].map((n) => h("div", {class: "grid-cursor", role: "gridcell", id: `grid-cell-${n}`})),
      space: h("div", {class: "grid-space"}),
      tip: h("div", {class: "grid-tip", "aria-hidden": "true", hidden: true}),
      pill: h("div", {class: "grid-pill", "aria-hidden": "true", hidden: true}),
    };
    const row = h("div", {role: "row", class: "grid-cursors"}, parts.cursors);
    parts.row = row;
    parts.scroller = h(
      "div",
      {class: "grid-scroller", role: "grid", tabindex: 0, "aria-label": T.grid.gridName, "aria-multiselectable": "true"},
      parts.space,
      row,
    );
    parts.window = h("div", {class: "grid-window"}, parts.canvas, parts.scroller, parts.supers, parts.tip, parts.pill);
    this.parts = parts;
    host.append(parts.corner, parts.cols, parts.rows, parts.window);
    this.host = host;
  }

  // Show a model; null while there is none.
  setModel(model) {
    this.scene.model = model;
    this.scene.selected.clear();
    this.relayout();
    if (!model) return;
    const {scroller} = this.parts;
    scroller.setAttribute("aria-rowcount", model.lineCount);
    scroller.setAttribute("aria-colcount", model.colCount);
    this.moveFocus(this.focus.line, this.focus.col, false);
  }

  relayout() {
    const {model} = this.scene;
    const {scroller, canvas, space} = this.parts;
    if (!model) return this.invalidate();
    const kept = this.layout && this.layout.lines === model.lineCount ? this.scrolledPart() : null;
    const ratio = window.devicePixelRatio || 1;
    const cell = this.cell || this.fittingCell();
    this.shownCell = cell;
    this.layout = new GridLayout(model, {cell, shape: model.usualSize, hasLine: this.hasLine, ratio});
    const room = this.labels.setModel(model, this.layout, this.host.clientWidth);
    this.host.style.setProperty("--row-labels", `${room.width}px`);
    this.host.style.setProperty("--col-labels", `${room.height}px`);
    space.style.width = `${this.layout.width / ratio}px`;
    space.style.height = `${this.layout.height / ratio}px`;
    const [w, height] = [scroller.clientWidth, scroller.clientHeight];
    this.size = {w: Math.round(w * ratio), h: Math.round(height * ratio)};
    if (canvas.width !== this.size.w || canvas.height !== this.size.h) {
      canvas.width = this.size.w;
      canvas.height = this.size.h;
      canvas.style.width = `${this.size.w / ratio}px`;
      canvas.style.height = `${this.size.h / ratio}px`;
    }
    if (kept) scroller.scrollTo({left: kept.x * this.layout.width / ratio, top: kept.y * this.layout.height / ratio, behavior: "instant"});
    this.lastSeen = null;
    this.invalidate();
  }

  scrolledPart() {
    const {scroller} = this.parts;
    const {ratio, width, height} = this.layout;
    return {x: (scroller.scrollLeft * ratio) / width, y: (scroller.scrollTop * ratio) / height};
  }

  // The size at which the whole grid is in sight, as far as that is a size to look at.
  fittingCell() {
    const {model} = this.scene;
    const wide = (this.host.clientWidth - 120) / model.colCount - 4;
    const high = (this.host.clientHeight - 40) / model.lineCount - 4;
    const few = model.colCount * model.lineCount <= 4 ? 640 : 256;
    const fit = Math.min(few, Math.max(Math.min(wide, high), Math.min(wide, 128)));
    return Math.round(Math.max(fit, 64));
  }

  get scroll() {
    const {scroller} = this.parts;
    const {ratio} = this.layout;
    return {x: Math.round(scroller.scrollLeft * ratio), y: Math.round(scroller.scrollTop * ratio)};
  }

  invalidate() {
    this.isDirty = true;
    if (!this.frame) this.frame = requestAnimationFrame((time) => this.drawFrame(time));
  }

  drawFrame(time) {
    this.frame = 0;
    if (!this.layout || !this.scene.model) return;
    const {x, y} = this.scroll;
    const moved = this.last && (this.last.x !== x || this.last.y !== y);
    if (this.isDirty || moved) this.paint(x, y);
    if (moved && this.last.isRunning) this.noteFrame(time - this.last.time);
    const isRunning = moved || (this.last && time - this.last.movedAt < MOVING_MS);
    const movedAt = moved ? time : (this.last?.movedAt ?? -Infinity);
    this.last = {x, y, time, movedAt, isRunning};
    this.isDirty = false;
    if (isRunning && !this.frame) this.frame = requestAnimationFrame((next) => this.drawFrame(next));
  }

  noteFrame(gap) {
    const frames = window.nightsweepFrames;
    if (frames.length < MOST_FRAMES) frames.push(gap);
  }

  paint(x, y) {
    this.bitmaps.nextTick();
    const seen = this.layout.within(x, y, this.size.w, this.size.h);
    const visible = (seen.bottom - seen.top + 1) * (seen.right - seen.left + 1);
    this.canvas.setView({layout: this.layout, zoom: this.zoom, visible});
    this.canvas.paint(this.scene, x, y);
    this.labels.moveTo(x, y, this.size.w, this.size.h);
    this.placeCursor(x, y);
    this.seen = seen;
    this.settle();
  }

  // Choose what to load once the window has come to rest, or every so often on the way.
  settle() {
    if (this.settling) return;
    this.settling = setTimeout(() => {
      this.settling = 0;
      if (this.scene.model) this.bitmaps.want(this.wanted());
    }, SETTLE_MS);
  }

  // What to load: cells in sight from the middle out, then what is behind the slider of
  // them while it plays, then a window's height around them.
  wanted() {
    const {at, model} = this.scene;
    const pairs = this.needsOf(this.seen, at);
    for (const next of this.play ? this.play.order() : []) pairs.push(...this.needsOf(this.seen, next));
    if (!this.play && this.zoom.z === 1) {
      const {top, bottom, left, right} = this.seen;
      const more = Math.ceil((bottom - top + 1) / 2);
      const above = {top: Math.max(0, top - more), bottom: top - 1, left, right};
      const below = {top: bottom + 1, bottom: Math.min(model.lineCount - 1, bottom + more), left, right};
      pairs.push(...this.needsOf(below, at), ...this.needsOf(above, at));
    }
    return pairs;
  }

  needsOf({top, bottom, left, right}, at) {
    const {model, depth} = this.scene;
    const found = [];
    const [midLine, midCol] = [(top + bottom) / 2, (left + right) / 2];
    for (let line = top; line <= bottom; line++) {
      for (let col = left; col <= right; col++) {
        const i = model.shownAt(line, col, at, depth);
        if (i < 0 || model.stateOf(i) !== "done") continue;
        const far = Math.max(Math.abs(line - midLine), Math.abs(col - midCol));
        found.push([far, model.pivot.keys[i], this.canvas.fitOf(model.pivot, i).need]);
      }
    }
    found.sort((a, b) => a[0] - b[0]);
    return found.map(([, key, need]) => [key, need]);
  }

  // Whether the pictures of all cells in sight are there at a place of the slider.
  isReady(at) {
    if (!this.seen) return false;
    const isThere = ([key, need]) => this.bitmaps.has(key, need) || this.bitmaps.isMissing(key);
    return this.needsOf(this.seen, at).every(isThere);
  }

  // The images in sight, as indexes.
  visibleImages() {
    const {model, at, depth} = this.scene;
    const found = [];
    if (!this.seen) return found;
    for (let line = this.seen.top; line <= this.seen.bottom; line++) {
      for (let col = this.seen.left; col <= this.seen.right; col++) {
        const i = model.shownAt(line, col, at, depth);
        if (i >= 0) found.push(i);
      }
    }
    return found;
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.parts.scroller.classList.toggle("is-zoomed", zoom.z > 1);
    this.acts.onZoom(zoom);
    this.invalidate();
  }

  // Zoom all pictures about the point of the picture under the pointer, or the middle.
  zoomAt(factor, event) {
    if (!this.layout) return;
    const {box} = this.layout;
    const cell = event ? this.cellUnder(event) : null;
    const point = cell?.point || {x: box.w / 2, y: box.h / 2};
    this.setZoom(zoomAround(this.zoom, factor, point, box, this.pictureAt(cell || this.focus)));
  }

  movePictures(dx, dy) {
    const {ratio, box} = this.layout;
    const picture = this.pictureAt(this.focus);
    this.setZoom(movePictures(this.zoom, dx * ratio, dy * ratio, box, picture));
  }

  pictureAt({line, col}) {
    const i = this.imageAt(line, col);
    const [w, h] = this.scene.model.usualSize;
    const {pivot} = this.scene.model;
    return i < 0 ? {w, h} : {w: pivot.width[i] || w, h: pivot.height[i] || h};
  }

  imageAt(line, col) {
    return this.scene.model.shownAt(line, col, this.scene.at, this.scene.depth);
  }

  cellUnder(event) {
    if (!this.layout) return null;
    const frame = this.parts.scroller.getBoundingClientRect();
    const {ratio} = this.layout;
    const {x, y} = this.scroll;
    return this.layout.cellAt((event.clientX - frame.left) * ratio + x, (event.clientY - frame.top) * ratio + y);
  }

  // Move the focus to a cell, kept within the grid, and bring it into sight.
  moveFocus(line, col, reveal = true) {
    const {model} = this.scene;
    this.focus = {
      line: Math.min(Math.max(line, 0), Math.max(model.lineCount - 1, 0)),
      col: Math.min(Math.max(col, 0), Math.max(model.colCount - 1, 0)),
    };
    if (reveal) this.reveal();
    this.markFocus();
    this.invalidate();
  }

  reveal() {
    const {scroller} = this.parts;
    const {ratio, box, superH} = this.layout;
    const left = this.layout.colLeft(this.focus.col) / ratio;
    const top = this.layout.lineTop(this.focus.line) / ratio;
    const x = Math.min(left, Math.max(scroller.scrollLeft, left + box.w / ratio - scroller.clientWidth));
    const y = Math.min(
      top - superH / ratio,
      Math.max(scroller.scrollTop, top + (box.h + this.layout.lineH) / ratio - scroller.clientHeight),
    );
    scroller.scrollTo({left: x, top: y, behavior: "instant"});
  }

  // Say where the focus is. Two elements take turns, so that each move is read out.
  markFocus() {
    const {line, col} = this.focus;
    const {scroller, cursors, row} = this.parts;
    cursors.reverse();
    const [cursor, other] = cursors;
    cursor.hidden = false;
    other.hidden = true;
    row.setAttribute("aria-rowindex", line + 1);
    cursor.setAttribute("aria-colindex", col + 1);
    cursor.setAttribute("aria-label", this.acts.describe(line, col));
    cursor.setAttribute("aria-selected", String(this.scene.selected.has(this.idOf(line, col))));
    scroller.setAttribute("aria-activedescendant", cursor.id);
    this.acts.onFocus();
  }

  placeCursor() {
    const {ratio, box} = this.layout;
    const style = this.parts.cursors[0].style;
    const left = this.layout.colLeft(this.focus.col) / ratio;
    const top = this.layout.lineTop(this.focus.line) / ratio;
    style.transform = `translate(${left}px, ${top}px)`;
    style.width = `${box.w / ratio}px`;
    style.height = `${box.h / ratio}px`;
  }

  idOf(line, col) {
    return line * this.scene.model.colCount + col;
  }

  pick(event) {
    const cell = this.cellUnder(event);
    if (!cell) return;
    const from = this.focus;
    this.parts.scroller.focus({preventScroll: true});
    this.moveFocus(cell.line, cell.col);
    if (event.shiftKey) this.selectBlock(from, cell);
    else if (event.ctrlKey || event.metaKey) this.toggleCell(cell.line, cell.col);
  }

  toggleCell(line, col) {
    const {selected} = this.scene;
    const id = this.idOf(line, col);
    if (!selected.delete(id)) selected.add(id);
    this.selectionChanged();
  }

  selectBlock(from, to) {
    const [top, bottom] = [Math.min(from.line, to.line), Math.max(from.line, to.line)];
    const [left, right] = [Math.min(from.col, to.col), Math.max(from.col, to.col)];
    for (let line = top; line <= bottom; line++) {
      for (let col = left; col <= right; col++) this.scene.selected.add(this.idOf(line, col));
    }
    this.selectionChanged();
  }

  // Select all cells of a line or a column, or none of them if all are selected.
  selectAlong(kind, place) {
    const {model, selected} = this.scene;
    const ids = [];
    if (kind === "row") for (let col = 0; col < model.colCount; col++) ids.push(this.idOf(place, col));
    else for (let line = 0; line < model.lineCount; line++) ids.push(this.idOf(line, place));
    const areAll = ids.every((id) => selected.has(id));
    for (const id of ids) areAll ? selected.delete(id) : selected.add(id);
    this.selectionChanged();
  }

  clearSelection() {
    this.scene.selected.clear();
    this.selectionChanged();
  }

  selectionChanged() {
    this.acts.onSelect();
    this.markFocus();
    this.invalidate();
  }

  // The images of the selected cells, or else of the cell in focus.
  chosenImages() {
    const {model, selected} = this.scene;
    const cells = selected.size ? [...selected] : [this.idOf(this.focus.line, this.focus.col)];
    const images = cells.map((id) => this.imageAt(Math.floor(id / model.colCount), id % model.colCount));
    return images.filter((i) => i >= 0);
  }

  // Tell of the cell under the pointer: why it failed, beside it.
  hover(event) {
    const {tip} = this.parts;
    const cell = event && this.scene.model ? this.cellUnder(event) : null;
    const reason = cell ? this.acts.reasonOf(cell.line, cell.col) : "";
    tip.hidden = !reason;
    if (!reason) return;
    tip.textContent = reason;
    const frame = this.parts.window.getBoundingClientRect();
    const x = Math.min(event.clientX - frame.left + 12, frame.width - tip.offsetWidth - 4);
    const y = Math.min(event.clientY - frame.top + 16, frame.height - tip.offsetHeight - 4);
    tip.style.transform = `translate(${Math.max(0, x)}px, ${Math.max(0, y)}px)`;
  }
}

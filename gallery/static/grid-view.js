// The grid on the page: a canvas with the cells in sight, under an element that scrolls.

import {CellLoader, forEachCell} from "./cell-loader.js";
import {GridCanvas} from "./grid-canvas.js";
import {GridFocus} from "./grid-focus.js";
import {GridGestures} from "./grid-gestures.js";
import {GridLabels} from "./grid-labels.js";
import {GridLayout} from "./grid-layout.js";
import {h} from "./dom.js";
import {movePictures, NO_ZOOM, zoomAround} from "./cell-zoom.js";
import {T} from "./texts.js";

// Loads are chosen anew at most so often while the window moves.
const SETTLE_MS = 60;
// The window goes on drawing so long after it last moved, to measure its frames.
const MOVING_MS = 200;
const MOST_FRAMES = 20000;

export class GridView {
  // bitmaps: a BitmapStore; acts: {describe(line, col), reasonOf(line, col), lineOf(i),
  // onFocus(), onOpen(event), onZoom(zoom)}.
  constructor(host, bitmaps, acts) {
    this.host = host;
    this.bitmaps = bitmaps;
    this.acts = acts;
    this.parts = buildParts(host);
    this.zoom = NO_ZOOM;
    this.cell = 0;
    this.hasLine = false;
    this.focus = new GridFocus(this.parts, {...acts, onChange: () => this.invalidate()});
    this.scene = {model: null, at: 0, depth: 0, upcoming: [], isPlaying: false, selected: this.focus.selected, lineOf: acts.lineOf};
    this.canvas = new GridCanvas(this.parts.canvas, bitmaps);
    this.loader = new CellLoader(this.canvas, bitmaps);
    this.labels = new GridLabels({...this.parts, onPick: (kind, place) => this.focus.selectAlong(kind, place)});
    this.gestures = new GridGestures(this.parts.scroller, {
      isZoomed: () => this.zoom.z > 1,
      zoomAt: (factor, event) => this.zoomAt(factor, event),
      movePictures: (dx, dy) => this.movePictures(dx, dy),
      pick: (event) => this.pick(event),
      open: (event) => this.cellUnder(event) && acts.onOpen(event),
      hover: (event) => this.hover(event),
    });
    this.settledAt = -Infinity;
    window.nightsweepFrames = [];
    this.parts.scroller.addEventListener("scroll", () => this.invalidate());
    this.parts.scroller.addEventListener("focus", () => this.scene.model && this.focus.announce());
    new ResizeObserver(() => this.relayout()).observe(this.parts.scroller);
  }

  setModel(model) {
    this.scene.model = model;
    this.focus.setModel(model);
    this.relayout();
    this.loadAtOnce();
    this.focus.moveTo(this.focus.line, this.focus.col);
  }

  // Ask for the pictures of a new model before its first frame, which then has to wait
  // for less.
  loadAtOnce() {
    if (!this.layout) return;
    this.look(this.scroll);
    this.load();
  }

  // Show newer data in the same places.
  renewModel(model) {
    this.scene.model = this.focus.model = this.labels.model = model;
    this.focus.announce();
    this.invalidate();
  }

  relayout() {
    const {model} = this.scene;
    if (!model || !this.host.clientWidth) return;
    const {scroller, space} = this.parts;
    const kept = this.layout?.lines === model.lineCount && this.scrolledPart();
    const ratio = window.devicePixelRatio || 1;
    this.shownCell = this.cell || this.fittingCell();
    const wasWrapped = model.wrap;
    model.wrapAt(Math.floor((this.host.clientWidth - 16) / (this.shownCell + 3)));
    if (model.wrap !== wasWrapped) this.focus.selected.clear();
    this.layout = new GridLayout(model, {
      cell: this.shownCell, shape: model.usualSize, hasLine: this.hasLine || model.wrap > 0, ratio,
    });
    const room = this.labels.setModel(model, this.layout, this.host.clientWidth);
    this.host.style.setProperty("--row-labels", `${room.width}px`);
    this.host.style.setProperty("--col-labels", `${room.height}px`);
    space.style.width = `${this.layout.width / ratio}px`;
    space.style.height = `${this.layout.height / ratio}px`;
    scroller.setAttribute("aria-rowcount", model.lineCount);
    scroller.setAttribute("aria-colcount", model.colCount);
    this.resizeCanvas(ratio);
    if (kept) this.scrollToPart(kept);
    this.invalidate();
  }

  resizeCanvas(ratio) {
    const {scroller, canvas} = this.parts;
    this.size = {w: Math.round(scroller.clientWidth * ratio), h: Math.round(scroller.clientHeight * ratio)};
    if (canvas.width === this.size.w && canvas.height === this.size.h) return;
    canvas.width = this.size.w;
    canvas.height = this.size.h;
    canvas.style.width = `${this.size.w / ratio}px`;
    canvas.style.height = `${this.size.h / ratio}px`;
  }

  scrolledPart() {
    const {width, height} = this.layout;
    return {x: this.scroll.x / width, y: this.scroll.y / height};
  }

  scrollToPart({x, y}) {
    const {width, height, ratio} = this.layout;
    this.parts.scroller.scrollTo({left: (x * width) / ratio, top: (y * height) / ratio, behavior: "instant"});
  }

  // The size at which the whole grid is in sight, but no smaller than lets two lines and
  // all columns be seen, as far as that is a size to look at.
  fittingCell() {
    const {model} = this.scene;
    const {clientWidth, clientHeight} = this.host;
    const [cols, lines] = [model.cols.count, model.rows.count * model.supers.count];
    const wide = (clientWidth - this.labels.rowsWidth(model, clientWidth) - 18) / cols - 4;
    const high = (clientHeight - 60) / Math.min(lines, 2.3) - 4;
    const flat = Math.sqrt((clientWidth * clientHeight) / cols) * 0.85 - 10;
    const isFlat = !model.roles.rows.length && !model.roles.supers.length;
    const fit = isFlat ? Math.max(Math.min(flat, high), Math.min(wide, high)) : Math.min(wide, high);
    return Math.round(Math.min(cols * lines <= 4 ? 1024 : 256, Math.max(64, fit)));
  }

  get scroll() {
    const {scrollLeft, scrollTop} = this.parts.scroller;
    const {ratio} = this.layout;
    return {x: Math.round(scrollLeft * ratio), y: Math.round(scrollTop * ratio)};
  }

  invalidate() {
    this.isDirty = true;
    this.frame ||= requestAnimationFrame((time) => this.drawFrame(time));
  }

  drawFrame(time) {
    this.frame = 0;
    if (!this.layout) return;
    const {x, y} = this.scroll;
    const {last} = this;
    const moved = last && (last.x !== x || last.y !== y);
    if (this.isDirty || moved) this.paint(x, y);
    if (moved && last.isRunning) noteFrame(time - last.time);
    const movedAt = moved ? time : (last?.movedAt ?? -Infinity);
    const isRunning = time - movedAt < MOVING_MS;
    this.last = {x, y, time, movedAt, isRunning};
    this.isDirty = false;
    if (isRunning) this.frame ||= requestAnimationFrame((next) => this.drawFrame(next));
  }

  // Note which cells are in sight.
  look({x, y}) {
    this.seen = this.layout.within(x, y, this.size.w, this.size.h);
    const {top, bottom, left, right} = this.seen;
    const visible = this.bitmaps.source.hasImages ? (bottom - top + 1) * (right - left + 1) : Infinity;
    this.canvas.setView({layout: this.layout, zoom: this.zoom, visible});
  }

  paint(x, y) {
    this.bitmaps.nextTick();
    const {w, h: high} = this.size;
    this.look({x, y});
    this.canvas.paint(this.scene, x, y);
    this.labels.moveTo(x, y, w, high);
    this.focus.place(this.layout);
    if (this.hovered) this.hover(this.hovered);
    this.settle();
  }

  settle() {
    const pause = this.settledAt + SETTLE_MS - performance.now();
    this.settling ||= setTimeout(() => {
      this.settling = 0;
      this.load();
    }, pause);
  }

  load() {
    this.settledAt = performance.now();
    if (this.seen) this.loader.want(this.scene, this.seen, this.zoom.z > 1);
  }

  isReady(at) {
    return Boolean(this.seen) && this.loader.isReady(this.scene, this.seen, at);
  }

  imageAt(line, col) {
    return this.scene.model.shownAt(line, col, this.scene.at, this.scene.depth);
  }

  // The images in sight, as indexes.
  visibleImages() {
    const found = [];
    if (this.seen) forEachCell(this.seen, (line, col) => found.push(this.imageAt(line, col)));
    return found.filter((i) => i >= 0);
  }

  // The images of the selected cells, or else of the cell in focus.
  chosenImages() {
    return this.focus.chosenCells().map(([line, col]) => this.imageAt(line, col)).filter((i) => i >= 0);
  }

  moveFocus(line, col) {
    this.hover(null);
    this.focus.moveTo(line, col);
    this.focus.reveal(this.layout);
    this.invalidate();
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
    const cell = event && this.cellUnder(event);
    const point = cell?.point || {x: box.w / 2, y: box.h / 2};
    this.setZoom(zoomAround(this.zoom, factor, point, box, this.pictureAt(cell || this.focus)));
  }

  movePictures(dx, dy) {
    const {ratio, box} = this.layout;
    this.setZoom(movePictures(this.zoom, dx * ratio, dy * ratio, box, this.pictureAt(this.focus)));
  }

  pictureAt({line, col}) {
    const {pivot, usualSize} = this.scene.model;
    const i = this.imageAt(line, col);
    return {w: pivot.width[i] || usualSize[0], h: pivot.height[i] || usualSize[1]};
  }

  cellUnder(event) {
    if (!this.layout) return null;
    const frame = this.parts.scroller.getBoundingClientRect();
    const {ratio} = this.layout;
    const {x, y} = this.scroll;
    return this.layout.cellAt((event.clientX - frame.left) * ratio + x, (event.clientY - frame.top) * ratio + y);
  }

  pick(event) {
    const cell = this.cellUnder(event);
    if (!cell) return;
    const from = {line: this.focus.line, col: this.focus.col};
    this.parts.scroller.focus({preventScroll: true});
    this.moveFocus(cell.line, cell.col);
    if (event.shiftKey) this.focus.selectBlock(from, cell);
    else if (event.ctrlKey || event.metaKey) this.focus.toggle(cell.line, cell.col);
  }

  // Tell of the cell under the pointer why it failed, beside it.
  hover(event) {
    this.hovered = event;
    const {tip, window: frame} = this.parts;
    const cell = event && this.scene.model ? this.cellUnder(event) : null;
    const reason = cell ? this.acts.reasonOf(cell.line, cell.col) : "";
    tip.hidden = !reason;
    if (!reason) return;
    tip.textContent = reason;
    const at = frame.getBoundingClientRect();
    const x = Math.min(event.clientX - at.left + 12, at.width - tip.offsetWidth - 4);
    const y = Math.min(event.clientY - at.top + 16, at.height - tip.offsetHeight - 4);
    tip.style.transform = `translate(${Math.max(0, x)}px, ${Math.max(0, y)}px)`;
  }
}

function buildParts(host) {
  const silent = (name, tag = "div") => h(tag, {class: name, "aria-hidden": "true"});
  const cursors = [0, 1].map((n) => h("div", {class: "grid-cursor", role: "gridcell", id: `grid-cell-${n}`}));
  const row = h("div", {role: "row", class: "grid-cursors"}, cursors);
  const space = silent("grid-space");
  const scroller = h(
    "div",
    {class: "grid-scroller", role: "grid", tabindex: 0, "aria-label": T.grid.gridName, "aria-multiselectable": "true"},
    space, row,
  );
  const parts = {
    row, space, scroller, cursors,
    cols: silent("grid-cols"), rows: silent("grid-rows"), canvas: silent("grid-canvas", "canvas"),
    supers: silent("grid-supers"), tip: silent("grid-tip"), pill: silent("grid-pill"),
  };
  parts.tip.hidden = parts.pill.hidden = true;
  parts.window = h("div", {class: "grid-window"}, parts.canvas, scroller, parts.supers, parts.tip, parts.pill);
  host.append(silent("grid-corner"), parts.cols, parts.rows, parts.window);
  return parts;
}

// Frame times while the window moves, in milliseconds, for the benchmark.
function noteFrame(gap) {
  if (window.nightsweepFrames.length < MOST_FRAMES) window.nightsweepFrames.push(gap);
}

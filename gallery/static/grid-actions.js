// What keys and menus do to the grid page.

import {h} from "./dom.js";
import {isBlind, setBlind} from "./cull.js";
import {LARGEST_CELL, SMALLEST_CELL} from "./grid-tools.js";
import {mayWrite, say} from "./shell.js";
import {data} from "./data.js";
import {NO_ZOOM} from "./cell-zoom.js";
import {openMenu} from "./menu.js";
import {combinationOf, emptyCells} from "./empty-cells.js";
import {swapRowsAndCols} from "./pivot-model.js";
import {T} from "./texts.js";
import {tellPage} from "./keys.js";

const VERDICTS = ["none", "accepted", "rejected"];
// Pictures move by so many pixels at a key.
const LOOK_PX = 40;

export class GridActions {
  constructor(page) {
    this.page = page;
  }

  get grid() {
    return this.page.grid;
  }

  get hasCells() {
    return this.page.pivot?.keys.length > 0;
  }

  move(event, down, right) {
    this.go(event, this.grid.focus.line + down, this.grid.focus.col + right);
  }

  edge(event, _, side) {
    const {model} = this.page;
    const line = event.ctrlKey || event.metaKey ? (side < 0 ? 0 : model.lineCount - 1) : this.grid.focus.line;
    this.go(event, line, side < 0 ? 0 : model.colCount - 1);
  }

  pageBy(event, way) {
    const {seen, focus} = this.grid;
    this.go(event, focus.line + way * Math.max(1, seen.bottom - seen.top - 1), focus.col);
  }

  go(event, line, col) {
    if (!this.hasCells) return;
    const {line: fromLine, col: fromCol} = this.grid.focus;
    const from = (event.shiftKey && this.anchor) || {line: fromLine, col: fromCol};
    this.anchor = event.shiftKey ? from : null;
    this.grid.moveFocus(line, col);
    if (event.shiftKey) this.grid.focus.selectBlock(from, this.grid.focus);
  }

  open(event) {
    this.page.open(event);
  }

  select(event) {
    if (!this.hasCells) return;
    const {line, col} = this.grid.focus;
    if (event.shiftKey) this.grid.focus.selectAlong("row", line);
    else if (event.ctrlKey) this.grid.focus.selectAlong("col", col);
    else this.grid.focus.toggle(line, col);
  }

  leave() {
    if (this.grid.focus.selected.size) this.grid.focus.clear();
    else this.unzoom();
  }

  query() {
    const {input} = this.page.query;
    input.focus();
    input.setSelectionRange(input.value.length, input.value.length);
  }

  flicker(event) {
    if (!event.repeat) this.page.flicker.start();
  }

  endFlicker() {
    this.page.flicker.stop();
  }

  slide(_, step) {
    if (this.hasCells) this.page.setAt(this.page.at + step);
  }

  deeper(_, step) {
    if (this.hasCells) this.page.setDepth(step);
  }

  zoom(_, factor) {
    this.grid.zoomAt(factor, null);
  }

  unzoom() {
    this.grid.setZoom(NO_ZOOM);
  }

  look(_, right, down) {
    if (this.hasCells) this.grid.movePictures(right * LOOK_PX, down * LOOK_PX);
  }

  size(_, factor) {
    const cell = Math.round(this.grid.shownCell * factor);
    this.page.setCell(Math.min(Math.max(cell, SMALLEST_CELL), LARGEST_CELL));
  }

  swap() {
    if (this.hasCells) this.page.setRoles(swapRowsAndCols(this.page.model.roles));
  }

  blind() {
    if (!data.isExport) setBlind(!isBlind());
  }

  pin() {
    const keys = this.chosenPictures().map((i) => this.page.pivot.keys[i]);
    if (keys.length) tellPage("ns-pin", {keys});
  }

  stars(_, stars) {
    this.rate({stars});
  }

  // The same verdict again takes it back.
  verdict(_, verdict) {
    const images = this.chosen("done");
    const {pivot} = this.page;
    const areAll = images.every((i) => VERDICTS[pivot.verdict[i]] === verdict);
    this.rate({verdict: areAll ? "none" : verdict});
  }

  rate(rating) {
    const images = data.isExport ? [] : this.chosenPictures();
    if (!images.length) return;
    const {pivot} = this.page;
    const before = images.map((i) => ({stars: pivot.stars[i], verdict: VERDICTS[pivot.verdict[i]]}));
    tellPage("ns-rate", {keys: images.map((i) => pivot.keys[i]), ...rating, before});
  }

  // The images of the selection, or of the cell in focus, that are in a state.
  chosen(state) {
    if (!this.hasCells) return [];
    return this.grid.chosenImages().filter((i) => this.page.model.stateOf(i) === state);
  }

  // The chosen images that are made; says it where there is none.
  chosenPictures() {
    const images = this.chosen("done");
    if (this.hasCells && !images.length) say(T.grid.notMade);
    return images;
  }

  make() {
    const {make} = this.page.tools;
    if (!make.hidden) openMenu(make, T.grid.makeHint, this.makeChoices());
  }

  // What "make these" may mean now: the items of its menu.
  makeChoices() {
    const {model, pivot} = this.page;
    if (!model || !mayWrite()) return [];
    const isOpen = (i) => ["failed", "quarantined", "pending"].includes(model.stateOf(i));
    const all = pivot.keys.map((_, i) => i).filter(isOpen);
    const empty = this.emptyChoices();
    if (!all.length) return [{text: T.grid.nothingToMake, isOff: true}, ...empty];
    const failed = all.filter((i) => model.stateOf(i) !== "pending");
    const choices = [
      [T.grid.makeChosen, this.grid.focus.selected.size ? this.grid.chosenImages().filter(isOpen) : []],
      [T.grid.makeSeen, this.grid.visibleImages().filter(isOpen)],
      [T.grid.makeFailed, failed],
      [T.grid.makeAll, all],
    ];
    return [...choices.map(([text, images]) => ({
      text: text(images.length),
      isOff: !images.length,
      act: () => this.page.live.make(images),
    })), ...empty];
  }

  // Items for cells whose combination no image of the query has.
  emptyChoices() {
    const {model, at} = this.page;
    const {selected} = this.grid.focus;
    const chosen = selected.size ? this.grid.focus.chosenCells() : [];
    const choices = [
      [T.grid.makeEmptyChosen, emptyCells(model, at, chosen)],
      [T.grid.makeEmpty, emptyCells(model, at)],
    ];
    return choices.filter(([, cells]) => cells.length).map(([text, cells]) => ({
      text: text(cells.length),
      act: () => this.page.live.add(cells.map((cell) => combinationOf(model, at, cell))),
    }));
  }

  help() {
    const rows = T.grid.keys.map(([keys, what]) =>
      h("tr", {}, h("th", {scope: "row"}, h("kbd", {}, keys)), h("td", {}, what)),
    );
    const close = h("button", {type: "button"}, T.grid.close);
    const dialog = h(
      "dialog",
      {class: "grid-help", "aria-label": T.grid.help},
      h("h2", {}, T.grid.help),
      h("table", {}, h("tbody", {}, rows)),
      h("p", {class: "muted"}, T.grid.keysNote),
      close,
    );
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}

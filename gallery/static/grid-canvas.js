// Draws the window of a grid that is in sight: pictures, and tiles for all other states.

import {bitmapOfTile, drawMarks, drawStateTile} from "./tiles.js";
import {neededBitmap} from "./bitmaps.js";
import {placePicture} from "./cell-zoom.js";

const COLOURS = ["bg", "panel", "text", "muted", "line", "accent", "good", "bad", "warn", "focus"];
// Magnified so much, pixels are shown as squares.
const SQUARES_FROM = 4;

export class GridCanvas {
  constructor(canvas, bitmaps) {
    this.canvas = canvas;
    this.bitmaps = bitmaps;
    this.context = canvas.getContext("2d", {alpha: false});
    this.tiles = new Map();
    this.fits = new Map();
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    this.colours = {};
    for (const name of COLOURS) {
      this.colours[name] = style.getPropertyValue(`--${name}`).trim() || "#888";
    }
    this.font = style.getPropertyValue("--font").trim() || "sans-serif";
    this.dropTiles();
  }

  dropTiles() {
    for (const tile of this.tiles.values()) tile.close();
    this.tiles.clear();
  }

  // Show another layout, zoom or number of cells: what was worked out no longer holds.
  setView({layout, zoom, visible}) {
    if (layout !== this.layout) this.dropTiles();
    const changed = layout !== this.layout || zoom !== this.zoom || visible !== this.visible;
    if (changed) this.fits.clear();
    Object.assign(this, {layout, zoom, visible});
  }

  // Where the picture of image i lies in its box, and what bitmap it needs.
  fitOf(pivot, i) {
    const [w, h] = [pivot.width[i] || 512, pivot.height[i] || 512];
    const id = w * 65536 + h;
    let fit = this.fits.get(id);
    if (!fit) {
      const place = placePicture(this.zoom, this.layout.box, {w, h});
      fit = {place, need: neededBitmap(place, this.layout.box, {w, h}, this.visible)};
      this.fits.set(id, fit);
    }
    return fit;
  }

  // Draw a scene: {model, at, depth, selected, lineOf}, with its corner at (x, y).
  paint(scene, x, y) {
    const {context, canvas, layout} = this;
    context.fillStyle = this.colours.bg;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const seen = layout.within(x, y, canvas.width, canvas.height);
    for (let line = seen.top; line <= seen.bottom; line++) {
      const top = layout.lineTop(line) - y;
      for (let col = seen.left; col <= seen.right; col++) {
        this.paintCell(scene, line, col, layout.colLeft(col) - x, top);
      }
    }
  }

  paintCell(scene, line, col, x, y) {
    const {model, at, depth} = scene;
    if (model.wrap && !model.placeOf(line, col)) return;
    const i = model.shownAt(line, col, at, depth);
    const state = i < 0 ? "hole" : model.stateOf(i);
    if (state !== "done" || !this.paintPicture(model.pivot, i, x, y)) {
      const isMissing = state === "done" && this.bitmaps.isMissing(model.pivot.keys[i]);
      const shown = isMissing ? "missing" : state === "done" ? "loading" : state;
      this.context.drawImage(this.stateTile(shown), x, y);
    }
    if (i >= 0) this.paintMarks(model.pivot, i, model.imagesAt(line, col, at).length, depth, x, y);
    const text = this.layout.lineH && scene.lineOf(line, col, i);
    if (text) this.context.drawImage(this.lineTile(text), x, y + this.layout.box.h);
    if (scene.selected.has(line * model.colCount + col)) this.paintSelection(x, y);
  }

  paintPicture(pivot, i, x, y) {
    const {place, need} = this.fitOf(pivot, i);
    const entry = this.bitmaps.find(pivot.keys[i], need);
    if (!entry) return false;
    if (place.w < this.layout.box.w || place.h < this.layout.box.h) {
      this.context.fillStyle = this.colours.panel;
      this.context.fillRect(x, y, this.layout.box.w, this.layout.box.h);
    }
    this.drawBitmap(entry, place, x, y);
    return true;
  }

  // Draw a bitmap where its part of the picture lies, cut to the box at (x, y).
  drawBitmap({bitmap, part}, place, x, y) {
    const {box} = this.layout;
    const [px, py] = [place.x + part.x * place.w, place.y + part.y * place.h];
    const [pw, ph] = [part.w * place.w, part.h * place.h];
    if (pw === bitmap.width && ph === bitmap.height && pw <= box.w && ph <= box.h) {
      this.context.drawImage(bitmap, x + px, y + py);
      return;
    }
    const [left, top] = [Math.max(0, px), Math.max(0, py)];
    const [w, h] = [Math.min(box.w, px + pw) - left, Math.min(box.h, py + ph) - top];
    if (w <= 0 || h <= 0) return;
    const [kx, ky] = [bitmap.width / pw, bitmap.height / ph];
    this.context.imageSmoothingEnabled = kx * SQUARES_FROM > 1;
    this.context.drawImage(
      bitmap, (left - px) * kx, (top - py) * ky, w * kx, h * ky, x + left, y + top, w, h,
    );
  }

  paintMarks(pivot, i, count, depth, x, y) {
    const [stars, verdict] = [pivot.stars?.[i] || 0, pivot.verdict?.[i] || 0];
    if (count < 2 && !stars && !verdict) return;
    const shown = count > 1 && depth > 0 ? (depth % count) + 1 : 0;
    this.context.drawImage(this.markTile(count, shown, stars, verdict), x, y);
  }

  paintSelection(x, y) {
    const {context, layout} = this;
    const wide = Math.max(2, Math.round(3 * layout.ratio));
    context.strokeStyle = this.colours.accent;
    context.lineWidth = wide;
    context.strokeRect(x + wide / 2, y + wide / 2, layout.box.w - wide, layout.box.h - wide);
    context.drawImage(this.tile("selected", wide * 6, wide * 6, (pen, w, h) => {
      pen.fillStyle = this.colours.accent;
      pen.fillRect(0, 0, w, h);
      pen.strokeStyle = this.colours.bg;
      pen.lineWidth = w / 8;
      pen.beginPath();
      pen.moveTo(w * 0.2, h * 0.5);
      pen.lineTo(w * 0.45, h * 0.75);
      pen.lineTo(w * 0.8, h * 0.25);
      pen.stroke();
    }), x, y);
  }

  stateTile(state) {
    const {w, h} = this.layout.box;
    return this.tile(`state ${state}`, w, h, (pen) => drawStateTile(pen, state, w, h, this));
  }

  markTile(count, shown, stars, verdict) {
    const {w, h} = this.layout.box;
    const marks = {count, shown, stars, verdict};
    const name = `marks ${count} ${shown} ${stars} ${verdict}`;
    return this.tile(name, w, h, (pen) => drawMarks(pen, marks, w, h, this));
  }

  lineTile(text) {
    const {box, lineH, ratio} = this.layout;
    return this.tile(`line ${text}`, box.w, lineH, (pen) => {
      pen.font = `${Math.round(12 * ratio)}px ${this.font}`;
      pen.fillStyle = this.colours.text;
      pen.textBaseline = "middle";
      pen.fillText(text, 2 * ratio, lineH / 2, box.w - 4 * ratio);
    });
  }

  // A small picture that is drawn once and then copied. Old ones go when there are many.
  tile(name, w, h, draw) {
    let tile = this.tiles.get(name);
    if (!tile) {
      if (this.tiles.size > 3000) this.dropTiles();
      tile = bitmapOfTile(w, h, draw);
      this.tiles.set(name, tile);
    }
    return tile;
  }
}

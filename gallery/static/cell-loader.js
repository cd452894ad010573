// Chooses which pictures to load: those in sight first, as one reads.

import {MOST_BYTES} from "./bitmaps.js";

const WANTED_BYTES = 0.85 * MOST_BYTES;

export class CellLoader {
  // canvas: a GridCanvas, which knows what bitmap a picture needs.
  constructor(canvas, bitmaps) {
    this.canvas = canvas;
    this.bitmaps = bitmaps;
  }

  // Want the pictures of a scene of which the cells `seen` are in sight: these, then half
  // a window's height around them, then what the slider shows next; while it plays, that
  // comes at once. No more is wanted than memory has room for.
  want(scene, seen, isZoomed) {
    const pairs = this.needsOf(scene, seen, scene.at);
    if (!scene.isPlaying && !isZoomed) pairs.push(...this.around(scene, seen));
    let room = WANTED_BYTES - bytesOf(pairs);
    for (const next of scene.upcoming) {
      const more = this.needsOf(scene, seen, next);
      room -= bytesOf(more);
      if (room < 0) break;
      pairs.push(...more);
    }
    this.bitmaps.want(pairs);
  }

  around(scene, seen) {
    const {top, bottom} = seen;
    const more = Math.ceil((bottom - top + 1) / 2);
    const below = {...seen, top: bottom + 1, bottom: Math.min(scene.model.lineCount - 1, bottom + more)};
    const above = {...seen, top: Math.max(0, top - more), bottom: top - 1};
    return [...this.needsOf(scene, below, scene.at), ...this.needsOf(scene, above, scene.at)];
  }

  // Finished pictures in a window at a place of the slider: pairs [key, what it needs].
  needsOf({model, depth}, seen, at) {
    const found = [];
    forEachCell(seen, (line, col) => {
      const i = model.shownAt(line, col, at, depth);
      if (i < 0 || model.stateOf(i) !== "done") return;
      found.push([model.pivot.keys[i], this.canvas.fitOf(model.pivot, i).need]);
    });
    return found;
  }

  // Whether all pictures of a window are there, or never will be.
  isReady(scene, seen, at) {
    const isThere = ([key, need]) => this.bitmaps.has(key, need) || this.bitmaps.isMissing(key);
    return this.needsOf(scene, seen, at).every(isThere);
  }
}

function bytesOf(pairs) {
  return pairs.reduce((sum, [, need]) => sum + need.w * need.h * 4, 0);
}

// Call a function with the line and column of each cell of a window.
export function forEachCell({top, bottom, left, right}, act) {
  for (let line = top; line <= bottom; line++) {
    for (let col = left; col <= right; col++) act(line, col);
  }
}

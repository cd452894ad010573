// The pivot, in the browser: which image stands in which cell.
//
// The server gives the images of a query, and for each axis the place of every image
// among the axis's labels. Which axis is rows and which is columns is decided here, so
// moving an axis asks nothing of the server. No DOM in this module.

export const ZONES = ["rows", "cols", "supers", "slider", "stack"];

const NO_IMAGES = [];

// The zone of each axis: as wanted where it is known, else as the server suggests.
export function settleRoles(wanted, axes) {
  const roles = {rows: [], cols: [], supers: [], slider: [], stack: []};
  const free = new Map();
  for (const axis of axes) if (axis.fixed === null) free.set(axis.name, axis);
  for (const zone of ZONES) {
    for (const name of (wanted && wanted[zone]) || []) {
      if (free.delete(name)) roles[zone].push(name);
    }
  }
  const isAlone = !wanted && free.size === 1;
  for (const axis of free.values()) {
    const suggested = ZONES.includes(axis.suggested) ? axis.suggested : "stack";
    const zone = isAlone ? "cols" : suggested;
    const taken = wanted && roles[zone].length > 0;
    roles[taken ? "stack" : zone].push(axis.name);
  }
  roles.stack.push(...roles.slider.splice(1));
  return roles;
}

// Roles with one axis moved to a zone; `at` is its place there, by default the last.
export function moveAxis(roles, name, zone, at = Infinity) {
  const moved = {};
  let from = zone;
  for (const each of ZONES) {
    moved[each] = roles[each].filter((axis) => axis !== name);
    if (roles[each].includes(name)) from = each;
  }
  if (zone === "slider" && moved.slider.length) {
    moved[from === "slider" ? "stack" : from].push(...moved.slider.splice(0));
  }
  if (ZONES.includes(zone)) moved[zone].splice(at, 0, name);
  return moved;
}

// Roles with rows and columns exchanged.
export function swapRowsAndCols(roles) {
  return {...roles, rows: roles.cols, cols: roles.rows};
}

// One side of the pivot: the labels of one axis, or the combinations of several.
export class PivotSide {
  constructor(pivot, names) {
    this.axes = names.map((name) => pivot.axes.find((axis) => axis.name === name));
    this.columns = names.map((name) => pivot.places[name]);
    this.sizes = this.axes.map((axis) => axis.labels.length + 1);
    const ofImages = pivot.keys.map((_, i) => this.codeOf(i));
    this.codes = this.axes.length === 1 ? this.everyLabel() : usedCodes(ofImages);
    this.places = new Map(this.codes.map((code, place) => [code, place]));
    this.ofImages = ofImages.map((code) => this.placeOfCode(code));
    this.labels = this.codes.map((code) => this.labelsOf(code));
  }

  get count() {
    return this.codes.length;
  }

  // All labels of the only axis, and one more if some image has no value there.
  everyLabel() {
    const codes = this.axes[0].labels.map((_, place) => place);
    if (this.columns[0].includes(-1)) codes.push(codes.length);
    return codes;
  }

  // The code of image i; a list of them where a label is given in several ways.
  codeOf(i) {
    let code = 0;
    for (let a = 0; a < this.columns.length; a++) {
      const place = this.columns[a][i];
      if (typeof place !== "number") return this.codesOf(i);
      code = code * this.sizes[a] + (place < 0 ? this.sizes[a] - 1 : place);
    }
    return code;
  }

  codesOf(i) {
    let codes = [0];
    this.columns.forEach((column, a) => {
      const size = this.sizes[a];
      const places = [column[i]].flat().map((place) => (place < 0 ? size - 1 : place));
      codes = codes.flatMap((code) => places.map((place) => code * size + place));
    });
    return codes;
  }

  placeOfCode(code) {
    return typeof code === "number" ? this.places.get(code) : code.map((one) => this.places.get(one));
  }

  // The places of image i, one or several.
  placesOf(i) {
    return [this.ofImages[i]].flat();
  }

  // The label on each axis of a code; null where an axis does not apply.
  labelsOf(code) {
    const labels = [];
    for (let a = this.axes.length - 1; a >= 0; a--) {
      const place = code % this.sizes[a];
      labels.unshift(place === this.sizes[a] - 1 ? null : this.axes[a].labels[place]);
      code = (code - place) / this.sizes[a];
    }
    return labels;
  }
}

// The combinations that some image has, in the order of the axes' labels.
function usedCodes(ofImages) {
  const used = new Set(ofImages.flat());
  if (!used.size) used.add(0);
  return [...used].sort((a, b) => a - b);
}

// The cells of a pivot. A line is a row within a super-row, counted over all of them.
export class PivotModel {
  constructor(pivot, roles) {
    this.pivot = pivot;
    this.roles = roles;
    this.rows = new PivotSide(pivot, roles.rows);
    this.cols = new PivotSide(pivot, roles.cols);
    this.supers = new PivotSide(pivot, roles.supers);
    this.slider = new PivotSide(pivot, roles.slider);
    this.stack = new PivotSide(pivot, roles.stack);
    this.indexes = new Map(pivot.keys.map((key, i) => [key, i]));
    this.done = pivot.states.indexOf("done");
    this.cells = new Map();
    this.order = null;
    this.wrap = 0;
    for (let i = 0; i < pivot.keys.length; i++) this.place(i);
    this.sortStacks();
  }

  // Columns without rows run on in the next line after `perLine` cells; 0 ends that.
  wrapAt(perLine) {
    const isFlat = !this.roles.rows.length && !this.roles.supers.length;
    this.wrap = isFlat && perLine > 0 && perLine < this.cols.count ? perLine : 0;
  }

  // Lines of a super-row, of all of them, and cells of a line, as they are shown.
  get bandLines() {
    return this.wrap ? Math.ceil(this.cols.count / this.wrap) : this.rows.count;
  }

  get lineCount() {
    return this.bandLines * this.supers.count;
  }

  get colCount() {
    return this.wrap || this.cols.count;
  }

  // What a shown cell stands for, as places on the sides: {band, row, col}; null after
  // the last cell.
  placeOf(line, col) {
    if (this.wrap) {
      const n = line * this.wrap + col;
      return n < this.cols.count ? this.unshuffled(0, 0, n) : null;
    }
    const row = line % this.rows.count;
    return this.unshuffled((line - row) / this.rows.count, row, col);
  }

  // Shuffle the cells of each super-row, so that a place says nothing of an image; null
  // puts them in their places again. `random` returns numbers from 0 to below 1.
  shuffle(random) {
    this.order = null;
    if (!random) return;
    const size = this.rows.count * this.cols.count;
    this.order = new Int32Array(size).map((_, n) => n);
    for (let n = size - 1; n > 0; n--) {
      const m = Math.floor(random() * (n + 1));
      [this.order[n], this.order[m]] = [this.order[m], this.order[n]];
    }
  }

  unshuffled(band, row, col) {
    if (!this.order) return {band, row, col};
    const from = this.order[row * this.cols.count + col];
    return {band, row: Math.floor(from / this.cols.count), col: from % this.cols.count};
  }

  cellId(band, row, col, at) {
    const line = band * this.rows.count + row;
    return (line * this.cols.count + col) * this.slider.count + at;
  }

  place(i) {
    const [band, row, col, at] = [this.supers.ofImages[i], this.rows.ofImages[i], this.cols.ofImages[i], this.slider.ofImages[i]];
    const isOne = typeof band === "number" && typeof row === "number" && typeof col === "number" && typeof at === "number";
    if (isOne) this.put(this.cellId(band, row, col, at), i);
    else this.placeAll(i);
  }

  placeAll(i) {
    for (const band of this.supers.placesOf(i)) {
      for (const row of this.rows.placesOf(i)) {
        for (const col of this.cols.placesOf(i)) {
          for (const at of this.slider.placesOf(i)) this.put(this.cellId(band, row, col, at), i);
        }
      }
    }
  }

  put(id, i) {
    const there = this.cells.get(id);
    if (there === undefined) this.cells.set(id, [i]);
    else if (!there.includes(i)) there.push(i);
  }

  sortStacks() {
    if (!this.roles.stack.length) return;
    for (const images of this.cells.values()) {
      if (images.length > 1) {
        images.sort((a, b) => this.stack.placesOf(a)[0] - this.stack.placesOf(b)[0] || a - b);
      }
    }
  }

  // The images of a cell: indexes into the pivot's lists, in the order of the stack.
  imagesAt(line, col, at) {
    const place = this.placeOf(line, col);
    return (place && this.cells.get(this.cellId(place.band, place.row, place.col, at))) || NO_IMAGES;
  }

  // The image that a cell shows, or -1: the one at `depth`, at 0 the first finished.
  shownAt(line, col, at, depth = 0) {
    const images = this.imagesAt(line, col, at);
    if (images.length < 2) return images.length ? images[0] : -1;
    if (depth > 0) return images[depth % images.length];
    for (const i of images) if (this.pivot.state[i] === this.done) return i;
    return images[0];
  }

  // How many images the fullest cell has.
  get deepest() {
    let most = 0;
    for (const images of this.cells.values()) most = Math.max(most, images.length);
    return most;
  }

  stateOf(i) {
    return this.pivot.states[this.pivot.state[i]];
  }

  // A model of newer data with the same axes, whose cells stand in the same places.
  renewed(pivot) {
    const model = new PivotModel(pivot, this.roles);
    return Object.assign(model, {order: this.order, wrap: this.wrap});
  }

  isDone(key) {
    return this.pivot.state[this.indexes.get(key)] === this.done;
  }

  // Note new states, by key; images of other pivots are left out.
  noteStates(keys, states) {
    keys.forEach((key, n) => {
      const i = this.indexes.get(key);
      if (i !== undefined) this.pivot.state[i] = states[n];
    });
  }

  // The size of most pictures, in pixels: [width, height].
  get usualSize() {
    return (this.size ??= usualSizeOf(this.pivot));
  }
}

function usualSizeOf({width, height}) {
  const counts = new Map();
  let usual = [512, 512];
  let most = 0;
  for (let i = 0; i < width.length; i++) {
    if (!(width[i] > 0 && height[i] > 0)) continue;
    const id = width[i] * 65536 + height[i];
    const count = (counts.get(id) || 0) + 1;
    counts.set(id, count);
    if (count > most) {
      most = count;
      usual = [width[i], height[i]];
    }
  }
  return usual;
}

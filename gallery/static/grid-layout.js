// Where the cells of a grid lie, in device pixels from its top left corner. No DOM.

const SUPER_PX = 26;
const GAP_PX = 3;
const LINE_PX = 18;

export class GridLayout {
  // cell: the longer side of a cell's picture box in CSS pixels; shape: the [width,
  // height] of most pictures; hasLine: whether a line of text stands under each cell.
  constructor(model, {cell, shape, hasLine, ratio}) {
    this.ratio = ratio;
    this.cols = model.colCount;
    this.rows = model.bandLines;
    this.lines = model.lineCount;
    const aspect = Math.min(Math.max(shape[0] / shape[1], 0.5), 2);
    const px = (css) => Math.max(1, Math.round(css * ratio));
    this.box = {w: px(cell * Math.min(1, aspect)), h: px(cell * Math.min(1, 1 / aspect))};
    this.lineH = hasLine ? px(LINE_PX) : 0;
    this.gap = px(GAP_PX);
    this.superH = model.roles.supers.length ? px(SUPER_PX) : 0;
    this.pitchX = this.box.w + this.gap;
    this.pitchY = this.box.h + this.lineH + this.gap;
    this.bandH = this.superH + this.rows * this.pitchY;
    this.width = this.cols * this.pitchX;
    this.height = (this.lines / this.rows) * this.bandH;
  }

  colLeft(col) {
    return col * this.pitchX;
  }

  lineTop(line) {
    const row = line % this.rows;
    return ((line - row) / this.rows) * this.bandH + this.superH + row * this.pitchY;
  }

  lineAt(y) {
    const band = Math.floor(y / this.bandH);
    const row = Math.floor((y - band * this.bandH - this.superH) / this.pitchY);
    const line = band * this.rows + Math.min(Math.max(row, 0), this.rows - 1);
    return Math.min(Math.max(line, 0), this.lines - 1);
  }

  colAt(x) {
    return Math.min(Math.max(Math.floor(x / this.pitchX), 0), this.cols - 1);
  }

  // The cells that a window shows, whole or in part: the first and last line and column.
  within(x, y, w, h) {
    return {
      top: this.lineAt(y),
      bottom: this.lineAt(y + h - 1),
      left: this.colAt(x),
      right: this.colAt(x + w - 1),
    };
  }

  // The cell at a point, with the point's place in its picture box; null beside cells.
  cellAt(x, y) {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    const [line, col] = [this.lineAt(y), this.colAt(x)];
    const point = {x: x - this.colLeft(col), y: y - this.lineTop(line)};
    if (point.y < 0) return null;
    return {line, col, point};
  }
}

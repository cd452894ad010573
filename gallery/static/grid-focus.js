// Which cell has the focus, and which are selected.

export class GridFocus {
  // acts: {describe(line, col), onFocus(), onChange()}; `parts` are the grid's elements.
  constructor(parts, acts) {
    this.parts = parts;
    this.acts = acts;
    this.line = 0;
    this.col = 0;
    this.selected = new Set();
  }

  setModel(model) {
    this.model = model;
    this.selected.clear();
  }

  idOf(line, col) {
    return line * this.model.colCount + col;
  }

  // Move to a cell, kept within the grid.
  moveTo(line, col) {
    const {model} = this;
    this.line = Math.min(Math.max(line, 0), Math.max(model.lineCount - 1, 0));
    this.col = Math.min(Math.max(col, 0), Math.max(model.colCount - 1, 0));
    while (this.col > 0 && !model.placeOf(this.line, this.col)) this.col -= 1;
    this.announce();
  }

  // Say where the focus is. Two elements take turns, so that each move is read out.
  announce() {
    const {scroller, cursors, row} = this.parts;
    cursors.reverse();
    const [cursor, other] = cursors;
    cursor.hidden = false;
    other.hidden = true;
    row.setAttribute("aria-rowindex", this.line + 1);
    cursor.setAttribute("aria-colindex", this.col + 1);
    cursor.setAttribute("aria-label", this.acts.describe(this.line, this.col));
    cursor.setAttribute("aria-selected", String(this.selected.has(this.idOf(this.line, this.col))));
    scroller.setAttribute("aria-activedescendant", cursor.id);
    this.acts.onFocus();
  }

  // Draw the cursor where the layout has its cell.
  place(layout) {
    const {ratio, box} = layout;
    const {style} = this.parts.cursors[0];
    style.transform = `translate(${layout.colLeft(this.col) / ratio}px, ${layout.lineTop(this.line) / ratio}px)`;
    style.width = `${box.w / ratio}px`;
    style.height = `${box.h / ratio}px`;
  }

  // Scroll as little as brings the cell into sight.
  reveal(layout) {
    const {scroller} = this.parts;
    const {ratio, box, lineH, superH} = layout;
    const left = layout.colLeft(this.col) / ratio;
    const top = layout.lineTop(this.line) / ratio;
    const right = left + box.w / ratio - scroller.clientWidth;
    const bottom = top + (box.h + lineH) / ratio - scroller.clientHeight;
    scroller.scrollTo({
      left: Math.min(left, Math.max(scroller.scrollLeft, right)),
      top: Math.min(top - superH / ratio, Math.max(scroller.scrollTop, bottom)),
      behavior: "instant",
    });
  }

  toggle(line, col) {
    const id = this.idOf(line, col);
    if (!this.selected.delete(id)) this.selected.add(id);
    this.changed();
  }

  // Add all cells of the block between two cells {line, col}.
  selectBlock(from, to) {
    for (let line = Math.min(from.line, to.line); line <= Math.max(from.line, to.line); line++) {
      for (let col = Math.min(from.col, to.col); col <= Math.max(from.col, to.col); col++) {
        this.selected.add(this.idOf(line, col));
      }
    }
    this.changed();
  }

  // Select all cells of a line or a column, or none of them if all are selected.
  selectAlong(kind, place) {
    const {lineCount, colCount} = this.model;
    const length = kind === "row" ? colCount : lineCount;
    const ids = Array.from({length}, (_, n) => (kind === "row" ? this.idOf(place, n) : this.idOf(n, place)));
    const areAll = ids.every((id) => this.selected.has(id));
    for (const id of ids) {
      if (areAll) this.selected.delete(id);
      else this.selected.add(id);
    }
    this.changed();
  }

  clear() {
    this.selected.clear();
    this.changed();
  }

  changed() {
    this.announce();
    this.acts.onChange();
  }

  // The selected cells, or else the one in focus, as [line, col].
  chosenCells() {
    const ids = this.selected.size ? [...this.selected] : [this.idOf(this.line, this.col)];
    return ids.map((id) => [Math.floor(id / this.model.colCount), id % this.model.colCount]);
  }
}

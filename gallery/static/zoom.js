// Zoom and pan in step: one place in the picture, shown by all panes of a host.
//
// A pane is an element of the class `pane`; what is in its layers of the class `zoomed`
// moves. Only three numbers on the host change, so that any number of panes costs the
// same: the scale, and where the corner of the layer lies, in parts of the pane.

const largestScale = 64;
const wheelPixelsPerDouble = 400;

export class PanZoom {
  constructor(host, {onChange} = {}) {
    this.host = host;
    this.pointers = new Map();
    this.onChange = () => {};
    this.reset();
    if (onChange) this.onChange = onChange;
    host.addEventListener("wheel", (event) => this.wheeled(event), {passive: false});
    host.addEventListener("pointerdown", (event) => this.pressed(event));
    host.addEventListener("pointermove", (event) => this.moved(event));
    for (const type of ["pointerup", "pointercancel"]) {
      host.addEventListener(type, (event) => this.pointers.delete(event.pointerId));
    }
    host.addEventListener("dblclick", (event) => this.doubled(event));
  }

  reset() {
    Object.assign(this, {scale: 1, x: 0.5, y: 0.5});
    this.apply();
  }

  // Keep the picture in the pane, and show it.
  apply() {
    this.scale = Math.min(Math.max(this.scale, 1), largestScale);
    const edge = 0.5 / this.scale;
    this.x = Math.min(Math.max(this.x, edge), 1 - edge);
    this.y = Math.min(Math.max(this.y, edge), 1 - edge);
    const style = this.host.style;
    style.setProperty("--zoom", this.scale);
    style.setProperty("--zoom-x", `${(0.5 - this.x * this.scale) * 100}%`);
    style.setProperty("--zoom-y", `${(0.5 - this.y * this.scale) * 100}%`);
    this.host.classList.toggle("is-zoomed", this.scale > 1);
    this.onChange(this);
  }

  // Multiply the scale; the point (in parts of the pane) stays where it is.
  zoomBy(factor, point = {x: 0.5, y: 0.5}) {
    const before = this.scale;
    const after = Math.min(Math.max(before * factor, 1), largestScale);
    this.x += (point.x - 0.5) * (1 / before - 1 / after);
    this.y += (point.y - 0.5) * (1 / before - 1 / after);
    this.scale = after;
    this.apply();
  }

  // Move by parts of the pane.
  panBy(x, y) {
    this.x += x / this.scale;
    this.y += y / this.scale;
    this.apply();
  }

  boxOf(event) {
    return event.target.closest?.(".pane")?.getBoundingClientRect();
  }

  pointOf(event, box) {
    return {x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height};
  }

  wheeled(event) {
    const box = this.boxOf(event);
    if (!box) return;
    event.preventDefault();
    const pixels = event.deltaMode ? event.deltaY * 32 : event.deltaY;
    this.zoomBy(2 ** (-pixels / wheelPixelsPerDouble), this.pointOf(event, box));
  }

  doubled(event) {
    const box = this.boxOf(event);
    if (!box) return;
    if (this.scale > 1) this.reset();
    else this.zoomBy(4, this.pointOf(event, box));
  }

  pressed(event) {
    const box = this.boxOf(event);
    if (!box || event.button || event.target.closest("button, a, input, .divider")) return;
    this.pointers.set(event.pointerId, {x: event.clientX, y: event.clientY, box});
    this.host.setPointerCapture(event.pointerId);
  }

  moved(event) {
    const at = this.pointers.get(event.pointerId);
    if (!at) return;
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, one]) => one);
    const {box} = at;
    const before = {x: at.x, y: at.y};
    Object.assign(at, {x: event.clientX, y: event.clientY});
    if (others.length === 1) {
      const away = (one) => Math.hypot(one.x - others[0].x, one.y - others[0].y) || 1;
      const middle = {clientX: (at.x + others[0].x) / 2, clientY: (at.y + others[0].y) / 2};
      this.zoomBy(away(at) / away(before), this.pointOf(middle, box));
    }
    const share = others.length ? 2 : 1;
    this.panBy((before.x - at.x) / box.width / share, (before.y - at.y) / box.height / share);
  }

  // Take a key press; return whether it was one of zoom and pan: those of the grid.
  takeKey(event) {
    const looks = {h: [-0.2, 0], l: [0.2, 0], k: [0, -0.2], j: [0, 0.2]};
    const shifted = {ArrowLeft: looks.h, ArrowRight: looks.l, ArrowUp: looks.k, ArrowDown: looks.j};
    const look = looks[event.key] ?? (event.shiftKey && shifted[event.key]);
    if (look) this.panBy(...look);
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.5);
    else if (event.key === "-") this.zoomBy(1 / 1.5);
    else if (event.key === "z") this.reset();
    else return false;
    event.preventDefault();
    return true;
  }
}

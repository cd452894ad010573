// Pointer, wheel and pinch over the cells: move the grid, or zoom and move its pictures.

const DRAG_FROM_PX = 4;

export class GridGestures {
  // scroller: the element that scrolls; acts: {isZoomed(), zoomAt(factor, event),
  // movePictures(dx, dy), pick(event), open(event), hover(event)}.
  constructor(scroller, acts) {
    this.scroller = scroller;
    this.acts = acts;
    this.drag = null;
    this.pinch = 0;
    const on = (type, handle, options) =>
      scroller.addEventListener(type, (event) => handle.call(this, event), options);
    on("wheel", this.wheeled, {passive: false});
    on("pointerdown", this.pressed);
    on("pointermove", this.moved);
    on("pointerup", this.released);
    on("pointercancel", this.dropped);
    on("pointerleave", () => acts.hover(null));
    on("dblclick", acts.open);
    on("touchstart", this.touched, {passive: false});
    on("touchmove", this.pinched, {passive: false});
  }

  // Ctrl and a wheel, which is what a pinch on a touchpad looks like, zooms.
  wheeled(event) {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const delta = Math.min(Math.max(event.deltaY * lines, -120), 120);
    this.acts.zoomAt(Math.exp(-delta / (event.ctrlKey && Math.abs(delta) < 20 ? 60 : 300)), event);
  }

  pressed(event) {
    if (event.button > 1 || (event.pointerType === "touch" && !this.acts.isZoomed())) return;
    if (event.target.closest("button")) return;
    const movesGrid = event.button === 1 || event.shiftKey || !this.acts.isZoomed();
    if (event.button === 1) event.preventDefault();
    this.drag = {x: event.clientX, y: event.clientY, id: event.pointerId, isMoving: false, movesGrid};
  }

  moved(event) {
    const {drag} = this;
    if (!drag || drag.id !== event.pointerId) {
      if (event.pointerType === "mouse") this.acts.hover(event);
      return;
    }
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.isMoving && Math.hypot(dx, dy) < DRAG_FROM_PX) return;
    if (!drag.isMoving) this.startMoving(event);
    Object.assign(drag, {x: event.clientX, y: event.clientY});
    if (drag.movesGrid) this.scroller.scrollBy({left: -dx, top: -dy, behavior: "instant"});
    else this.acts.movePictures(dx, dy);
  }

  startMoving(event) {
    this.drag.isMoving = true;
    this.scroller.setPointerCapture(event.pointerId);
    this.scroller.classList.add("is-dragging");
    this.acts.hover(null);
  }

  released(event) {
    const wasMoving = this.drag?.isMoving;
    this.dropped();
    if (!wasMoving && event.button === 0) this.acts.pick(event);
  }

  dropped() {
    this.drag = null;
    this.scroller.classList.remove("is-dragging");
  }

  touched(event) {
    if (event.touches.length !== 2) return;
    event.preventDefault();
    this.dropped();
    this.pinch = fingerGap(event.touches);
  }

  pinched(event) {
    if (event.touches.length !== 2) return;
    event.preventDefault();
    const gap = fingerGap(event.touches);
    const [a, b] = event.touches;
    const middle = {clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2};
    if (this.pinch && gap) this.acts.zoomAt(gap / this.pinch, middle);
    this.pinch = gap;
  }
}

function fingerGap([a, b]) {
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}

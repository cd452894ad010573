// Flicker: the slider's axis plays in every cell, at a rate that the reader chooses.

// A place whose pictures do not come is not waited for longer than this.
const PATIENCE_MS = 1500;

export class Flicker {
  // acts: {count(), at(), isReady(at), show(at), changed(isPlaying)}.
  constructor(acts) {
    this.acts = acts;
    this.rate = 2;
    this.isPlaying = false;
  }

  start() {
    if (this.isPlaying || this.acts.count() < 2) return;
    this.isPlaying = true;
    this.since = performance.now();
    this.acts.changed(true);
    requestAnimationFrame((time) => this.tick(time));
  }

  stop() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.acts.changed(false);
  }

  // The places that may be shown next, the next first; at rest, those on both sides.
  upcoming() {
    const [count, at] = [this.acts.count(), this.acts.at()];
    const order = Array.from({length: Math.max(0, count - 1)}, (_, n) => (at + 1 + n) % count);
    return this.isPlaying || count < 3 ? order : [order[0], order.at(-1)];
  }

  // Where less motion is asked for, the rate is low.
  get period() {
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    return 1000 / (isCalm ? Math.min(this.rate, 1) : this.rate);
  }

  tick(time) {
    if (!this.isPlaying) return;
    const waited = time - this.since - this.period;
    const next = (this.acts.at() + 1) % this.acts.count();
    // Half a frame early is nearer than half a frame late.
    if (waited > -8 && (this.acts.isReady(next) || waited > PATIENCE_MS)) {
      this.since = waited < this.period ? time - Math.max(0, waited) : time;
      this.acts.show(next);
    }
    requestAnimationFrame((later) => this.tick(later));
  }
}

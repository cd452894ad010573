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

  // The places that will be shown, the next first.
  order() {
    const count = this.acts.count();
    return Array.from({length: count - 1}, (_, n) => (this.acts.at() + 1 + n) % count);
  }

  tick(time) {
    if (!this.isPlaying) return;
    const waited = time - this.since - 1000 / this.rate;
    const next = (this.acts.at() + 1) % this.acts.count();
    // Half a frame early is nearer than half a frame late.
    if (waited > -8 && (this.acts.isReady(next) || waited > PATIENCE_MS)) {
      this.since = waited < 1000 / this.rate ? time - Math.max(0, waited) : time;
      this.acts.show(next);
    }
    requestAnimationFrame((later) => this.tick(later));
  }
}

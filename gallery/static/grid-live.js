// What changes while the grid is open: images that are made, and those that one asks for.

import {data} from "./data.js";
import {askToAdd, offerToStart} from "./start-dialog.js";
import {say, sayError} from "./shell.js";
import {T} from "./texts.js";

// What events do not tell, such as times, is read again at most so often.
const REFRESH_MS = 5000;

export class GridLive {
  constructor(page) {
    this.page = page;
  }

  follow(q) {
    if (q === this.followed) return;
    this.followed = q;
    this.end?.();
    this.end = data.events(q, {
      onState: () => this.showTrouble(""),
      onImages: ({keys, states}) => this.noteStates(keys, states),
      onTrouble: (sentence) => this.showTrouble(sentence),
      onReconnect: () => this.refreshSoon(0),
    });
  }

  // Say why there is no news of the images; nothing where there is.
  showTrouble(sentence) {
    const {trouble} = this.page.parts;
    trouble.hidden = !sentence;
    trouble.textContent = sentence && T.data.noNews(sentence);
  }

  // Show new states of images in their cells.
  noteStates(keys, states) {
    const {model, pivot, bitmaps, grid} = this.page;
    if (!model) return;
    keys.forEach((key, n) => {
      const wasDone = model.isDone(key);
      if (!wasDone && pivot.states[states[n]] === "done") bitmaps.forget(key);
    });
    model.noteStates(keys, states);
    grid.invalidate();
    this.page.showStatus();
    this.refreshSoon(REFRESH_MS);
  }

  // Read the pivot again for what events do not tell: times, scores, images that are new.
  refreshSoon(pause) {
    if (this.waiting) return;
    const wait = Math.max(pause / 5, this.page.loadedAt + pause - performance.now());
    this.waiting = setTimeout(() => {
      this.waiting = 0;
      this.page.refresh();
    }, wait);
  }

  // Add the combinations of empty cells to the sweep, once one agrees to their number.
  async add(combinations) {
    const {q} = this.page.view;
    try {
      const {said, count} = await data.add(q, combinations, false);
      if (!count) return say(said);
      askToAdd(said, count, async () => {
        this.tell(await data.add(q, combinations, true));
        this.page.refresh();
      });
    } catch (error) {
      sayError(error);
    }
  }

  // Say what was done; where no worker is alive, ask what to do about that.
  tell({said, idle}) {
    if (idle.length) offerToStart(idle, said);
    else say(said);
  }

  // Ask for images, by their indexes.
  async make(images) {
    const keys = images.map((i) => this.page.pivot.keys[i]);
    try {
      this.tell(await data.fill(this.page.view.q, keys));
      this.refreshSoon(REFRESH_MS);
    } catch (error) {
      sayError(error);
    }
  }
}

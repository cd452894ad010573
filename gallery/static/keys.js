// What each key does in the grid, and the events by which others hear of it.
//
// Events on `document`, for the compare tray and for culling; `keys` are images' keys:
//   ns-pin    {keys}                  put these into the tray.
//   ns-rate   {keys, stars?, verdict?, before}
//             rate these; `before` has the {stars, verdict} of each. cull.js stores it.
// and those that the grid hears:
//   ns-marks  {marks: [{key, stars?, verdict?}]}  ratings to show.
//   ns-blind  {on}                    hide labels and shuffle, or show them again.
// A verdict is "accepted", "rejected" or "none".

import {isTyping} from "./shell.js";

// Keys that need the focus in the grid: they mean something else on a button.
const CELL_KEYS = {
  ArrowUp: ["move", -1, 0],
  ArrowDown: ["move", 1, 0],
  ArrowLeft: ["move", 0, -1],
  ArrowRight: ["move", 0, 1],
  Home: ["edge", 0, -1],
  End: ["edge", 0, 1],
  PageUp: ["pageBy", -1],
  PageDown: ["pageBy", 1],
  Enter: ["open"],
  " ": ["select"],
};

const PAGE_KEYS = {
  "?": ["help"],
  "/": ["query"],
  f: ["flicker"],
  ",": ["slide", -1],
  ".": ["slide", 1],
  "[": ["deeper", -1],
  "]": ["deeper", 1],
  "+": ["zoom", 1.25],
  "=": ["zoom", 1.25],
  "-": ["zoom", 0.8],
  z: ["unzoom"],
  h: ["look", 1, 0],
  l: ["look", -1, 0],
  k: ["look", 0, 1],
  j: ["look", 0, -1],
  "<": ["size", 0.8],
  ">": ["size", 1.25],
  s: ["swap"],
  m: ["make"],
  c: ["pin"],
  b: ["blind"],
  x: ["verdict", "rejected"],
  a: ["verdict", "accepted"],
  Escape: ["leave"],
};
for (let stars = 0; stars <= 5; stars++) PAGE_KEYS[stars] = ["stars", stars];

export class GridKeys {
  // acts: an object with a method of each name above, called with (event, ...values),
  // and `endFlicker()` when its key is released.
  constructor(grid, acts) {
    this.grid = grid;
    this.acts = acts;
    document.addEventListener("keydown", (event) => this.pressed(event));
    document.addEventListener("keyup", (event) => {
      if (event.key === "f" || event.key === "F") acts.endFlicker();
    });
    window.addEventListener("blur", () => acts.endFlicker());
  }

  pressed(event) {
    if (event.defaultPrevented || document.querySelector("dialog[open], :popover-open[role=menu]")) return;
    const inGrid = this.grid.contains(event.target);
    const act = (inGrid && CELL_KEYS[event.key]) || this.pageKey(event, inGrid);
    if (!act) return;
    event.preventDefault();
    const [name, ...values] = act;
    this.acts[name](event, ...values);
  }

  // Letters count in the grid and where nothing has the focus, so that they never
  // surprise somebody who is at a control.
  pageKey(event, inGrid) {
    if (isTyping(event) || (!inGrid && event.target !== document.body && event.target.id !== "main")) return null;
    return PAGE_KEYS[event.key] || null;
  }
}

// Tell the other parts of the page.
export function tellPage(name, detail) {
  document.dispatchEvent(new CustomEvent(name, {detail}));
}

// The grid's modules that need no page; test_modules.py runs this with Node's runner.

import assert from "node:assert/strict";
import {test} from "node:test";

import {LoadQueue, neededBitmap, PixelLru} from "./bitmaps.js";
import {movePictures, NO_ZOOM, placePicture, zoomAround} from "./cell-zoom.js";
import {combinationOf, emptyCells} from "./empty-cells.js";
import {withAxesFixed} from "./fixed-axes.js";
import {GridLayout} from "./grid-layout.js";
import {moveAxis, PivotModel, settleRoles} from "./pivot-model.js";
import {readView, writeView} from "./view-state.js";

const STATES = ["pending", "leased", "done", "failed", "quarantined"];

// The pivot of all combinations of axes {name: labels}, all of them done.
function makePivot(axes) {
  const names = Object.keys(axes);
  let rows = [[]];
  for (const name of names) rows = rows.flatMap((row) => axes[name].map((_, place) => [...row, place]));
  const suggested = ["rows", "cols", "slider", "supers", "stack"];
  return {
    states: STATES,
    axes: names.map((name, n) => ({
      name, labels: axes[name], count: axes[name].length, fixed: null, suggested: suggested[n],
    })),
    keys: rows.map((row) => `key ${row}`),
    state: rows.map(() => 2),
    width: rows.map(() => 512),
    height: rows.map(() => 512),
    places: Object.fromEntries(names.map((name, n) => [name, rows.map((row) => row[n])])),
    errors: {},
  };
}

function modelOf(pivot, wanted = null) {
  return new PivotModel(pivot, settleRoles(wanted, pivot.axes));
}

const SMALL = {scheduler: ["ddim", "heun"], steps: ["8", "12", "20"], guidance: ["3", "7"]};

test("every image stands in the cell of its labels", () => {
  const pivot = makePivot(SMALL);
  const model = modelOf(pivot);
  assert.deepEqual([model.lineCount, model.colCount, model.slider.count], [2, 3, 2]);
  assert.equal(pivot.keys[model.shownAt(1, 2, 0)], "key 1,2,0");
  assert.equal(pivot.keys[model.shownAt(0, 1, 1)], "key 0,1,1");
});

test("moving an axis moves images and loses none", () => {
  const pivot = makePivot(SMALL);
  const roles = moveAxis(settleRoles(null, pivot.axes), "guidance", "supers");
  const model = new PivotModel(pivot, roles);
  assert.deepEqual([model.lineCount, model.bandLines, model.slider.count], [4, 2, 1]);
  assert.equal(pivot.keys[model.shownAt(3, 0, 0)], "key 1,0,1");
});

test("several axes in one role are their combinations in order", () => {
  const model = modelOf(makePivot(SMALL), {rows: ["scheduler", "guidance"], cols: ["steps"]});
  assert.deepEqual(model.rows.labels, [["ddim", "3"], ["ddim", "7"], ["heun", "3"], ["heun", "7"]]);
});

// A pivot without some of its images, by index.
function without(pivot, gone) {
  const keep = (list) => list.filter((_, i) => !gone.includes(i));
  const places = Object.fromEntries(Object.entries(pivot.places).map(([name, list]) => [name, keep(list)]));
  const {keys, state, width, height} = pivot;
  return {...pivot, places, keys: keep(keys), state: keep(state), width: keep(width), height: keep(height)};
}

test("an empty cell says which combination would stand there", () => {
  const axes = {scheduler: ["ddim", "heun"], steps: ["8", "20"], seed: ["0", "1"]};
  const pivot = {...without(makePivot(axes), [0, 1]), constant: {guidance: "4", "prompt.1": "cat"}};
  const model = modelOf(pivot, {rows: ["scheduler"], cols: ["steps"], stack: ["seed"], slider: []});
  assert.deepEqual(emptyCells(model, 0), [[0, 0]]);
  assert.deepEqual(emptyCells(model, 0, [[1, 1]]), []);
  const found = {guidance: ["4"], scheduler: ["ddim"], steps: ["8"], seed: ["0", "1"]};
  assert.deepEqual(combinationOf(model, 0, [0, 0]), found);
  const sliding = modelOf(pivot, {rows: ["scheduler"], cols: ["steps"], slider: ["seed"]});
  assert.deepEqual(combinationOf(sliding, 1, [0, 0]).seed, ["1"]);
});

test("a slider has one axis, and gives its place to the next", () => {
  const roles = {rows: ["a"], cols: [], supers: [], slider: ["b"], stack: []};
  assert.deepEqual(moveAxis(roles, "a", "slider"), {rows: ["b"], cols: [], supers: [], slider: ["a"], stack: []});
});

test("an axis that the address does not name goes where the server suggests", () => {
  const {axes} = makePivot(SMALL);
  const roles = settleRoles({rows: ["steps"], cols: []}, axes);
  assert.deepEqual([roles.rows, roles.slider], [["steps"], ["guidance"]]);
});

test("an axis that is fixed has no role", () => {
  const {axes} = makePivot(SMALL);
  axes[0].fixed = "ddim";
  assert.equal(Object.values(settleRoles({rows: ["scheduler"]}, axes)).flat().includes("scheduler"), false);
});

test("a label that several places mean shows the image in each", () => {
  const pivot = makePivot({scheduler: ["ddim", "ddim too"], steps: ["8"]});
  pivot.places.scheduler = [[0, 1], 1];
  const model = modelOf(pivot);
  assert.deepEqual(model.imagesAt(0, 0, 0), [0]);
  assert.deepEqual(model.imagesAt(1, 0, 0), [0, 1]);
});

test("an axis that does not apply to an image has a place of its own", () => {
  const pivot = makePivot({scheduler: ["ddim"], eta: ["0", "1"]});
  pivot.places.eta[1] = -1;
  const model = modelOf(pivot);
  assert.deepEqual(model.cols.labels.at(-1), [null]);
  assert.deepEqual(model.imagesAt(0, 2, 0), [1]);
});

test("a stack shows its first finished image, and the others by depth", () => {
  const pivot = makePivot({a: ["x"], b: ["y"], seed: ["0", "1", "2"]});
  pivot.state = [3, 2, 2];
  const model = modelOf(pivot, {rows: ["a"], cols: ["b"], stack: ["seed"]});
  assert.equal(model.deepest, 3);
  assert.deepEqual([0, 1, 2, 3].map((depth) => model.shownAt(0, 0, 0, depth)), [1, 1, 2, 0]);
});

test("a cell that no image meets is a hole", () => {
  const pivot = makePivot(SMALL);
  for (const list of [pivot.keys, pivot.state, ...Object.values(pivot.places)]) list.shift();
  assert.equal(modelOf(pivot).shownAt(0, 0, 0), -1);
});

test("columns without rows run on in the next line", () => {
  const pivot = makePivot({seed: ["0", "1", "2", "3", "4"]});
  const model = modelOf(pivot);
  model.wrapAt(3);
  assert.deepEqual([model.lineCount, model.colCount], [2, 3]);
  assert.equal(model.shownAt(1, 1, 0), 4);
  assert.equal(model.placeOf(1, 2), null);
});

test("shuffled cells are the same images, and return to their places", () => {
  const model = modelOf(makePivot(SMALL));
  const cells = () => [0, 1].flatMap((line) => [0, 1, 2].map((col) => model.shownAt(line, col, 0)));
  const before = cells();
  model.shuffle(() => 0);
  assert.notDeepEqual(cells(), before);
  assert.deepEqual(cells().sort(), [...before].sort());
  model.shuffle(null);
  assert.deepEqual(cells(), before);
});

test("10,000 images by 100 labels cost only their cells", () => {
  const labels = Array.from({length: 100}, (_, n) => String(n));
  const model = modelOf(makePivot({prompt: labels, seed: labels}));
  assert.equal(model.cells.size, 10000);
  assert.equal(model.shownAt(99, 99, 0), 9999);
});

test("new states are shown, and images of other pivots are left out", () => {
  const model = modelOf(makePivot(SMALL));
  model.noteStates(["key 0,0,0", "unknown"], [3, 3]);
  assert.equal(model.stateOf(0), "failed");
});

test("an exported pivot is fixed as the server would", () => {
  const pivot = makePivot(SMALL);
  pivot.errors = {4: "why"};
  const fixed = withAxesFixed(pivot, {guidance: "3"});
  assert.equal(fixed.keys.length, 6);
  assert.equal(fixed.axes[2].fixed, "3");
  assert.deepEqual(fixed.errors, {2: "why"});
});

test("an address keeps all of a view", () => {
  const view = readView(new URLSearchParams("q=a+b&fix.seed=3&at=20&depth=1&cell=96&line=time&rate=4&zoom=2,0.25,0.75"));
  view.roles = {rows: ["x, y", "z"], cols: [], supers: [], slider: ["steps"], stack: []};
  assert.deepEqual(readView(writeView(view)), view);
});

test("nonsense in an address is left out", () => {
  const view = readView(new URLSearchParams("cell=-5&zoom=900,2,2&rate=abc"));
  assert.deepEqual([view.cell, view.zoom, view.rate, view.roles], [0, NO_ZOOM, 2, null]);
});

const BOX = {w: 100, h: 100};

test("the point under the pointer stays there while pictures are zoomed", () => {
  const picture = {w: 512, h: 512};
  const point = {x: 30, y: 80};
  const first = zoomAround(NO_ZOOM, 4, point, BOX, picture);
  const place = placePicture(first, BOX, picture);
  assert.ok(Math.abs(place.x + 0.3 * place.w - 30) <= 1);
  assert.ok(Math.abs(place.y + 0.8 * place.h - 80) <= 1);
});

test("a zoom shows the same part of pictures of any size", () => {
  const zoom = {z: 4, u: 0.4, v: 0.6};
  const [a, b] = [{w: 512, h: 512}, {w: 64, h: 64}].map((picture) => placePicture(zoom, BOX, picture));
  assert.deepEqual(a, b);
});

test("pictures never leave a gap in their boxes", () => {
  let zoom = zoomAround(NO_ZOOM, 3, {x: 50, y: 50}, BOX, {w: 512, h: 512});
  zoom = movePictures(zoom, 1e6, -1e6, BOX, {w: 512, h: 512});
  const place = placePicture(zoom, BOX, {w: 512, h: 512});
  assert.deepEqual([place.x, place.y], [0, 100 - place.h]);
});

test("zooming out ends at whole pictures", () => {
  assert.deepEqual(zoomAround({z: 3, u: 0.2, v: 0.9}, 0.01, {x: 1, y: 1}, BOX, {w: 5, h: 5}), NO_ZOOM);
});

test("a bitmap is decoded to the size needed, of the image only where that shows more", () => {
  const picture = {w: 1024, h: 1024};
  const need = (zoom, box, visible = 9) => neededBitmap(placePicture(zoom, box, picture), box, picture, visible);
  assert.deepEqual(need(NO_ZOOM, BOX), {id: "t100x100", full: false, part: null, w: 100, h: 100});
  assert.equal(need(NO_ZOOM, {w: 600, h: 600}).id, "f600x600");
  assert.equal(need({z: 8, u: 0.5, v: 0.5}, BOX, 1000).id, "t256x256");
  const close = need({z: 8, u: 0.5, v: 0.5}, BOX);
  assert.ok(close.full && close.part.w < 0.5 && close.w * close.h <= 4 * 100 * 100);
});

test("the part that is decoded has all that is in sight", () => {
  const picture = {w: 2048, h: 2048};
  for (const u of [0, 0.31, 0.5, 0.77, 1]) {
    const place = placePicture({z: 16, u, v: u}, BOX, picture);
    const {part} = neededBitmap(place, BOX, picture, 4);
    assert.ok(part.x * place.w <= -place.x + 1e-6);
    assert.ok((part.x + part.w) * place.w >= -place.x + BOX.w - 1e-6);
  }
});

test("what was not used for longest goes first when room is needed", () => {
  const dropped = [];
  const lru = new PixelLru(100, (entry) => dropped.push(entry.key));
  for (const key of ["a", "b", "c"]) {
    lru.tick += 1;
    lru.add(key, "small", {bytes: 30, worth: 1});
  }
  lru.tick += 1;
  lru.find("a", "small");
  lru.add("d", "small", {bytes: 30, worth: 1});
  assert.deepEqual(dropped, ["b"]);
  assert.deepEqual([lru.bytes, lru.count], [90, 3]);
});

test("the largest bitmap of a key stands in for one that is not there", () => {
  const lru = new PixelLru(1000);
  lru.add("a", "32", {bytes: 32, worth: 32});
  lru.add("a", "64", {bytes: 64, worth: 64});
  assert.equal(lru.largest("a").id, "64");
  lru.forget("a");
  assert.equal(lru.bytes, 0);
});

test("at most so many loads run, and those no longer wanted are cancelled", async () => {
  const started = [];
  const ended = new Map();
  const queue = new LoadQueue(2, ({name}, signal) => {
    started.push(name);
    return new Promise((resolve) => {
      ended.set(name, resolve);
      signal.addEventListener("abort", resolve);
    });
  });
  const want = (...names) => queue.want(names.map((name) => ({name})));
  want("a", "b", "c");
  assert.deepEqual(started, ["a", "b"]);
  want("b", "d");
  assert.deepEqual(started, ["a", "b", "d"]);
  ended.get("b")();
  ended.get("d")();
  await new Promise(setImmediate);
  assert.equal(queue.isIdle, true);
});

test("the cell at a point is the cell that lies there", () => {
  const pivot = makePivot(SMALL);
  const model = modelOf(pivot, {rows: ["scheduler"], cols: ["steps"], supers: ["guidance"]});
  const layout = new GridLayout(model, {cell: 50, shape: [512, 768], hasLine: true, ratio: 1.5});
  for (let line = 0; line < model.lineCount; line++) {
    for (let col = 0; col < model.colCount; col++) {
      const cell = layout.cellAt(layout.colLeft(col) + 5, layout.lineTop(line) + 7);
      assert.deepEqual(cell, {line, col, point: {x: 5, y: 7}});
    }
  }
  assert.equal(layout.cellAt(5, 5), null);
  assert.equal(layout.cellAt(layout.width + 1, 50), null);
});

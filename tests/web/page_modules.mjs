// Modules of other pages that need no page; test_modules.py runs this with Node's runner.
import assert from "node:assert/strict";
import {test} from "node:test";
import {amountText, bytesText, durationText, rateText, valueText} from "./format.js";
import {parametersOf, splitParameters} from "./parameters.js";
import {PanZoom} from "./zoom.js";

class Host extends EventTarget {
  classList = {toggle() {}};
  style = {values: {}, setProperty(name, value) {
    this.values[name] = value;
  }};
}

const image = (changes) => ({key: "a".repeat(32), prompt: "a fox", seed: 0, scheduler: "ddim", steps: 8,
  scheduler_options: {}, extras: {}, total_s: 0.5, host: "night1", scores: [], ...changes});

test("durations are as exact as people want", () => {
  assert.equal(durationText(0.4), "0 s");
  assert.equal(durationText(59.4), "59 s");
  assert.equal(durationText(90), "2 min");
  assert.equal(durationText(3 * 3600), "3 h");
  assert.equal(durationText(3 * 3600 + 1200), "3 h 20 min");
  assert.equal(durationText(2 * 86400 + 4 * 3600), "2 d 4 h");
  assert.equal(durationText(3 * 86400 - 60), "3 d");
  assert.equal(durationText(null), "");
});

test("amounts have three digits, slow rates are by the hour", () => {
  assert.equal(amountText(0.04967), "0.0497");
  assert.equal(amountText(1234), "1234");
  assert.equal(rateText(6.314), "6.31 images/s");
  assert.equal(rateText(0.05), "180 images/h");
  assert.equal(rateText(0), "");
  assert.equal(bytesText(8420), "8.42 kB");
  assert.equal(bytesText(0), "0 B");
});

test("values are one line", () => {
  assert.equal(valueText({a: 1, b: [true, null]}), "a: 1, b: yes, –");
  assert.equal(valueText({}), "–");
  assert.equal(valueText(0), "0");
});

test("only what differs is apart, in the order of the images", () => {
  const {differ, same} = splitParameters([image(), image({steps: 20, total_s: 1})]);
  assert.deepEqual(differ, [["steps", ["8", "20"]], ["total_s", ["0.5", "1"]]]);
  assert.ok(same.some(([name]) => name === "scheduler"));
});

test("a parameter that one image lacks differs", () => {
  const {differ} = splitParameters([image({extras: {eta: 1}}), image()]);
  assert.deepEqual(differ, [["eta", ["1", "–"]]]);
});

test("scores are of a server's rows or of an export's mapping", () => {
  const rows = [{metric: "clip", value: 0.25, state: "done"}, {metric: "pick", value: null, state: "pending"}];
  const ofServer = parametersOf(image({scores: rows}));
  const ofExport = parametersOf(image({scores: {clip: 0.25}}));
  assert.deepEqual(ofServer, ofExport);
  assert.ok(ofServer.some(([name, text]) => name === "clip" && text === "0.25"));
});

test("zoom keeps the point under the pointer", () => {
  const zoom = new PanZoom(new Host());
  const before = {x: 0.2, y: 0.9};
  const seen = () => ({x: zoom.x + (0.2 - 0.5) / zoom.scale, y: zoom.y + (0.9 - 0.5) / zoom.scale});
  for (const factor of [2, 3, 1.5, 0.5]) {
    zoom.zoomBy(factor, before);
    assert.ok(Math.abs(seen().x - 0.2) < 1e-9 && Math.abs(seen().y - 0.9) < 1e-9);
  }
});

test("a picture never leaves its pane", () => {
  const host = new Host();
  const zoom = new PanZoom(host);
  zoom.panBy(9, 9);
  assert.deepEqual([zoom.scale, zoom.x, zoom.y], [1, 0.5, 0.5]);
  zoom.zoomBy(4);
  zoom.panBy(-9, 9);
  assert.deepEqual([zoom.x, zoom.y], [0.125, 0.875]);
  assert.deepEqual([host.style.values["--zoom-x"], host.style.values["--zoom-y"]], ["0%", "-300%"]);
  zoom.zoomBy(1000);
  assert.equal(zoom.scale, 64);
});

test("keys of zoom are those of the grid", () => {
  const zoom = new PanZoom(new Host());
  const press = (key, shiftKey = false) => zoom.takeKey({key, shiftKey, preventDefault() {}});
  assert.ok(press("+"));
  assert.equal(zoom.scale, 1.5);
  assert.ok(press("l"));
  const x = zoom.x;
  assert.ok(x > 0.5);
  assert.ok(press("ArrowLeft", true));
  assert.ok(zoom.x < x);
  assert.ok(!press("ArrowLeft"));
  assert.ok(press("z"));
  assert.equal(zoom.scale, 1);
});

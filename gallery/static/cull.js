// Ratings by keyboard: marks at once, written behind, taken back by `u`.
//
// Pages dispatch `ns-rate` with {keys, stars?, verdict?, before?} on the document, and
// hear `ns-marks` with {marks: [{key, stars, verdict}]}, of which they show what is not
// undefined: at once, again with the old values if the server refuses, and after an undo.
import {data} from "./data.js";
import {isTyping, mayWrite, readStored, say, sayError, writeStored} from "./shell.js";
import {T} from "./texts.js";

const blindKey = "nightsweep-blind";
const mostUndone = 100;
const ratingKeys = {0: {stars: 0}, 1: {stars: 1}, 2: {stars: 2}, 3: {stars: 3}, 4: {stars: 4}, 5: {stars: 5},
  x: {verdict: "rejected"}, a: {verdict: "accepted"}};
const ratingHistory = [];
// Writes follow each other, so that the last one counts.
let lastWrite = Promise.resolve();

// Return what a key press means for a rating, or null.
export function ratingOfKey(event) {
  return isTyping(event) || event.shiftKey ? null : ratingKeys[event.key] ?? null;
}

function showMarks(marks) {
  document.dispatchEvent(new CustomEvent("ns-marks", {detail: {marks}}));
}

async function ratingBefore(key) {
  const {stars = 0, verdict = "none"} = (await data.image(key)).rating ?? {};
  return {stars: stars ?? 0, verdict: verdict || "none"};
}

async function writeRating({keys, stars, verdict, before}) {
  const change = {stars, verdict};
  let known = before;
  try {
    known ??= await Promise.all(keys.map(ratingBefore));
    await data.rate(keys, change);
    ratingHistory.push({keys, change, before: known});
    if (ratingHistory.length > mostUndone) ratingHistory.shift();
  } catch (error) {
    if (known) showMarks(keys.map((key, index) => ({key, ...changedOnly(change, known[index])})));
    sayError(error);
  }
}

// Return those values of a rating that the change is about.
function changedOnly(change, rating) {
  const names = Object.keys(change).filter((name) => change[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, rating[name]]));
}

// Rate images: the marks come at once.
export function rateImages({keys, stars, verdict, before}) {
  if (!keys.length) return lastWrite;
  if (!mayWrite()) {
    say(T.cull.readOnly, {error: true});
    return lastWrite;
  }
  showMarks(keys.map((key) => ({key, stars, verdict})));
  lastWrite = lastWrite.then(() => writeRating({keys, stars, verdict, before}));
  return lastWrite;
}

// Take the last rating back.
export function undoRating() {
  lastWrite = lastWrite.then(async () => {
    const last = ratingHistory.pop();
    if (!last) {
      say(T.cull.nothingToUndo);
      return;
    }
    const marks = last.keys.map((key, index) => ({key, ...changedOnly(last.change, last.before[index])}));
    showMarks(marks);
    try {
      for (const [text, keys] of groupByRating(marks)) await data.rate(keys, JSON.parse(text));
      say(T.cull.undone(last.keys.length));
    } catch (error) {
      ratingHistory.push(last);
      showMarks(last.keys.map((key) => ({key, ...last.change})));
      sayError(error);
    }
  });
  return lastWrite;
}

function groupByRating(marks) {
  const groups = new Map();
  for (const {key, ...rating} of marks) {
    const text = JSON.stringify(rating);
    groups.set(text, [...(groups.get(text) ?? []), key]);
  }
  return groups;
}

// Whether labels are hidden, so that nobody rates a name.
export function isBlind() {
  return "blind" in document.documentElement.dataset;
}

// Hide labels or show them; pages hear `ns-blind` with {on}, and shuffle.
export function setBlind(on) {
  if (on) document.documentElement.dataset.blind = "";
  else delete document.documentElement.dataset.blind;
  writeStored("sessionStorage", blindKey, on ? "1" : "");
  document.dispatchEvent(new CustomEvent("ns-blind", {detail: {on}}));
}

// Return a list in random order.
export function shuffled(list) {
  return list.map((one) => [Math.random(), one]).sort((a, b) => a[0] - b[0]).map(([, one]) => one);
}

document.addEventListener("ns-rate", (event) => rateImages(event.detail));
document.addEventListener("keydown", (event) => {
  if (event.key !== "u" || isTyping(event)) return;
  event.preventDefault();
  undoRating();
});
if (readStored("sessionStorage", blindKey)) document.documentElement.dataset.blind = "";

// What an image was made with, as rows of a table: what differs, and what does not.
import {valueText} from "./format.js";

const hiddenNames = new Set(["key", "index", "path", "file", "folder", "pixel_sha256", "neighbours", "scope", "scopes", "a1111",
  "script", "rating", "ratings", "environment", "sweeps", "scores", "state", "attempts", "error", "sweep",
  "model_fingerprint", "scheduler_class", "prompt_template", "stars", "verdict", "slot", "created_at"]);
const measuredNames = new Set(["size_bytes", "evaluations", "engine", "batch_width", "decode_dtype", "queue_s",
  "load_s", "encode_s", "denoise_s", "decode_s", "save_s", "total_s", "time", "peak_bytes", "warm_up", "gpu",
  "host", "worker", "finished_at"]);

// Return [name, text] pairs of all that decided the picture, then of what was measured.
export function parametersOf(image) {
  const pairs = [];
  for (const [name, value] of Object.entries(image)) {
    if (hiddenNames.has(name) || name === "extras" || name === "scheduler_options") continue;
    if (!measuredNames.has(name)) pairs.push([name, valueText(value)]);
  }
  for (const [name, value] of Object.entries(image.scheduler_options ?? {})) pairs.push([`scheduler.${name}`, valueText(value)]);
  for (const [name, value] of Object.entries(image.extras ?? {})) pairs.push([name, valueText(value)]);
  return [...pairs, ...scoresOf(image), ...measurementsOf(image)];
}

export function measurementsOf(image) {
  const pairs = Object.entries(image).filter(([name]) => measuredNames.has(name));
  return pairs.map(([name, value]) => [name, valueText(value)]);
}

// Return the scores of an image: a list of rows (server), or a mapping (export).
export function scoresOf(image) {
  const scores = image.scores ?? [];
  if (!Array.isArray(scores)) return Object.entries(scores).map(([name, value]) => [name, valueText(value)]);
  return scores.filter((one) => one.value !== null).map((one) => [one.metric ?? one.name, valueText(one.value)]);
}

// Return {differ, same}: rows [name, texts], one text for each image, in their order.
export function splitParameters(images) {
  const tables = images.map((image) => new Map(parametersOf(image)));
  const names = [...new Set(tables.flatMap((table) => [...table.keys()]))];
  const rows = names.map((name) => [name, tables.map((table) => table.get(name) ?? "–")]);
  const differ = ([, texts]) => texts.some((text) => text !== texts[0]);
  return {differ: rows.filter(differ), same: rows.filter((row) => !differ(row))};
}

// Whether a name is that of a measurement, which differs between any two images.
export function isMeasured(name) {
  return measuredNames.has(name);
}

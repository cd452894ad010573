// All data of the pages, behind one interface with two sources: the server, and an
// exported page, which carries its data in the element `nightsweep-data`:
//
//   {"pivot": the JSON of /api/pivot, "images": {KEY: the JSON of /api/image/KEY},
//    "thumbs": {KEY: path}, "files": {KEY: path}, "preferences": {...}, "answer": {...}}
//
// Each may be left out but `pivot`; without a path a thumbnail is thumbs/KEY.webp, and
// an image is its thumbnail. Errors are Errors with one sentence for the reader.

import {T} from "./texts.js";
import {withAxesFixed} from "./fixed-axes.js";

// Milliseconds without a connection after which there is no news: longer than it takes
// to open a stream again that the server has ended.
const LOST_MS = 4000;

class ServerData {
  isExport = false;
  // Whether there are images in full, not only thumbnails.
  hasImages = true;

  pivot(q, fixes = {}) {
    const params = new URLSearchParams({q});
    for (const [axis, label] of Object.entries(fixes)) params.set(`fix.${axis}`, label);
    return askServer(`/api/pivot?${params}`);
  }

  // All that is known of an image. `asked` says what its neighbours are looked for in:
  // {q, among}, the query that the page came from and a choice among `scopes`.
  image(key, asked = {}) {
    return askServer(`/api/image/${key}?${new URLSearchParams(asked)}`);
  }

  sweeps() {
    return askServer("/api/sweeps");
  }

  complete(text, at) {
    return askServer(`/api/complete?${new URLSearchParams({q: text, at})}`);
  }

  rate(keys, rating) {
    return askServer("/api/rate", {keys, ...rating});
  }

  pair(q, by) {
    return askServer(`/api/pair?${new URLSearchParams({q, by})}`);
  }

  vote(a, b, winner, by, q) {
    return askServer("/api/vote", {a, b, winner, by, q});
  }

  preferences(q, by) {
    return askServer(`/api/preferences?${new URLSearchParams({q, by})}`);
  }

  change(verb, name) {
    return askServer(`/api/sweeps/${encodeURIComponent(name)}/${verb}`, {});
  }

  fill(q, keys) {
    return askServer("/api/fill", {q, keys});
  }

  // Add combinations to a sweep, or if one is not `sure`, only count them.
  add(q, combinations, sure) {
    return askServer("/api/add", {q, combinations, sure});
  }

  answer(q, by, metric) {
    const params = new URLSearchParams({q});
    if (by) params.set("by", by);
    if (metric) params.set("metric", metric);
    return askServer(`/api/answer?${params}`);
  }

  thumbUrl(key, meta) {
    return `/thumb/${key}${meta?.version ? `?v=${meta.version}` : ""}`;
  }

  imageUrl(key) {
    return `/image/${key}`;
  }

  // Listen to what changes: of the images of a query or, if it is null, of sweeps.
  // Returns a function that ends it. After a lost connection `onReconnect` is called:
  // what happened meanwhile was missed.
  events(q, {onState, onImages, onTrouble, onReconnect} = {}) {
    const source = new EventSource(`/api/events${q === null ? "" : `?${new URLSearchParams({q, sweeps: 0})}`}`);
    let lost = 0;
    const listen = (name, handle) => {
      if (handle) source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    };
    listen("state", onState);
    listen("images", onImages);
    listen("trouble", onTrouble && (({error}) => onTrouble(error)));
    source.addEventListener("error", () => {
      lost ||= setTimeout(() => onTrouble?.(T.data.away), LOST_MS);
    });
    source.addEventListener("open", () => {
      clearTimeout(lost);
      if (lost) onReconnect?.();
      lost = 0;
    });
    return () => {
      clearTimeout(lost);
      source.close();
    };
  }
}

// Ask the server: with a body by POST, else by GET.
async function askServer(url, body) {
  const options = body === undefined ? {} : postOf(body);
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error(T.data.away);
  }
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(said.error || T.data.refused(response.status));
  return said;
}

function postOf(body) {
  const headers = {
    "Content-Type": "application/json",
    "X-Nightsweep-Token": document.body.dataset.token || "",
  };
  return {method: "POST", headers, body: JSON.stringify(body)};
}

class ExportedData {
  isExport = true;

  constructor(stored) {
    this.stored = stored;
    this.hasImages = Object.keys(stored.files ?? {}).length > 0;
  }

  async pivot(q, fixes = {}) {
    return withAxesFixed(this.stored.pivot, fixes);
  }

  async image(key) {
    return this.stored.images?.[key] ?? refuseInExport();
  }

  async sweeps() {
    return {sweeps: [], workers: []};
  }

  async preferences() {
    return this.stored.preferences ?? refuseInExport();
  }

  async answer() {
    return this.stored.answer ?? refuseInExport();
  }

  complete = refuseInExport;
  rate = refuseInExport;
  pair = refuseInExport;
  vote = refuseInExport;
  change = refuseInExport;
  fill = refuseInExport;
  add = refuseInExport;

  thumbUrl(key) {
    return this.stored.thumbs?.[key] ?? `thumbs/${key}.webp`;
  }

  imageUrl(key) {
    return this.stored.files?.[key] ?? this.thumbUrl(key);
  }

  events() {
    return () => {};
  }
}

async function refuseInExport() {
  throw new Error(T.data.exported);
}

function openData() {
  const stored = document.getElementById("nightsweep-data");
  return stored ? new ExportedData(JSON.parse(stored.textContent)) : new ServerData();
}

export const data = openData();

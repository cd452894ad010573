// Pictures ready to be drawn: loaded, decoded at the size needed, bounded in memory.

import {shownPart} from "./cell-zoom.js";

// The longer side of a thumbnail, in pixels; smaller pictures are their own.
export const THUMB_SIDE = 256;

// All bitmaps together.
export const MOST_BYTES = 96 * 2 ** 20;
const MOST_LOADS = 6;
// Full images are loaded for at most so many cells.
const MOST_FULL = 64;
const MOST_TRIES = 4;

// Things of known size, by key and id, the least recently used of which go first.
//
// To use one is to note the present tick in it, which costs nothing per frame; the order
// is worked out when room is needed.
export class PixelLru {
  constructor(mostBytes, onDrop = () => {}) {
    this.mostBytes = mostBytes;
    this.onDrop = onDrop;
    this.bytes = 0;
    this.count = 0;
    this.tick = 0;
    this.shelves = new Map();
  }

  // The entry of this key and id, used now, or undefined.
  find(key, id) {
    const entry = this.shelves.get(key)?.get(id);
    if (entry) entry.used = this.tick;
    return entry;
  }

  // The largest entry of the key whatever its id, used now, or undefined.
  largest(key) {
    let best;
    for (const entry of this.shelves.get(key)?.values() || []) {
      if (!best || entry.worth > best.worth) best = entry;
    }
    if (best) best.used = this.tick;
    return best;
  }

  // Put an entry {bytes, worth, ...} in, and drop what was not used for longest.
  add(key, id, entry) {
    this.remove(key, id);
    if (!this.shelves.has(key)) this.shelves.set(key, new Map());
    this.shelves.get(key).set(id, Object.assign(entry, {key, id, used: this.tick}));
    this.bytes += entry.bytes;
    this.count += 1;
    if (this.bytes > this.mostBytes) this.makeRoom(0.9 * this.mostBytes);
  }

  makeRoom(bytes) {
    const entries = [];
    for (const shelf of this.shelves.values()) entries.push(...shelf.values());
    entries.sort((a, b) => a.used - b.used);
    for (const entry of entries) {
      if (this.bytes <= bytes) break;
      this.remove(entry.key, entry.id);
    }
  }

  remove(key, id) {
    const shelf = this.shelves.get(key);
    const entry = shelf?.get(id);
    if (!entry) return;
    shelf.delete(id);
    if (!shelf.size) this.shelves.delete(key);
    this.bytes -= entry.bytes;
    this.count -= 1;
    this.onDrop(entry);
  }

  forget(key) {
    for (const id of [...(this.shelves.get(key)?.keys() || [])]) this.remove(key, id);
  }
}

// Loads what is wanted, a few at a time, the first first; what no longer is, is cancelled.
//
// `load(request, signal)` returns a promise; a request is {name, ...}.
export class LoadQueue {
  constructor(most, load) {
    this.most = most;
    this.load = load;
    this.waiting = [];
    this.running = new Map();
  }

  // Want these requests and no others, in this order.
  want(requests) {
    const names = new Set(requests.map((request) => request.name));
    for (const [name, control] of this.running) {
      if (!names.has(name)) {
        control.abort();
        this.running.delete(name);
      }
    }
    this.waiting = requests.filter((request) => !this.running.has(request.name));
    this.start();
  }

  get isIdle() {
    return !this.running.size && !this.waiting.length;
  }

  start() {
    while (this.running.size < this.most && this.waiting.length) {
      const request = this.waiting.shift();
      if (!this.running.has(request.name)) this.run(request);
    }
  }

  async run(request) {
    const control = new AbortController();
    this.running.set(request.name, control);
    await this.load(request, control.signal).catch(() => {});
    if (this.running.get(request.name) === control) this.running.delete(request.name);
    this.start();
  }
}

// What to load of a picture, so that it is sharp in its box: {id, full, part, w, h}.
//
// place: where the whole picture lies, in device pixels; w and h are then what to decode
// it to. Whole thumbnails are enough while they are not magnified. Else the image itself
// is decoded, and of a picture that is much larger than its box only the part around
// what is in sight, so that memory depends on what is seen and not on the images.
export function neededBitmap(place, box, picture, visible) {
  const thumb = Math.min(1, THUMB_SIDE / Math.max(picture.w, picture.h));
  const scale = place.w / picture.w;
  if (scale <= thumb) return bitmapNeed(false, null, place.w, place.h);
  if (scale <= thumb * 1.1 || thumb === 1 || visible > MOST_FULL) {
    return bitmapNeed(false, null, picture.w * thumb, picture.h * thumb);
  }
  const whole = scale < 1 ? place : picture;
  if (place.w * place.h <= 4 * box.w * box.h) return bitmapNeed(true, null, whole.w, whole.h);
  const part = roundedPart(shownPart(place, box));
  return bitmapNeed(true, part, whole.w * part.w, whole.h * part.h);
}

function bitmapNeed(full, part, w, h) {
  w = Math.max(1, Math.round(w));
  h = Math.max(1, Math.round(h));
  const where = part ? `@${part.x},${part.y},${part.w},${part.h}` : "";
  return {id: `${full ? "f" : "t"}${w}x${h}${where}`, full, part, w, h};
}

// A part of a picture with room around it, on a raster, so that small moves need no other.
function roundedPart(part) {
  const [x, w] = roundedSpan(part.x, part.w);
  const [y, h] = roundedSpan(part.y, part.h);
  return {x, y, w, h};
}

function roundedSpan(start, length) {
  const step = 2 ** Math.floor(Math.log2(length)) / 2;
  const from = Math.max(0, Math.floor(start / step - 0.25) * step);
  const to = Math.min(1, Math.ceil((start + length) / step + 0.25) * step);
  return [from, to - from];
}

// The bitmaps of a page. `source` has thumbUrl(key), imageUrl(key), isExport and hasImages.
export class BitmapStore {
  constructor(source, onChange) {
    this.source = source;
    this.onChange = onChange;
    this.lru = new PixelLru(MOST_BYTES, (entry) => entry.bitmap.close());
    this.queue = new LoadQueue(MOST_LOADS, (request, signal) => this.load(request, signal));
    this.missing = new Set();
    this.tries = new Map();
  }

  nextTick() {
    this.lru.tick += 1;
  }

  // The bitmap needed, or else the best there is of this key, or undefined.
  find(key, need) {
    return this.lru.find(key, need.id) || this.lru.largest(key);
  }

  has(key, need) {
    return this.lru.find(key, need.id) !== undefined;
  }

  isMissing(key) {
    return this.missing.has(key);
  }

  // Want these: pairs [key, need], what is in sight first. All others are cancelled.
  want(pairs) {
    const requests = [];
    for (const [key, need] of pairs) {
      if (this.has(key, need) || this.missing.has(key)) continue;
      requests.push({name: `${key} ${need.id}`, key, need});
    }
    this.queue.want(requests);
  }

  // Begin anew with a picture whose file has changed.
  forget(key) {
    this.missing.delete(key);
    this.tries.delete(key);
    this.lru.forget(key);
  }

  async load({key, need}, signal) {
    const url = need.full ? this.source.imageUrl(key) : this.source.thumbUrl(key);
    try {
      const bitmap = await (this.source.isExport ? bitmapOfFile : bitmapOfUrl)(url, need, signal);
      if (signal.aborted) return bitmap.close();
      const bytes = bitmap.width * bitmap.height * 4;
      const part = need.part || {x: 0, y: 0, w: 1, h: 1};
      const worth = (bitmap.width * bitmap.height) * (need.part ? 0 : 1);
      this.lru.add(key, need.id, {bitmap, part, bytes, worth});
      this.tries.delete(key);
    } catch (error) {
      if (signal.aborted) return;
      await this.noteFailure(key, error);
    }
    this.onChange();
  }

  // A picture that is not there is missing; what else went wrong is tried again, later.
  async noteFailure(key, error) {
    const tries = (this.tries.get(key) || 0) + 1;
    this.tries.set(key, tries);
    if (error.isGone || tries >= MOST_TRIES) this.missing.add(key);
    else await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** tries));
  }
}

function resizeOf(need) {
  return {resizeWidth: need.w, resizeHeight: need.h, resizeQuality: "medium"};
}

async function bitmapOfUrl(url, need, signal) {
  const response = await fetch(url, {signal});
  if (!response.ok) {
    const gone = response.status === 404 || response.status === 410;
    throw Object.assign(new Error(url), {isGone: gone});
  }
  return partOf(await response.blob(), need);
}

// From a file on disk: fetch may not read it, an image element may.
async function bitmapOfFile(url, need, signal) {
  const image = new Image();
  signal.addEventListener("abort", () => (image.src = ""));
  image.src = url;
  await image.decode().catch(() => {
    throw Object.assign(new Error(url), {isGone: true});
  });
  return partOf(image, need);
}

async function partOf(source, need) {
  if (!need.part) return createImageBitmap(source, resizeOf(need));
  const whole = source instanceof Blob ? await createImageBitmap(source) : source;
  const {x, y, w, h} = need.part;
  const [wide, high] = [whole.naturalWidth || whole.width, whole.naturalHeight || whole.height];
  const crop = [x * wide, y * high, w * wide, h * high].map(Math.round);
  const bitmap = await createImageBitmap(whole, ...crop, resizeOf(need));
  if (whole !== source) whole.close();
  return bitmap;
}

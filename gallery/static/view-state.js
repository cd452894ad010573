// What a grid shows, as a part of its address, so that a link shows the same grid.

import {ZONES} from "./pivot-model.js";
import {NO_ZOOM} from "./cell-zoom.js";

const FIX_PREFIX = "fix.";

// A view of nothing in particular: every choice is left to the page.
export function plainView(q) {
  return {q, roles: null, fixes: {}, at: null, depth: 0, zoom: NO_ZOOM, cell: 0, line: "none", rate: 2};
}

// Read a view from an address's parameters. Nonsense counts as left out.
export function readView(params) {
  const view = plainView(params.get("q") || "");
  if (ZONES.some((zone) => params.has(zone))) {
    view.roles = {};
    for (const zone of ZONES) view.roles[zone] = params.getAll(zone).filter(Boolean);
  }
  for (const [name, value] of params) {
    if (name.startsWith(FIX_PREFIX)) view.fixes[name.slice(FIX_PREFIX.length)] = value;
  }
  view.at = params.get("at");
  view.depth = numberParam(params.get("depth"), 0, 0, 1e6);
  view.cell = numberParam(params.get("cell"), 0, 16, 2048);
  view.rate = numberParam(params.get("rate"), 2, 0.25, 10);
  view.line = params.get("line") || "none";
  view.zoom = zoomParam(params.get("zoom"));
  return view;
}

function numberParam(text, otherwise, low, high) {
  const value = Number(text);
  return text && value >= low && value <= high ? value : otherwise;
}

function zoomParam(text) {
  const [z, u, v] = (text || "").split(",").map(Number);
  const isFraction = (x) => x >= 0 && x <= 1;
  return z >= 1 && z <= 64 && isFraction(u) && isFraction(v) ? {z, u, v} : NO_ZOOM;
}

// The parameters of a view; what is left to the page is left out.
export function writeView(view) {
  const params = new URLSearchParams();
  if (view.q) params.set("q", view.q);
  if (view.roles) writeRoles(params, view.roles);
  for (const [axis, label] of Object.entries(view.fixes)) params.set(FIX_PREFIX + axis, label);
  if (view.at !== null) params.set("at", view.at);
  if (view.depth) params.set("depth", view.depth);
  if (view.cell) params.set("cell", view.cell);
  if (view.rate !== 2) params.set("rate", view.rate);
  if (view.line !== "none") params.set("line", view.line);
  const {z, u, v} = view.zoom;
  if (z > 1) params.set("zoom", [z.toFixed(3), u.toFixed(4), v.toFixed(4)].join(","));
  return params;
}

function writeRoles(params, roles) {
  for (const zone of ZONES) {
    for (const name of roles[zone].length ? roles[zone] : [""]) params.append(zone, name);
  }
}

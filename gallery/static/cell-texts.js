// What is said of a cell in words: where it is, what state it is in, and what its line says.

import {countText} from "./format.js";
import {isBlind} from "./cull.js";
import {sideText} from "./grid-labels.js";
import {T} from "./texts.js";

export class CellTexts {
  pivot = {keys: [], state: [], states: []};

  setPivot(pivot) {
    this.pivot = pivot;
  }

  // A cell {model, line, col, at, i, count, isMissing} as one sentence.
  describe(cell) {
    const parts = [isBlind() ? T.grid.hidden : this.placeOf(cell), this.stateOf(cell)];
    const {i, count} = cell;
    if (i >= 0) parts.push(this.line("time", i), this.ratingOf(i));
    if (count > 1) parts.push(T.grid.stackOfCount(count));
    return parts.filter(Boolean).join(" — ");
  }

  placeOf({model, line, col, at}) {
    const place = model.placeOf(line, col);
    if (!place) return "";
    const sides = [
      [model.roles.supers, model.supers.labels[place.band]],
      [model.roles.rows, model.rows.labels[place.row]],
      [model.roles.cols, model.cols.labels[place.col]],
      [model.roles.slider, model.slider.labels[at]],
    ];
    const named = sides.filter(([names]) => names.length);
    return named.map(([names, labels]) => `${names.join(" · ")}: ${sideText(labels || [])}`).join("; ");
  }

  stateOf(cell) {
    const {model, i, isMissing} = cell;
    if (i < 0) return T.grid.stateSentences.hole;
    const state = model.stateOf(i);
    if (state === "done" && isMissing) return T.grid.stateSentences.missing;
    const reason = this.pivot.errors?.[i];
    return reason ? `${T.grid.stateSentences[state]}: ${reason}` : T.grid.stateSentences[state];
  }

  // Why a cell has no picture, where that needs saying.
  reasonOf(cell) {
    const state = cell.i < 0 ? "" : cell.model.stateOf(cell.i);
    return ["failed", "quarantined"].includes(state) || cell.isMissing ? this.stateOf(cell) : "";
  }

  ratingOf(i) {
    const {stars, verdict} = this.pivot;
    return [stars?.[i] ? T.grid.starred(stars[i]) : "", T.grid.verdicts[verdict?.[i] || 0]].filter(Boolean).join(", ");
  }

  // The line under a cell of a model; where lines run on, it begins with the label.
  lineUnder(name, model, line, col, i) {
    const value = i < 0 ? "" : this.line(name, i);
    if (!model.wrap || isBlind()) return value;
    const label = sideText(model.cols.labels[model.placeOf(line, col).col]);
    return value ? `${label} · ${value}` : label;
  }

  // The line under a cell: "none", "time", "rating" or "score.METRIC" of image i.
  line(name, i) {
    if (name === "rating") return this.pivot.stars?.[i] ? "★".repeat(this.pivot.stars[i]) : "";
    const metric = name.startsWith("score.") ? name.slice(6) : null;
    const value = metric ? this.pivot.scores?.[metric]?.[i] : name === "time" ? this.pivot.time?.[i] : null;
    if (value === null || value === undefined) return "";
    const text = Number(value.toPrecision(3)).toString();
    return metric ? text : T.grid.seconds(text);
  }

  // How many images there are in each state, and how many cells are selected.
  counts(selected) {
    const {states, state} = this.pivot;
    const counts = new Array(states.length).fill(0);
    for (const each of state) counts[each] += 1;
    const parts = [[state.length, T.grid.images(state.length)]];
    states.forEach((name, n) => {
      if (counts[n]) parts.push([counts[n], T.grid.stateWords[name] || name]);
    });
    const text = parts.map(([count, word]) => `${countText(count)} ${word}`).join(", ");
    return selected ? `${T.grid.selected(selected)} · ${text}` : text;
  }
}

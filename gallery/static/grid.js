// The grid page: a query's images as a pivot, with all that one can do to it.

import {BitmapStore} from "./bitmaps.js";
import {buildGridPage} from "./grid-parts.js";
import {CellTexts} from "./cell-texts.js";
import {countText} from "./format.js";
import {data} from "./data.js";
import {h} from "./dom.js";
import {Flicker} from "./flicker.js";
import {GridActions} from "./grid-actions.js";
import {GridKeys, tellPage} from "./keys.js";
import {GridLive} from "./grid-live.js";
import {GridTools, lineNames} from "./grid-tools.js";
import {GridView} from "./grid-view.js";
import {isBlind, setBlind} from "./cull.js";
import {mountShell} from "./shell.js";
import {moveAxis, PivotModel, settleRoles} from "./pivot-model.js";
import {QueryBar} from "./query-bar.js";
import {readView, writeView} from "./view-state.js";
import {RolesBar} from "./roles.js";
import {T} from "./texts.js";

const ADDRESS_MS = 250;

export class GridPage {
  constructor(main) {
    this.view = readView(addressParams());
    this.loads = 0;
    this.parts = buildGridPage(main);
    this.bitmaps = new BitmapStore(data, () => this.grid.invalidate());
    this.texts = new CellTexts();
    this.grid = new GridView(this.parts.stage, this.bitmaps, {
      describe: (line, col) => this.texts.describe(this.cellOf(line, col)),
      reasonOf: (line, col) => this.texts.reasonOf(this.cellOf(line, col)),
      lineOf: (line, col, i) => this.texts.lineUnder(this.view.line, this.model, line, col, i),
      onFocus: () => this.showStatus(),
      onOpen: (event) => this.open(event),
      onZoom: (zoom) => this.change({zoom}),
    });
    this.live = new GridLive(this);
    this.flicker = this.makeFlicker();
    this.roles = new RolesBar(this.parts.roles, {
      onRoles: (roles) => this.setRoles(roles),
      onFix: (axis, label) => this.load(this.view.q, {...this.view.fixes, [axis]: label}),
      onFree: (axis, zone) => this.free(axis, zone),
    });
    this.query = new QueryBar(this.parts.query, (q) => this.ask(q));
    this.tools = new GridTools(this.parts.tools, this.toolActs());
    this.actions = new GridActions(this);
    this.keys = new GridKeys(this.parts.stage, this.actions);
    this.listen();
    this.load(this.view.q, this.view.fixes);
  }

  toolActs() {
    return {
      onAt: (at) => this.setAt(at),
      onDepth: (step) => this.setDepth(step),
      onPlay: (isPlaying) => (isPlaying ? this.flicker.start() : this.flicker.stop()),
      onRate: (rate) => this.change({rate}),
      onZoom: (factor) => this.grid.zoomAt(factor, null),
      onUnzoom: () => this.actions.unzoom(),
      onCell: (cell) => this.setCell(cell),
      onLine: (line) => this.setLine(line),
      makeChoices: () => this.actions.makeChoices(),
      onBlind: () => setBlind(!isBlind()),
      onVote: () => tellPage("ns-vote", {q: this.view.q, axes: this.pivot.axes.map((axis) => axis.name)}),
      onHelp: () => this.actions.help(),
    };
  }

  makeFlicker() {
    return new Flicker({
      count: () => this.model?.slider.count ?? 0,
      at: () => this.at,
      isReady: (at) => this.grid.isReady(at),
      show: (at) => this.setAt(at),
      changed: (isPlaying) => {
        Object.assign(this.grid.scene, {isPlaying, upcoming: this.flicker.upcoming()});
        this.grid.settle();
        this.tools.setPlaying(isPlaying);
        this.showPill();
      },
    });
  }

  listen() {
    window.addEventListener("popstate", () => {
      this.view = readView(addressParams());
      this.load(this.view.q, this.view.fixes);
    });
    document.addEventListener("ns-marks", (event) => this.showMarks(event.detail.marks));
    document.addEventListener("ns-blind", () => this.setBlindness());
    document.addEventListener("ns-theme", () => this.recolour());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
  }

  recolour() {
    this.grid.canvas.readColours();
    this.grid.invalidate();
  }

  // Ask another query: what was chosen for the old one is left behind.
  ask(q) {
    if (q !== this.view.q) {
      const {cell, line, rate} = this.view;
      this.view = {...readView(new URLSearchParams({q})), cell, line, rate};
      history.pushState(null, "", addressOf(this.view));
    }
    return this.load(q, this.view.fixes);
  }

  // Read the pivot of a query. If that fails, what was there stays, and the bar says why.
  async load(q, fixes) {
    const turn = ++this.loads;
    this.query.setQuery(q);
    this.parts.stage.setAttribute("aria-busy", "true");
    try {
      const pivot = await data.pivot(q, fixes);
      if (turn !== this.loads) return;
      this.parts.stage.removeAttribute("aria-busy");
      this.query.setError("");
      if (data.isExport) this.query.setQuery(pivot.query);
      this.view.fixes = fixes;
      this.take(pivot);
      this.rebuild();
      this.live.follow(q);
    } catch (error) {
      if (turn === this.loads) this.failed(error);
    }
    // After the pivot, which one waits for.
    if (turn === this.loads) this.query.readTerms();
  }

  take(pivot) {
    this.pivot = pivot;
    this.loadedAt = performance.now();
    this.texts.setPivot(pivot);
  }

  // Read the same pivot again; while its axes are the same, nothing moves.
  async refresh() {
    const turn = this.loads;
    const pivot = await data.pivot(this.view.q, this.view.fixes).catch(() => null);
    if (!pivot || turn !== this.loads) return;
    const isSame = JSON.stringify(pivot.axes) === JSON.stringify(this.pivot.axes) && pivot.keys.length > 0;
    this.take(pivot);
    if (!isSame) return this.rebuild();
    this.model = this.model.renewed(pivot);
    this.grid.renewModel(this.model);
    this.showStatus();
  }

  failed(error) {
    this.parts.stage.removeAttribute("aria-busy");
    this.query.setError(error.message);
  }

  // Lay the pivot's images out anew.
  rebuild() {
    const {pivot, view} = this;
    const roles = settleRoles(view.roles, pivot.axes);
    this.model = new PivotModel(pivot, roles);
    if (isBlind()) this.model.shuffle(Math.random);
    this.at = this.model.slider.labels.findIndex(([label]) => label === view.at);
    if (this.at < 0) Object.assign(this, {at: 0}).view.at = null;
    const hasNone = !pivot.keys.length;
    this.parts.empty.hidden = !hasNone;
    this.parts.empty.textContent = T.grid.none;
    this.parts.stage.hidden = hasNone;
    this.parts.folded.hidden = false;
    this.parts.roles.hidden = !pivot.axes.length;
    const metrics = pivot.metrics || [];
    if (!lineNames(metrics).includes(view.line)) view.line = "none";
    Object.assign(this.grid, {cell: view.cell, hasLine: view.line !== "none", zoom: view.zoom});
    Object.assign(this.grid.scene, {at: this.at, depth: view.depth, upcoming: this.flicker.upcoming()});
    this.roles.render(pivot, roles);
    this.tools.setModel(this.model, metrics);
    this.grid.setModel(this.model);
    this.tools.setAt(this.at, view.depth, isBlind());
    this.tools.setView(view, this.grid.shownCell);
    this.flicker.rate = view.rate;
    this.tools.blind.ariaPressed = String(isBlind());
    this.showNotes();
    this.showStatus();
    this.keepAddress();
  }

  showNotes() {
    const {narrowed = [], count, total, constant = {}} = this.pivot;
    this.parts.note.hidden = !narrowed.length;
    if (narrowed.length) this.parts.note.textContent = T.grid.narrowed(narrowed.join(", "), countText(count), countText(total));
    const pairs = Object.entries(constant);
    this.parts.constant.hidden = !pairs.length;
    const list = pairs.map(([name, value]) => h("span", {class: "constant"}, h("b", {}, name), ` ${value}`));
    this.parts.constant.replaceChildren(h("summary", {}, T.grid.constant(pairs.length)), h("div", {}, list));
  }

  showStatus() {
    if (!this.model) return;
    this.parts.counts.textContent = this.texts.counts(this.grid.focus.selected.size);
    const {line, col} = this.grid.focus;
    this.parts.about.textContent = this.pivot.keys.length ? this.texts.describe(this.cellOf(line, col)) : "";
  }

  cellOf(line, col) {
    const {model, at} = this;
    const {depth} = this.view;
    const i = model.shownAt(line, col, at, depth);
    const isMissing = i >= 0 && this.bitmaps.isMissing(this.pivot.keys[i]);
    return {model, line, col, at, i, count: model.imagesAt(line, col, at).length, isMissing};
  }

  // Note a choice in the address.
  change(choices) {
    Object.assign(this.view, choices);
    this.flicker.rate = this.view.rate;
    this.tools.setView(this.view, this.grid.shownCell);
    this.keepAddress();
  }

  keepAddress() {
    clearTimeout(this.addressTimer);
    this.addressTimer = setTimeout(() => history.replaceState(null, "", addressOf(this.view)), ADDRESS_MS);
  }

  setRoles(roles) {
    this.flicker.stop();
    this.view.roles = roles;
    this.view.depth = 0;
    Object.assign(this.grid.focus, {line: 0, col: 0});
    this.rebuild();
  }

  // Let a fixed axis go to a zone.
  free(axis, zone) {
    const fixes = {...this.view.fixes};
    delete fixes[axis];
    const {roles} = this.model;
    this.view.roles = moveAxis(roles, axis, zone);
    return this.load(this.view.q, fixes);
  }

  setAt(at) {
    const count = this.model.slider.count;
    this.at = this.grid.scene.at = (at + count) % count;
    this.tools.setAt(this.at, this.view.depth, isBlind());
    const [label] = this.model.slider.labels[this.at];
    this.change({at: label ?? null});
    this.showPill();
    this.grid.invalidate();
    this.grid.scene.upcoming = this.flicker.upcoming();
    if (!this.flicker.isPlaying) this.grid.focus.announce();
  }

  setDepth(step) {
    const {deepest} = this.model;
    const depth = (this.view.depth + step + deepest) % deepest;
    this.grid.scene.depth = depth;
    this.change({depth});
    this.tools.setAt(this.at, depth, isBlind());
    this.grid.invalidate();
    this.grid.focus.announce();
  }

  setCell(cell) {
    this.grid.cell = cell;
    this.grid.relayout();
    this.change({cell});
  }

  setLine(line) {
    this.grid.hasLine = line !== "none";
    this.view.line = line;
    this.grid.relayout();
    this.change({line});
  }

  setBlindness() {
    if (this.model) this.rebuild();
  }

  showPill() {
    const {pill} = this.grid.parts;
    pill.hidden = !this.flicker.isPlaying;
    if (!pill.hidden) pill.textContent = `${this.model.roles.slider[0]} ${this.tools.sliderText.textContent}`;
  }

  showMarks(marks) {
    const verdicts = ["none", "accepted", "rejected"];
    for (const {key, stars, verdict} of marks) {
      const i = this.model?.indexes.get(key);
      if (i === undefined) continue;
      if (stars !== undefined) this.pivot.stars[i] = stars;
      if (verdict !== undefined) this.pivot.verdict[i] = verdicts.indexOf(verdict);
    }
    this.grid.invalidate();
    this.grid.focus.announce();
  }

  open(event) {
    const {line, col} = this.grid.focus;
    const i = this.grid.imageAt(line, col);
    if (i < 0) return;
    const key = this.pivot.keys[i];
    const address = data.isExport ? data.imageUrl(key) : `/show/${key}?${new URLSearchParams({q: this.view.q})}`;
    if (event?.ctrlKey || event?.metaKey) window.open(address, "_blank", "noopener");
    else location.assign(address);
  }
}

function addressParams() {
  return new URLSearchParams(data.isExport ? location.hash.slice(1) : location.search);
}

// An exported page has its state behind "#": a file's address has no query.
function addressOf(view) {
  return `${data.isExport ? "#" : "?"}${writeView(view)}`;
}

mountShell({isExport: data.isExport});
// For the console and the benchmark, as window.nightsweepFrames.
window.nightsweepPage = new GridPage(document.getElementById("main"));

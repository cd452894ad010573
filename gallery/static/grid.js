// The grid page: a query's images as a pivot, with all that one can do to it.

import {BitmapStore} from "./bitmaps.js";
import {CellTexts} from "./cell-texts.js";
import {data} from "./data.js";
import {h} from "./dom.js";
import {Flicker} from "./flicker.js";
import {GridActions} from "./grid-actions.js";
import {GridKeys, tellPage} from "./keys.js";
import {GridTools} from "./grid-tools.js";
import {GridView} from "./grid-view.js";
import {isBlind, setBlind} from "./cull.js";
import {mountShell, say, sayError} from "./shell.js";
import {moveAxis, PivotModel, settleRoles} from "./pivot-model.js";
import {QueryBar} from "./query-bar.js";
import {readView, writeView} from "./view-state.js";
import {RolesBar} from "./roles.js";
import {T} from "./texts.js";
import {TrayElement} from "./tray.js";
import {VotesElement} from "./votes.js";

const REFRESH_MS = 5000;
const ADDRESS_MS = 250;

export class GridPage {
  constructor(main) {
    this.view = readView(addressParams());
    this.loads = 0;
    this.build(main);
    this.bitmaps = new BitmapStore(data, () => this.grid.invalidate());
    this.texts = new CellTexts();
    this.grid = new GridView(this.parts.stage, this.bitmaps, {
      describe: (line, col) => this.texts.describe(this.cellOf(line, col)),
      reasonOf: (line, col) => this.texts.reasonOf(this.cellOf(line, col)),
      onFocus: () => this.showStatus(),
      onOpen: (event) => this.open(event),
      onZoom: (zoom) => this.change({zoom}),
      onSelect: () => this.showStatus(),
    });
    this.flicker = this.makeFlicker();
    this.grid.play = null;
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

  build(main) {
    const parts = {
      query: h("div", {class: "grid-query"}),
      roles: h("div", {class: "grid-roles"}),
      note: h("p", {class: "grid-note", role: "status", hidden: true}),
      tools: h("div", {class: "grid-tools"}),
      stage: h("div", {class: "grid-stage"}),
      empty: h("p", {class: "grid-empty", hidden: true}),
      status: h("div", {class: "grid-status"}),
    };
    parts.counts = h("span", {class: "grid-counts"});
    parts.about = h("span", {class: "grid-about"});
    parts.constant = h("details", {class: "grid-constant", hidden: true});
    parts.status.append(parts.about, parts.counts);
    const bars = h("div", {class: "grid-bars"}, parts.roles, parts.tools);
    const isWide = innerWidth >= 700;
    parts.folded = h("details", {class: "grid-folded", open: isWide}, h("summary", {}, T.grid.controls), bars);
    main.append(parts.query, parts.folded, parts.note, parts.constant, parts.stage, parts.empty, parts.status);
    main.append(new TrayElement(), new VotesElement());
    main.classList.add("grid-page");
    this.parts = parts;
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
        this.grid.play = isPlaying ? this.flicker : null;
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
  async load(q, fixes, {isQuiet = false} = {}) {
    const turn = ++this.loads;
    if (!isQuiet) this.query.setQuery(q);
    this.parts.stage.setAttribute("aria-busy", "true");
    let pivot;
    try {
      pivot = await data.pivot(q, fixes);
    } catch (error) {
      if (turn === this.loads) this.failed(error);
      return;
    }
    if (turn !== this.loads) return;
    const isOther = q !== this.shownQuery;
    this.shownQuery = q;
    this.query.setError("");
    this.parts.stage.removeAttribute("aria-busy");
    this.view.fixes = fixes;
    this.pivot = pivot;
    this.loadedAt = performance.now();
    this.rebuild();
    if (isOther) this.follow(q);
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
    this.at = Math.max(0, this.model.slider.labels.findIndex(([label]) => label === view.at));
    this.texts.setPivot(pivot);
    const hasNone = !pivot.keys.length;
    this.parts.empty.hidden = !hasNone;
    this.parts.empty.textContent = T.grid.none;
    this.parts.stage.hidden = hasNone;
    Object.assign(this.grid, {cell: view.cell, hasLine: view.line !== "none", zoom: view.zoom});
    Object.assign(this.grid.scene, {at: this.at, depth: view.depth, lineOf: (i) => this.texts.line(view.line, i)});
    this.roles.render(pivot, roles);
    this.tools.setModel(this.model, pivot.metrics || []);
    this.grid.setModel(this.model);
    this.tools.setAt(this.at, view.depth, isBlind());
    this.tools.setView(view, this.grid.shownCell);
    this.tools.blind.ariaPressed = String(isBlind());
    this.showNotes();
    this.showStatus();
    this.keepAddress();
  }

  showNotes() {
    const {narrowed = [], count, total, constant = {}} = this.pivot;
    this.parts.note.hidden = !narrowed.length;
    if (narrowed.length) this.parts.note.textContent = T.grid.narrowed(narrowed.join(", "), count, total);
    const pairs = Object.entries(constant);
    this.parts.constant.hidden = !pairs.length;
    const list = pairs.map(([name, value]) => h("span", {class: "constant"}, h("b", {}, name), ` ${value}`));
    this.parts.constant.replaceChildren(h("summary", {}, T.grid.constant(pairs.length)), h("div", {}, list));
  }

  showStatus() {
    if (!this.model) return;
    this.parts.counts.textContent = this.texts.counts(this.grid.scene.selected.size);
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
    this.grid.focus = {line: 0, col: 0};
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
    if (!this.flicker.isPlaying) this.grid.markFocus();
  }

  setDepth(step) {
    const {deepest} = this.model;
    const depth = (this.view.depth + step + deepest) % deepest;
    this.grid.scene.depth = depth;
    this.change({depth});
    this.tools.setAt(this.at, depth, isBlind());
    this.grid.invalidate();
    this.grid.markFocus();
  }

  setCell(cell) {
    this.grid.cell = cell;
    this.grid.relayout();
    this.change({cell});
  }

  setLine(line) {
    this.grid.hasLine = line !== "none";
    this.grid.scene.lineOf = (i) => this.texts.line(line, i);
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
    this.grid.markFocus();
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

  // Show what changes while the page is open.
  follow(q) {
    this.unfollow?.();
    this.unfollow = data.events(q, {
      onImages: ({keys, states}) => this.noteStates(keys, states),
      onReconnect: () => this.refreshSoon(0),
    });
  }

  noteStates(keys, states) {
    if (!this.model) return;
    for (const [n, key] of keys.entries()) {
      if (this.pivot.states[states[n]] === "done") this.bitmaps.forget(key);
    }
    this.model.noteStates(keys, states);
    this.grid.invalidate();
    this.showStatus();
    this.refreshSoon(REFRESH_MS);
  }

  // Read the pivot again for what events do not tell: times, scores, images that are new.
  refreshSoon(pause) {
    if (this.refreshing) return;
    const wait = Math.max(pause, this.loadedAt + pause - performance.now());
    this.refreshing = setTimeout(() => {
      this.refreshing = 0;
      this.load(this.view.q, this.view.fixes, {isQuiet: true});
    }, wait);
  }

  async make(indexes) {
    const keys = indexes.map((i) => this.pivot.keys[i]);
    try {
      say((await data.fill(this.view.q, keys)).said);
      this.refreshSoon(1000);
    } catch (error) {
      sayError(error);
    }
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
window.nightsweepPage = new GridPage(document.getElementById("main"));

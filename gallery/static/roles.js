// The roles of axes: a chip for each, moved between zones by pointer or by its menu.

import {countText} from "./format.js";
import {h} from "./dom.js";
import {openMenu} from "./menu.js";
import {moveAxis, swapRowsAndCols, ZONES} from "./pivot-model.js";
import {T} from "./texts.js";

const DRAG_CHIP_PX = 5;

export class RolesBar {
  // acts: {onRoles(roles), onFix(axis, label), onFree(axis, zone)}.
  constructor(host, acts) {
    this.host = host;
    this.acts = acts;
    this.zones = {};
    for (const zone of [...ZONES, "fixed"]) {
      const chips = h("div", {class: "zone-chips"});
      const title = h("span", {class: "zone-name", id: `zone-${zone}`}, T.grid.zones[zone]);
      const box = h("div", {class: "zone", role: "group", "aria-labelledby": `zone-${zone}`, "data-zone": zone}, title, chips);
      this.zones[zone] = {box, chips};
      host.append(box);
      if (zone === "rows") host.append(this.swapButton());
    }
    this.drag = null;
  }

  swapButton() {
    const swap = () => this.acts.onRoles(swapRowsAndCols(this.roles));
    const name = T.grid.swap;
    return h("button", {type: "button", class: "swap", "aria-label": name, title: name, onclick: swap}, "⇄");
  }

  render(pivot, roles) {
    const focused = document.activeElement?.closest?.(".chip, .fixed-at")?.dataset.axis;
    Object.assign(this, {pivot, roles});
    for (const zone of ZONES) {
      const chips = roles[zone].map((name) => this.chip(this.axis(name), zone));
      this.zones[zone].chips.replaceChildren(...chips);
    }
    const fixed = pivot.axes.filter((axis) => axis.fixed !== null);
    this.zones.fixed.chips.replaceChildren(...fixed.map((axis) => this.fixedChip(axis)));
    for (const zone of Object.values(this.zones)) zone.box.classList.toggle("is-empty", !zone.chips.childElementCount);
    if (focused) this.chipOf(focused)?.focus();
  }

  axis(name) {
    return this.pivot.axes.find((axis) => axis.name === name);
  }

  chipOf(name) {
    return [...this.host.querySelectorAll(".chip")].find((chip) => chip.dataset.axis === name);
  }

  chip(axis, zone) {
    const chip = h(
      "button",
      {
        type: "button",
        class: "chip",
        "data-axis": axis.name,
        "aria-haspopup": "menu",
        "aria-expanded": "false",
        title: T.grid.chipTitle(axis.name, axis.count),
      },
      h("span", {class: "chip-name"}, axis.name),
      h("span", {class: "chip-count"}, countText(axis.count)),
    );
    chip.addEventListener("click", () => this.openMenuOf(chip, axis, zone));
    chip.addEventListener("pointerdown", (event) => this.pressed(event, chip, axis));
    return chip;
  }

  // A fixed axis has its values beside it.
  fixedChip(axis) {
    const labels = axis.labels.includes(axis.fixed) ? axis.labels : [axis.fixed, ...axis.labels];
    const select = h(
      "select",
      {class: "fixed-at", "aria-label": T.grid.valueOf(axis.name)},
      labels.map((label) => h("option", {value: label, selected: label === axis.fixed}, label || T.grid.empty)),
    );
    const more = axis.count - labels.length;
    if (more > 0) select.append(h("option", {disabled: true}, T.grid.moreValues(countText(more))));
    select.dataset.axis = axis.name;
    select.addEventListener("change", () => this.acts.onFix(axis.name, select.value));
    return h("span", {class: "fixed-pair"}, this.chip(axis, "fixed"), select);
  }

  openMenuOf(chip, axis, zone) {
    const places = [...ZONES, "fixed"].map((each) => ({
      text: T.grid.zones[each],
      isChosen: each === zone,
      act: () => this.move(axis.name, each),
    }));
    const among = this.roles[zone] || [];
    const at = among.indexOf(axis.name);
    const order = [
      {text: T.grid.earlier, isOff: at < 1, act: () => this.move(axis.name, zone, at - 1)},
      {text: T.grid.later, isOff: at < 0 || at === among.length - 1, act: () => this.move(axis.name, zone, at + 1)},
    ];
    openMenu(chip, T.grid.moveAxis(axis.name), among.length > 1 ? [...places, null, ...order] : places);
  }

  move(name, zone, at) {
    const {fixed, labels} = this.axis(name);
    if (zone === "fixed") {
      if (fixed === null) this.acts.onFix(name, labels[0]);
    } else if (fixed !== null) this.acts.onFree(name, zone);
    else this.acts.onRoles(moveAxis(this.roles, name, zone, at));
    this.chipOf(name)?.focus();
  }

  pressed(event, chip, axis) {
    if (event.button !== 0) return;
    this.drag = {x: event.clientX, y: event.clientY, chip, axis, ghost: null};
    chip.setPointerCapture(event.pointerId);
    chip.onpointermove = (move) => this.dragged(move);
    chip.onpointerup = (up) => this.dropped(up);
    chip.onpointercancel = () => this.endDrag();
  }

  dragged(event) {
    const {drag} = this;
    if (!drag.ghost) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < DRAG_CHIP_PX) return;
      drag.ghost = h("div", {class: "chip chip-ghost", "aria-hidden": "true"}, drag.axis.name);
      document.body.append(drag.ghost);
      drag.chip.classList.add("is-dragged");
    }
    drag.ghost.style.transform = `translate(${event.clientX + 8}px, ${event.clientY + 8}px)`;
    const target = this.zoneAt(event);
    for (const {box} of Object.values(this.zones)) box.classList.toggle("is-target", box === target);
  }

  zoneAt(event) {
    return document.elementFromPoint(event.clientX, event.clientY)?.closest(".zone");
  }

  dropped(event) {
    const {drag} = this;
    const target = drag.ghost && this.zoneAt(event);
    if (drag.ghost) drag.chip.addEventListener("click", (click) => click.stopImmediatePropagation(), {capture: true, once: true});
    this.endDrag();
    if (target && this.host.contains(target)) {
      this.move(drag.axis.name, target.dataset.zone, placeAmong(target, drag.chip, event.clientX));
    }
  }

  endDrag() {
    const {ghost, chip} = this.drag;
    ghost?.remove();
    chip.classList.remove("is-dragged");
    chip.onpointermove = chip.onpointerup = chip.onpointercancel = null;
    for (const {box} of Object.values(this.zones)) box.classList.remove("is-target");
  }
}

// The place among a zone's chips that a pointer at x means, without the dragged chip.
function placeAmong(zone, dragged, x) {
  const chips = [...zone.querySelectorAll(".chip")].filter((chip) => chip !== dragged);
  const before = chips.filter((chip) => {
    const box = chip.getBoundingClientRect();
    return box.left + box.width / 2 < x;
  });
  return before.length;
}

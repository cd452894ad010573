// A menu under a button, for pointer and keyboard.

import {h} from "./dom.js";

// Open a menu under `anchor`. items: [{text, act, isChosen, isOff}], or null for a line.
export function openMenu(anchor, name, items) {
  const menu = h("div", {class: "menu", role: "menu", popover: "auto", "aria-label": name});
  for (const item of items) menu.append(item ? menuItem(menu, item) : h("hr", {}));
  menu.addEventListener("keydown", (event) => moveInMenu(menu, event));
  menu.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    anchor.setAttribute("aria-expanded", "false");
    if (menu.contains(document.activeElement) || document.activeElement === document.body) anchor.focus();
    menu.remove();
  });
  document.body.append(menu);
  menu.showPopover();
  anchor.setAttribute("aria-expanded", "true");
  placeUnder(menu, anchor);
  const choices = menuButtons(menu);
  (choices.find((button) => button.ariaChecked === "true") || choices[0])?.focus();
  return menu;
}

function menuItem(menu, {text, act, isChosen, isOff}) {
  const role = isChosen === undefined ? "menuitem" : "menuitemradio";
  const button = h("button", {type: "button", role, tabindex: -1, disabled: Boolean(isOff)}, text);
  if (isChosen !== undefined) button.setAttribute("aria-checked", String(isChosen));
  button.addEventListener("click", () => {
    menu.hidePopover();
    act();
  });
  return button;
}

function menuButtons(menu) {
  return [...menu.querySelectorAll("button:not(:disabled)")];
}

function placeUnder(menu, anchor) {
  const at = anchor.getBoundingClientRect();
  const left = Math.min(at.left, innerWidth - menu.offsetWidth - 4);
  const below = at.bottom + 2;
  const top = below + menu.offsetHeight > innerHeight ? at.top - menu.offsetHeight - 2 : below;
  menu.style.left = `${Math.max(4, left)}px`;
  menu.style.top = `${Math.max(4, top)}px`;
}

function moveInMenu(menu, event) {
  const buttons = menuButtons(menu);
  const here = buttons.indexOf(document.activeElement);
  const places = {ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: -1};
  if (event.key === "Tab") return menu.hidePopover();
  if (!(event.key in places)) return;
  event.preventDefault();
  buttons.at(places[event.key] % buttons.length)?.focus();
}

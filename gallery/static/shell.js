// The head of every page: navigation, the theme, and what is said after an action.
import {h} from "./dom.js";
import {T} from "./texts.js";

const themeKey = "nightsweep-theme";
const themeOrder = ["system", "light", "dark"];
const places = [["sweeps", "/"], ["grid", "/grid"], ["answer", "/answer"]];

// Return what is stored under a name, or null: a browser may forbid storage.
export function readStored(storage, name) {
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
}

export function writeStored(storage, name, value) {
  try {
    window[storage].setItem(name, value);
  } catch {
    // What is not kept is only asked for again.
  }
}

function chosenTheme() {
  const stored = readStored("localStorage", themeKey);
  return themeOrder.includes(stored) ? stored : "system";
}

function applyTheme(theme) {
  const root = document.documentElement;
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  document.dispatchEvent(new CustomEvent("ns-theme", {detail: {theme}}));
}

function themeSwitch() {
  const button = h("button", {type: "button", class: "theme"});
  const show = () => {
    const theme = chosenTheme();
    button.textContent = T.shell.themes[theme];
    button.title = button.ariaLabel = T.shell.theme(T.shell.themeNames[theme]);
  };
  button.onclick = () => {
    const next = themeOrder[(themeOrder.indexOf(chosenTheme()) + 1) % themeOrder.length];
    writeStored("localStorage", themeKey, next);
    applyTheme(next);
    show();
  };
  show();
  return button;
}

function navigation(page) {
  const query = new URLSearchParams(location.search).get("q");
  const links = places.map(([name, path]) => {
    const href = query && name !== "sweeps" ? `${path}?${new URLSearchParams({q: query})}` : path;
    return h("a", {href, "aria-current": name === page ? "page" : null}, T.shell.pages[name]);
  });
  return h("nav", {"aria-label": T.shell.navigation}, links);
}

// Fill the page's header, or make one. An exported page has no other pages to go to.
export function mountShell({isExport = false} = {}) {
  applyTheme(chosenTheme());
  if (document.querySelector(".top")) return;
  const main = document.getElementById("main");
  main?.setAttribute("tabindex", "-1");
  const readOnly = !isExport && document.body.dataset.readOnly === "1";
  const top = h("header", {class: "top"},
    isExport ? h("span", {class: "brand"}, T.shell.name) : h("a", {class: "brand", href: "/"}, T.shell.name),
    isExport ? h("nav") : navigation(document.body.dataset.page),
    readOnly && h("span", {class: "read-only"}, T.shell.readOnly),
    themeSwitch());
  document.body.prepend(h("a", {class: "skip", href: "#main"}, T.shell.skip), top);
}

applyTheme(chosenTheme());

// Whether this page may write.
export function mayWrite() {
  return document.body.dataset.readOnly !== "1";
}

let notices = null;

// Say one sentence: after a while it goes, an error stays until it is closed.
export function say(sentence, {error = false} = {}) {
  // A popover lies above an open dialog.
  if (!notices?.isConnected) {
    notices = h("div", {class: "notices", popover: "manual", role: "status", "aria-live": "polite"});
    document.body.append(notices);
  }
  const close = h("button", {type: "button", "aria-label": T.shell.close}, "✕");
  const box = h("div", {class: error ? "error" : ""}, h("span", {}, sentence), close);
  const end = () => {
    box.remove();
    if (!notices.childElementCount) notices.hidePopover?.();
  };
  close.onclick = end;
  if (notices.matches(":popover-open")) notices.hidePopover();
  for (const one of [...notices.children]) if (one.firstChild.textContent === sentence) one.remove();
  notices.append(box);
  notices.showPopover?.();
  while (notices.childElementCount > 3) notices.firstChild.remove();
  if (!error) setTimeout(end, 8000);
}

// Say the sentence of an error.
export function sayError(error) {
  say(error.message, {error: true});
}

// Copy a text, and say so.
export async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard but on loopback.
    const area = h("textarea", {value: text, class: "sr-only"});
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(T.shell.copied(what));
}

// Whether a key press is meant for a field, not for the page.
export function isTyping(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  return target.isContentEditable || target.matches?.("input:not([type=range],[type=checkbox],[type=radio]), textarea, select");
}

// The compare tray: pinned images at the foot of the page, and the way to compare them.
import {Comparison} from "./comparison.js";
import {h, setChildren} from "./dom.js";
import {isTyping, readStored, say, writeStored} from "./shell.js";
import {data} from "./data.js";
import {T} from "./texts.js";

const trayKey = "nightsweep-tray";

// The pinned images, in their order; they stay for the session of the browser's tab.
export class Tray extends EventTarget {
  constructor({most = 8} = {}) {
    super();
    this.most = most;
    this.keys = JSON.parse(readStored("sessionStorage", trayKey) ?? "[]").slice(0, most);
  }

  changed() {
    writeStored("sessionStorage", trayKey, JSON.stringify(this.keys));
    this.dispatchEvent(new Event("change"));
    document.dispatchEvent(new CustomEvent("ns-pinned", {detail: {keys: [...this.keys]}}));
  }

  // Add what is not there yet; return how many found no room.
  pin(keys) {
    const fresh = [...new Set(keys)].filter((key) => !this.keys.includes(key));
    const room = this.most - this.keys.length;
    this.keys.push(...fresh.slice(0, room));
    this.changed();
    return Math.max(fresh.length - room, 0);
  }

  unpin(key) {
    this.keys = this.keys.filter((one) => one !== key);
    this.changed();
  }

  clear() {
    this.keys = [];
    this.changed();
  }
}

export class TrayElement extends HTMLElement {
  connectedCallback() {
    if (this.tray) return;
    this.tray = new Tray();
    this.comparison = new Comparison(this.tray);
    this.className = "tray";
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", T.tray.title);
    this.strip = h("ol", {class: "tray-strip"});
    this.compare = h("button", {type: "button", class: "primary", onclick: () => this.open()}, T.tray.compare);
    const clear = h("button", {type: "button", onclick: () => this.tray.clear()}, T.tray.clear);
    this.hint = h("span", {class: "muted"});
    this.append(this.strip, h("div", {class: "tray-actions"}, this.hint, this.compare, clear));
    document.body.append(this.comparison.dialog);
    this.tray.addEventListener("change", () => this.show());
    document.addEventListener("ns-pin", (event) => this.pinned(event.detail.keys));
    document.addEventListener("ns-compare", () => this.open());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "t" || isTyping(event) || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      this.open();
    });
    this.show();
    if (this.tray.keys.length) this.tray.changed();
  }

  pinned(keys) {
    const left = this.tray.pin(keys);
    if (left) say(T.tray.full(this.tray.most, left), {error: true});
  }

  open() {
    if (this.tray.keys.length < 2) say(T.tray.tooFew);
    else this.comparison.open();
  }

  show() {
    const {keys} = this.tray;
    this.hidden = !keys.length;
    this.compare.disabled = keys.length < 2;
    this.hint.textContent = keys.length < 2 ? T.tray.pinMore : T.tray.count(keys.length, this.tray.most);
    setChildren(this.strip, keys.map((key, index) => this.pinOf(key, index)));
  }

  pinOf(key, index) {
    const remove = h("button", {
      type: "button",
      class: "tray-remove",
      "aria-label": T.tray.remove(index + 1),
      onclick: () => {
        this.tray.unpin(key);
        (this.strip.children[Math.min(index, this.tray.keys.length - 1)]?.querySelector("button") ?? this.compare).focus();
      },
    }, "✕");
    return h("li", {}, h("img", {src: data.thumbUrl(key), alt: T.tray.picture(index + 1), width: 56, height: 56}), remove);
  }
}

customElements.define("ns-tray", TrayElement);

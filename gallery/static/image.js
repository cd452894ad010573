// The page of one image: large, with all that is known and its neighbours.
import {isBlind, rateImages, ratingOfKey, setBlind} from "./cull.js";
import {data} from "./data.js";
import {h, setChildren} from "./dom.js";
import {imageGroups} from "./image-groups.js";
import {NeighbourRows} from "./neighbours.js";
import {copyText, isTyping, mayWrite, mountShell} from "./shell.js";
import {TrayElement} from "./tray.js";
import {PanZoom} from "./zoom.js";
import {T} from "./texts.js";

const pixelsFrom = 3;

class ImagePage {
  constructor(main) {
    this.main = main;
    this.picture = h("img", {class: "zoomed", draggable: false, onload: () => this.zoomed()});
    this.missing = h("p", {class: "missing", hidden: true});
    this.zoomText = h("output", {class: "compare-zoom"}, "100 %");
    const button = (text, label, onclick) => h("button", {type: "button", title: label, "aria-label": label, onclick}, text);
    this.stage = h("div", {class: "image-stage"},
      h("div", {class: "pane"}, this.picture, this.missing),
      h("div", {class: "image-tools"}, h("div", {class: "segments", role: "group", "aria-label": T.tray.zoom},
        button("−", T.image.zoomOut, () => this.zoom.zoomBy(1 / 1.5)),
        button(T.tray.fitShort, T.image.fit, () => this.zoom.reset()),
        button("+", T.image.zoomIn, () => this.zoom.zoomBy(1.5))), this.zoomText));
    this.neighbours = new NeighbourRows({go: (key) => this.go(key), among: (scope) => this.among(scope)});
    this.shown = h("div", {class: "image-main"}, this.stage, this.neighbours.element);
    this.facts = h("div", {class: "image-facts"});
    this.groupsOpen = new Map();
    setChildren(main, h("div", {class: "image-page"},
      this.shown, this.facts), new TrayElement());
    this.zoom = new PanZoom(this.stage, {onChange: () => this.zoomed()});
    new ResizeObserver(() => this.zoomed()).observe(this.stage);
    document.addEventListener("keydown", (event) => this.pressed(event));
    document.addEventListener("ns-marks", (event) => this.marked(event.detail.marks));
    document.addEventListener("ns-blind", () => this.image && this.showFacts());
    window.addEventListener("popstate", () => this.read());
  }

  // Show another image, with the zoom kept.
  go(key) {
    history.pushState(null, "", `/show/${key}${location.search}`);
    this.read();
  }

  // Look for neighbours in another query that has the image, and keep that in the address.
  among(scope) {
    const params = new URLSearchParams(location.search);
    params.set("among", scope);
    history.replaceState(null, "", `?${params}`);
    this.read();
  }

  async read() {
    const key = location.pathname.split("/").pop();
    this.key = key;
    if (!/^[0-9a-f]{32}$/.test(key)) {
      this.fail(T.image.none);
      return;
    }
    try {
      const {q = "", among = ""} = Object.fromEntries(new URLSearchParams(location.search));
      const image = await data.image(key, {q, among});
      if (key === this.key) this.show(image);
    } catch (error) {
      if (key === this.key) this.fail(error.message);
    }
  }

  fail(sentence) {
    setChildren(this.facts, h("p", {class: "bad", role: "alert"}, sentence));
    this.shown.hidden = true;
  }

  show(image) {
    this.image = image;
    this.shown.hidden = false;
    const isMade = image.state === "done";
    this.picture.hidden = !isMade;
    this.missing.hidden = isMade;
    this.missing.textContent = isMade ? "" : missingText(image);
    if (isMade) {
      this.picture.src = data.imageUrl(image.key);
      this.picture.alt = image.prompt;
    } else this.picture.removeAttribute("src");
    document.title = `${image.prompt.slice(0, 60)} · ${T.shell.name}`;
    this.neighbours.show(image);
    for (const key of this.neighbours.around()) new Image().src = data.imageUrl(key);
    this.showFacts();
    this.zoomed();
  }

  showFacts() {
    for (const details of this.facts.querySelectorAll("details")) this.groupsOpen.set(details.dataset.group, details.open);
    const {image} = this;
    const isMade = image.state === "done";
    setChildren(this.facts,
      h("h1", {class: "prompt"}, image.prompt),
      image.negative_prompt && h("p", {class: "muted negative"}, "− ", image.negative_prompt),
      this.rating(),
      h("div", {class: "image-actions"},
        isMade && h("button", {type: "button", onclick: () => this.pin()}, T.image.pin),
        isMade && h("a", {class: "button", href: `${data.imageUrl(image.key).split("?")[0]}?download=1`, download: ""}, T.image.download),
        h("button", {type: "button", onclick: () => copyText(image.key, T.image.what.key)}, T.image.copyKey),
        image.a1111 && h("button", {type: "button", onclick: () => copyText(image.a1111, T.image.what.a1111)}, T.image.copyA1111),
        image.script && h("button", {type: "button", onclick: () => copyText(image.script, T.image.what.script)}, T.image.copyScript)),
      isBlind()
        ? [h("p", {class: "muted"}, T.image.blind), h("button", {type: "button", onclick: () => setBlind(false)}, T.image.show)]
        : imageGroups(image, this.groupsOpen),
      h("p", {class: "muted compare-keys"}, T.image.keys));
  }

  rating() {
    const {stars = 0, verdict = "none"} = this.image.rating ?? {};
    const isOff = !mayWrite();
    const star = (count) => h("button", {
      type: "button",
      class: count <= stars ? "star is-on" : "star",
      "aria-pressed": count === stars,
      "aria-label": T.image.star(count),
      disabled: isOff,
      onclick: () => this.rate({stars: count}),
    }, count <= stars ? "★" : "☆");
    const verdictButton = (name, text) => h("button", {
      type: "button",
      "aria-pressed": verdict === name,
      disabled: isOff,
      onclick: () => this.rate({verdict: name}),
    }, text);
    return h("div", {class: "rating", role: "group", "aria-label": T.image.rating},
      h("span", {class: "stars"}, [1, 2, 3, 4, 5].map(star)),
      verdictButton("accepted", T.image.accept), verdictButton("rejected", T.image.reject));
  }

  // Rate this image; the same again takes it back.
  rate({stars, verdict}) {
    const before = {stars: this.image.rating?.stars ?? 0, verdict: this.image.rating?.verdict ?? "none"};
    const change = {
      stars: stars && stars === before.stars ? 0 : stars,
      verdict: verdict && verdict === before.verdict ? "none" : verdict,
    };
    rateImages({keys: [this.image.key], ...change, before: [before]});
  }

  marked(marks) {
    const mine = marks.filter((mark) => mark.key === this.image?.key);
    if (!mine.length) return;
    const rating = {stars: 0, verdict: "none", ...this.image.rating};
    for (const {stars, verdict} of mine) {
      rating.stars = stars ?? rating.stars;
      rating.verdict = verdict ?? rating.verdict;
    }
    this.image.rating = rating;
    const place = this.facts.querySelector(".rating");
    const focused = [...place.querySelectorAll("button")].indexOf(document.activeElement);
    const fresh = this.rating();
    place.replaceWith(fresh);
    fresh.querySelectorAll("button")[focused]?.focus();
  }

  pin() {
    document.dispatchEvent(new CustomEvent("ns-pin", {detail: {keys: [this.image.key]}}));
  }

  zoomed() {
    this.zoomText.textContent = `${Math.round((this.zoom?.scale ?? 1) * 100)} %`;
    const {clientWidth, clientHeight} = this.stage;
    const shown = Math.min(clientWidth / this.picture.naturalWidth, clientHeight / this.picture.naturalHeight);
    this.picture.classList.toggle("pixels", shown * (this.zoom?.scale ?? 1) >= pixelsFrom);
  }

  pressed(event) {
    if (isTyping(event) || document.querySelector("dialog[open]")) return;
    if (this.zoom.takeKey(event)) return;
    const change = ratingOfKey(event);
    if (change && this.image) this.rate(change);
    else if (event.key === "c" && this.image?.state === "done") this.pin();
    else if (!this.neighbours.takeKey(event)) return;
    event.preventDefault();
  }
}

function missingText({state, error}) {
  const isFailed = state === "failed" || state === "quarantined";
  return isFailed ? T.image.failed(error) : T.image.notMade(T.sweeps.states[state] ?? state);
}

mountShell();
new ImagePage(document.getElementById("main")).read();

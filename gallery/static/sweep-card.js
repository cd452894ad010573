// One sweep on its page. What has not changed is left as it is, with its focus.
import {data} from "./data.js";
import {h, setChildren} from "./dom.js";
import {countText, durationText, gridLink, rateText, termOf, timeText} from "./format.js";
import {mayWrite} from "./shell.js";
import {T} from "./texts.js";

const usualPriority = 5;
const barStates = ["done", "leased", "failed", "quarantined", "evicted", "pending"];

// Return what a sweep is doing, as people would say it.
export function kindOf({state, pending, leased, done, evicted = 0, total}) {
  if (state !== "active") return state;
  if (leased) return "running";
  if (pending) return "waiting";
  return done + evicted === total ? "done" : "unfinished";
}

export class SweepCard {
  // `change(verb, name)` and `vote(query)` do what the buttons say.
  constructor({change, vote}) {
    this.act = {change, vote};
    this.shown = {};
    this.parts = {};
    for (const name of ["head", "bar", "counts", "trouble", "samples", "actions"]) this.parts[name] = h("div", {class: `sweep-${name}`});
    const {head, bar, counts, trouble, samples, actions} = this.parts;
    this.element = h("article", {class: "sweep"}, samples, h("div", {class: "sweep-main"}, head, bar, counts, trouble), actions);
  }

  show(sweep) {
    const {name, state} = sweep;
    const kind = kindOf(sweep);
    this.element.dataset.kind = kind;
    this.element.setAttribute("aria-label", name);
    const counts = Object.fromEntries(barStates.map((one) => [one, sweep[one] ?? 0]));
    this.part("head", {name, kind, axes: sweep.axes, priority: sweep.priority, owner: sweep.owner, at: sweep.created_at, of: sweep.reference_of}, headOf);
    this.part("bar", {counts, total: sweep.total}, barOf);
    this.part("counts", {name, counts, rate: sweep.images_per_s, eta: sweep.eta_s, kind}, countsOf);
    const {reason, incomplete, blocked, failures, scores} = sweep;
    this.part("trouble", {name, reason, incomplete, blocked, failures, scores}, troubleOf);
    this.part("samples", {name, samples: sweep.samples}, samplesOf);
    this.actions = {name, state, kind, hasFailed: counts.failed + counts.quarantined > 0, hasDone: counts.done > 0, hasPairs: counts.done > 1};
    if (!this.isAsking) this.part("actions", this.actions, (one) => this.actionsOf(one));
  }

  // Draw a part anew if what it shows has changed.
  part(name, what, draw) {
    const text = JSON.stringify(what);
    if (this.shown[name] === text) return;
    this.shown[name] = text;
    const isOpen = this.parts[name].querySelector("details")?.open;
    const focused = [...this.parts[name].querySelectorAll("a, button, summary")].indexOf(document.activeElement);
    setChildren(this.parts[name], draw(what));
    const details = this.parts[name].querySelector("details");
    if (isOpen && details) details.open = true;
    if (focused >= 0) this.parts[name].querySelectorAll("a, button, summary")[focused]?.focus();
  }

  actionsOf({name, state, kind, hasFailed, hasDone, hasPairs}) {
    const verb = (what, className = "") => h("button", {
      type: "button",
      class: className,
      "aria-label": T.sweeps.verbOf(T.sweeps.verbs[what], name),
      onclick: (event) => (what === "cancel" ? this.askToCancel(name) : this.change(what, name, event.target)),
    }, T.sweeps.verbs[what]);
    const isOpen = kind === "running" || kind === "waiting";
    const q = termOf("sweep", name);
    return [
      hasPairs && h("button", {type: "button", onclick: () => this.act.vote(q)}, T.sweeps.pages.vote),
      hasDone && h("a", {class: "button", href: `/answer?${new URLSearchParams({q})}`}, T.sweeps.pages.answer),
      mayWrite() && [
        hasFailed && state === "active" && verb("retry"),
        isOpen && verb("pause"),
        (state === "paused" || state === "cancelled") && verb("resume"),
        (isOpen || state === "paused") && verb("cancel", "danger"),
      ],
    ];
  }

  async change(verb, name, button) {
    button.disabled = true;
    await this.act.change(verb, name);
    button.disabled = false;
  }

  // Ask once, in the place of the buttons.
  askToCancel(name) {
    this.isAsking = true;
    const back = () => {
      this.isAsking = false;
      this.shown.actions = "";
      this.part("actions", this.actions, (one) => this.actionsOf(one));
      (this.parts.actions.querySelector(".danger") ?? this.element.querySelector("a"))?.focus();
    };
    const yes = h("button", {type: "button", class: "danger", onclick: () => {
      back();
      this.act.change("cancel", name);
    }}, T.sweeps.yes);
    const no = h("button", {type: "button", onclick: back}, T.sweeps.no);
    const box = h("div", {class: "sure", role: "alertdialog", "aria-label": T.sweeps.sure(name)}, h("span", {}, T.sweeps.sure(name)), yes, no);
    // Not by `onkeydown`: what that returns, if false, would keep Tab from working.
    box.addEventListener("keydown", (event) => event.key === "Escape" && back());
    setChildren(this.parts.actions, box);
    no.focus();
  }
}

function headOf({name, kind, axes, priority, owner, at, of}) {
  const axesText = Object.entries(axes ?? {}).filter(([, count]) => count > 1).map(([axis, count]) => `${axis}\u00a0×${count}`).join(" · ");
  return [
    h("h2", {}, h("a", {href: gridLink(termOf("sweep", name))}, name)),
    h("span", {class: `badge kind-${kind}`}, T.sweeps.kinds[kind] ?? kind),
    h("span", {class: "sweep-axes"}, axesText),
    h("span", {class: "muted"}, [of ? T.sweeps.referenceOf(of) : "", owner ? T.sweeps.owner(owner) : "", priority === usualPriority ? "" : T.sweeps.priority(priority), at ? T.sweeps.submitted(timeText(at)) : ""].filter(Boolean).join(" · ")),
  ];
}

function barOf({counts, total}) {
  const label = barStates.filter((state) => counts[state]).map((state) => `${countText(counts[state])} ${T.sweeps.states[state]}`).join(", ");
  return h("div", {class: "progress", role: "img", "aria-label": `${T.sweeps.progress(countText(counts.done), countText(total))}: ${label}`},
    barStates.filter((state) => counts[state]).map((state) =>
      h("span", {class: `part state-${state}`, style: {flexGrow: counts[state]}})));
}

function countsOf({name, counts, rate, eta, kind}) {
  const q = termOf("sweep", name);
  const textOf = (state) => (state === "pending" && kind === "cancelled" ? T.sweeps.leftOut : T.sweeps.states[state]);
  const parts = barStates.filter((state) => counts[state]).map((state) =>
    h("a", {class: `count state-${state}`, href: gridLink(q, termOf("state", state))}, countText(counts[state]), " ", textOf(state)));
  const isMoving = kind === "running" || kind === "waiting";
  return [parts, isMoving && rate ? h("span", {}, rateText(rate)) : null, isMoving && eta ? h("span", {}, T.sweeps.left(durationText(eta))) : null];
}

function troubleOf({name, reason, incomplete, blocked, failures, scores}) {
  const sentences = [reason, incomplete, ...(blocked ?? [])].filter(Boolean);
  const count = (failures ?? []).reduce((sum, one) => sum + one.count, 0);
  return [
    sentences.map((sentence) => h("p", {class: "warn"}, sentence)),
    scores && h("p", {class: "muted"}, scores),
    count > 0 && h("details", {},
      h("summary", {class: "bad"}, T.sweeps.failures(countText(count))),
      h("ul", {}, failures.map((one) => h("li", {},
        one.key ? h("a", {href: `/show/${one.key}`}, T.sweeps.failure(countText(one.count), one.error)) : T.sweeps.failure(countText(one.count), one.error))),
      h("li", {}, h("a", {href: gridLink(termOf("sweep", name), "state:failed")}, T.sweeps.allFailed)))),
  ];
}

function samplesOf({name, samples}) {
  return (samples ?? []).slice(0, 4).map((key) => h("a", {href: `/show/${key}`},
    h("img", {src: data.thumbUrl(key), alt: T.sweeps.sample(name), loading: "lazy", width: 64, height: 64})));
}

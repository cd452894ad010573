// The workers and what each does, on the page of sweeps.
import {h, setChildren} from "./dom.js";
import {countText, rateText, timeText} from "./format.js";
import {T} from "./texts.js";

export class WorkerList {
  constructor() {
    this.summary = h("summary");
    this.table = h("div", {class: "wide"});
    this.details = h("details", {class: "workers", hidden: true}, this.summary, this.table);
    this.none = h("p", {class: "warn", hidden: true}, T.sweeps.noWorkers);
    this.element = h("section", {"aria-label": T.sweeps.worker.name}, this.details, this.none);
  }

  // Show the workers; with none, say so if jobs wait for one.
  show(workers, {isNeeded}) {
    const text = JSON.stringify([workers, isNeeded]);
    if (text === this.shown) return;
    this.shown = text;
    const alive = workers.filter((worker) => !worker.silent);
    const devices = new Set(alive.map((worker) => `${worker.host} ${worker.gpu}`));
    this.details.hidden = !workers.length;
    this.none.hidden = alive.length > 0 || !isNeeded;
    this.summary.textContent = T.sweeps.workers(alive.length, devices.size);
    const heads = Object.values(T.sweeps.worker).map((name) => h("th", {scope: "col"}, name));
    setChildren(this.table, h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, workers.map(workerRow))));
  }
}

function workerRow(worker) {
  const does = [worker.phase, worker.detail].filter(Boolean).join(": ");
  return h("tr", {},
    h("th", {scope: "row"}, worker.name),
    h("td", {}, worker.host),
    h("td", {}, [worker.gpu, worker.backend].filter(Boolean).join(" · ")),
    h("td", {class: worker.silent ? "warn" : ""}, worker.silent ? T.sweeps.silent : does),
    h("td", {}, countText(worker.images)),
    h("td", {}, rateText(worker.images_per_s)),
    h("td", {}, timeText(worker.seen_at)));
}

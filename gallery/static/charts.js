// A chart by Vega-Lite in the colours of the page; each point opens its images.
import {data} from "./data.js";
import {h, setChildren} from "./dom.js";
import {amountText, gridLink} from "./format.js";
import {T} from "./texts.js";

const narrowChart = 600;
const facetGap = 70;

export class ChartPlace {
  constructor({name, title, spec, keys, answer, note}) {
    this.spec = spec;
    this.keys = keys ?? {};
    this.place = h("div", {class: "chart", id: `chart-${name}`});
    this.tip = h("div", {class: "chart-tip", role: "presentation", hidden: true});
    this.element = h("section", {class: "chart-section"}, h("h2", {}, title),
      (answer ?? []).map((sentence) => h("p", {}, sentence)), note && h("p", {class: "muted"}, note), this.place, this.tip);
    this.redraw = () => this.draw();
    this.observer = new ResizeObserver(() => this.place.clientWidth !== this.width && this.draw());
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.redraw);
    document.addEventListener("ns-theme", this.redraw);
  }

  end() {
    this.observer.disconnect();
    this.dark.removeEventListener("change", this.redraw);
    document.removeEventListener("ns-theme", this.redraw);
    this.result?.finalize();
  }

  async draw() {
    this.width = this.place.clientWidth;
    try {
      this.result?.finalize();
      this.result = await window.vegaEmbed(this.place, fittedSpec(this.spec, this.width), {
        actions: false,
        ast: true,
        config: chartColours(),
        defaultStyle: false,
        renderer: "svg",
        tooltip: (handler, event, item, value) => this.point(event, item, value),
      });
      this.result.view.addEventListener("click", (event, item) => this.open(item));
      this.makeReachable();
      this.observer.observe(this.place);
    } catch (error) {
      setChildren(this.place, h("p", {class: "bad"}, T.answer.chartFailed(error.message)));
    }
  }

  open(item) {
    const query = item?.datum?.query;
    if (query) window.location.assign(gridLink(query));
  }

  // Show what the pointer or the focus is on, with an example of its images.
  point(event, item, value) {
    this.tip.hidden = !value;
    if (!value) return;
    const facts = Object.entries(value).filter(([name, one]) => name !== "image" && name !== "picture" && one !== null && one !== "");
    const key = this.keys[item?.datum?.setting] ?? item?.datum?.key;
    setChildren(this.tip,
      h("dl", {}, facts.map(([name, one]) => h("div", {}, h("dt", {}, name), h("dd", {}, typeof one === "number" ? amountText(one) : String(one))))),
      typeof key === "string" && h("img", {src: data.thumbUrl(key), alt: "", width: 128}));
    const box = event.target.getBoundingClientRect?.();
    const x = event.clientX ?? box?.right ?? 0;
    const y = event.clientY ?? box?.top ?? 0;
    const {offsetWidth, offsetHeight} = this.tip;
    Object.assign(this.tip.style, {
      left: `${Math.max(4, Math.min(x + 14, innerWidth - offsetWidth - 4))}px`,
      top: `${Math.max(4, Math.min(y + 14, innerHeight - offsetHeight - 4))}px`,
    });
  }

  // A chart is one stop of the Tab key; arrows go from point to point, Enter opens one.
  makeReachable() {
    const points = [...this.place.querySelectorAll("path[aria-roledescription=point]")];
    const pointed = (target, type) => {
      const box = target.getBoundingClientRect();
      target.dispatchEvent(new PointerEvent(type, {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true}));
    };
    points.forEach((point, index) => {
      point.setAttribute("tabindex", index ? -1 : 0);
      point.onfocus = () => pointed(point, "pointermove");
      point.onblur = () => pointed(point, "mouseout");
    });
    this.place.onkeydown = (event) => {
      const from = points.indexOf(event.target);
      if (from < 0) return;
      if (event.key === "Escape") pointed(event.target, "mouseout");
      if (event.key === "Enter") this.open(event.target.__data__);
      const last = points.length - 1;
      const to = {ArrowLeft: Math.max(from - 1, 0), ArrowUp: Math.max(from - 1, 0), ArrowRight: Math.min(from + 1, last),
        ArrowDown: Math.min(from + 1, last), Home: 0, End: last}[event.key];
      if (to === undefined) return;
      event.preventDefault();
      points[from].setAttribute("tabindex", -1);
      points[to].setAttribute("tabindex", 0);
      points[to].focus();
    };
  }
}

function chartColours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = {labelColor: colour("--text"), titleColor: colour("--text")};
  return {
    font: colour("--font"),
    background: "transparent",
    axis: {...text, gridColor: colour("--line"), domainColor: colour("--line"), tickColor: colour("--line"), titleFontWeight: "normal"},
    legend: text,
    header: text,
    text: {color: colour("--text")},
    view: {stroke: null},
  };
}

// Fit small charts into the page; on a phone, names would cover each other.
function fittedSpec(spec, width) {
  const isName = (layer) => (layer.mark?.type ?? layer.mark) === "text";
  if (spec.layer && width < narrowChart) return {...spec, layer: spec.layer.filter((one) => !isName(one))};
  if (!spec.facet) return spec;
  const columns = width < narrowChart ? 1 : width < 1.5 * narrowChart ? 2 : spec.columns;
  return {...spec, columns, spec: {...spec.spec, width: Math.floor(width / columns) - facetGap}};
}

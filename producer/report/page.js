// Draw the charts of the page in the colours of its theme.
"use strict";

const narrow = 600;

function themed() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = { labelColor: colour("--text"), titleColor: colour("--text") };
  return {
    font: style.getPropertyValue("--font").trim(),
    axis: {
      ...text,
      gridColor: colour("--line"),
      domainColor: colour("--line"),
      tickColor: colour("--line"),
      titleFontWeight: "normal",
    },
    legend: text,
    header: text,
    text: { color: colour("--text") },
    view: { stroke: null },
  };
}

function fitted(spec, width) {
  // Names would cover each other on a phone; the table has them.
  const isName = (layer) => layer.mark.type === "text";
  if (spec.layer && width < narrow) return { ...spec, layer: spec.layer.filter((one) => !isName(one)) };
  if (!spec.facet) return spec;
  const columns = width < narrow ? 1 : width < 1.5 * narrow ? 2 : spec.columns;
  const gap = 70;
  const each = Math.floor(width / columns) - gap;
  return { ...spec, columns, spec: { ...spec.spec, width: each } };
}

// A chart is one stop of the Tab key. Arrows go from point to point and show what the
// pointer shows there; Escape hides it.
function reachable(place) {
  const points = [...place.querySelectorAll("path[aria-roledescription=point]")];
  const pointed = (event, type) => {
    const box = event.target.getBoundingClientRect();
    const at = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
    event.target.dispatchEvent(new PointerEvent(type, { ...at, bubbles: true }));
  };
  points.forEach((point, index) => point.setAttribute("tabindex", index ? -1 : 0));
  for (const point of points) {
    point.onfocus = (event) => pointed(event, "pointermove");
    point.onblur = (event) => pointed(event, "mouseout");
  }
  place.onkeydown = (event) => {
    const from = points.indexOf(event.target);
    const last = points.length - 1;
    const to = {
      ArrowLeft: Math.max(from - 1, 0),
      ArrowUp: Math.max(from - 1, 0),
      ArrowRight: Math.min(from + 1, last),
      ArrowDown: Math.min(from + 1, last),
      Home: 0,
      End: last,
    }[event.key];
    if (from < 0) return;
    if (event.key === "Escape") pointed(event, "mouseout");
    if (to === undefined) return;
    event.preventDefault();
    points[from].setAttribute("tabindex", -1);
    points[to].setAttribute("tabindex", 0);
    points[to].focus();
  };
}

// What is wider than the page can be scrolled by keyboard; nothing else is a stop.
function scrollable() {
  for (const place of document.querySelectorAll(".wide, pre")) {
    if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
    else place.removeAttribute("tabindex");
  }
}

async function drawn() {
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  for (const place of document.querySelectorAll(".chart")) {
    const text = document.getElementById(`spec-${place.id}`).textContent;
    const spec = fitted(JSON.parse(text), place.clientWidth);
    const how = { actions: false, ast: true, config: themed(), renderer: "svg", tooltip: { theme } };
    await vegaEmbed(place, spec, how);
    reachable(place);
  }
}

let width = 0;
function redrawn() {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  drawn();
  scrollable();
}

redrawn();
addEventListener("resize", redrawn);
for (const each of document.querySelectorAll("details")) each.addEventListener("toggle", scrollable);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawn);

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

function drawn() {
  for (const place of document.querySelectorAll(".chart")) {
    const text = document.getElementById(`spec-${place.id}`).textContent;
    const spec = fitted(JSON.parse(text), place.clientWidth);
    vegaEmbed(place, spec, { actions: false, ast: true, config: themed(), renderer: "svg" });
  }
}

let width = 0;
function redrawn() {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  drawn();
}

redrawn();
addEventListener("resize", redrawn);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawn);

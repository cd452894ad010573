// The elements of the grid page, from the top down.

import {h} from "./dom.js";
import {T} from "./texts.js";
import {TrayElement} from "./tray.js";
import {VotesElement} from "./votes.js";

// Fill the grid page's main element; returns its parts by name.
export function buildGridPage(main) {
  const parts = {
    query: h("div", {class: "grid-query"}),
    roles: h("div", {class: "grid-roles"}),
    note: h("p", {class: "grid-note", role: "status", hidden: true}),
    trouble: h("p", {class: "grid-trouble trouble bad", role: "status", hidden: true}),
    tools: h("div", {class: "grid-tools"}),
    stage: h("div", {class: "grid-stage", hidden: true}),
    empty: h("p", {class: "grid-empty", hidden: true}),
    status: h("div", {class: "grid-status"}),
  };
  parts.counts = h("span", {class: "grid-counts"});
  parts.about = h("span", {class: "grid-about"});
  parts.constant = h("details", {class: "grid-constant", hidden: true});
  parts.status.append(parts.about, parts.counts);
  const bars = h("div", {class: "grid-bars"}, parts.roles, parts.tools);
  const isWide = innerWidth >= 700;
  parts.folded = h("details", {class: "grid-folded", open: isWide, hidden: true}, h("summary", {}, T.grid.controls), bars);
  main.append(parts.query, parts.folded, parts.note, parts.trouble, parts.constant, parts.stage, parts.empty, parts.status);
  main.append(new TrayElement(), new VotesElement());
  main.classList.add("grid-page");
  return parts;
}

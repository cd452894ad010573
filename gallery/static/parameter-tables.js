// Tables of what differs between images, with the rest folded.
import {h} from "./dom.js";
import {isMeasured} from "./parameters.js";
import {factList, folded} from "./parts.js";
import {T} from "./texts.js";

// Return what differs as a table, one column an image; measurements and what all have
// in common are folded. The rows are those of `splitParameters`.
export function parameterTables({differ, same}) {
  const decides = differ.filter(([name]) => !isMeasured(name));
  const measured = differ.filter(([name]) => isMeasured(name));
  return [
    decides.length ? imageTable(decides) : h("p", {class: "muted"}, T.tray.nothing),
    folded(T.tray.measured(measured.length), measured.length ? imageTable(measured) : null),
    folded(T.tray.same(same.length), factList(same.map(([name, texts]) => [name, texts[0]]))),
  ];
}

function imageTable(rows) {
  const heads = rows[0][1].map((_, index) => h("th", {scope: "col"}, String(index + 1)));
  const rowOf = ([name, texts]) => h("tr", {}, h("th", {scope: "row"}, name), texts.map((text) => h("td", {}, text)));
  return h("table", {}, h("thead", {}, h("tr", {}, h("td"), heads)), h("tbody", {}, rows.map(rowOf)));
}

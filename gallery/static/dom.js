// Elements without a library. Texts become text nodes, so no data is ever read as HTML.

const svgSpace = "http://www.w3.org/2000/svg";
const svgTags = new Set(["svg", "path", "g", "circle", "line", "rect"]);

// Return an element. Properties: `class`, `dataset` and `style` (objects; `style` by the
// CSSOM), `onclick` and the like, attributes that start with `aria-`, `data-` or are no
// property of the element, and any property. Null and undefined are left out, and false
// too but in `aria-`, where it is a value.
// Children are nodes, texts, numbers, or lists of these.
export function h(tag, props, ...children) {
  const element = svgTags.has(tag) ? document.createElementNS(svgSpace, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) setProperty(element, name, value);
  appendAll(element, children);
  return element;
}

function setProperty(element, name, value) {
  if (value === undefined || value === null) return;
  if (name.startsWith("aria-")) element.setAttribute(name, value);
  else if (value === false) setFalse(element, name);
  else if (name === "class") element.setAttribute("class", value);
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "style") setStyle(element, value);
  else if (name in element && !(element instanceof SVGElement) && name !== "list") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

function setFalse(element, name) {
  if (typeof element[name] === "boolean") element[name] = false;
}

function setStyle(element, style) {
  for (const [name, value] of Object.entries(style)) {
    if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.style[name] = value;
  }
}

// Append nodes, texts, numbers, or lists of these; false, null and undefined are nothing.
export function appendAll(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

// Put these children in the place of those that were there.
export function setChildren(element, ...children) {
  element.replaceChildren();
  return appendAll(element, children);
}

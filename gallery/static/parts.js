// Parts that several pages are made of.
import {h} from "./dom.js";

// Return content that is folded under its title, or null without content.
export function folded(title, content, {open = false} = {}) {
  return content && h("details", {open}, h("summary", {}, title), content);
}

// Return names and their values, or null without any.
export function factList(pairs) {
  if (!pairs.length) return null;
  return h("dl", {class: "facts"}, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

// All that is known of one image, in groups that fold.
import {h} from "./dom.js";
import {bytesText, gridLink, termOf, timeText, valueText} from "./format.js";
import {measurementsOf, parametersOf, scoresOf} from "./parameters.js";
import {factList, folded} from "./parts.js";
import {T} from "./texts.js";

const unfoldedAtFirst = new Set(["parameters", "scores"]);

// Return the groups that have something in them; `opened` remembers what people opened.
export function imageGroups(image, opened) {
  const contents = {
    parameters: factList(parameterFacts(image)),
    scores: factList(scoresOf(image)),
    measured: factList(measuredFacts(image)),
    sweeps: sweepFacts(image),
    ratings: ratingFacts(image),
    environment: factList(Object.entries(image.environment ?? {}).filter(([, value]) => value !== "")),
    file: factList(fileFacts(image)),
    a1111: image.a1111 && h("pre", {class: "wrapped"}, image.a1111),
    script: image.script && h("pre", {}, image.script),
  };
  return Object.entries(contents).map(([name, content]) => {
    const group = folded(T.image.groups[name], content, {open: opened.get(name) ?? unfoldedAtFirst.has(name)});
    if (group) group.dataset.group = name;
    return group;
  });
}

function parameterFacts(image) {
  const measured = new Set([...measurementsOf(image), ...scoresOf(image)].map(([name]) => name));
  const texts = new Set(["prompt", "negative_prompt"]);
  return parametersOf(image).filter(([name, text]) => !measured.has(name) && !texts.has(name) && text !== "–");
}

function measuredFacts(image) {
  const facts = measurementsOf(image).filter(([, text]) => text !== "–");
  return facts.map(([name, text]) => {
    if (name.endsWith("_bytes")) return [name.replace("_bytes", ""), bytesText(image[name])];
    if (name.endsWith("_s")) return [name.replace("_s", ""), `${valueText(Number(image[name].toPrecision(3)))} s`];
    if (name === "finished_at") return [name, timeText(image[name])];
    return [name, text];
  });
}

function sweepFacts(image) {
  const sweeps = image.sweeps ?? [];
  if (!sweeps.length) return null;
  return h("ul", {class: "plain"}, sweeps.map(({sweep, cell}) => h("li", {},
    h("a", {href: gridLink(termOf("sweep", sweep))}, sweep),
    factList(Object.entries(cell ?? {}).filter(([, value]) => value !== null).map(([name, value]) => [name, valueText(value)])))));
}

function ratingFacts(image) {
  const ratings = image.ratings ?? [];
  if (!ratings.length) return null;
  return h("ul", {class: "plain"}, ratings.map(({who, stars, verdict, rated_at}) =>
    h("li", {}, T.image.by(who, stars, verdict === "none" ? "" : verdict, timeText(rated_at)))));
}

function fileFacts(image) {
  const facts = [[T.image.key, image.key], [T.image.path, image.file], [T.image.folder, image.folder], [T.image.pixels, image.pixel_sha256]];
  return facts.filter(([, value]) => value).map(([name, value]) => [name, h("span", {class: "mono"}, value)]);
}

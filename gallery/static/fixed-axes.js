// What the server does for fixed axes, for exported pages.

// A pivot of only the images that have these labels, as the server would give it.
export function withAxesFixed(pivot, fixes) {
  const wanted = pivot.axes.filter((axis) => axis.labels.includes(fixes[axis.name]));
  if (!wanted.length) return pivot;
  const isWanted = (i) =>
    wanted.every((axis) => {
      const place = axis.labels.indexOf(fixes[axis.name]);
      const here = pivot.places[axis.name][i];
      return typeof here === "number" ? here === place : here.includes(place);
    });
  const kept = pivot.keys.map((_, i) => i).filter(isWanted);
  const pick = (list) => kept.map((i) => list[i]);
  const pickEach = (lists) =>
    Object.fromEntries(Object.entries(lists || {}).map(([name, list]) => [name, pick(list)]));
  const picked = {...pivot, count: kept.length};
  for (const name of ["keys", "state", "width", "height", "time", "stars", "verdict"]) {
    if (pivot[name]) picked[name] = pick(pivot[name]);
  }
  picked.places = pickEach(pivot.places);
  picked.scores = pickEach(pivot.scores);
  picked.errors = {};
  kept.forEach((i, n) => {
    if (pivot.errors?.[i]) picked.errors[n] = pivot.errors[i];
  });
  picked.axes = pivot.axes.map((axis) =>
    wanted.includes(axis) ? {...axis, fixed: fixes[axis.name]} : axis,
  );
  return picked;
}

// Cells of a pivot that no image stands in, and what would stand there. No DOM.

// The empty cells among some [line, col], or among all, at a place of the slider.
export function emptyCells(model, at, cells = everyCell(model)) {
  return [...cells].filter(([line, col]) => model.placeOf(line, col) && !model.imagesAt(line, col, at).length);
}

function* everyCell({lineCount, colCount}) {
  for (let line = 0; line < lineCount; line++) {
    for (let col = 0; col < colCount; col++) yield [line, col];
  }
}

// The combination that a cell stands for: {axis: [label, ...]}. Axes that are stacked
// have all of their labels, others one; where all images share a value it is that.
export function combinationOf(model, at, [line, col]) {
  const {pivot} = model;
  const {band, row, col: place} = model.placeOf(line, col);
  const constant = Object.entries(pivot.constant || {}).filter(([name]) => !isPromptChoice(name));
  const found = Object.fromEntries(constant.map(([name, label]) => [name, [label]]));
  for (const {name, fixed} of pivot.axes) if (fixed !== null) found[name] = [fixed];
  const sides = [[model.supers, band], [model.rows, row], [model.cols, place], [model.slider, at]];
  for (const [side, n] of sides) {
    side.axes.forEach(({name}, a) => {
      const label = side.labels[n][a];
      if (label !== null) found[name] = [label];
    });
  }
  for (const {name, labels} of model.stack.axes) if (!isPromptChoice(name)) found[name] = labels;
  return found;
}

// Choices within a prompt follow from the prompt.
function isPromptChoice(name) {
  return name.startsWith("prompt.");
}

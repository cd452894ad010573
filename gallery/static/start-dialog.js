// Asks before combinations are added, and what to do where no worker is alive.

import {copyText, say, sayError} from "./shell.js";
import {data} from "./data.js";
import {h} from "./dom.js";
import {T} from "./texts.js";

// Say what would be added; `act` adds it.
export function askToAdd(said, count, act) {
  const add = h("button", {type: "button", class: "primary"}, T.grid.addImages(count));
  const dialog = openDialog(T.grid.addTitle, [h("p", {}, said)], [add], T.grid.addNot);
  add.onclick = () => finish(dialog, add, T.grid.adding, act);
}

// Offer to make sweeps on the server's machine, or the command that does it anywhere.
export function offerToStart(sweeps, said) {
  const [sweep, ...others] = sweeps;
  const command = T.grid.startCommand(sweep);
  const start = h("button", {type: "button", class: "primary"}, T.grid.startHere);
  const copy = h("button", {type: "button", onclick: () => copyText(command, T.grid.command)}, T.grid.copyCommand);
  const dialog = openDialog(T.grid.noWorker, [
    h("p", {}, said),
    h("p", {}, T.grid.howToStart(sweep)),
    h("pre", {}, command),
    others.length > 0 && h("p", {class: "muted"}, T.grid.alsoWaiting(others.join(", "))),
  ], [start, copy], T.grid.startLater);
  // Loading a model takes a while; the dialog stays until there is a worker, or an error.
  start.onclick = () => finish(dialog, start, T.grid.starting, async () => say((await data.change("start", sweep)).said));
}

function openDialog(title, content, buttons, leave) {
  const close = h("button", {type: "button", onclick: () => dialog.close()}, leave);
  const dialog = h("dialog", {class: "grid-help grid-start", "aria-label": title},
    h("h2", {}, title), content, h("div", {class: "grid-start-buttons"}, buttons, close));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Do what a button says, and close its dialog when that is over.
async function finish(dialog, button, text, act) {
  button.disabled = true;
  button.textContent = text;
  await act().catch(sayError);
  dialog.close();
}

// Asks what to do where images wait and no worker is alive.

import {copyText, say, sayError} from "./shell.js";
import {data} from "./data.js";
import {h} from "./dom.js";
import {T} from "./texts.js";

// Offer to make sweeps on the server's machine, or the command that does it anywhere.
export function offerToStart(sweeps, said) {
  const [sweep, ...others] = sweeps;
  const command = T.grid.startCommand(sweep);
  const start = h("button", {type: "button", class: "primary"}, T.grid.startHere);
  const copy = h("button", {type: "button", onclick: () => copyText(command, T.grid.command)}, T.grid.copyCommand);
  const close = h("button", {type: "button", onclick: () => dialog.close()}, T.grid.startLater);
  const dialog = h("dialog", {class: "grid-help grid-start", "aria-label": T.grid.noWorker},
    h("h2", {}, T.grid.noWorker),
    h("p", {}, said),
    h("p", {}, T.grid.howToStart(sweep)),
    h("pre", {}, command),
    others.length > 0 && h("p", {class: "muted"}, T.grid.alsoWaiting(others.join(", "))),
    h("div", {class: "grid-start-buttons"}, start, copy, close));
  start.onclick = () => startSweep(sweep, dialog, start);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

// Loading a model takes a while; the dialog stays until there is a worker, or an error.
async function startSweep(sweep, dialog, button) {
  button.disabled = true;
  button.textContent = T.grid.starting;
  try {
    say((await data.change("start", sweep)).said);
  } catch (error) {
    sayError(error);
  }
  dialog.close();
}

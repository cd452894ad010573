// The page of sweeps: what each is doing, live, and what can be done about it.
import {data} from "./data.js";
import {h, setChildren} from "./dom.js";
import {beginGridsAhead} from "./grid-ahead.js";
import {countText} from "./format.js";
import {mountShell, readStored, say, sayError, writeStored} from "./shell.js";
import {kindOf, SweepCard} from "./sweep-card.js";
import {VotesElement} from "./votes.js";
import {WorkerList} from "./worker-list.js";
import {T} from "./texts.js";

const sweepsAtOnce = 30;
const filterFrom = 8;

// What is under way first, then the newest.
function inOrder(sweeps) {
  const isOpen = (sweep) => ["running", "waiting", "paused"].includes(kindOf(sweep));
  const newer = (one, other) => (one.created_at < other.created_at ? 1 : one.created_at > other.created_at ? -1 : 0);
  return [...sweeps].sort((one, other) => isOpen(other) - isOpen(one) || newer(one, other));
}

class SweepsPage {
  constructor(main) {
    this.cards = new Map();
    this.most = sweepsAtOnce;
    this.workers = new WorkerList();
    this.trouble = h("p", {class: "trouble bad", role: "status", hidden: true});
    this.filter = h("input", {type: "search", placeholder: T.sweeps.filter, "aria-label": T.sweeps.filter, oninput: () => this.arrange()});
    this.filter.value = readStored("sessionStorage", "nightsweep-filter") ?? "";
    this.list = h("div", {class: "sweeps"});
    this.note = h("div", {class: "note"}, h("p", {class: "muted"}, T.sweeps.reading));
    this.more = h("button", {type: "button", hidden: true, onclick: () => this.showMore()});
    this.votes = new VotesElement();
    setChildren(main, h("div", {class: "page"},
      h("div", {class: "page-head"}, h("h1", {}, T.sweeps.title), this.filter),
      this.trouble, this.workers.element, this.list, this.note, this.more), this.votes);
  }

  begin() {
    data.sweeps().then((state) => this.show(state)).catch((error) => this.troubled(error.message));
    data.events(null, {onState: (state) => this.show(state), onTrouble: (sentence) => this.troubled(sentence)});
  }

  troubled(sentence) {
    this.trouble.hidden = false;
    this.trouble.textContent = T.data.noNews(sentence);
  }

  show({sweeps, workers}) {
    this.trouble.hidden = true;
    this.workers.show(workers, {isNeeded: sweeps.some((sweep) => sweep.pending && sweep.state === "active")});
    const names = new Set(sweeps.map((sweep) => sweep.name));
    for (const [name, card] of this.cards) {
      if (names.has(name)) continue;
      card.element.remove();
      this.cards.delete(name);
    }
    for (const sweep of sweeps) {
      if (!this.cards.has(sweep.name)) this.cards.set(sweep.name, new SweepCard(this.actions()));
      this.cards.get(sweep.name).show(sweep);
    }
    this.order = inOrder(sweeps).map((sweep) => sweep.name);
    this.arrange();
  }

  actions() {
    return {
      change: async (verb, name) => {
        try {
          say((await data.change(verb, name)).said);
          this.show(await data.sweeps());
        } catch (error) {
          sayError(error);
        }
      },
      vote: (q) => this.votes.open({q}),
    };
  }

  // Put the cards in order; one that is where it belongs stays, and keeps its focus.
  arrange() {
    const text = this.filter.value.trim().toLowerCase();
    writeStored("sessionStorage", "nightsweep-filter", this.filter.value);
    this.filter.hidden = this.cards.size < filterFrom && !text;
    const found = (this.order ?? []).filter((name) => name.toLowerCase().includes(text));
    const shown = found.slice(0, this.most).map((name) => this.cards.get(name).element);
    for (const child of [...this.list.children]) if (!shown.includes(child)) child.remove();
    shown.forEach((element, index) => {
      if (this.list.children[index] !== element) this.list.insertBefore(element, this.list.children[index] ?? null);
    });
    this.more.hidden = found.length <= this.most;
    this.more.textContent = T.sweeps.more(countText(found.length - this.most));
    this.note.hidden = found.length > 0;
    if (!this.cards.size) setChildren(this.note, h("p", {}, T.sweeps.none), h("p", {}, T.sweeps.start), h("pre", {}, T.sweeps.command));
    else if (!found.length) setChildren(this.note, h("p", {}, T.sweeps.noMatch(text)));
  }

  showMore() {
    const from = this.most;
    this.most += 10 * sweepsAtOnce;
    this.arrange();
    this.list.children[from]?.querySelector("a")?.focus();
  }
}

mountShell();
beginGridsAhead(document.getElementById("main"));
new SweepsPage(document.getElementById("main")).begin();

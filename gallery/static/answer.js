// The page of the answer: which settings are as good, with its charts, live on a query.
import {ChartPlace} from "./charts.js";
import {data} from "./data.js";
import {h, setChildren} from "./dom.js";
import {factList} from "./parts.js";
import {QueryInput} from "./query-input.js";
import {mountShell} from "./shell.js";
import {T} from "./texts.js";

class AnswerPage {
  constructor(main) {
    const asked = new URLSearchParams(location.search);
    this.field = new QueryInput({name: "q", value: asked.get("q") ?? "", required: true, "aria-label": T.answer.query});
    this.query = this.field.input;
    this.by = h("input", {name: "by", value: asked.get("by") ?? "scheduler,steps", spellcheck: false, autocomplete: "off"});
    this.metric = h("select", {name: "metric"}, h("option", {value: ""}, T.answer.anyMetric));
    if (asked.get("metric")) this.offerMetrics([asked.get("metric")], asked.get("metric"));
    this.content = h("div", {"aria-live": "polite"});
    this.form = h("form", {class: "ask", onsubmit: (event) => this.asked(event)},
      h("label", {class: "ask-query"}, T.answer.query, this.field.box),
      h("label", {}, T.answer.by, this.by),
      h("label", {}, T.answer.metric, this.metric),
      h("button", {class: "primary"}, T.answer.ask));
    this.metric.onchange = () => this.form.requestSubmit();
    this.charts = [];
    setChildren(main, h("div", {class: "page answer-page"}, this.form, this.content));
    window.addEventListener("popstate", () => location.reload());
  }

  asked(event) {
    event.preventDefault();
    this.field.end();
    const asked = new URLSearchParams([...new FormData(this.form)].filter(([, value]) => value));
    history.pushState(null, "", `/answer?${asked}`);
    this.read();
  }

  async read() {
    for (const chart of this.charts) chart.end();
    this.charts = [];
    const q = this.query.value.trim();
    if (!q) {
      setChildren(this.content, h("p", {class: "muted"}, T.answer.start));
      this.query.focus();
      return;
    }
    setChildren(this.content, h("p", {class: "muted"}, T.answer.reading));
    this.asking = {};
    const mine = this.asking;
    try {
      const answer = await data.answer(q, this.by.value.trim(), this.metric.value);
      if (mine === this.asking) this.show(answer);
    } catch (error) {
      if (mine === this.asking) setChildren(this.content, h("p", {class: "bad", role: "alert"}, error.message));
    }
  }

  offerMetrics(names, chosen) {
    setChildren(this.metric, names.map((name) => h("option", {value: name}, name)));
    this.metric.value = chosen;
  }

  show({question, answer, facts, charts, caveats, metrics, metric}) {
    if (metrics?.length) this.offerMetrics(metrics, metric);
    document.title = `${question} · ${T.shell.name}`;
    this.charts = (charts ?? []).map((chart) => new ChartPlace(chart));
    setChildren(this.content,
      h("h1", {}, question),
      h("section", {class: "sentences", "aria-label": T.answer.title}, answer.map((sentence) => h("p", {}, sentence))),
      factList(facts ?? []),
      charts?.length ? h("p", {class: "muted"}, T.answer.open) : null,
      this.charts.map((chart) => chart.element),
      caveats?.length ? h("section", {}, h("h2", {}, T.answer.caveats), h("ul", {}, caveats.map((one) => h("li", {}, one)))) : null);
    for (const chart of this.charts) chart.draw();
  }
}

mountShell();
new AnswerPage(document.getElementById("main")).read();

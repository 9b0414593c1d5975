// The Train room: data and their check, an objective and its settings, and a training while it runs.

import { html, useRef, useState } from "../vendor/htm-preact.js";
import { actions, ask, fileOf, form, get } from "../api.js";
import { Form, nested } from "../form.js";
import { runs, useJob } from "../jobs.js";
import { Empty, Fault, Progress } from "../parts.js";
import { Run } from "../run.js";
import { Source } from "../source.js";
import { useAsked, useKept } from "../store.js";
import { help, say } from "../words.js";

const MINUTES = "training.minutes"; // what this room asks for first

export function Train() {
  const [name, choose] = useKept("train", "train gan");
  const [data, load] = useKept("train-data", "");
  const [settings, set] = useKept("train-values", {});
  const [training, follow] = useKept("training", null);
  const [fault, tell] = useState("");
  const [checked, check] = useState(null);
  const view = useRef();
  const listed = useAsked(actions, []);
  const drawn = useAsked(() => form(name), [name]);
  const known = useAsked(() => get("/v1/runs"), [training]);
  const job = useJob(training);
  const fields = drawn.value?.fields ?? [];
  const reads = fields.find(({ path }) => path[0] === "source");
  const minutes = fields.find(({ path }) => path.join(".") === MINUTES);
  const asked = [minutes, ...fields.filter((one) => one !== reads && one !== minutes)].filter(Boolean);
  const values = settings[name] ?? {};
  const sources = (known.value ?? []).map((one) => ({ reference: `run:${one.name}`, label: one.name }));

  const start = async () => {
    tell("");
    try {
      follow((await ask(name, { ...nested(values), ...(reads && { source: data }) })).id);
      check(null);
      view.current.scrollIntoView({ block: "nearest" });
    } catch (error) {
      tell(error.message);
    }
  };
  const look = () => ask("data check", { source: data }).then((one) => check(one.id), (error) => tell(error.message));
  return html`
    <div class="desk wide">
      <section class="panel">
        ${reads !== undefined && html`<${Source} anywhere id="source" label=${say("data")} value=${data} choose=${(one) => { load(one); check(null); }} />
          <div class="bar"><button type="button" disabled=${!data} onClick=${look}>${say("check")}</button></div>`}
        <div class="field"><label for="objective">${say("objective")}</label>
          <select id="objective" onChange=${(e) => choose(e.target.value)}>
            ${(listed.value ?? []).filter((one) => one.name.startsWith("train ")).map((one) => html`<option value=${one.name} selected=${one.name === name}>${one.name.slice(6)}</option>`)}
          </select>
          <small>${help(drawn.value?.summary ?? "")}</small></div>
        <${Form} key=${name} fields=${asked} values=${values} set=${(next) => set((old) => ({ ...old, [name]: next }))} sources=${sources} />
        <${Fault} text=${fault || listed.error || drawn.error} />
        <div class="bar act"><button type="button" class="primary" disabled=${runs(job) || (reads && !data)} onClick=${start}>${say("start")}</button></div>
      </section>
      <section class="view" ref=${view}>
        ${checked && html`<${Check} key=${checked} id=${checked} />`}
        ${job ? html`<${Live} job=${job} follow=${follow} />` : !checked && html`<${Empty} title=${say("train_empty")}>${say("train_hint")}<//>`}
      </section>
    </div>`;
}

/** A training while it runs, and when it has ended. */
function Live({ job, follow }) {
  const [fault, tell] = useState("");
  const go = async () => {
    try {
      follow((await ask("resume", { run: `run:${job.run}` })).id);
    } catch (error) {
      tell(error.message);
    }
  };
  const doing = runs(job);
  return html`
    ${job.run && html`<h2>${job.run}</h2>`}
    <${Progress} job=${job} />
    <${Fault} text=${fault} />
    ${job.remark && doing && html`<p class="soft">${job.remark}</p>`}
    ${job.run && html`<${Run} name=${job.run} beat="${job.beat} ${job.state}" />`}
    ${job.run && !doing && html`
      <div class="bar">
        ${job.state !== "done" && html`<button type="button" class="primary" onClick=${go}>${say("resume")}</button>`}
        <a class="button" href="#runs/${job.run}">${say("open_run")}</a>
        <a class="button" href="#play/${job.run}">${say("play")}</a>
      </div>`}`;
}

/** What the data are, what spoils a training with them, and their contact sheet. */
function Check({ id }) {
  const job = useJob(id);
  if (job?.state !== "done") return html`<${Progress} job=${job} />`;
  const { document, lines, files } = job.result;
  const facts = lines.slice(1, lines.findIndex((line, i) => i > 0 && !line.startsWith(" ")));
  const sheet = files.find((file) => file.endsWith(".png"));
  return html`
    <h2>${lines[0]}</h2>
    <div class="check">
      <div>
        <ul class="findings">
          ${document.findings.map((one) => html`<li class="grave"><p>${one.what}</p><p>→ ${one.do}</p>${one.names.length > 0 && html`<small>${one.names.slice(0, 4).join(", ")}</small>`}</li>`)}
          ${!document.findings.length && html`<li><p>${say("sound")}</p></li>`}
        </ul>
        <pre tabindex="0">${facts.map((line) => line.trim()).join("\n")}</pre>
      </div>
      ${sheet && html`<figure><img src=${fileOf(job.id, sheet)} alt=${say("contact")} /><figcaption>${say("contact")}</figcaption></figure>`}
    </div>`;
}

// The Train room: data and their check, an objective and its settings, and a training while it runs.

import { html, useState } from "../vendor/htm-preact.js";
import { actions, ask, fileOf, form, get } from "../api.js";
import { Form, nested } from "../form.js";
import { runs, useJob } from "../jobs.js";
import { Empty, Fault, Progress } from "../parts.js";
import { Run } from "../run.js";
import { Source } from "../source.js";
import { useAsked, useKept } from "../store.js";
import { help, say } from "../words.js";

export function Train() {
  const [name, choose] = useKept("train", "train gan");
  const [data, load] = useKept("train-data", "");
  const [settings, set] = useKept("train-values", {});
  const [training, follow] = useKept("training", null);
  const [fault, tell] = useState("");
  const listed = useAsked(actions, []);
  const drawn = useAsked(() => form(name), [name]);
  const known = useAsked(() => get("/v1/runs"), [training]);
  const job = useJob(training);
  const fields = drawn.value?.fields ?? [];
  const reads = fields.find(({ path }) => path[0] === "source");
  const values = settings[name] ?? {};
  const sources = (known.value ?? []).map((one) => ({ reference: `run:${one.name}`, label: one.name }));

  const start = async () => {
    tell("");
    try {
      follow((await ask(name, { ...nested(values), ...(reads && { source: data }) })).id);
    } catch (error) {
      tell(error.message);
    }
  };
  return html`
    <div class="desk wide">
      <section class="panel">
        ${reads !== undefined && html`<${Source} id="source" label=${say("data")} value=${data} choose=${load} />`}
        ${reads !== undefined && data && html`<${Check} key=${data} data=${data} />`}
        <div class="field"><label for="objective">${say("objective")}</label>
          <select id="objective" onChange=${(e) => choose(e.target.value)}>
            ${(listed.value ?? []).filter((one) => one.name.startsWith("train ")).map((one) => html`<option value=${one.name} selected=${one.name === name}>${one.name.slice(6)}</option>`)}
          </select>
          <small>${help(drawn.value?.summary ?? "")}</small></div>
        <${Form} key=${name} fields=${fields.filter((one) => one !== reads)} values=${values} set=${(next) => set((old) => ({ ...old, [name]: next }))} sources=${sources} />
        <${Fault} text=${fault || listed.error || drawn.error} />
        <div class="bar act"><button type="button" class="primary" disabled=${runs(job) || (reads && !data)} onClick=${start}>${say("start")}</button></div>
      </section>
      <section class="view">
        ${job ? html`<${Live} job=${job} follow=${follow} />` : html`<${Empty} title=${say("train_empty")}>${say("train_hint")}<//>`}
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

/** What spoils a training with these data, and their contact sheet. */
function Check({ data }) {
  const [id, follow] = useState(null);
  const [fault, tell] = useState("");
  const job = useJob(id);
  const check = () => ask("data check", { source: data }).then((one) => follow(one.id), (error) => tell(error.message));
  const sheet = job?.result?.files?.find((file) => file.endsWith(".png"));
  return html`
    <div class="bar"><button type="button" disabled=${runs(job)} onClick=${check}>${say("check")}</button></div>
    <${Fault} text=${fault} />
    <${Progress} job=${job} />
    ${job?.state === "done" && html`
      <div class="check">
        <pre tabindex="0">${job.result.lines.filter((line) => !line.startsWith("contact sheet")).join("\n")}</pre>
        ${sheet && html`<img src=${fileOf(job.id, sheet)} alt=${say("contact")} />`}
      </div>`}`;
}

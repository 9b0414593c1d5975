// The Runs room: all runs, one of them in full, or two side by side.

import { html, useState } from "../vendor/htm-preact.js";
import { ask, done, form, get } from "../api.js";
import { Form, isDefault, keyOf } from "../form.js";
import { Empty, Fault, interval } from "../parts.js";
import { details, reportOf, Run, Sheets, sheetOf } from "../run.js";
import { kept, useAsked } from "../store.js";
import { say } from "../words.js";

export function Runs({ rest }) {
  const names = rest ? rest.split("+") : [];
  if (names.length === 2) return html`<${Two} names=${names} />`;
  return names.length === 1 ? html`<${One} key=${rest} name=${rest} />` : html`<${List} />`;
}

function List() {
  const [chosen, choose] = useState([]);
  const listed = useAsked(() => get("/v1/runs"), []);
  if (listed.error) return html`<${Fault} text=${listed.error} />`;
  if (!listed.value) return html`<p class="soft">${say("loading")}</p>`;
  if (!listed.value.length) return html`<${Empty} title=${say("runs_empty")}><a class="button" href="#train">${say("train")}</a><//>`;
  const mark = (name) => choose((old) => (old.includes(name) ? old.filter((one) => one !== name) : [...old, name].slice(-2)));
  return html`
    <div class="bar">
      <p class="soft">${say("runs_hint")}</p><span class="gap"></span>
      <a class="button" role="link" aria-disabled=${chosen.length !== 2} href=${chosen.length === 2 ? `#runs/${chosen.join("+")}` : undefined}>${say("compare")}</a>
    </div>
    <ul class="cards">
      ${listed.value.map((run) => html`
        <li key=${run.name}>
          <a href="#runs/${run.name}">
            ${run.sheet === null ? html`<span class="blank"></span>` : html`<img loading="lazy" src=${sheetOf(run.name, run.sheet)} alt="" />`}
            <strong>${run.name}</strong>
          </a>
          <small>${run.objective} · ${run.data}</small>
          <small>${say("progress_of", { steps: run.steps.toLocaleString(), last: run.last.toLocaleString() })} · ${say(run.finished ? "done" : "open")}</small>
          <label class="mark"><input type="checkbox" checked=${chosen.includes(run.name)} onChange=${() => mark(run.name)} /> ${say("select")}<span class="unseen"> ${run.name}</span></label>
        </li>`)}
    </ul>`;
}

/** One run: sheets of all steps, findings, curves and its report. */
function One({ name }) {
  const run = useAsked(() => details(name), [name]);
  const [report, show] = useState(false);
  return html`
    <div class="bar"><a class="button" href="#runs">${say("all_runs")}</a><h2>${name}</h2><span class="gap"></span>
      ${run.value?.report && html`
        <button type="button" aria-pressed=${report} onClick=${() => show(!report)}>${say("report")}</button>
        <a class="button" href=${reportOf(name)} target="_blank" rel="noopener">${say("new_tab")}</a>`}
      ${run.value?.weights && html`<a class="button" href="#play/${name}">${say("play")}</a><a class="button" href="#judge/${name}">${say("judge")}</a>`}
    </div>
    <${Fault} text=${run.error} />
    ${report && html`<iframe class="report" sandbox="" src=${reportOf(name)} title=${say("report")}></iframe>`}
    ${!report && html`<${Run} name=${name} beat="" />`}
    ${run.value && !run.value.training && html`<${Further} run=${run.value} />`}`;
}

/** Ways to train on: from where the run stopped, for more steps than it has, or another run from a checkpoint. */
function Further({ run }) {
  const drawn = useAsked(() => form("resume"), []);
  const [values, set] = useState({});
  const [fault, tell] = useState("");
  const go = async () => {
    try {
      kept("training", null).set((await ask("resume", { run: `run:${run.name}`, ...values })).id);
      location.hash = "#train";
    } catch (error) {
      tell(error.message);
    }
  };
  const begin = async (file) => {
    const kind = `train ${run.objective}`;
    const fields = (await form(kind)).fields.filter(({ path }) => path[0] === "settings");
    const given = fields.map((field) => [field, run.recipe.settings[field.path[1]]]).filter(([field, value]) => !isDefault(field, value));
    const own = Object.fromEntries(given.map(([field, value]) => [keyOf(field), value]));
    kept("train", kind).set(kind);
    kept("train-values", {}).set((old) => ({ ...old, [kind]: { ...own, start: `run:${run.name}/${file}` } }));
    location.hash = "#train";
  };
  const longer = (drawn.value?.fields ?? []).filter(({ path }) => path[0] === "steps");
  return html`
    <section class="further">
      <h2>${say("further")}</h2>
      <div class="two">
        <div class="panel">
          ${run.finished && html`<${Form} fields=${longer} values=${values} set=${set} sources=${[]} all />`}
          <div class="bar"><button type="button" class="primary" disabled=${run.finished && !values.steps} onClick=${go}>${say("resume")}</button></div>
          <${Fault} text=${fault || drawn.error} />
        </div>
        <div class="panel">
          <p class="soft">${say("from_checkpoint")}</p>
          <div class="bar">${Object.entries(run.checkpoints).map(([step, file]) => html`
            <button type="button" class="chip" onClick=${() => begin(file).catch((error) => tell(error.message))}>${say("sheet_of", { step: Number(step).toLocaleString() })}</button>`)}</div>
        </div>
      </div>
    </section>`;
}

/** Two runs side by side: sheets, the settings that differ, and their scores. */
function Two({ names }) {
  const pair = useAsked(() => Promise.all(names.map(details)), [names.join()]);
  if (!pair.value) return html`<${Fault} text=${pair.error} />`;
  const [one, other] = pair.value;
  const rows = differing(flat(one.recipe), flat(other.recipe));
  return html`
    <div class="bar"><a class="button" href="#runs">${say("all_runs")}</a></div>
    <div class="two">${pair.value.map((run) => html`<section key=${run.name}><h2>${run.name}</h2><${Sheets} run=${run} /></section>`)}</div>
    <h2>${say("differing")}</h2>
    ${rows.length ? html`
      <div class="scroll" tabindex="0" role="region" aria-label=${say("differing")}><table>
        <thead><tr><th scope="col">${say("setting")}</th>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
        <tbody>${rows.map(([key, a, b]) => html`<tr><th scope="row">${key}</th><td>${a}</td><td>${b}</td></tr>`)}</tbody>
      </table></div>` : html`<p class="soft">${say("same_settings")}</p>`}
    <h2>${say("scores")}</h2>
    <${Scores} one=${one} other=${other} />`;
}

/** The scores of both certificates, if their protocols are equal; else why they cannot be compared. */
function Scores({ one, other }) {
  const missing = [one, other].filter((run) => !run.evaluation).map((run) => run.name);
  const compared = useAsked(
    () => (missing.length ? null : done("compare", { one: `run:${one.name}/evaluation.json`, other: `run:${other.name}/evaluation.json` })),
    [one.name, other.name],
  );
  if (missing.length) {
    return html`<p class="soft">${say("not_scored", { name: missing.join(", ") })} <a href="#judge/${missing[0]}">${say("judge")}</a></p>`;
  }
  if (!compared.value) return html`<${Fault} text=${compared.error} />`;
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${say("scores")}><table>
      <thead><tr><th scope="col">${say("score")}</th><th scope="col">${one.name}</th><th scope="col">${other.name}</th><th scope="col">${say("verdict")}</th></tr></thead>
      <tbody>${compared.value.result.document.map((row) => html`
        <tr><th scope="row">${row.name}</th><td>${interval(row.one)}</td><td>${interval(row.other)}</td><td>${row.verdict}</td></tr>`)}</tbody>
    </table></div>`;
}

/** Return {"settings.loss": "hinge", ...} of a document. */
function flat(value, key = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return { [key]: JSON.stringify(value) };
  return Object.assign({}, ...Object.entries(value).map(([inner, one]) => flat(one, key ? `${key}.${inner}` : inner)));
}

const differing = (one, other) =>
  [...new Set([...Object.keys(one), ...Object.keys(other)])].filter((key) => one[key] !== other[key]).map((key) => [key, one[key] ?? "–", other[key] ?? "–"]);

// The Judge room: two sets in; scores with intervals and anchors out, and the nearest training pictures beside.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { ask, fileOf, form, get } from "../api.js";
import { Form, nested } from "../form.js";
import { runs, useJob } from "../jobs.js";
import { digits, Empty, Fault, interval, Progress } from "../parts.js";
import { Source } from "../source.js";
import { useAsked, useKept } from "../store.js";
import { say } from "../words.js";

const OWN = ["generated", "reference", "out"]; // what the room itself asks for

export function Judge({ rest }) {
  const [one, choose] = useKept("judge-one", "");
  const [other, against] = useKept("judge-other", "");
  const [settings, set] = useKept("judge-values", {});
  const [id, follow] = useKept("judging", null);
  const [fault, tell] = useState("");
  const drawn = useAsked(() => form("evaluate"), []);
  const known = useAsked(() => get("/v1/runs"), []);
  const job = useJob(id);
  useEffect(() => { if (rest) choose(`run:${rest}`); }, [rest]);
  const made = (known.value ?? []).map((run) => ({ reference: `run:${run.name}`, label: run.name }));
  const judge = async () => {
    tell("");
    try {
      follow((await ask("evaluate", { ...nested(settings), generated: one, ...(other && { reference: other }) })).id);
    } catch (error) {
      tell(error.message);
    }
  };
  const fields = (drawn.value?.fields ?? []).filter(({ path }) => !OWN.includes(path[0]));
  return html`
    <div class="desk wide">
      <section class="panel">
        <${Source} id="one" label=${say("generated")} value=${one} choose=${choose} more=${made} />
        <${Source} id="other" label=${say("reference")} value=${other} choose=${against} />
        <${Form} fields=${fields} values=${settings} set=${set} sources=${[]} />
        <${Fault} text=${fault || drawn.error} />
        <div class="bar act"><button type="button" class="primary" disabled=${runs(job) || !one} onClick=${judge}>${say("judge")}</button></div>
      </section>
      <section class="view">
        ${!job && html`<${Empty} title=${say("judge_empty")}>${say("judge_hint")}<//>`}
        <${Progress} job=${job} />
        ${job?.state === "done" && html`<${Verdict} job=${job} />`}
      </section>
    </div>`;
}

/** A certificate as a table, its remarks, and the sheet of the audit. */
function Verdict({ job }) {
  const { document, files } = job.result;
  const scores = Object.entries(document.scores);
  const anchors = [...new Set(scores.flatMap(([, score]) => (score.rows ?? []).slice(1).map((row) => row.name)))];
  const sheet = files.find((file) => file.endsWith(".png"));
  return html`
    <h2>${say("scores")}</h2>
    <div class="scroll" tabindex="0" role="region" aria-label=${say("scores")}><table>
      <thead><tr><th scope="col">${say("score")}</th><th scope="col">${say("value")}</th>${anchors.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${scores.map(([name, score]) => html`
        <tr class=${score.headline ? "" : "secondary"}><th scope="row">${name}<small>${say(BETTER[score.better] ?? "as_real")}</small></th><td>${interval(score)}</td>
          ${anchors.map((anchor) => html`<td>${digits(score.rows?.find((row) => row.name === anchor)?.value)}</td>`)}</tr>`)}</tbody>
    </table></div>
    ${document.remarks.length > 0 && html`<ul class="remarks">${document.remarks.map((line) => html`<li>${line}</li>`)}</ul>`}
    ${["audit", "utility"].filter((part) => document[part]).map((part) => html`<p>${document[part].verdict}</p>`)}
    ${sheet && html`<figure><img src=${fileOf(job.id, sheet)} alt=${say("nearest")} /><figcaption>${say("nearest")}</figcaption></figure>`}
    <a class="button" href=${fileOf(job.id, "certificate.json")} download="certificate.json">${say("certificate")}</a>`;
}

const BETTER = { smaller: "smaller", larger: "larger" };

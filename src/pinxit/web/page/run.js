// A run as Train and Runs show it: its sheets, findings and curves.

import { html, useState } from "./vendor/htm-preact.js";
import { get } from "./api.js";
import { Curves } from "./chart.js";
import { Fault } from "./parts.js";
import { useAsked } from "./store.js";
import { help, say } from "./words.js";

const path = (name) => `/v1/runs/${encodeURIComponent(name)}`;
export const sheetOf = (name, step) => `${path(name)}/sheets/${step}.png`;
export const reportOf = (name) => `${path(name)}/report`;
export const details = (name) => get(path(name));

/** Everything that a run shows of itself; asked again when `beat` changes. */
export function Run({ name, beat }) {
  const run = useAsked(() => details(name), [name, beat]);
  const curves = useAsked(() => get(`${path(name)}/curves`), [name, beat]);
  if (!run.value) return html`<${Fault} text=${run.error} />`;
  return html`
    <div class="run">
      <${Sheets} key=${name} run=${run.value} />
      <div><${Findings} findings=${run.value.findings} />${curves.value && html`<${Curves} curves=${curves.value} />`}</div>
    </div>`;
}

/** The sheets of all steps, and a slider to go through them. It follows the newest until it is moved. */
export function Sheets({ run }) {
  const [chosen, choose] = useState(null);
  const at = chosen ?? run.sheets.length - 1;
  if (at < 0) return html`<p class="soft">${say("no_sheet")}</p>`;
  const step = run.sheets[at];
  return html`
    <figure class="sheets">
      <img src=${sheetOf(run.name, step)} alt=${say("sheet_of", { step })} data-step=${step} />
      <figcaption>
        <input type="range" min="0" max=${run.sheets.length - 1} value=${at} aria-label=${say("steps")} aria-valuetext=${say("sheet_of", { step })}
          onInput=${(e) => choose(Number(e.target.value) === run.sheets.length - 1 ? null : Number(e.target.value))} />
        <output>${say("sheet_of", { step: step.toLocaleString() })}</output>
      </figcaption>
    </figure>`;
}

/** What went wrong, in plain words, and a command that is likely to do better. */
export function Findings({ findings }) {
  return findings.length > 0 && html`
    <h2>${say("findings")}</h2>
    <ul class="findings">
      ${findings.map((one) => html`
        <li class=${one.grave ? "grave" : ""}><p>${help(one.sentence)}</p>${one.remedy && html`<code>${one.remedy}</code>`}</li>`)}
    </ul>`;
}

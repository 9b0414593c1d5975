// A choice of data: a named set, an allowed folder, or files of one's own, sent as a set.

import { html, useState } from "./vendor/htm-preact.js";
import { places, set, upload } from "./api.js";
import { Drop, Fault } from "./parts.js";
import { useAsked, useKept } from "./store.js";
import { say } from "./words.js";

/** `value` is a reference; `more` are references that stand first, such as runs; `anywhere` is as for `Drop`. */
export function Source({ id, label, value, choose, more = [], anywhere = false }) {
  const known = useAsked(places, []);
  const [own, keep] = useKept("sets", []);
  const [count, tell] = useState(null);
  const [fault, explain] = useState("");
  const choices = [
    ...more,
    ...(known.value?.sets ?? []).map((name) => ({ reference: name, label: name })),
    ...(known.value?.folders ?? []).map((name) => ({ reference: `folder:${name}`, label: say("folder", { name }) })),
    ...own,
  ];
  const take = async (files) => {
    explain("");
    try {
      const kept = [];
      for (const file of files) {
        tell(say("sending", { at: kept.length + 1, of: files.length }));
        kept.push(await upload(file));
      }
      const reference = kept.length === 1 ? kept[0].reference : await set(kept.map((one) => one.reference));
      const label = kept.length === 1 ? files[0].name : say("own_set", { n: kept.length });
      keep((old) => [...old.filter((one) => one.reference !== reference), { reference, label }]);
      choose(reference);
    } catch (error) {
      explain(error.message);
    }
    tell(null);
  };
  return html`
    <div class="field source">
      <label for=${id}>${label}</label>
      <select id=${id} onChange=${(e) => choose(e.target.value || undefined)}>
        <option value="" selected=${!value}>${say("choose_data")}</option>
        ${value && !choices.some((one) => one.reference === value) && html`<option value=${value} selected>${value}</option>`}
        ${choices.map((one) => html`<option value=${one.reference} selected=${one.reference === value}>${one.label}</option>`)}
      </select>
      <${Drop} anywhere=${anywhere} take=${take} accept="image/*,.zip,.tif,.tiff,.heic,.avif,.jp2" label=${count ?? say("drop_set")} hint=${say("drop_set_hint")} />
      <${Fault} text=${fault} />
    </div>`;
}

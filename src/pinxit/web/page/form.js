// A form drawn from the fields that the server lists for an action. No setting is known here by its name.

import { html, useState } from "./vendor/htm-preact.js";
import { upload } from "./api.js";
import { help, say } from "./words.js";
import { Fault } from "./parts.js";

export const keyOf = (field) => field.path.join(".");

/** Say whether a value is what a field has without one. */
export const isDefault = ({ schema }, value) => JSON.stringify(value ?? null) === JSON.stringify(schema.default ?? null);

/** Return the request that values by their paths make: {"edit.gamma": 2} is {edit: {gamma: 2}}. */
export function nested(values) {
  const request = {};
  for (const [key, value] of Object.entries(values)) {
    const [outer, inner] = key.split(".");
    if (inner) (request[outer] ??= {})[inner] = value;
    else request[outer] = value;
  }
  return request;
}

/** The fields of an action: the first ones open, the rest folded under their headings; or `all` of them open. */
export function Form({ fields, values, set, sources, all = false }) {
  const first = fields.filter((field) => all || field.first);
  const groups = Map.groupBy(fields.filter((field) => !first.includes(field)), (field) => field.heading ?? "");
  const draw = (field) => html`<${Field} key=${keyOf(field)} ...${{ field, values, set, sources }} />`;
  return html`
    <div class="form">
      ${first.map(draw)}
      ${[...groups].map(([heading, group]) => html`
        <details key=${heading}>
          <summary>${heading ? help(heading) : say("more")}<${Changed} fields=${group} values=${values} /></summary>
          ${group.map(draw)}
        </details>`)}
    </div>`;
}

/** How many fields of a folded group are set. */
function Changed({ fields, values }) {
  const count = fields.filter((field) => keyOf(field) in values).length;
  return count > 0 && html`<span class="count">${count}</span>`;
}

function Field({ field, values, set, sources }) {
  const key = keyOf(field);
  const shape = shapeOf(field);
  const given = values[key];
  const change = (value) => {
    const { [key]: _, ...others } = values;
    set(value === undefined || isDefault(field, value) ? others : { ...others, [key]: value });
  };
  const Control = CONTROLS[shape.kind];
  return html`
    <div class="field ${shape.kind}">
      <label for=${key} title=${field.name}>${label(field)}</label>
      <${Control} id=${key} describedby="${key}-help" ...${{ shape, sources, change }} value=${given ?? shape.default} />
      <${Help} id="${key}-help" text=${help(field.description)} />
    </div>`;
}

/** Help in two lines; all of it while its field has the focus, or once it is clicked. */
function Help({ id, text }) {
  const [whole, open] = useState(false);
  return html`<small id=${id} class="help ${whole ? "whole" : ""}" onClick=${() => open(!whole)}>${text}</small>`;
}

const label = ({ name }) => {
  const known = help(name);
  if (known !== name) return known;
  const words = name.replace(/^-+/, "").replaceAll(/[-_]/g, " ");
  return words.charAt(0).toUpperCase() + (words === words.toUpperCase() ? words.slice(1).toLowerCase() : words.slice(1));
};

/** Return what a field takes: {kind, optional, default, options, minimum, maximum, whole, count}. */
function shapeOf({ schema, reads, required }) {
  const forms = (schema.anyOf ?? [schema]).map((one) => (one.$ref ? schema.$defs[one.$ref.split("/").at(-1)] : one));
  const some = forms.filter((one) => one.type !== "null");
  const one = some[0];
  const shape = { default: schema.default ?? undefined, optional: !required };
  if (reads) return { ...shape, kind: one.type === "array" ? "files" : "file", word: some.some((f) => f.type === "string" && f.format !== "path") };
  if (some.length > 1) return { ...shape, kind: "text" };
  if (one.enum || "const" in one) return { ...shape, kind: "choice", options: one.enum ?? [one.const] };
  if (one.type === "boolean") return { ...shape, kind: "flag" };
  if (one.type === "number" || one.type === "integer") return { ...shape, kind: "number", ...bounds(one) };
  if (one.prefixItems) return { ...shape, kind: "numbers", parts: one.prefixItems.map(bounds) };
  return { ...shape, kind: one.type === "array" ? "list" : "text", whole: one.items?.type };
}

const bounds = (one) => ({
  minimum: one.minimum ?? one.exclusiveMinimum, maximum: one.maximum ?? one.exclusiveMaximum, whole: one.type === "integer",
});

const number = (text) => (text === "" ? undefined : Number(text));

/** A slider stands beside a number whose bounds are near enough to be pointed at. */
const slides = ({ minimum, maximum, whole }) => minimum !== undefined && maximum - minimum <= (whole ? 200 : 20);

const stepOf = ({ minimum, maximum, whole }) => {
  if (whole) return 1;
  const span = maximum - minimum;
  return span > 0 && span <= 20 ? (span > 2 ? 0.05 : 0.01) : "any";
};

const CONTROLS = {
  flag: ({ id, describedby, value, change }) => html`
    <input type="checkbox" id=${id} aria-describedby=${describedby} checked=${value === true} onChange=${(e) => change(e.target.checked)} />`,

  choice: ({ id, describedby, shape, value, change }) => html`
    <select id=${id} aria-describedby=${describedby} onChange=${(e) => change(shape.options[e.target.value])}>
      ${shape.default === undefined && html`<option value="" selected=${value === undefined}>${say("none")}</option>`}
      ${shape.options.map((one, i) => html`<option value=${i} selected=${one === value}>${String(one)}</option>`)}
    </select>`,

  number: ({ id, describedby, shape, value, change }) => html`
    <span class="slide">
      ${slides(shape) && html`
        <input type="range" min=${shape.minimum} max=${shape.maximum} step=${stepOf(shape)} value=${value ?? shape.minimum}
          aria-labelledby=${id} aria-label=${say("slider")} onInput=${(e) => change(number(e.target.value))} />`}
      <input type="number" id=${id} aria-describedby=${describedby} min=${shape.minimum} max=${shape.maximum} step=${shape.whole ? 1 : "any"}
        value=${value ?? ""} placeholder=${say("automatic")} onChange=${(e) => change(number(e.target.value))} />
    </span>`,

  numbers: ({ id, describedby, shape, value, change }) => {
    const put = (at, text) => {
      const next = shape.parts.map((_, i) => (i === at ? number(text) : value?.[i]));
      change(next.every((one) => one === undefined) ? undefined : next.map((one, i) => one ?? shape.parts[i].minimum ?? 0));
    };
    return html`
      <span class="row">
        ${shape.parts.map((part, i) => html`
          <input type="number" id=${i ? undefined : id} aria-describedby=${describedby} aria-label="${id} ${i + 1}" step=${part.whole ? 1 : "any"} min=${part.minimum}
            value=${value?.[i] ?? ""} onChange=${(e) => put(i, e.target.value)} />`)}
      </span>`;
  },

  text: ({ id, describedby, value, change }) => html`
    <input type="text" id=${id} aria-describedby=${describedby} value=${value ?? ""} onChange=${(e) => change(e.target.value.trim() || undefined)} />`,

  list: ({ id, describedby, shape, value, change }) => {
    const read = (text) => text.split(",").map((one) => one.trim()).filter(Boolean).map((one) => (shape.whole === "string" ? one : Number(one)));
    return html`
      <input type="text" id=${id} aria-describedby=${describedby} value=${(value ?? []).join(", ")} placeholder="a, b" onChange=${(e) => change(read(e.target.value))} />`;
  },

  file: ({ id, describedby, shape, sources, value, change }) => html`
    <span class="row wrap">
      <${Choice} ...${{ id, describedby, sources, value, change }} />
      ${shape.word && html`<input type="text" aria-label=${say("word")} placeholder=${say("word")} value=${value && !value.includes(":") ? value : ""} onChange=${(e) => change(e.target.value.trim() || undefined)} />`}
      <${Send} take=${(references) => change(references[0])} />
    </span>`,

  files: ({ id, describedby, sources, value = [], change }) => html`
    <span class="row wrap">
      ${value.map((one, i) => html`
        <button type="button" class="chip" onClick=${() => change(value.filter((_, at) => at !== i))} aria-label=${say("remove")}>
          ${sources.find(({ reference }) => reference === one)?.label ?? one.slice(0, 18)} ×</button>`)}
      <${Choice} ...${{ id, describedby, sources, change: (one) => one && change([...value, one]) }} />
      <${Send} many take=${(references) => change([...value, ...references])} />
    </span>`,
};

/** A choice among what is at hand: pictures, runs, sets. */
function Choice({ id, describedby, sources, value, change }) {
  const known = sources.some(({ reference }) => reference === value);
  return html`
    <select id=${id} aria-describedby=${describedby} onChange=${(e) => change(e.target.value || undefined)}>
      <option value="" selected=${!value}>${say("none")}</option>
      ${value && !known && html`<option value=${value} selected>${value.split(":")[0] === "upload" ? say("own_file") : value}</option>`}
      ${sources.map(({ reference, label }) => html`<option value=${reference} selected=${reference === value}>${label}</option>`)}
    </select>`;
}

/** A button that sends files from this machine. */
export function Send({ take, many = false, label = say("choose_file") }) {
  const [fault, tell] = useState("");
  const chosen = async (event) => {
    tell("");
    const files = [...event.target.files];
    event.target.value = "";
    try {
      const kept = [];
      for (const file of files) kept.push((await upload(file)).reference);
      if (kept.length) take(kept);
    } catch (error) {
      tell(error.message);
    }
  };
  return html`<label class="button"><input type="file" multiple=${many} onChange=${chosen} />${label}</label><${Fault} text=${fault} />`;
}

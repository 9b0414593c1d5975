// The Edit room: pictures, the edits that can be made of them, a mask, and the history of each picture.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { actions, ask, bytes, command, done, fileOf, form, measure, upload, viewOf } from "../api.js";
import { Form, keyOf, nested } from "../form.js";
import { act, back, now, opened, redo, undo } from "../history.js";
import { runs, useJob } from "../jobs.js";
import * as mask from "../mask.js";
import { Copyable, Drop, Empty, Fault, Progress } from "../parts.js";
import { Stage } from "../stage.js";
import { useAsked, useKept } from "../store.js";
import { help, say } from "../words.js";

const TOOLS = ["hand", "brush", "eraser", "box", "pick"];
const EDIT = "edit "; // what names of edits begin with
const OWN = ["pictures", "mask"]; // what the room itself asks for
const TAKEN = "image/*,.tif,.tiff,.heic,.avif,.jp2";

export function Edit() {
  const [pictures, put] = useKept("pictures", []);
  const [at, choose] = useKept("picture", 0);
  const [fault, tell] = useState("");
  const shown = Math.min(at, pictures.length - 1);
  const picture = pictures[shown];

  const take = async (files) => {
    tell("");
    for (const file of files) {
      try {
        const kept = await upload(file);
        put((old) => [...old, opened(file.name, kept)]);
        choose(pictures.length);
      } catch (error) {
        tell(`${file.name}: ${error.message}`);
      }
    }
  };
  const change = (how) => put((old) => old.map((one, i) => (i === shown ? how(one) : one)));
  const close = (which) => put((old) => old.filter((_, i) => i !== which));

  if (!picture) {
    return html`
      <${Empty} title=${say("edit_empty")} />
      <${Drop} anywhere take=${take} accept=${TAKEN} label=${say("drop_pictures")} hint=${say("drop_hint")} />
      <${Fault} text=${fault} />`;
  }
  return html`
    <ul class="film" aria-label=${say("pictures")}>
      ${pictures.map((one, i) => html`
        <li key=${one.first.reference + i}>
          <button type="button" class="thumb" aria-pressed=${i === shown} title=${one.name} onClick=${() => choose(i)}>
            <img src=${viewOf(now(one).reference, 160)} alt=${one.name} /></button>
          <button type="button" class="quiet close" aria-label=${say("close_picture", one)} onClick=${() => close(i)}>×</button>
        </li>`)}
      <li><${Drop} anywhere take=${take} accept=${TAKEN} label="+" hint=${say("add_pictures")} /></li>
    </ul>
    <${Fault} text=${fault} />
    <${Desk} key=${picture.first.reference + shown} ...${{ pictures, put, picture, change, tell }} />`;
}

/** One picture and everything that can be done to it. */
function Desk({ pictures, put, picture, change, tell }) {
  const state = now(picture);
  const [tool, take] = useKept("tool", "brush");
  const [size, resize] = useKept("brush", 24);
  const [name, choose] = useKept("edit", "edit adjust");
  const [settings, set] = useKept("edit-values", {});
  const [compared, compare] = useState(null);
  const [map, showMap] = useState(false);
  const [chain, link] = useKept("edit-chain", []);
  const [doing, follow] = useKept("edit-job", null);
  const job = useJob(doing?.job);
  const shape = useAsked(() => form(name), [name]);
  const fields = (shape.value?.fields ?? []).filter(({ path }) => !OWN.includes(path[0]));
  const values = taken({ ...settings.all, ...settings[name] }, fields);
  const give = (next) => set((old) => ({ ...old, ...parted(next, name) }));
  const last = state.edits.at(-1);
  const comparable = last && Math.abs(picture.first.width / picture.first.height / (state.width / state.height) - 1) < 0.02;
  const before = comparable && compared !== null ? picture.first.reference : null;
  const area = useArea(state, values);

  useEffect(() => { if (job && !runs(job)) finish(doing, job).catch((error) => tell(error.message)); }, [job?.state]);
  const finish = async ({ job: id, action, request, names, before }, ended) => {
    follow(null);
    if (action === "edit" && ended.state === "done") link([]);
    if (ended.state !== "done") return tell(ended.state === "failed" ? ended.result.error : "");
    tell(ended.result.error ?? "");
    const made = await Promise.all(ended.result.document.pictures.map((row, i) => edited(row, i, id, action, request, names, ended.result.files)));
    put((old) => old.map((one) => {
      const which = before.findIndex(({ reference, name: called }) => reference === now(one).reference && called === one.name);
      return which < 0 || !made[which] ? one : act(one, { edit: made[which] });
    }));
  };
  const step = { name: name.slice(EDIT.length), ...nested(values).edit };
  const apply = async (which) => {
    tell("");
    try {
      const whole = { ...nested(values), ...(chain.length > 0 && { edit: [...chain, step] }) };
      const action = chain.length > 0 ? "edit" : name;
      const document = { ...whole, ...(await drawn(state)), pictures: which.map((one) => now(one).reference) };
      const started = await ask(action, document);
      const names = Object.fromEntries([...which.map((one) => [now(one).reference, one.name]), [document.mask, "mask.png"]]);
      follow({ job: started.id, action, request: document, names, before: which.map((one) => ({ reference: now(one).reference, name: one.name })) });
    } catch (error) {
      tell(error.message);
    }
  };

  useEffect(() => {
    const key = (event) => {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "range" && event.target.type !== "checkbox";
      const wanted = shortcut(event, { undo: () => change(undo), redo: () => change(redo), take, resize, tool });
      if (wanted && !typing) { event.preventDefault(); wanted(); }
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  });

  return html`
    <div class="desk">
      <section class="view">
        <div class="bar" role="toolbar" aria-label=${say("tools")}>
          ${TOOLS.map((one) => html`<button type="button" aria-pressed=${one === tool} onClick=${() => take(one)}>${say(one)}</button>`)}
          <label class="thick"><span class="unseen">${say("size")}</span><input type="range" min="1" max="300" value=${size} onInput=${(e) => resize(Number(e.target.value))} /><output>${size}</output></label>
          <button type="button" disabled=${!state.strokes.length} onClick=${() => change((old) => act(old, { clear: true }))}>${say("clear")}</button>
          <span class="gap"></span>
          <button type="button" disabled=${!picture.done.length} onClick=${() => change(undo)}>${say("undo")}</button>
          <button type="button" disabled=${!picture.undone.length} onClick=${() => change(redo)}>${say("redo")}</button>
        </div>
        <${Stage} picture=${map && last?.map ? { ...state, reference: last.map } : state} strokes=${state.strokes} tool=${tool} size=${size}
          before=${before} compare=${compared ?? 50} slide=${compare} overlay=${area?.src}
          drawn=${(stroke) => change((old) => act(old, { stroke }))} picked=${(pixel, image) => pick(pixel, image, state, (colour) => give({ ...values, "area.colour": colour }))} fault=${tell} />
        <div class="bar">
          ${comparable && html`<button type="button" aria-pressed=${compared !== null} onClick=${() => compare(compared === null ? 50 : null)}>${say("before_after")}</button>`}
          ${before && html`<input type="range" class="compare" aria-label=${say("before_after")} min="0" max="100" value=${compared} onInput=${(e) => compare(Number(e.target.value))} />`}
          ${last?.map && html`<button type="button" aria-pressed=${map} onClick=${() => showMap(!map)}>${say("show_map")}</button>`}
          <span class="gap"></span>
          ${last && html`<button type="button" onClick=${() => download(picture).catch((error) => tell(error.message))}>${say("download")}</button>`}
          ${pictures.length > 1 && pictures.some((one) => now(one).edits.length) && html`<button type="button" onClick=${() => downloadAll(pictures).catch((error) => tell(error.message))}>${say("download_all")}</button>`}
        </div>
        ${area?.error && html`<${Fault} text=${area.error} />`}
        <${Progress} job=${job} />
      </section>
      <section class="panel">
        ${chain.length > 0 && html`
          <ol class="history chain" aria-label=${say("chain")}>
            ${chain.map((one, i) => html`<li><button type="button" class="chip" aria-label=${say("unlink", one)} onClick=${() => link(chain.filter((_, at) => at !== i))}>${one.name} ×</button></li>`)}
            <li><strong>${step.name}</strong></li>
          </ol>`}
        <${Settings} ...${{ name, choose, asked: shape, fields, values, give, pictures }} />
        <div class="bar act">
          <button type="button" class="primary" disabled=${Boolean(doing)} onClick=${() => apply([picture])}>${say("apply")}</button>
          ${pictures.length > 1 && html`<button type="button" disabled=${Boolean(doing)} onClick=${() => apply(pictures)}>${say("apply_all", { n: pictures.length })}</button>`}
          <span class="gap"></span>
          <button type="button" class="quiet" title=${say("then_hint")} onClick=${() => link([...chain, step])}>${say("then")}</button>
        </div>
        <${History} picture=${picture} change=${change} />
      </section>
    </div>`;
}

/** Return the settings of an edit by its name, and under "all" those that it shares with others, such as of the mask. */
function parted(values, name) {
  const of = (own) => Object.fromEntries(Object.entries(values).filter(([key]) => key.startsWith("edit.") === own));
  return { [name]: of(true), all: of(false) };
}

/** Return those of the values that a form has fields for. */
const taken = (values, fields) => Object.fromEntries(Object.entries(values).filter(([key]) => fields.some((field) => keyOf(field) === key)));

/** Return the request's mask, sent to the server, if one is drawn. */
async function drawn({ strokes, width, height }) {
  return strokes.length ? { mask: (await upload(await mask.file(strokes, width, height))).reference } : {};
}

/** Where the server would change the picture by the mask and the settings of the area: {src} or {error}; else null. */
function useArea(state, values) {
  const [shown, show] = useState({});
  const area = Object.fromEntries(Object.entries(values).filter(([name]) => name.startsWith("area.")));
  const key = JSON.stringify([state.reference, state.strokes, area]);
  useEffect(() => {
    if (!Object.keys(area).length) return undefined;
    const ask = async () => done("area", { ...nested(area), ...(await drawn(state)), picture: state.reference });
    const timer = setTimeout(
      () => ask().then((job) => show({ key, src: fileOf(job.id, "area.png") }), (error) => show({ key, error: error.message })), 300,
    );
    return () => clearTimeout(timer);
  }, [key]);
  return shown.key === key ? shown : null;
}

/** The choice of an edit, and its settings. */
function Settings({ name, choose, asked, fields, values, give, pictures }) {
  const listed = useAsked(actions, []);
  const edits = (listed.value ?? []).filter((one) => one.name.startsWith(EDIT));
  const sources = useSources(pictures);
  return html`
    <div class="field"><label for="editor">${say("editor")}</label>
      <select id="editor" onChange=${(e) => choose(e.target.value)}>
        ${edits.map((one) => html`<option value=${one.name} selected=${one.name === name}>${one.name.slice(EDIT.length)}</option>`)}
      </select>
      <small>${help(asked.value?.summary ?? "")}</small></div>
    <${Fault} text=${listed.error ?? asked.error} />
    <${Form} key=${name} fields=${fields} values=${values} set=${give} sources=${sources} />`;
}

/** What settings that read a file may name: the open pictures and the runs. */
function useSources(pictures) {
  const runs = useAsked(() => fetch("/v1/runs").then((answer) => answer.json()), []);
  return [
    ...pictures.map((one) => ({ reference: now(one).reference, label: one.name })),
    ...(runs.value ?? []).map((one) => ({ reference: `run:${one.name}`, label: one.name })),
  ];
}

/** The edits of a picture, each with its command line; a click goes back to it. */
function History({ picture, change }) {
  const { edits } = now(picture);
  return edits.length > 0 && html`
    <h2>${say("history")}</h2>
    <ol class="history">
      <li><button type="button" onClick=${() => change((old) => back(old, 0))}>${say("original")}</button></li>
      ${edits.map((one, i) => html`
        <li key=${one.job}><button type="button" aria-current=${i === edits.length - 1 ? "step" : undefined} onClick=${() => change((old) => back(old, i + 1))}>${title(one)}</button></li>`)}
    </ol>
    <${Command} edit=${edits.at(-1)} />`;
}

/** What an edit, or a chain of them, is called. */
const title = ({ action, request }) => action.slice(EDIT.length) || request.edit.map(({ name }) => name).join(" | ");

function Command({ edit }) {
  const line = useAsked(() => command(edit.action, edit.request, edit.names), [edit.job]);
  return line.value && html`<details><summary>${say("command")}</summary><${Copyable} text=${line.value} /></details>`;
}

/** Return what a job made of one picture; nothing if that failed. */
async function edited(row, at, job, action, request, names, files) {
  if (row.error) return null;
  const file = `results/${row.output}`;
  const reference = `job:${job}/${file}`;
  const { width, height } = await measure(reference);
  const map = files.includes(`${file}.map.png`) ? `job:${job}/${file}.map.png` : null;
  return { reference, width, height, job, file, map, action, request, names };
}

/** Save the server's own file under the original's name: its depth, alpha and profile stay. */
async function download(picture) {
  const { job, file } = now(picture).edits.at(-1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await bytes(fileOf(job, file)));
  link.download = picture.name.replace(/\.[^.]*$/, "") + file.slice(file.lastIndexOf("."));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function downloadAll(pictures) {
  for (const one of pictures) if (now(one).edits.length) await download(one);
}

/** Read the colour of a pixel from the view; it chooses pixels and is no part of any result. */
function pick([x, y], image, { width, height }, give) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d");
  context.drawImage(image, (-x * image.naturalWidth) / width, (-y * image.naturalHeight) / height);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  give(`#${[r, g, b].map((one) => one.toString(16).padStart(2, "0")).join("")}`);
}

/** Return what a key does here; nothing if it does nothing. */
function shortcut({ key, ctrlKey, metaKey, shiftKey }, { undo, redo, take, resize, tool }) {
  if (ctrlKey || metaKey) return { z: shiftKey ? redo : undo, Z: redo, y: redo }[key];
  const grow = (by) => () => resize((old) => Math.min(300, Math.max(1, Math.round(old * by + Math.sign(by - 1)))));
  return { "[": grow(0.85), "]": grow(1.15), x: () => take(tool === "brush" ? "eraser" : "brush") }[key];
}

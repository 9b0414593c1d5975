// The Play room: samples of a run, the way between two of them, directions of the latents; and styles.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { ask, bytes, done, fileOf, form, get, upload, viewOf } from "../api.js";
import { Form, nested, Send } from "../form.js";
import { Empty, Fault } from "../parts.js";
import { details } from "../run.js";
import { useAsked, useKept } from "../store.js";
import { help, say } from "../words.js";

const OWN = ["run", "seeds", "move", "interpolate", "out"]; // what the room itself asks for
const DIRECTIONS = 6, PREVIEW = 256;

export function Play({ rest }) {
  const listed = useAsked(() => get("/v1/runs"), []);
  const [kept, keep] = useKept("play-run", "");
  useEffect(() => { if (rest) keep(rest); }, [rest]);
  const usable = (listed.value ?? []).filter((run) => run.weights);
  const name = usable.some((run) => run.name === kept) ? kept : usable[0]?.name;
  return html`
    ${listed.value && !usable.length && html`<${Empty} title=${say("play_empty")}><a class="button" href="#train">${say("train")}</a><//>`}
    <${Fault} text=${listed.error} />
    ${name && html`<${Samples} key=${name} run=${name}>
      <div class="field"><label for="run">${say("run")}</label>
        <select id="run" onChange=${(e) => keep(e.target.value)}>${usable.map((run) => html`<option selected=${run.name === name}>${run.name}</option>`)}</select></div>
    <//>`}
    <${Style} />`;
}

/** Samples of a run; a click keeps one, two show the way between, sliders move what is kept. */
function Samples({ run, children }) {
  const drawn = useAsked(() => form("sample"), []);
  const known = useAsked(() => details(run), [run]);
  const classes = known.value?.recipe.settings.conditional ? known.value.classes : [];
  const [settings, set] = useKept("play-values", {});
  const [shown, show] = useState([]);
  const [picked, pick] = useKept(`kept.${run}`, []);
  const [between, walk] = useState([]);
  const [moves, move] = useState({});
  const [moved, showMoved] = useState([]);
  const [busy, wait] = useState(false);
  const [fault, tell] = useState("");
  const latest = useRef(0);

  const sample = async (more) => {
    const { n, seed, ...others } = settings;
    const request = { ...nested(more.seeds ? others : settings), run: `run:${run}`, ...more };
    const job = await done("sample", request);
    const files = job.result.files.filter((file) => file.endsWith(".png"));
    return files.map((file, i) => ({ src: fileOf(job.id, file), seed: Number(file.match(/(\d+)\.png$/)[1]), label: request.label ?? classes[i % classes.length] }));
  };
  /** Sample what is kept again, each picture of its own class. */
  const again = async (more) => (await Promise.all(picked.map((one) => sample({ ...asked(one), ...more })))).flat();
  const run_ = async (what, give) => {
    tell("");
    wait(true);
    try {
      give(await what());
    } catch (error) {
      tell(error.message);
    }
    wait(false);
  };
  const has = (list, { seed, label }) => list.some((one) => one.seed === seed && one.label === label);
  const toggle = ({ seed, label }) => pick((old) => (has(old, { seed, label }) ? old.filter((one) => !has([one], { seed, label })) : [...old, { seed, label }]));
  const slide = (at, value) => {
    const next = { ...moves, [at]: value };
    move(next);
    const turn = ++latest.current;
    const text = Object.entries(next).filter(([, by]) => by).map(([which, by]) => `${which}=${by}`).join(",");
    setTimeout(() => turn === latest.current && run_(() => again(text && { move: text }), (made) => turn === latest.current && showMoved(made)), 120);
  };
  useEffect(() => { if (known.value) run_(() => sample({}), show); }, [known.value]);
  const fields = (drawn.value?.fields ?? []).filter(({ path }) => !OWN.includes(path[0])).flatMap((field) => (field.path[0] === "label" ? named(field, classes) : [field]));
  return html`
    <div class="desk">
      <section class="view">
        <ul class="grid" aria-busy=${busy}>
          ${shown.map((one) => html`
            <li key=${one.src}><button type="button" class="thumb" aria-pressed=${has(picked, one)} aria-label=${say("seed", one)} onClick=${() => toggle(one)}><img src=${one.src} alt="" /></button></li>`)}
        </ul>
        ${!shown.length && html`<p class="soft" role="status">${busy ? say("running") : ""}</p>`}
        <${Fault} text=${fault} />
        ${picked.length > 0 && html`
          <h2>${say("kept")}</h2>
          <div class="bar">
            ${picked.map((one) => html`<button type="button" class="chip" aria-label=${say("let_go", one)} onClick=${() => toggle(one)}>${say("seed", one)} ×</button>`)}
            <span class="gap"></span>
            ${picked.length === 2 && html`<button type="button" disabled=${busy} onClick=${() => run_(() => sample({ ...asked(picked[0]), seeds: picked.map(({ seed }) => seed), interpolate: 8 }), walk)}>${say("between")}</button>`}
          </div>
          ${between.length > 0 && picked.length === 2 && html`<ol class="grid row8 between">${between.map((one) => html`<li><img src=${one.src} alt="" /></li>`)}</ol>`}
          <h3>${say("directions")}</h3>
          <div class="directions">
            ${Array.from({ length: DIRECTIONS }, (_, i) => html`
              <label>${i + 1}<input type="range" min="-3" max="3" step="0.1" value=${moves[i + 1] ?? 0} aria-label=${say("direction", { n: i + 1 })} onInput=${(e) => slide(i + 1, Number(e.target.value))} /><output>${(moves[i + 1] ?? 0).toFixed(1)}</output></label>`)}
          </div>
          ${moved.length > 0 && html`<ul class="grid moved">${moved.map((one) => html`<li><img src=${one.src} alt=${say("seed", one)} /></li>`)}</ul>`}`}
      </section>
      <section class="panel">
        ${children}
        <${Form} fields=${fields} values=${settings} set=${set} sources=${[]} />
        <div class="bar act"><button type="button" class="primary" disabled=${busy} onClick=${() => run_(() => sample({}), show)}>${say("sample")}</button></div>
      </section>
    </div>`;
}

/** Return what asks for a kept picture again. */
const asked = ({ seed, label }) => ({ seeds: [seed], ...(label !== undefined && { label }) });

/** A field for a class offers those of the run, if it has learned any. */
const named = (field, classes) => (classes.length ? [{ ...field, schema: { ...field.schema, anyOf: [{ enum: classes }, { type: "null" }] } }] : []);

/** A picture in the style of another, by the net that paints in one pass; the slider asks for each strength. */
function Style() {
  const [content, load] = useState(null);
  const [style, dress] = useState(null);
  const [strength, set] = useState(1);
  const [shown, show] = useState(null);
  const [rate, time] = useState(null);
  const [fault, tell] = useState("");
  const wanted = useRef(null);

  const small = async (reference) => (await upload(await bytes(viewOf(reference, PREVIEW)))).reference;
  const paint = async (next) => {
    const idle = wanted.current === null;
    wanted.current = next;
    if (!idle || !content || !style) return;
    try {
      while (wanted.current !== null) { // only the last strength that was asked for is painted
        const at = wanted.current;
        const began = performance.now();
        const job = await done("edit stylize", { pictures: [content], edit: { style: [style], quick: true }, settings: { strength: at } });
        show(fileOf(job.id, `results/${job.result.document.pictures[0].output}`));
        time(1000 / (performance.now() - began));
        if (wanted.current === at) wanted.current = null;
      }
    } catch (error) {
      wanted.current = null;
      tell(error.message);
    }
  };
  useEffect(() => { if (content && style) paint(strength); }, [content, style]);
  const take = (give) => (references) => small(references[0]).then(give, (error) => tell(error.message));
  return html`
    <section class="style">
      <h2>${say("style")}</h2>
      <p class="soft">${say("style_hint")}</p>
      <div class="three">
        <figure><${Send} label=${say("content")} take=${take(load)} />${content && html`<img src=${viewOf(content, PREVIEW)} alt=${say("content")} />`}</figure>
        <figure><${Send} label=${say("style_of")} take=${take(dress)} />${style && html`<img src=${viewOf(style, PREVIEW)} alt=${say("style_of")} />`}</figure>
        ${shown && html`<figure><figcaption>${say("painted")}</figcaption><img class="painted" src=${shown} alt=${say("painted")} /></figure>`}
      </div>
      <${Fault} text=${fault} />
      ${content && style && html`
        <label class="strength">${say("strength")}<input type="range" min="0" max="1" step="0.02" value=${strength} onInput=${(e) => { set(Number(e.target.value)); paint(Number(e.target.value)); }} /><output>${Math.round(strength * 100)} %</output>
        ${rate && html`<small data-rate=${rate.toFixed(1)}>${say("rate", { n: rate.toFixed(1) })}</small>`}</label>`}
    </section>`;
}

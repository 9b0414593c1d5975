// Pieces that several rooms show.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { stop } from "./api.js";
import { runs } from "./jobs.js";
import { say } from "./words.js";

/** Why something failed, in one line. */
export const Fault = ({ text }) => html`<p class="fault" role="alert">${text}</p>`;

/** What to do first, where there is nothing yet. */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2><p>${children}</p></div>`;

/** How far a job is, and a button that stops it; why it failed, if it did. */
export function Progress({ job }) {
  if (!job) return null;
  if (!runs(job)) return html`<${Fault} text=${job.state === "failed" ? job.result?.error : (job.result?.error ?? "")} />`;
  return html`
    <div class="progress" role="status">
      <progress max="1" value=${job.fraction ?? undefined} aria-label=${say("progress")}></progress>
      <span>${job.text || say(job.state)}</span>
      <button type="button" onClick=${() => stop(job.id)}>${say("stop")}</button>
    </div>`;
}

/** A place for files: they may be dropped or chosen; with `anywhere`, also pasted, or dropped elsewhere on the page. */
export function Drop({ take, label, accept, hint, anywhere = false }) {
  const [over, tell] = useState(false);
  const place = useRef();
  useFiles((files, where) => { if (anywhere || place.current.contains(where)) take(files); });
  const dropped = () => tell(false);
  return html`
    <label ref=${place} class="drop ${over ? "over" : ""}" onDragOver=${() => tell(true)} onDragLeave=${() => tell(false)} onDrop=${dropped}>
      <input type="file" multiple accept=${accept} onChange=${(e) => { take([...e.target.files]); e.target.value = ""; }} />
      <strong>${label}</strong><span>${hint}</span>
    </label>`;
}

/** Take files that are pasted, or dropped, with where on the page that was. */
function useFiles(take) {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const came = (event) => {
      const files = [...(event.clipboardData ?? event.dataTransfer).files];
      if (files.length) latest.current(files, event.target);
    };
    addEventListener("paste", came);
    addEventListener("drop", came);
    return () => { removeEventListener("paste", came); removeEventListener("drop", came); };
  }, []);
}

/** A text, and a button that copies it. */
export function Copyable({ text }) {
  const [done, tell] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    tell(true);
    setTimeout(() => tell(false), 1500);
  };
  return html`<div class="copyable"><pre tabindex="0"><code>${text}</code></pre><button type="button" onClick=${copy}>${done ? say("copied") : say("copy")}</button></div>`;
}

/** A score with its interval. */
export const interval = ({ value, interval: range }) =>
  html`<strong>${digits(value)}</strong>${range && html` <small class="inline">${digits(range.low)} … ${digits(range.high)}</small>`}`;

export const digits = (value) => (typeof value === "number" ? Number(value.toPrecision(4)).toLocaleString() : "–");

// A job while it runs: its events, as the server sends them, and its state in a component.

import { useEffect, useState } from "./vendor/htm-preact.js";

/** Follow a job: `tell` gets what changes of {state, text, fraction, remark, preview, run, beat, result}.
 * `beat` is another whenever its run has something new to show. Returns an end. */
function follow(job, tell) {
  const events = new EventSource(`/v1/jobs/${job}/events`);
  const on = (name, read) => events.addEventListener(name, (event) => tell(read(JSON.parse(event.data))));
  on("progress", ({ text, fraction }) => ({ state: "running", text, fraction }));
  on("remark", ({ text }) => ({ state: "running", remark: text }));
  on("picture", ({ text, fraction, file }) => ({
    state: "running", text, fraction, ...(file && { preview: `/v1/jobs/${job}/previews/${file}` }),
  }));
  on("run", ({ run }) => ({ run }));
  on("sheet", ({ number }) => ({ state: "running", beat: number }));
  on("finding", ({ number }) => ({ beat: number }));
  events.addEventListener("end", (event) => {
    events.close();
    tell(JSON.parse(event.data));
  });
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED) return; // it connects again by itself
    tell({ state: "failed", result: { error: "the job is not there any more; ask for it again" } });
  };
  return () => events.close();
}

/** The state of a job in a component: {state, text, fraction, remark, preview, run, result}; null without a job. */
export function useJob(job) {
  const [known, tell] = useState(null);
  useEffect(() => {
    tell(job ? { id: job, state: "queued" } : null);
    return job ? follow(job, (change) => tell((old) => ({ ...old, ...change, id: job }))) : undefined;
  }, [job]);
  return known?.id === job ? known : null;
}

export const runs = (job) => job !== null && (job.state === "queued" || job.state === "running");

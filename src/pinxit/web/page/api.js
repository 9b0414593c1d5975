// The HTTP API of the studio: every request that the page makes.

import { kept } from "./store.js";

/** Why the server refused, as one line. */
export class Refused extends Error {
  constructor(status, line) {
    super(line);
    this.status = status;
  }
}

const client = kept("client", random());

function random() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((one) => one.toString(16).padStart(2, "0")).join("");
}

async function call(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: { "x-client": client.get(), ...headers } });
  } catch {
    throw new Refused(0, "the studio does not answer; start it again: pinxit studio");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, said.error ?? `the server answered ${answer.status}`);
}

/** Send JSON and return the answer's JSON. */
export async function send(method, path, document) {
  const answer = await call(method, path, document && JSON.stringify(document), { "content-type": "application/json" });
  return answer.json();
}

export const get = async (path) => (await call("GET", path)).json();
export const bytes = async (path) => (await call("GET", path)).blob();

export const actions = () => get("/v1/actions");
export const form = (action) => get(`/v1/actions/${encodeURIComponent(action)}`);
export const places = () => get("/v1/places");
export const command = async (action, request, names) => (await send("POST", "/v1/command", { action, request, names })).command;

/** Keep a file on the server, under its SHA-256; return {reference, kind, width, height, channels}. */
export async function upload(file) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  const name = [...digest].map((one) => one.toString(16).padStart(2, "0")).join("");
  const answer = await call("PUT", `/v1/uploads/${name}`, file, { "content-type": "application/octet-stream" });
  return answer.json();
}

/** Make a set of uploads; return its reference. */
export const set = async (files) => (await send("PUT", "/v1/sets", { files })).reference;

/** Ask for an action; return the job, which has ended if that took less than `wait` seconds. */
export function ask(action, request, wait = 0) {
  return send("PUT", `/v1/jobs/${random()}?wait=${wait}`, { action, request });
}

/** Ask for an action and wait for its end; return the job. */
export async function done(action, request) {
  let job = await ask(action, request, 50);
  while (job.state === "queued" || job.state === "running") {
    await new Promise((wake) => setTimeout(wake, 1000));
    job = await get(`/v1/jobs/${job.id}`);
  }
  if (job.state !== "done") throw new Refused(0, job.result?.error ?? job.state);
  return job;
}

export const stop = (job) => send("DELETE", `/v1/jobs/${job}`);

export const fileOf = (job, file) => `/v1/jobs/${job}/files/${file.split("/").map(encodeURIComponent).join("/")}`;
export const viewOf = (reference, side) => `/v1/views?of=${encodeURIComponent(reference)}&side=${side}`;

/** Return {width, height, channels} of a picture of any kind. */
export const measure = async (reference) => (await done("view", { picture: reference, side: 16 })).result.document;

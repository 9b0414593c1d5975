// What the page remembers: values that every room sees, kept in the browser so that a reload loses nothing.

import { useEffect, useState } from "./vendor/htm-preact.js";

const values = new Map();

/** Return a value by its name: {get, set, watch}. It is kept as JSON; what is no longer JSON begins anew. */
export function kept(name, initial) {
  if (!values.has(name)) values.set(name, made(`pinxit.${name}`, initial));
  return values.get(name);
}

function made(name, initial) {
  let value = initial;
  try {
    value = JSON.parse(localStorage.getItem(name)) ?? initial;
  } catch {} // another version wrote it
  const watching = new Set();
  const set = (next) => {
    value = typeof next === "function" ? next(value) : next;
    localStorage.setItem(name, JSON.stringify(value));
    watching.forEach((tell) => tell(value));
  };
  if (localStorage.getItem(name) === null) set(value);
  return {
    get: () => value,
    set,
    watch: (tell) => {
      watching.add(tell);
      return () => watching.delete(tell);
    },
  };
}

/** A kept value in a component: [value, set]. */
export function useKept(name, initial) {
  const one = kept(name, initial);
  const [value, tell] = useState(one.get());
  useEffect(() => {
    tell(one.get());
    return one.watch((next) => tell(() => next));
  }, [one]);
  return [value, one.set];
}

/** What a promise gives, in a component: {value, error}; asked again when `on` changes. */
export function useAsked(ask, on) {
  const [answer, tell] = useState({});
  useEffect(() => {
    let current = true;
    Promise.resolve(ask()).then(
      (value) => current && tell({ value }),
      (error) => current && tell({ error: error.message }),
    );
    return () => { current = false; };
  }, on);
  return answer;
}

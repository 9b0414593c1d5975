// The frame of the page: its rooms, and which of them is open.

import { html, render, useEffect, useState } from "./vendor/htm-preact.js";
import { useKept } from "./store.js";
import { language, say } from "./words.js";
import { Edit } from "./rooms/edit.js";
import { Train } from "./rooms/train.js";
import { Runs } from "./rooms/runs.js";
import { Play } from "./rooms/play.js";
import { Judge } from "./rooms/judge.js";

const ROOMS = { edit: Edit, train: Train, runs: Runs, play: Play, judge: Judge };

/** The room that the address names: "#runs" or "#runs/NAME". */
const named = () => {
  const [room, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  return { room: room in ROOMS ? room : "edit", rest: rest.join("/") };
};

function Page() {
  const [{ room, rest }, go] = useState(named());
  const [tongue, speak] = useKept("language", language.get());
  useEffect(() => {
    addEventListener("hashchange", () => go(named()));
    for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault()); // else the browser opens the file
  }, []);
  useEffect(() => {
    document.documentElement.lang = tongue;
    document.title = `${say(room)} – pinxit`;
  }, [tongue, room]);
  const Room = ROOMS[room];
  return html`
    <a class="skip" href="#room" onClick=${(e) => { e.preventDefault(); document.querySelector("main").focus(); }}>${say("skip")}</a>
    <header class="top">
      <a class="sign" href="#edit">pinxit</a>
      <nav aria-label=${say("rooms")}>
        ${Object.keys(ROOMS).map((one) => html`<a href="#${one}" aria-current=${one === room ? "page" : undefined}>${say(one)}</a>`)}
      </nav>
      <button type="button" class="quiet tongue" lang=${tongue === "zh" ? "en" : "zh"} onClick=${() => speak(tongue === "zh" ? "en" : "zh")}>${say("language")}</button>
    </header>
    <main tabindex="-1" class=${room}><h1 class="unseen">${say(room)}</h1><${Room} rest=${rest} /></main>`;
}

render(html`<${Page} />`, document.body);

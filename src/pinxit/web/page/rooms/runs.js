import { html } from "../vendor/htm-preact.js";
import { Empty } from "../parts.js";
import { say } from "../words.js";

export const Runs = () => html`<${Empty} title=${say("runs")} />`;

import { html } from "../vendor/htm-preact.js";
import { Empty } from "../parts.js";
import { say } from "../words.js";

export const Train = () => html`<${Empty} title=${say("train")} />`;

// Curves of a run, drawn by uPlot in the colours of the house: a panel for each quantity, a line for each network.

import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import uPlot from "./vendor/uplot.js";
import { say } from "./words.js";

/** Panels of curves {"generator/loss": {at, values}}: those of one name after the slash share a panel. */
export function Curves({ curves }) {
  const panels = Map.groupBy(Object.keys(curves), (name) => name.split("/").at(-1));
  return html`
    <div class="panels">
      ${[...panels].map(([name, lines]) => html`<${Panel} key=${name} name=${name} lines=${lines} curves=${curves} />`)}
    </div>`;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (line) => line.split("/").slice(0, -1).join("/") || line;

function Panel({ name, lines, curves }) {
  const place = useRef(), plot = useRef();
  const data = uPlot.join(lines.map((line) => [curves[line].at, curves[line].values]));
  useEffect(() => {
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    plot.current = new uPlot({
      width: place.current.clientWidth, height: 150, padding: [8, 8, 0, 0], scales: { x: { time: false } }, legend: { show: false }, cursor: { y: false },
      axes: [{ ...axis, space: 60, size: 28 }, { ...axis, size: 48, space: 30 }],
      series: [{}, ...lines.map((line, i) => ({ label: short(line), stroke: colour(`--line-${i % 4}`), width: 1.5, spanGaps: true, points: { show: false } }))],
    }, data, place.current);
    const watch = new ResizeObserver(() => plot.current.setSize({ width: place.current.clientWidth, height: 150 }));
    watch.observe(place.current);
    return () => { watch.disconnect(); plot.current.destroy(); };
  }, [lines.join()]);
  useEffect(() => plot.current.setData(data), [data]);
  const last = lines.map((line) => `${short(line)} ${Number(curves[line].values.at(-1)).toPrecision(3)}`).join(", ");
  return html`
    <figure>
      <figcaption><strong>${name.replaceAll("_", " ")}</strong>${lines.length > 1 && lines.map((line, i) => html`<span class="key" style=${{ color: `var(--line-${i % 4})` }}>${short(line)}</span>`)}</figcaption>
      <div ref=${place} role="img" aria-label="${name}: ${say("latest")} ${last}" data-points=${data[0].length}></div>
    </figure>`;
}

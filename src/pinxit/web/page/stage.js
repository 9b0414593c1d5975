// The picture at the middle of the Edit room: zoom, pan, and a mask drawn in the picture's own pixels.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.js";
import { viewOf } from "./api.js";
import { paint, redraw } from "./mask.js";
import { say } from "./words.js";

const LARGEST = 64; // screen pixels for a pixel of the picture
const SIDES = [1600, 4096]; // of views: one to look at, one for its pixels

/** Return the place at which the whole picture is in the middle of the frame. */
const fitting = (frame, { width, height }) => {
  const scale = Math.min(frame.clientWidth / width, frame.clientHeight / height, 8) * 0.96;
  return { scale, x: (frame.clientWidth - width * scale) / 2, y: (frame.clientHeight - height * scale) / 2, fits: true };
};

/** The picture, with what is drawn on it. `picture` is {reference, width, height}; `drawn` gets a new stroke.
 * With a picture `before`, nothing is drawn: the line between the two, at `compare` percent, follows the pointer. */
export function Stage({ picture, strokes, tool, size, before, compare, slide, overlay, drawn, picked, fault }) {
  const frame = useRef(), canvas = useRef(), drawing = useRef(null), fingers = useRef(new Map());
  const [place, move] = useState({ scale: 1, x: 0, y: 0, fits: true });
  const [space, hold] = useState(false);
  const { reference, width, height } = picture;

  useLayoutEffect(() => {
    const refit = () => move((old) => (old.fits ? fitting(frame.current, picture) : old));
    move(fitting(frame.current, picture));
    const watch = new ResizeObserver(refit);
    watch.observe(frame.current);
    return () => watch.disconnect();
  }, [width, height]);
  useLayoutEffect(() => redraw(canvas.current, strokes), [strokes, width, height]);
  useEffect(() => {
    const key = (event) => event.code === "Space" && !isControl(event.target) && (event.preventDefault(), hold(event.type === "keydown"));
    addEventListener("keydown", key);
    addEventListener("keyup", key);
    return () => { removeEventListener("keydown", key); removeEventListener("keyup", key); };
  }, []);

  const zoom = (factor, x = frame.current.clientWidth / 2, y = frame.current.clientHeight / 2) =>
    move((old) => {
      const scale = Math.min(LARGEST, Math.max(0.02, old.scale * factor));
      return { scale, x: x - ((x - old.x) * scale) / old.scale, y: y - ((y - old.y) * scale) / old.scale, fits: false };
    });
  const fit = () => move(fitting(frame.current, picture));
  const inside = (event) => {
    const { left, top } = frame.current.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const pixel = (event) => {
    const [x, y] = inside(event);
    return [rounded((x - place.x) / place.scale), rounded((y - place.y) / place.scale)];
  };

  /** Lead the line between before and after to the pointer. */
  const follow = (event) => {
    if (event.button < 1 && !space) slide(Math.min(100, Math.max(0, (pixel(event)[0] / width) * 100)));
  };
  const down = (event) => {
    frame.current.setPointerCapture(event.pointerId);
    fingers.current.set(event.pointerId, inside(event));
    if (fingers.current.size > 1) {
      drawing.current = null;
      redraw(canvas.current, strokes);
    } else if (before) {
      follow(event);
    } else if (tool === "pick") {
      picked(pixel(event), frame.current.querySelector("img.now"));
    } else if (!space && event.button === 0 && tool !== "hand") {
      drawing.current = { tool, size, points: [pixel(event)] };
      stroke(0);
    }
  };
  const moved = (event) => {
    if (!fingers.current.has(event.pointerId)) return;
    const earlier = [...fingers.current.values()];
    fingers.current.set(event.pointerId, inside(event));
    if (drawing.current) {
      const { points } = drawing.current;
      if (drawing.current.tool === "box") points.splice(1);
      points.push(pixel(event));
      stroke(points.length - 1);
    } else if (before && event.buttons === 1 && !space && earlier.length === 1) {
      follow(event);
    } else if (tool === "hand" || space || event.buttons === 4 || earlier.length > 1) drag(earlier, [...fingers.current.values()]);
  };
  /** Move the picture with one finger; with two, zoom as well. */
  const drag = (from, to) => {
    const middle = (points) => [0, 1].map((i) => points.reduce((sum, point) => sum + point[i], 0) / points.length);
    const [a, b] = [middle(from), middle(to)];
    move((old) => ({ ...old, x: old.x + b[0] - a[0], y: old.y + b[1] - a[1], fits: false }));
    if (to.length === 2) zoom(apart(to) / apart(from), ...b);
  };
  const up = (event) => {
    fingers.current.delete(event.pointerId);
    if (drawing.current) drawn(drawing.current);
    drawing.current = null;
  };
  const stroke = (from) => {
    if (drawing.current.tool === "box") redraw(canvas.current, strokes);
    paint(canvas.current.getContext("2d"), drawing.current, from);
  };
  const wheel = (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), ...inside(event));
  };
  const key = (event) => {
    const act = { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: fit, ...arrows(move) }[event.key];
    if (act && !event.ctrlKey && !event.metaKey) { event.preventDefault(); act(); }
  };

  const view = (one) => viewOf(one, place.scale * Math.max(width, height) > SIDES[0] * 1.5 && Math.max(width, height) > SIDES[0] ? SIDES[1] : SIDES[0]);
  const at = { width: `${width}px`, height: `${height}px`, transform: `translate(${place.x}px, ${place.y}px) scale(${place.scale})`, "--scale": place.scale };
  return html`
    <div class="frame ${space ? "hand" : before ? "comparing" : tool}" ref=${frame} tabindex="0" role="application" aria-label=${say("stage")}
      onPointerDown=${down} onPointerMove=${moved} onPointerUp=${up} onPointerCancel=${up} onWheel=${wheel} onKeyDown=${key}>
      <div class="sheet ${place.scale > 1.5 ? "pixels" : ""}" style=${at}>
        <img class="now" src=${view(reference)} alt="" draggable="false" onError=${() => fault(say("expired"))} />
        ${before && html`<img class="before" src=${view(before)} alt="" draggable="false" style=${{ clipPath: `inset(0 ${100 - compare}% 0 0)` }} />`}
        ${before && html`<i class="divider" style=${{ left: `${compare}%`, width: `${2 / place.scale}px` }}></i>`}
        <canvas class="mask" ref=${canvas} width=${width} height=${height} hidden=${Boolean(overlay) || Boolean(before)}></canvas>
        ${overlay && !before && html`<div class="overlay"><i style=${{ maskImage: `url(${overlay})` }}></i></div>`}
      </div>
      <div class="zoom" onPointerDown=${(e) => e.stopPropagation()}>
        <button type="button" aria-label=${say("zoom_out")} onClick=${() => zoom(1 / 1.5)}>−</button>
        <button type="button" onClick=${fit} aria-label="${Math.round(place.scale * 100)} %, ${say("fit")}">${Math.round(place.scale * 100)} %</button>
        <button type="button" aria-label=${say("zoom_in")} onClick=${() => zoom(1.5)}>+</button>
      </div>
    </div>`;
}

const rounded = (value) => Math.round(value * 10) / 10;
const apart = ([[a, b], [c, d]]) => Math.max(1, Math.hypot(a - c, b - d));
const isControl = (element) => /^(INPUT|TEXTAREA|SELECT|BUTTON|A|SUMMARY)$/.test(element.tagName);
const arrows = (move) => {
  const by = (x, y) => () => move((old) => ({ ...old, x: old.x + x, y: old.y + y, fits: false }));
  return { ArrowLeft: by(40, 0), ArrowRight: by(-40, 0), ArrowUp: by(0, 40), ArrowDown: by(0, -40) };
};

// A mask is a list of strokes in the picture's own pixels; the canvas is only their drawing.
// A stroke is {tool: "brush" | "eraser" | "box", size, points: [[x, y], ...]}.

/** Draw one stroke; from its point number `from` on if the rest is there already. */
export function paint(context, { tool, size, points }, from = 0) {
  context.globalCompositeOperation = tool === "eraser" ? "destination-out" : "source-over";
  if (tool === "box") {
    const [[left, top], [right, bottom]] = corners(points);
    context.fillRect(left, top, right - left, bottom - top);
    return;
  }
  context.lineWidth = size;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  const [first, ...others] = points.slice(Math.max(0, from - 1));
  context.moveTo(...first);
  (others.length ? others : [first]).forEach((point) => context.lineTo(...point));
  context.stroke();
}

/** Return the top left and bottom right corners of a box, in whole pixels. */
export function corners(points) {
  const [[a, b], [c, d]] = [points[0], points.at(-1)];
  return [[Math.floor(Math.min(a, c)), Math.floor(Math.min(b, d))], [Math.ceil(Math.max(a, c)), Math.ceil(Math.max(b, d))]];
}

/** Draw all strokes on a canvas, in white on nothing. */
export function redraw(canvas, strokes) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = context.strokeStyle = "#fff";
  strokes.forEach((stroke) => paint(context, stroke));
}

/** Return the mask as a PNG of the picture's size: white where it applies, on black. */
export function file(strokes, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  redraw(canvas, strokes);
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  return new Promise((give) => canvas.toBlob(give, "image/png"));
}

// What was done to a picture: a list of actions, from which its present state follows. Undo takes from its end.
// An action is {stroke}, {clear: true} or {edit: {reference, width, height, job, action, request, map}}.

/** Return a picture that has just arrived. */
export const opened = (name, { reference, width, height }) => ({
  name, first: { reference, width, height }, done: [], undone: [],
});

/** Return the present state: {reference, width, height, strokes, edits}. */
export const now = (picture) => picture.done.reduce(after, { ...picture.first, strokes: [], edits: [] });

function after(state, { stroke, clear, edit }) {
  if (stroke) return { ...state, strokes: [...state.strokes, stroke] };
  if (clear) return { ...state, strokes: [] };
  const { reference, width, height } = edit;
  const same = width === state.width && height === state.height; // a mask of another size fits no longer
  return { reference, width, height, strokes: same ? state.strokes : [], edits: [...state.edits, edit] };
}

export const act = (picture, action) => ({ ...picture, done: [...picture.done, action], undone: [] });

export const undo = (picture) =>
  picture.done.length
    ? { ...picture, done: picture.done.slice(0, -1), undone: [picture.done.at(-1), ...picture.undone] }
    : picture;

export const redo = (picture) =>
  picture.undone.length
    ? { ...picture, done: [...picture.done, picture.undone[0]], undone: picture.undone.slice(1) }
    : picture;

/** Return the picture as it was before its edits from `count` on; the rest can be redone. */
export function back(picture, count) {
  let earlier = picture;
  while (now(earlier).edits.length > count) earlier = undo(earlier);
  return earlier;
}

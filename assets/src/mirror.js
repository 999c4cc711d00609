// The textarea is the form's field. Copying a large text into it at every key would be felt, so it follows lazily:
//
// - `FormData(form)`, a submit and anything htmx sends carry the current text (events formdata, htmx:confirm);
// - whoever reads `textarea.value` otherwise dispatches "console:sync" at the document first;
// - an `input` event at the textarea tells of typing once it pauses; `data-typed` is on it from the first key on;
// - who has another text for it dispatches a cancelable "console:replace" at it, with {text} as its detail: the editor
//   cancels it and takes the text, as one step for undo.

import { EditorView } from "@codemirror/view";

const SHORTEST = 250; // milliseconds from the last key to `input`
const LONGEST = 5000;

export function mirror(textarea) {
  let view = null;
  let stale = false; // the textarea has an older text
  let untold = false; // nobody has heard of the last key yet
  let timer = 0;
  let pause = SHORTEST;
  let asked = 0;

  const sync = () => {
    if (stale) textarea.value = view.state.sliceDoc();
    stale = false;
  };
  const settle = () => {
    clearTimeout(timer);
    untold = false;
    delete textarea.dataset.typed;
    sync();
  };
  const tell = () => {
    settle();
    textarea.dispatchEvent(new Event("input", { bubbles: true }));
  };
  textarea.form?.addEventListener("formdata", (event) => {
    if (!textarea.name) return;
    sync();
    event.formData.set(textarea.name, textarea.value);
  });
  textarea.form?.addEventListener("submit", settle);
  document.addEventListener("console:sync", sync);
  document.addEventListener("htmx:confirm", sync);
  addEventListener("pagehide", sync);
  addEventListener("beforeunload", (event) => {
    if (untold) event.preventDefault();
  });
  // A check that takes long is asked for less often.
  textarea.addEventListener("htmx:beforeSend", () => (asked = performance.now()));
  textarea.addEventListener("htmx:afterRequest", () => {
    pause = Math.min(Math.max(SHORTEST, 1.5 * (performance.now() - asked)), LONGEST);
  });
  return {
    attach: (made) => {
      view = made;
      textarea.addEventListener("console:replace", (event) => {
        event.preventDefault();
        const changes = { from: 0, to: view.state.doc.length, insert: event.detail.text };
        view.dispatch({ changes, userEvent: "input.replace" });
      });
    },
    extension: EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      stale = untold = true;
      textarea.dataset.typed = "";
      clearTimeout(timer);
      timer = setTimeout(tell, pause);
    }),
  };
}

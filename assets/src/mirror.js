// The textarea is the form's field. Copying a large text into it is felt (a fifth of a second for two megabytes), so it
// keeps the older text until somebody needs the newer one in it:
//
// - `FormData(form)`, a submit and every htmx request carry the current text (events formdata, htmx:configRequest);
// - whoever reads `textarea.value` dispatches "console:sync" at the document first;
// - an `input` event at the textarea tells of typing once it pauses; `data-typed` is on it from the first key on;
// - who has another text for it dispatches a cancelable "console:replace" at it, with {text} as its detail: the editor
//   cancels it and takes the text, as one step for undo.

import { EditorView } from "@codemirror/view";

const SHORTEST = 250; // milliseconds from the last key to `input`
const LONGEST = 5000;

export function mirror(textarea) {
  let view = null;
  let known = { doc: null, text: "" }; // the last text that was asked for
  let stale = false; // the textarea has an older text
  let untold = false; // nobody has heard of the last key yet
  let timer = 0;
  let pause = SHORTEST;
  let asked = 0;

  const text = () => {
    const { doc } = view.state;
    if (known.doc !== doc) known = { doc, text: view.state.sliceDoc() };
    return known.text;
  };
  const fill = (data) => {
    if (stale && data.has(textarea.name)) data.set(textarea.name, text());
  };
  const settle = () => {
    clearTimeout(timer);
    untold = false;
    delete textarea.dataset.typed;
  };
  const tell = () => {
    settle();
    textarea.dispatchEvent(new Event("input", { bubbles: true }));
  };
  textarea.form?.addEventListener("formdata", (event) => fill(event.formData));
  textarea.form?.addEventListener("submit", settle);
  document.addEventListener("htmx:configRequest", (event) => fill(event.detail.formData));
  document.addEventListener("console:sync", () => {
    if (stale) textarea.value = text();
    stale = false;
  });
  addEventListener("beforeunload", (event) => {
    if (untold) event.preventDefault();
  });
  // A check that takes long is asked for less often.
  textarea.addEventListener("htmx:beforeSend", () => (asked = performance.now()));
  textarea.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) pause = Math.min(Math.max(SHORTEST, 1.5 * (performance.now() - asked)), LONGEST);
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

// Problems in the text: what the server found (the list under the editor) and, at once, whether it is JSON at all.

import { forEachDiagnostic, nextDiagnostic, previousDiagnostic, setDiagnostics } from "@codemirror/lint";
import { EditorView, ViewPlugin } from "@codemirror/view";
import { syntaxError } from "./places.js";

const AFTER = 300; // milliseconds without a key until the text is parsed
const SYNTAX = "JSON";

export function offsetOf(doc, line, column) {
  const found = doc.line(Math.min(Math.max(line, 1), doc.lines));
  return Math.min(found.from + Math.max(column, 1) - 1, found.to);
}

// What the server found, read from the list that it rendered.
function serverFindings(textarea, view) {
  const items = document.querySelectorAll(`[data-findings-for="${textarea.id}"] [data-line]`);
  return [...items].map((item) => {
    const from = offsetOf(view.state.doc, Number(item.dataset.line), Number(item.dataset.column));
    const word = view.state.wordAt(from + (view.state.sliceDoc(from, from + 1) === '"' ? 1 : 0));
    const severity = { error: "error", warning: "warning" }[item.dataset.level] ?? "info";
    const message = item.querySelector("[data-message]").textContent;
    return { from, to: word ? word.to : from, severity, message, source: item.dataset.rule };
  });
}

// Server findings stay where they are while one types (the editor moves them along) until the next answer replaces them.
export function syntaxCheck() {
  return ViewPlugin.fromClass(
    class {
      constructor(view) {
        this.view = view;
        this.timer = 0;
      }
      update(update) {
        if (!update.docChanged) return;
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.run(), AFTER);
      }
      run() {
        const kept = [];
        let had = false;
        forEachDiagnostic(this.view.state, (diagnostic, from, to) => {
          if (diagnostic.source === SYNTAX) had = true;
          else kept.push({ ...diagnostic, from, to });
        });
        const error = syntaxError(this.view.state);
        if (!error && !had) return;
        if (error)
          kept.push({
            from: error.position,
            to: error.position,
            severity: "error",
            message: error.message,
            source: SYNTAX,
          });
        this.view.dispatch(setDiagnostics(this.view.state, kept));
      }
      destroy() {
        clearTimeout(this.timer);
      }
    },
  );
}

export function followFindings(textarea, view) {
  const show = () => view.dispatch(setDiagnostics(view.state, serverFindings(textarea, view)));
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.closest?.(`[data-findings-for="${textarea.id}"]`)) show();
  });
  document.addEventListener("click", (event) => {
    const item = event.target.closest(`[data-findings-for="${textarea.id}"] [data-line]`);
    if (!item || event.target.closest("summary")) return;
    event.preventDefault();
    goTo(view, offsetOf(view.state.doc, Number(item.dataset.line), Number(item.dataset.column)));
  });
  if (document.querySelector(`[data-findings-for="${textarea.id}"] [data-line]`)) show();
}

export function goTo(view, position) {
  view.dispatch({ selection: { anchor: position }, effects: EditorView.scrollIntoView(position, { y: "center" }) });
  view.dom.dispatchEvent(new CustomEvent("console:show-text")); // the form gives way to the text
  view.focus();
}

export const problemKeys = [
  { key: "F8", run: nextDiagnostic, preventDefault: true },
  { key: "Shift-F8", run: previousDiagnostic, preventDefault: true },
];

// The problems at a position, worst first: [{severity, message, source}].
export function problemsAt(state, position) {
  const line = state.doc.lineAt(position);
  const found = [];
  forEachDiagnostic(state, (diagnostic, from) => {
    if (from >= line.from && from <= line.to) found.push(diagnostic);
  });
  const order = ["error", "warning", "info"];
  return found.sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
}

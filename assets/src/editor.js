// Turns every <textarea data-editor="json"> into an editor. The textarea stays the form's field and always holds the
// same text, so that the form posts what was typed and htmx hears of every change.

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import {
  bracketMatching,
  foldGutter,
  foldKeymap,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { linter, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tagHighlighter, tags } from "@lezer/highlight";

const nonce = document.currentScript?.nonce ?? "";
const highlighter = tagHighlighter([
  { tag: tags.propertyName, class: "tok-property" },
  { tag: tags.string, class: "tok-string" },
  { tag: tags.number, class: "tok-number" },
  { tag: [tags.bool, tags.null], class: "tok-atom" },
  { tag: tags.invalid, class: "tok-invalid" },
]);

function offsetOf(doc, line, column) {
  const found = doc.line(Math.min(Math.max(line, 1), doc.lines));
  return Math.min(found.from + Math.max(column, 1) - 1, found.to);
}

// What the server found, read from the list that it rendered.
function serverFindings(textarea, view) {
  const items = document.querySelectorAll(`[data-findings-for="${textarea.id}"] [data-line]`);
  return [...items].map((item) => {
    const from = offsetOf(view.state.doc, Number(item.dataset.line), Number(item.dataset.column));
    const word = view.state.wordAt(from);
    const severity = { error: "error", warning: "warning" }[item.dataset.level] ?? "info";
    return { from, to: word ? word.to : from, severity, message: item.querySelector("[data-message]").textContent };
  });
}

function enhance(textarea) {
  const syntax = jsonParseLinter();
  const form = textarea.form;
  const mirror = EditorView.updateListener.of((update) => {
    if (!update.docChanged) return;
    textarea.value = view.state.sliceDoc();
    textarea.dispatchEvent(new Event("input", { bubbles: true }));
  });
  const save = () => {
    const button = form?.querySelector("[data-save]");
    button?.click();
    return Boolean(button);
  };
  const view = new EditorView({
    doc: textarea.value,
    extensions: [
      EditorView.cspNonce.of(nonce),
      lineNumbers(),
      foldGutter(),
      lintGutter(),
      history(),
      drawSelection(),
      indentUnit.of("  "),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      highlightSelectionMatches(),
      json(),
      syntaxHighlighting(highlighter),
      linter((current) => {
        const server = serverFindings(textarea, current);
        return server.length ? server : syntax(current);
      }, { delay: 250 }),
      EditorState.readOnly.of(textarea.readOnly),
      EditorView.contentAttributes.of({ "aria-label": textarea.getAttribute("aria-label") ?? "JSON", spellcheck: "false" }),
      mirror,
      keymap.of([
        { key: "Mod-s", run: save, preventDefault: true },
        ...closeBracketsKeymap,
        ...defaultKeymap,
        ...searchKeymap,
        ...historyKeymap,
        ...foldKeymap,
        ...lintKeymap,
        indentWithTab, // Escape, then Tab, leaves the editor
      ]),
    ],
  });
  textarea.hidden = true;
  textarea.after(view.dom);
  textarea.addEventListener("console:replace", () => {
    const changes = { from: 0, to: view.state.doc.length, insert: textarea.value.replace(/\r\n?/g, "\n") };
    view.dispatch({ changes, userEvent: "input.replace" }); // one step for undo
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (!event.target.closest?.(`[data-findings-for="${textarea.id}"]`)) return;
    const server = serverFindings(textarea, view);
    view.dispatch(setDiagnostics(view.state, server.length ? server : syntax(view)));
  });
  document.addEventListener("click", (event) => {
    const item = event.target.closest(`[data-findings-for="${textarea.id}"] [data-line]`);
    if (!item) return;
    const at = offsetOf(view.state.doc, Number(item.dataset.line), Number(item.dataset.column));
    view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
    view.focus();
  });
}

for (const textarea of document.querySelectorAll('textarea[data-editor="json"]')) enhance(textarea);

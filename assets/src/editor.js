// Turns every <textarea data-editor="json"> into an editor: text or form, an outline beside it, problems below.
// mirror.js keeps the textarea the form's field.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab, redo, undo } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import {
  bracketMatching,
  foldGutter,
  foldKeymap,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
  syntaxTree,
} from "@codemirror/language";
import { lintGutter, lintKeymap, nextDiagnostic, previousDiagnostic } from "@codemirror/lint";
import { highlightSelectionMatches, openSearchPanel, search, searchKeymap } from "@codemirror/search";
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
import { completionSource } from "./completion.js";
import { element } from "./dom.js";
import { EntryForm } from "./form.js";
import { format } from "./format.js";
import { hoverHelp } from "./hover.js";
import { mirror } from "./mirror.js";
import { Outline } from "./outline.js";
import { below, entryAround, members, pathOf, root, value, wholeTree } from "./places.js";
import { followFindings, problemKeys, problemsAt, syntaxCheck } from "./problems.js";
import { load } from "./schema.js";

const nonce = document.currentScript?.nonce ?? "";
const highlighter = tagHighlighter([
  { tag: tags.propertyName, class: "tok-property" },
  { tag: tags.string, class: "tok-string" },
  { tag: tags.number, class: "tok-number" },
  { tag: [tags.bool, tags.null], class: "tok-atom" },
  { tag: tags.invalid, class: "tok-invalid" },
]);
const views = new Map(); // kind → EditorView

// {name, type} of every connection in the other tab; read again only when that document has changed.
let listed = { doc: null, connections: [] };
function connections() {
  const state = views.get("connections")?.state;
  if (!state) return [];
  if (listed.doc !== state.doc) {
    const tree = wholeTree(state, 500);
    const found = tree ? members(state, root(tree)) : [];
    listed = {
      doc: state.doc,
      connections: found.map((one) => ({ name: one.name, type: value(state, below(state, one.value, ["type"])) })),
    };
  }
  return listed.connections;
}

function enhance(textarea) {
  const kind = textarea.dataset.kind ?? "";
  let schema = null;
  const knowledge = (state, position) => {
    if (!schema) return null;
    const tree = syntaxTree(state);
    const entry =
      entryAround(state, tree.resolveInner(position, -1)) ?? entryAround(state, tree.resolveInner(position, 1));
    return { schema, read: (path) => String(value(state, below(state, entry?.value, path.slice(1))) ?? "").trim() };
  };
  const form = kind && !textarea.readOnly ? new EntryForm({ kind, knowledge, connections }) : null;
  const outline = kind ? new Outline(kind) : null;
  const follower = mirror(textarea);
  const status = element("div", { class: "editor-status" });
  const said = element("span", { role: "status" });
  const place = element("span", { class: "soft" });
  status.append(place, said);
  const save = () => {
    const button = textarea.form?.querySelector("[data-save]");
    button?.click();
    return Boolean(button);
  };
  const layOut = () => {
    const { changes, refused } = format(view.state);
    if (refused) {
      const { message, position } = refused;
      said.textContent = `Not formatted: line ${view.state.doc.lineAt(position).number} is not JSON. ${message}`;
      view.dispatch({ selection: { anchor: position }, effects: EditorView.scrollIntoView(position, { y: "center" }) });
    } else {
      said.textContent = changes ? "Formatted." : "It is formatted already.";
      if (changes) view.dispatch({ changes, userEvent: "format" });
    }
    return true;
  };
  const tellPlace = EditorView.updateListener.of((update) => {
    if (update.docChanged) said.textContent = "";
    if (!update.docChanged && !update.selectionSet && !update.transactions.length) return;
    const { state } = update;
    const { head } = state.selection.main;
    const [problem] = problemsAt(state, head);
    const [before, behind] = [-1, 1].map((side) => pathOf(state, syntaxTree(state).resolveInner(head, side)));
    place.textContent = (before.length > behind.length ? before : behind).join(" › ");
    if (problem)
      place.append(element("span", { class: problem.severity }, `${problem.source ?? ""} ${problem.message}`));
  });
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
      autocompletion({ override: [completionSource(knowledge, connections)], icons: false }),
      hoverHelp(knowledge),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      highlightSelectionMatches(),
      search({ top: true }),
      json(),
      syntaxHighlighting(highlighter),
      syntaxCheck(),
      EditorState.readOnly.of(textarea.readOnly),
      EditorView.contentAttributes.of({
        "aria-label": textarea.getAttribute("aria-label") ?? "JSON",
        spellcheck: "false",
      }),
      follower.extension,
      outline?.extension ?? [],
      form?.extension ?? [],
      tellPlace,
      keymap.of([
        { key: "Mod-s", run: save, preventDefault: true },
        { key: "Shift-Alt-f", run: layOut, preventDefault: true },
        ...problemKeys,
        ...closeBracketsKeymap,
        ...completionKeymap,
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
  follower.attach(view);
  if (kind) views.set(kind, view);
  load(textarea.dataset.schema).then((found) => {
    schema = found;
    if (form?.visible) form.refresh();
  });
  if (outline) furnish({ textarea, view, form, outline, status, layOut, save });
  followFindings(textarea, view);
}

// Bar, outline and form around an editor.
function furnish({ textarea, view, form, outline, status, layOut, save }) {
  const box = textarea.closest(".editor");
  const bench = element("div", { class: "workbench" });
  const column = element("div", { class: "workbench-main" });
  box.before(bench);
  const button = (label, onclick, title = "") =>
    element("button", { type: "button", class: "button quiet small", title, onclick }, label);
  const run = (command) => () => {
    command(view);
    if (box.hidden) return;
    view.focus();
  };
  const asText = element(
    "button",
    { type: "button", class: "button small", "aria-pressed": "true", onclick: () => show(false, true) },
    "Text",
  );
  const asForm = element(
    "button",
    { type: "button", class: "button small", "aria-pressed": "false", onclick: () => show(true) },
    "Form",
  );
  const inText = [
    button("Find", run(openSearchPanel), "Ctrl+F"),
    button("Format", run(layOut), "Shift+Alt+F"),
    button("Previous problem", run(previousDiagnostic), "Shift+F8"),
    button("Next problem", run(nextDiagnostic), "F8"),
  ];
  const show = (formIsMeant, focus = false) => {
    asText.setAttribute("aria-pressed", String(!formIsMeant));
    asForm.setAttribute("aria-pressed", String(formIsMeant));
    box.hidden = formIsMeant;
    for (const one of inText) one.hidden = formIsMeant;
    form.toggle(formIsMeant);
    view.requestMeasure();
    if (focus) view.focus();
  };
  const bar = element("div", { class: "editor-bar" });
  if (form)
    bar.append(
      element("div", { class: "switch", role: "group", "aria-label": "Edit as" }, asText, asForm),
      button("Undo", run(undo), "Ctrl+Z"),
      button("Redo", run(redo), "Ctrl+Y"),
    );
  bar.append(...inText);
  column.append(bar, box, form?.dom ?? "", status);
  bench.append(outline.dom, column);
  outline.form = form;
  view.dom.addEventListener("console:show-text", () => form?.visible && show(false));
  form?.attach(view);
  bench.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "s" || event.defaultPrevented) return;
    event.preventDefault(); // in the form and the list, too
    document.activeElement.blur(); // what is still being typed into a field counts
    save();
  });
  outline.attach(view);
  document.querySelector(`[data-keys-for="${textarea.id}"]`)?.removeAttribute("hidden");
}

for (const textarea of document.querySelectorAll('textarea[data-editor="json"]')) enhance(textarea);

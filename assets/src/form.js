// One entry as a form. The document is the truth: every control writes the smallest edit into the text, and what is
// typed there (or undone) is shown here.

import { EditorView } from "@codemirror/view";
import { addMember, copyMember, removeMember, replaceNode } from "./edits.js";
import { element } from "./dom.js";
import { field } from "./fields.js";
import { below, entryAround, members, root, text, value, wholeTree } from "./places.js";
import { planned } from "./plan.js";
import { types } from "./schema.js";

const EMPTY = { object: {}, array: [], string: "", boolean: false, integer: 0, number: 0 };

export class EntryForm {
  // `knowledge` as for completion; `connections()` lists {name, type} of the other document.
  constructor({ kind, knowledge, connections }) {
    Object.assign(this, { kind, knowledge, connections, visible: false, shape: "", fields: new Map() });
    this.body = element("div", { class: "stack" });
    this.dom = element("div", { class: "entry-form", hidden: true }, this.body);
    this.dom.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault(); // would save the draft
    });
    this.extension = EditorView.updateListener.of((update) => {
      if (this.visible && (update.docChanged || update.selectionSet)) this.schedule();
    });
  }

  attach(view) {
    this.view = view;
  }

  toggle(visible) {
    this.visible = visible;
    this.dom.hidden = !visible;
    if (visible) this.refresh();
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.visible) this.refresh();
    });
  }

  // {name, key, value, node} of the entry that the cursor is in or on.
  entry() {
    const { state } = this.view;
    const tree = wholeTree(state, 1000);
    const { head } = state.selection.main;
    return tree && (entryAround(state, tree.resolveInner(head, 1)) ?? entryAround(state, tree.resolveInner(head, -1)));
  }

  focus() {
    this.refresh();
    (this.fields.values().next().value?.input ?? this.name)?.focus();
  }

  refresh() {
    const entry = this.entry();
    const made = entry?.value?.name === "Object" ? value(this.view.state, entry.value) : undefined;
    const known = this.knowledge(this.view.state, entry?.key.from ?? 0);
    const plan = made && known ? planned(this.view.state, entry, made, known) : [];
    const shape = JSON.stringify([
      entry?.name ?? null,
      made === undefined,
      plan.map((one) => [one.path, one.kind, one.missing, one.needed]),
    ]);
    if (shape !== this.shape) this.rebuild(entry, made, plan);
    this.shape = shape;
    for (const one of plan) {
      const shown = this.fields.get(one.id);
      if (shown && shown.input !== document.activeElement) shown.show(one.value, one.raw);
    }
    if (this.name && this.name !== document.activeElement) this.name.value = entry.name;
  }

  rebuild(entry, made, plan) {
    const focused = [...this.fields].find(([, one]) => one.input === document.activeElement)?.[0];
    this.fields = new Map();
    this.name = null;
    const parts = [this.head(entry)];
    if (made === undefined && entry)
      parts.push(
        element("p", { class: "banner warning" }, "This entry is not valid JSON yet. Correct it in the text."),
      );
    if (!entry) parts.push(element("p", { class: "soft" }, "Choose an entry in the list, or add one."));
    const open = []; // boxes that are being filled, with what may be added to them in the end
    const close = () => {
      const { box, path, missing, needed } = open.pop();
      if (missing.length) box.append(this.adder(path, missing, needed));
    };
    for (const one of plan) {
      if (one.kind === "group") {
        if (open.length) close();
        const box = element("section", { class: "group" }, element("h3", {}, one.path[0]));
        parts.push(box);
        open.push({ ...one, box, path: [] });
      } else if (one.kind === "object") {
        const box = element("fieldset", {}, element("legend", {}, one.path.at(-1), " ", this.remover(one.path)));
        open.at(-1).box.append(box);
        open.push({ ...one, box });
      } else if (one.kind === "end") close();
      else {
        const made = field({
          name: one.path.at(-1),
          schema: one.schema,
          kind: one.kind,
          list: this.listFor(one.path),
          write: (json) => this.write(one.path, json),
          remove: () => this.remove(one.path),
        });
        this.fields.set(one.id, made);
        open.at(-1).box.append(made.dom);
      }
    }
    if (open.length) close();
    this.body.replaceChildren(...parts);
    this.fields.get(focused)?.input.focus();
  }

  head(entry) {
    const button = (label, onclick, kind = "") =>
      element("button", { type: "button", class: `button small ${kind}`, onclick }, label);
    const said = (this.said = element("span", { class: "error", role: "alert" }));
    const row = element(
      "div",
      { class: "row" },
      button("Add entry", () => this.add()),
    );
    if (!entry) return element("div", { class: "stack-s" }, row, said);
    this.name = element("input", {
      type: "text",
      id: `entry-name-${this.kind}`,
      spellcheck: "false",
      autocomplete: "off",
      onchange: () => this.rename(this.name.value),
    });
    row.append(
      button("Duplicate", () => this.duplicate()),
      button("Remove entry", () => this.removeEntry(), "danger"),
    );
    const help = this.kind === "webhooks" ? "The end of its address." : "What webhooks name it by.";
    const name = element(
      "div",
      { class: "field" },
      element("label", { for: this.name.id }, "Name"),
      this.name,
      element("span", { class: "help" }, help),
      said,
    );
    return element("div", { class: "stack-s" }, row, name);
  }

  // Buttons for what is required and not there, and a choice of all the rest.
  adder(path, missing, needed) {
    const rest = missing.filter((key) => !needed.includes(key));
    const buttons = needed.map((key) =>
      element(
        "button",
        { type: "button", class: "button small", onclick: () => this.addKey(path, key) },
        `Add ${key} (required)`,
      ),
    );
    if (!rest.length) return element("div", { class: "adder row" }, ...buttons);
    const choose = element(
      "select",
      {
        "aria-label": `Add a setting to ${path.at(-1) ?? "the entry"}`,
        onchange: () => choose.value && this.addKey(path, choose.value),
      },
      element("option", { value: "" }, "Add a setting…"),
      ...rest.map((key) => element("option", { value: key }, key)),
    );
    return element("div", { class: "adder row" }, ...buttons, choose);
  }

  remover(path) {
    return element(
      "button",
      {
        type: "button",
        class: "button quiet small",
        "aria-label": `Remove ${path.at(-1)}`,
        onclick: () => this.remove(path),
      },
      "Remove",
    );
  }

  // A connection's name is chosen from those that exist; others may be typed.
  listFor(path) {
    if (this.kind !== "webhooks" || path.at(-1) !== "connection") return null;
    const id = "entry-connections";
    document.getElementById(id)?.remove();
    this.dom.append(
      element("datalist", { id }, ...this.connections().map((one) => element("option", { value: one.name }, one.type))),
    );
    return id;
  }

  dispatch(changes, selection) {
    if (changes) this.view.dispatch({ changes, selection, userEvent: "input.form" });
  }

  write(path, json) {
    const { state } = this.view;
    const node = below(state, this.entry()?.value, path);
    if (node) this.dispatch(replaceNode(state, node, json));
  }

  addKey(path, key) {
    const { state } = this.view;
    const entry = this.entry();
    const object = below(state, entry.value, path);
    const known = this.knowledge(state, entry.key.from);
    const schema = known.schema.at([entry.name, ...path, key], known.read);
    this.dispatch(addMember(state, object, key, this.first(known, schema, [entry.name, ...path, key])));
    this.refresh();
    this.fields.get([...path, key].join("\0"))?.input.focus();
  }

  // What a key begins with: an object with what it must have, a boolean that is not its default, else the default or nothing.
  first(known, schema, path) {
    const [type] = types(schema);
    if (type === "boolean") return !schema.default;
    if (type !== "object")
      return schema?.default !== undefined && type !== "string" ? schema.default : (EMPTY[type] ?? "");
    const required = [...known.schema.required(path, known.read)];
    return Object.fromEntries(
      required.map((key) => [key, this.first(known, known.schema.at([...path, key], known.read), [...path, key])]),
    );
  }

  remove(path) {
    const { state } = this.view;
    const object = below(state, this.entry()?.value, path.slice(0, -1));
    const member = members(state, object).find((one) => one.name === path.at(-1));
    if (member) this.dispatch(removeMember(state, object, member.node));
  }

  names() {
    const { state } = this.view;
    return members(state, root(wholeTree(state, 1000))).map((one) => one.name);
  }

  free(wanted) {
    const names = new Set(this.names());
    let found = wanted;
    for (let count = 2; names.has(found); count += 1) found = `${wanted}-${count}`;
    return found;
  }

  add() {
    const { state } = this.view;
    const object = root(wholeTree(state, 1000));
    if (!object) return this.complain("The document is not an object in braces; correct it in the text.");
    const name = this.free(this.kind === "webhooks" ? "new-webhook" : "new-connection");
    this.enter(addMember(state, object, name, this.kind === "webhooks" ? { module: "" } : { type: "" }), name);
    return undefined;
  }

  duplicate() {
    const { state } = this.view;
    const entry = this.entry();
    const name = this.free(`${entry.name}-copy`);
    this.enter(copyMember(state, entry.node, name, text(state, entry.value)), name);
  }

  // Insert an entry, put the cursor on it and the focus on its name.
  enter(change, name) {
    const at = change.from + change.insert.indexOf(JSON.stringify(name));
    this.view.dispatch({
      changes: change,
      selection: { anchor: at },
      effects: EditorView.scrollIntoView(at, { y: "center" }),
      userEvent: "input.form",
    });
    this.refresh();
    this.name?.focus();
    this.name?.select();
  }

  rename(name) {
    const entry = this.entry();
    if (name === entry.name) return this.complain("");
    if (!name.trim()) return this.complain("An entry needs a name.");
    if (this.names().includes(name)) return this.complain(`There is a ${JSON.stringify(name)} already.`);
    this.complain("");
    this.dispatch(replaceNode(this.view.state, entry.key, JSON.stringify(name)));
    return undefined;
  }

  complain(message) {
    this.said.textContent = message;
    this.name?.setAttribute("aria-invalid", String(Boolean(message)));
  }

  removeEntry() {
    const { state } = this.view;
    const entry = this.entry();
    const object = root(wholeTree(state, 1000));
    this.dispatch(removeMember(state, object, entry.node));
  }
}

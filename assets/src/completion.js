// Completion that knows the documents: keys that are not there yet, values that work, connections that exist.

import { startCompletion } from "@codemirror/autocomplete";
import { syntaxTree } from "@codemirror/language";
import { keyHelp, moduleHelp } from "./help.js";
import { members, pathOf, text, word } from "./places.js";
import { choices, types } from "./schema.js";

const WORD = /^[\w$.-]*$/;

// `knowledge(state, position)` is {schema, read} or null; `connections()` is a list of {name, type} of the other document.
export function completionSource(knowledge, connections) {
  return (context) => {
    const known = knowledge(context.state, context.pos);
    if (!known) return null;
    const place = placeAt(context.state, context.pos);
    if (!place) return null;
    if (!context.explicit && !place.quoted && place.from === context.pos) return null;
    const options = place.key ? keys(context.state, place, known) : values(context.state, place, known, connections);
    return options.length ? { from: place.from, options, validFor: WORD } : null;
  };
}

// What is being typed at a position: {key, object} or {path}; with the range of the word without its quotes, and of
// all that an option replaces.
function placeAt(state, position) {
  const node = syntaxTree(state).resolveInner(position, -1);
  const typed = /"?[\w$.-]*$/.exec(state.sliceDoc(Math.max(0, position - 100), position))[0];
  const quoted = typed.startsWith('"');
  const inside = ["PropertyName", "String"].includes(node.name) && node.from < position;
  if (inside && position === node.to && text(state, node).length > 1 && text(state, node).endsWith('"')) return null;
  const behind = quoted && state.sliceDoc(position, position + 1) === '"' ? 1 : 0; // the closing quote, in a broken place
  const word = inside
    ? { quoted: true, from: node.from + 1, whole: { from: node.from, to: node.to } }
    : {
        quoted,
        from: position - typed.length + (quoted ? 1 : 0),
        whole: { from: position - typed.length, to: position + behind },
      };
  if (node.name === "PropertyName") return { ...word, key: true, object: node.parent.parent, own: node };
  const owner = owning(syntaxTree(state).resolveInner(word.whole.from, -1));
  if (!owner) return null;
  if (owner.name === "Object") return { ...word, key: true, object: owner, own: null };
  return { ...word, key: false, path: pathOf(state, owner), array: owner.name === "Array" };
}

// The object that waits for a key, the property that waits for a value, or the array that waits for an item.
function owning(node) {
  for (let here = node; here; here = here.parent) {
    if (here.name === "Object" || here.name === "Array") return here;
    if (here.name === "Property") return here;
  }
  return null;
}

function keys(state, place, { schema, read }) {
  const path = pathOf(state, place.object);
  const found = path.length ? schema.at(path, read) : null;
  if (!found?.properties) return [];
  const needed = schema.required(path, read);
  const there = new Set(
    members(state, place.object)
      .filter((one) => one.key.from !== place.own?.from)
      .map((one) => one.name),
  );
  return Object.entries(found.properties)
    .filter(([name, about]) => about !== false && !there.has(name))
    .map(([name, about]) => {
      const resolved = schema.resolve(about);
      const required = needed.has(name);
      return {
        label: name,
        type: "property",
        detail: required ? "required" : types(resolved).join(" or "),
        boost: required ? 50 : 0,
        info: () => keyHelp(name, { ...resolved, "x-required": required }),
        apply: (view) => insertKey(view, name, resolved),
      };
    });
}

function values(state, place, { schema, read }, connections) {
  const path = place.array ? [...place.path, 0] : place.path;
  const about = schema.at(path, read);
  const name = place.path.at(-1);
  if (schema.kind === "webhooks" && name === "connection") {
    const module = schema.module(read([...place.path.slice(0, -1), "module"]));
    const wanted = module?.["x-connection"];
    return connections()
      .filter((one) => !wanted || one.type === wanted)
      .map((one) => option(one.name, one.type));
  }
  if (name === "module" || (place.array && name === "chain")) {
    return choices(schema.resolve(schema.definitions.module)).map((module) => {
      const found = schema.module(module);
      return {
        ...option(module, found["x-connection"] ?? ""),
        info: () => moduleHelp(module, found),
        boost: found.deprecated ? -50 : 0,
      };
    });
  }
  if (!about) return [];
  const info = () => keyHelp(String(name), about);
  const named = choices(about).map((choice) => ({
    ...option(choice, choice === about.default ? "default" : ""),
    info,
  }));
  if (named.length || place.quoted) return named;
  const literal = (label) => ({ label, type: "keyword", info, apply: (view) => insertValue(view, label) });
  if (types(about).includes("boolean")) return [literal("true"), literal("false")];
  return about.default === undefined ? [] : [{ ...literal(JSON.stringify(about.default)), detail: "default" }];
}

function option(label, detail) {
  return {
    label: String(label),
    detail: detail || undefined,
    type: "constant",
    apply: (view) => insertValue(view, JSON.stringify(label)),
  };
}

// The key with a value to fill in; commas where they are missing; the cursor where one goes on typing.
function insertKey(view, name, about) {
  const { state } = view;
  const place = placeAt(state, state.selection.main.head);
  const hasColon = /^\s*:/.test(state.sliceDoc(place.whole.to, place.whole.to + 200));
  const made = hasColon ? { text: "", cursor: 0 } : skeleton(about);
  const after = hasColon ? "" : needsComma(state, place) ? "," : "";
  const insert = `${JSON.stringify(name)}${hasColon ? "" : ": "}${made.text}${after}`;
  const changes = [{ ...place.whole, insert }];
  const before = lastBefore(state, place);
  if (before !== null) changes.unshift({ from: before, insert: "," });
  const start = place.whole.from + (before === null ? 0 : 1) + JSON.stringify(name).length + (hasColon ? 0 : 2);
  view.dispatch({
    changes,
    selection: { anchor: start + made.cursor },
    userEvent: "input.complete",
    scrollIntoView: true,
  });
  if (!hasColon && made.choose) startCompletion(view);
}

function skeleton(about) {
  const kinds = types(about);
  if (kinds.includes("object")) return { text: "{}", cursor: 1, choose: true };
  if (kinds.includes("array")) return { text: "[]", cursor: 1 };
  if (kinds[0] === "boolean") {
    const value = String(about.default === undefined ? true : !about.default); // who adds it wants the other one
    return { text: value, cursor: value.length };
  }
  if (["integer", "number"].includes(kinds[0])) {
    const value = JSON.stringify(about.default ?? 0);
    return { text: value, cursor: value.length };
  }
  return { text: '""', cursor: 1, choose: true };
}

function needsComma(state, place) {
  return /^\s*"/.test(state.sliceDoc(place.whole.to, place.whole.to + 500));
}

// The end of the member before, when no comma stands behind it.
function lastBefore(state, place) {
  const there = members(state, place.object).filter((one) => one.node.to <= place.whole.from && one.value);
  const last = there.at(-1);
  if (!last || last.key.from === place.own?.from) return null;
  return state.sliceDoc(last.value.to, place.whole.from).includes(",") ? null : last.value.to;
}

function insertValue(view, insert) {
  const { state } = view;
  const place = placeAt(state, state.selection.main.head);
  const changes = { ...place.whole, insert };
  view.dispatch({ changes, selection: { anchor: place.whole.from + insert.length }, userEvent: "input.complete" });
}

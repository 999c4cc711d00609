// Where things stand in a JSON document, read from the editor's incremental syntax tree.
// A path is a list of keys and indexes, as ["orders", "chain", 0, "module"].

import { ensureSyntaxTree, syntaxTree } from "@codemirror/language";

const VALUES = new Set(["Object", "Array", "String", "Number", "True", "False", "Null"]);

export const text = (state, node) => state.sliceDoc(node.from, node.to);

// The text of a string or key without its quotes and escapes; broken ones as they stand.
export function word(state, node) {
  const raw = text(state, node);
  try {
    return String(JSON.parse(raw));
  } catch {
    return raw.replace(/^"|"$/g, "");
  }
}

// The value that a node stands for; undefined when it does not parse (yet).
export function value(state, node) {
  if (!node) return undefined;
  try {
    return JSON.parse(text(state, node));
  } catch {
    return undefined;
  }
}

// The tree of the whole document, or null when it takes longer than that; asking again goes on from there.
export const wholeTree = (state, milliseconds) => ensureSyntaxTree(state, state.doc.length, milliseconds);

export function root(tree) {
  const found = tree.topNode.getChild("Object");
  return found && found.from >= 0 ? found : null;
}

export function valueNode(property) {
  for (let child = property.firstChild; child; child = child.nextSibling) if (VALUES.has(child.name)) return child;
  return null;
}

// Of an object: [{name, key, value, node}], in the order of the text; `value` is null while it is not typed yet.
export function members(state, object) {
  const found = [];
  for (let child = object?.firstChild; child; child = child.nextSibling) {
    if (child.name !== "Property") continue;
    const key = child.getChild("PropertyName");
    if (key) found.push({ name: word(state, key), key, value: valueNode(child), node: child });
  }
  return found;
}

export const items = (array) => {
  const found = [];
  for (let child = array.firstChild; child; child = child.nextSibling) if (VALUES.has(child.name)) found.push(child);
  return found;
};

// The value below `node` at a path, or null.
export function below(state, node, path) {
  let here = node;
  for (const step of path) {
    if (here?.name === "Object") here = members(state, here).find((member) => member.name === step)?.value ?? null;
    else if (here?.name === "Array") here = items(here)[step] ?? null;
    else return null;
  }
  return here;
}

// The innermost node at a position, and the path of the value (or of the value that its key names) that it is in.
export function at(state, position, side = -1) {
  const inner = syntaxTree(state).resolveInner(position, side);
  return { node: inner, path: pathOf(state, inner) };
}

export function pathOf(state, node) {
  const path = [];
  for (let here = node; here?.parent; here = here.parent) {
    if (here.name === "Property") {
      const key = here.getChild("PropertyName");
      path.unshift(key ? word(state, key) : "");
    } else if (here.parent.name === "Array" && VALUES.has(here.name)) {
      path.unshift(items(here.parent).findIndex((item) => item.from === here.from));
    }
  }
  return path;
}

// Why a text is not JSON and where: {message, position}, or null. Engines do not always tell the place; the tree does.
export function syntaxError(state) {
  try {
    JSON.parse(state.sliceDoc());
    return null;
  } catch (error) {
    const told = /position (\d+)/.exec(error.message);
    const cursor = wholeTree(state, 1000)?.cursor();
    while (!told && cursor && !cursor.type.isError && cursor.next());
    const position = told ? Number(told[1]) : cursor?.type.isError ? cursor.from : state.doc.length;
    return { message: error.message, position: Math.min(position, state.doc.length) };
  }
}

// The entry (a property of the top object) around a node: its value and name, or null.
export function entryAround(state, node) {
  for (let here = node; here; here = here.parent) {
    if (here.name === "Property" && here.parent?.parent?.name === "JsonText") {
      const key = here.getChild("PropertyName");
      return key && { name: word(state, key), key, value: valueNode(here), node: here };
    }
  }
  return null;
}

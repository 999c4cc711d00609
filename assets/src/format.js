// Layout on demand: two spaces, one member a line. Keys keep their order, numbers and strings their spelling.

import { entryAround, items, members, root, syntaxError, valueNode, wholeTree } from "./places.js";

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

// A text that is JSON, laid out; `indent` goes before every line but the first.
export function formatted(source, indent = "") {
  const tokens = source.match(TOKENS) ?? [];
  let made = "";
  let depth = 0;
  const line = () => `\n${indent}${"  ".repeat(depth)}`;
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      made += token;
      if (next === "}" || next === "]") continue;
      depth += 1;
      made += line();
    } else if (token === "}" || token === "]") {
      const empty = made.endsWith("{") || made.endsWith("[");
      if (!empty) depth -= 1;
      made += (empty ? "" : line()) + token;
    } else if (token === ",") made += token + line();
    else if (token === ":") made += ": ";
    else made += token;
  }
  return made;
}

// {changes} for the whole document, or for the values that the selection touches; {refused} when it is not JSON.
export function format(state) {
  const { from, to, empty } = state.selection.main;
  const refused = syntaxError(state);
  if (refused) return { refused };
  if (empty) {
    const source = state.sliceDoc();
    const laid = formatted(source) + (source.endsWith("\n") ? "\n" : "");
    return { changes: laid === source ? null : { from: 0, to: state.doc.length, insert: laid } };
  }
  const changes = touched(state, from, to).map((node) => {
    const indent = /^\s*/.exec(state.doc.lineAt(node.from).text)[0];
    return { from: node.from, to: node.to, insert: formatted(state.sliceDoc(node.from, node.to), indent) };
  });
  return { changes: changes.filter((change) => change.insert !== state.sliceDoc(change.from, change.to)) };
}

// The smallest values that cover a selection: members or items of one parent.
function touched(state, from, to) {
  const tree = wholeTree(state, 5000);
  let here = tree.resolveInner(from, 1);
  while (here.parent && (here.from > from || here.to < to)) here = here.parent;
  while (here && !["Object", "Array", "Property"].includes(here.name) && here.parent) here = here.parent;
  if (here.name === "Property") return [valueNode(here)].filter(Boolean);
  const inside =
    here.name === "Object" ? members(state, here).map((one) => one.value) : here.name === "Array" ? items(here) : [];
  const meant = inside.filter(
    (node) => node && node.from < to && (node.parent.name === "Property" ? node.parent.to : node.to) > from,
  );
  return meant.length ? meant : [entryAround(state, here)?.value ?? root(tree)].filter(Boolean);
}

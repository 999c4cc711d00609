// The smallest edits of a JSON text: only what is meant changes, everything else stays as typed.

import { members, text } from "./places.js";

const indentAt = (state, position) => /^[ \t]*/.exec(state.doc.lineAt(position).text)[0];

function indented(made, indent, unit) {
  return JSON.stringify(made, null, unit).replace(/\n/g, `\n${indent}`);
}

export function replaceNode(state, node, insert) {
  return insert === text(state, node) ? null : { from: node.from, to: node.to, insert };
}

// A member at the end of an object, laid out as its last one is; `made` is a value.
export function addMember(state, object, key, made) {
  const last = members(state, object).at(-1)?.node;
  const name = JSON.stringify(key);
  const outer = indentAt(state, object.from);
  if (!last) {
    const unit = outer.startsWith("\t") ? "\t" : "  ";
    const inner = outer + unit;
    return {
      from: object.from,
      to: object.to,
      insert: `{\n${inner}${name}: ${indented(made, inner, unit)}\n${outer}}`,
    };
  }
  const indent = indentAt(state, last.from);
  const ownLine = state.doc.lineAt(last.from).from + indent.length === last.from;
  const between = ownLine ? `\n${indent}` : " ";
  const unit = indent.startsWith(outer) ? indent.slice(outer.length) || "  " : "  ";
  const shown = ownLine ? indented(made, indent, unit) : JSON.stringify(made);
  return { from: last.to, insert: `,${between}${name}: ${shown}` };
}

// A member after another one, with a value that is copied as it stands.
export function copyMember(state, node, key, raw) {
  const indent = indentAt(state, node.from);
  const ownLine = state.doc.lineAt(node.from).from + indent.length === node.from;
  return { from: node.to, insert: `,${ownLine ? `\n${indent}` : " "}${JSON.stringify(key)}: ${raw}` };
}

// A member and one comma.
export function removeMember(state, object, node) {
  const there = members(state, object).map((one) => one.node);
  const index = there.findIndex((one) => one.from === node.from);
  if (index + 1 < there.length) return { from: node.from, to: there[index + 1].from };
  if (index > 0) return { from: there[index - 1].to, to: node.to };
  return { from: object.from, to: object.to, insert: "{}" };
}

// Help on hover: what a key means, what a module does, what a placeholder becomes.

import { hoverTooltip } from "@codemirror/view";
import { element } from "./dom.js";
import { keyHelp, moduleHelp, placeholderHelp } from "./help.js";
import { at, word } from "./places.js";
import { secretMark } from "./schema.js";

// `knowledge(state, position)` is {schema, read}, or null while the schema is on its way.
export function hoverHelp(knowledge) {
  return hoverTooltip((view, position, side) => {
    const { node, path } = at(view.state, position, side);
    const about = dom(view.state, node, path, knowledge(view.state, position));
    return about && { pos: node.from, end: node.to, above: true, create: () => ({ dom: about }) };
  });
}

function dom(state, node, path, known) {
  if (node.name === "String") {
    const string = word(state, node);
    if (secretMark(string))
      return element("div", { class: "key-help" }, element("p", {}, "A secret; saved unchanged."));
    const module = path.at(-1) === "module" && known?.schema.module(string);
    return module ? moduleHelp(string, module) : placeholderHelp(string);
  }
  if (node.name !== "PropertyName" || !known) return null;
  const schema = known.schema.at(path, known.read);
  if (path.length > 1 && schema?.description) return keyHelp(path.at(-1), schema);
  const advice = known.schema.at(path.slice(0, -1), known.read)?.["x-ignored"]?.[path.at(-1)];
  return advice ? element("div", { class: "key-help" }, element("p", {}, `No effect. ${advice}`)) : null;
}

// What is told about a key, a module or a placeholder: in completions, on hover and in the form.

import { element } from "./dom.js";
import { choices, types } from "./schema.js";

const PLACEHOLDER = /\{\$(?:(vault):([^}#]+)#([^}:]+)|(\w+))(?::([^}]*))?\}/g;

export function facts(schema) {
  const said = [];
  const kinds = types(schema);
  if (kinds.length) said.push(kinds.join(" or "));
  if (schema["x-required"]) said.push("required");
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema["x-secret"]) said.push("a secret");
  return said.join(", ");
}

export function keyHelp(name, schema) {
  const named = choices(schema);
  return element(
    "div",
    { class: "key-help" },
    element("p", {}, element("strong", {}, name), ` ${facts(schema)}`),
    schema.description ? element("p", {}, schema.description.replaceAll("`", "")) : null,
    named.length && named.length < 15 ? element("p", { class: "soft" }, named.join(" · ")) : null,
  );
}

export function moduleHelp(name, schema) {
  const required = Object.entries(schema.properties).filter(([, about]) => about["x-required"]);
  const needs = schema["x-connection"] ? `Connection of type ${schema["x-connection"]}. ` : "";
  const keys = required.length ? `Needs ${required.map(([key]) => key).join(", ")}.` : "";
  return element(
    "div",
    { class: "key-help" },
    element("p", {}, element("strong", {}, name), " module"),
    element("p", {}, schema.description.replaceAll("`", "")),
    needs || keys ? element("p", { class: "soft" }, needs + keys) : null,
  );
}

// One paragraph for each placeholder in a string; null when it has none.
export function placeholderHelp(text) {
  const said = [...text.matchAll(PLACEHOLDER)].map(([whole, vault, path, field, name, fallback]) => {
    if (vault) {
      const missing =
        fallback === undefined ? "Without it the whole file fails to load." : `Without it: “${fallback}”.`;
      return `Vault: field ${field} of ${path}. ${missing}`;
    }
    const alone = whole === text;
    const missing = alone ? `becomes the text “Undefined variable ${name}”` : "stays in the text as it is";
    return `${name} is read from each instance's environment. Where it is not set, it ${fallback === undefined ? missing : `becomes “${fallback}”`}.`;
  });
  return said.length ? element("div", { class: "key-help" }, ...said.map((line) => element("p", {}, line))) : null;
}

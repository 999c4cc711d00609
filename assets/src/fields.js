// The controls of the form: one for each kind of value. Each is {dom, show(value, raw)}; `write(json)` gets JSON text.

import { element } from "./dom.js";
import { facts } from "./help.js";
import { choices, secretMark, types } from "./schema.js";

let number = 0;

// Which control fits a value under a schema.
export function kindOf(schema, value) {
  const kinds = types(schema);
  const named = choices(schema);
  if (
    value !== null &&
    typeof value === "object" &&
    !Array.isArray(value) &&
    schema?.properties &&
    Object.keys(schema.properties).length
  )
    return "object";
  if (typeof value === "boolean") return "checkbox";
  if (typeof value === "string" && (named.includes(value) || (value === "" && named.length))) return "select";
  if (typeof value === "string" && !value.includes("\n")) return "text";
  if (typeof value === "number" && (kinds.includes("number") || kinds.includes("integer"))) return "number";
  const strings = Array.isArray(value) && value.every((item) => typeof item === "string" && !item.includes("\n"));
  if (strings && schema?.items && types(schema.items).includes("string")) return "lines";
  return "json";
}

const controls = {
  text: (schema, write, options) => {
    const input = element("input", {
      type: "text",
      spellcheck: "false",
      autocomplete: "off",
      list: options.list,
      oninput: () => write(JSON.stringify(input.value)),
    });
    return { input, show: (value) => (input.value = value) };
  },
  number: (schema, write, options) => {
    const whole = !types(schema).includes("number");
    const read = () => {
      const typed = input.value.trim();
      const fits = (whole ? /^-?(0|[1-9]\d*)$/ : /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/).test(typed);
      if (fits) write(typed);
      else if (types(schema).includes("string") && typed) write(JSON.stringify(typed));
      options.complain(
        fits || types(schema).includes("string")
          ? ""
          : `Not ${whole ? "a whole number" : "a number"}; the text keeps the old value.`,
      );
    };
    const input = element("input", { type: "text", inputmode: "decimal", autocomplete: "off", oninput: read });
    return { input, show: (value, raw) => (input.value = raw) };
  },
  checkbox: (schema, write) => {
    const input = element("input", { type: "checkbox", onchange: () => write(String(input.checked)) });
    return { input, show: (value) => (input.checked = value) };
  },
  select: (schema, write) => {
    const named = choices(schema).map((choice) => element("option", { value: choice }, choice));
    const input = element(
      "select",
      { onchange: () => write(JSON.stringify(input.value)) },
      element("option", { value: "" }, "choose…"),
      ...named,
    );
    return { input, show: (value) => (input.value = value) };
  },
  lines: (schema, write) => {
    const read = () =>
      write(
        JSON.stringify(
          input.value
            .split("\n")
            .map((line) => line.trim())
            .filter(Boolean),
        ),
      );
    const input = element("textarea", { rows: 3, spellcheck: "false", onchange: read });
    return {
      input,
      show: (value) => ((input.value = value.join("\n")), (input.rows = Math.min(Math.max(value.length + 1, 2), 10))),
    };
  },
  json: (schema, write, options) => {
    const read = () => {
      try {
        JSON.parse(input.value);
      } catch (error) {
        options.complain(`Not JSON: ${error.message}. The text keeps the old value.`);
        return;
      }
      options.complain("");
      write(input.value);
    };
    const input = element("textarea", { class: "mono", spellcheck: "false", onchange: read });
    return {
      input,
      show: (value, raw) => ((input.value = raw), (input.rows = Math.min(raw.split("\n").length + 1, 14))),
    };
  },
};

// A labelled control with its help. `remove` is called by its button, where it may be removed.
export function field({ name, schema, kind, write, remove, list }) {
  const id = `entry-field-${(number += 1)}`;
  const error = element("span", { class: "error", id: `${id}-error`, role: "alert" });
  const complain = (message) => {
    error.textContent = message;
    control.input.setAttribute("aria-invalid", String(Boolean(message)));
  };
  const control = controls[kind](schema ?? {}, write, { complain, list });
  control.input.id = id;
  const about = [schema ? facts(schema) : "not a key that is known", schema?.description]
    .filter(Boolean)
    .join(". ")
    .replaceAll("`", "");
  const help = element("span", { class: "help", id: `${id}-help` }, about);
  control.input.setAttribute("aria-describedby", `${id}-help ${id}-error`);
  const label = element("label", { for: id }, name);
  const button = remove
    ? element(
        "button",
        { type: "button", class: "button quiet small", "aria-label": `Remove ${name}`, onclick: remove },
        "Remove",
      )
    : null;
  const dom = element(
    "div",
    { class: kind === "checkbox" ? "field check" : "field" },
    ...(kind === "checkbox" ? [control.input, label, button] : [label, control.input, button]),
    help,
    error,
  );
  return {
    dom,
    input: control.input,
    show: (value, raw) => {
      control.show(value, raw);
      if (typeof value === "string" && secretMark(value))
        help.textContent = "A secret; saved unchanged. Type over it to replace it.";
      else help.textContent = about;
      complain("");
    },
  };
}

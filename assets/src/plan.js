// What the form of an entry shows, in order. Each item is one of
// {kind: "group", path: [title]} · a field {kind, path, id, schema, value, raw} · an object's beginning (kind "object") and {kind: "end"};
// groups and objects say which keys are `missing`, and which of these are `needed`.

import { kindOf } from "./fields.js";
import { below, text } from "./places.js";

const words = (line) => line.split(" ");
const GROUPS = [
  ["Basics", words("module connection data_type topic queue_name description")],
  ["Module settings", words("module-config redis")],
  [
    "Access checks",
    [
      ...words("authorization basic_auth digest_auth jwt oauth1 oauth2 hmac header_auth query_auth recaptcha"),
      ...words("ip_whitelist trusted_proxies rate_limit json_schema"),
    ],
  ],
  ["Delivery", words("retry credential_cleanup chain chain-config")],
];

export function planned(state, entry, made, { schema, read }) {
  const plan = [];
  const about = schema.at([entry.name], read);
  const there = Object.keys(made);
  const groups =
    schema.kind === "webhooks"
      ? [...GROUPS]
      : [["Connection", [...new Set(["type", ...Object.keys(about.properties)])]]];
  const listed = new Set(groups.flatMap(([, keys]) => keys));
  groups.push(["Other keys", there.filter((key) => !listed.has(key))]);
  const required = [...schema.required([entry.name], read)].filter((key) => !(key === "module" && made.chain));
  for (const [title, keys] of groups) {
    const present = keys.filter((key) => there.includes(key));
    const missing = keys.filter((key) => !there.includes(key) && about.properties?.[key]);
    if (!present.length && !missing.length) continue;
    plan.push({ kind: "group", path: [title], missing, needed: required.filter((key) => missing.includes(key)) });
    for (const key of present) value([key], made[key]);
  }
  return plan;

  function value(path, found) {
    const full = [entry.name, ...path];
    const inside = schema.at(full, read);
    const kind = kindOf(inside, found);
    const node = below(state, entry.value, path);
    const item = { kind, path, id: path.join("\0"), schema: inside, value: found, raw: node ? text(state, node) : "" };
    plan.push(item);
    if (kind !== "object") return;
    item.missing = Object.keys(inside.properties).filter((key) => !(key in found));
    item.needed = [...schema.required(full, read)].filter((key) => item.missing.includes(key));
    for (const [key, one] of Object.entries(found)) value([...path, key], one);
    plan.push({ kind: "end", path });
  }
}
